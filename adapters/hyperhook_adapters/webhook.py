"""Webhook: a JSON POST when a trial or a study begins or ends, for chat and for CI.

The body of a trial's event, and that of a study's, which has ``"trial": null``::

    {"event": "trial_finished",
     "study": "digits",
     "trial": {"name": "digits-3", "number": 3, "state": "COMPLETE", "params": {"lr": 0.01}, "value": 0.97,
               "step": 120, "error": null, "duration_seconds": 41.5},
     "text": "digits-3 COMPLETE: 0.97 at step 120, after 41.5 s; lr=0.01"}

``params`` are those that the trial began with; ``text`` is what Slack and its kin show. A number that JSON lacks is a
string: ``"nan"``, ``"inf"``, ``"-inf"``. Files, tags, notes and datasets have no place here.

- Delivery is at least once. The header ``Idempotency-Key`` is the same when a trial's event comes again, so that a
  receiver can drop the repeat. A study's events happen once for each process that works on it; their key stays the same
  while the forwarder that sends them lives.
- 408, 429, 5xx, no answer within the time, and no connection: sent again later, with back-off.
- Any other answer but 2xx is a refusal for good: it is logged once for each status, and what comes after is sent.
  Redirections are not followed, since they would take the headers to another host.
- The address and the headers are credentials: they are neither kept with the study nor logged; errors name the host.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from hyperhook import HyperhookError, Scalar, StudyRecord, Tracker, TrialRecord, hookimpl

__all__ = ["Webhook"]

log = logging.getLogger("hyperhook.webhook")

_EVENTS = ("study_started", "trial_started", "trial_finished", "study_finished")
_VARIABLE = "HYPERHOOK_WEBHOOK_URL"
_TRY_AGAIN = (408, 429)
_TEXT_LENGTH = 500


class Webhook(Tracker):
    """Posts events to an address.

    Args:
        url: The address, http or https; by default what the environment variable ``HYPERHOOK_WEBHOOK_URL`` holds.
        events: Which events: ``"study_started"``, ``"trial_started"``, ``"trial_finished"``, ``"study_finished"``.
        headers: More headers, such as ``{"Authorization": "Bearer …"}``.
        timeout_seconds: How long to wait for the server, in seconds.

    Raises:
        HyperhookError: There is no address, or an argument cannot be.

    Example:
        >>> study = Study("digits", space, trackers=[Webhook(url, events=["trial_finished"])])  # doctest: +SKIP
    """

    def __init__(
        self,
        url: str | None = None,
        events: Sequence[str] = ("trial_finished", "study_finished"),
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        events = events.split(",") if isinstance(events, str) else list(events)
        unknown = [event for event in events if event not in _EVENTS]
        if unknown:
            raise HyperhookError(f"Webhook: events: expected some of {', '.join(_EVENTS)}, got {unknown[0]!r}")
        if not isinstance(timeout_seconds, int | float) or not 0 < timeout_seconds < math.inf:
            raise HyperhookError(f"Webhook: timeout_seconds: expected a number above 0, got {timeout_seconds!r}")
        self._is_secret = url is not None or bool(headers)
        self._url, self._host = _checked(url if url is not None else os.environ.get(_VARIABLE))
        self._events = tuple(events)
        self._headers = _checked_headers(headers or {})
        self._timeout_seconds = float(timeout_seconds)
        self._acknowledged: dict[str, set[str]] = {}
        self._study_keys: dict[tuple[str, str], str] = {}
        self._refused: set[int] = set()

    def options(self) -> Mapping[str, Scalar] | None:
        """Return what may be kept; None where the address or the headers were given, since they are credentials."""
        if self._is_secret:
            return None
        return {"events": ",".join(self._events), "timeout_seconds": self._timeout_seconds}

    @hookimpl
    def study_started(self, study: StudyRecord) -> None:
        """Tell that a process began to work on a study."""
        self._tell_study("study_started", study, f"{study.name} started")

    @hookimpl
    def trial_started(self, trial: TrialRecord) -> None:
        """Tell that a trial began."""
        self._tell_trial("trial_started", trial, trial.started_time)

    @hookimpl
    def trial_finished(self, trial: TrialRecord) -> None:
        """Tell how a trial ended."""
        self._tell_trial("trial_finished", trial, trial.finished_time)

    @hookimpl
    def study_finished(self, study: StudyRecord) -> None:
        """Tell that a process ended its work on a study."""
        self._tell_study("study_finished", study, f"{study.name} finished")

    def flush(self, trial: TrialRecord) -> Mapping[str, Scalar]:
        """Forget what was answered: the cursor moves behind it."""
        self._acknowledged.pop(trial.id, None)
        return {}

    def resume(self, trial: TrialRecord, state: Mapping[str, Scalar]) -> bool:
        """Go on: there is nothing to take back, and a repeat has the key of the first."""
        return True

    def _tell_trial(self, event: str, trial: TrialRecord, moment: float | None) -> None:
        if event not in self._events:
            return
        key = f"{trial.id}-{event}-{moment}"
        done = self._acknowledged.setdefault(trial.id, set())
        if key not in done:  # answered, before something else in this batch failed
            self._post(key, {"event": event, "study": trial.study, "trial": _facts(trial), "text": _text(trial)})
            done.add(key)

    def _tell_study(self, event: str, study: StudyRecord, text: str) -> None:
        if event in self._events:
            key = self._study_keys.setdefault((study.name, event), f"{event}-{secrets.token_hex(8)}")
            self._post(key, {"event": event, "study": study.name, "trial": None, "text": text})
            del self._study_keys[study.name, event]

    def _post(self, key: str, body: Mapping[str, object]) -> None:
        """Send once; return when it was taken or refused for good.

        Raises:
            HyperhookError: It should be sent again later.
        """
        from http.client import HTTPException
        from urllib.error import HTTPError, URLError
        from urllib.request import HTTPRedirectHandler, Request, build_opener

        class Stay(HTTPRedirectHandler):
            def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
                """Follow nothing: the answer is the redirection itself."""

        own = {"Content-Type": "application/json", "User-Agent": "hyperhook", "Idempotency-Key": key}
        data = json.dumps(body, allow_nan=False).encode()
        request = Request(self._url, data, {**self._headers, **own}, method="POST")
        try:
            build_opener(Stay).open(request, timeout=self._timeout_seconds).close()
        except HTTPError as error:
            error.close()
            if error.code >= 500 or error.code in _TRY_AGAIN:
                raise HyperhookError(f"webhook at {self._host} answered {error.code}; tried again later") from None
            self._report(error.code, str(body["event"]))
        except (OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            why = getattr(reason, "strerror", None) or (
                f"no answer within {self._timeout_seconds:g} s"
                if isinstance(reason, TimeoutError)
                else type(reason).__name__
            )
            raise HyperhookError(f"webhook at {self._host} cannot be reached ({why}); tried again later") from None

    def _report(self, status: int, event: str) -> None:
        if status not in self._refused:
            self._refused.add(status)
            log.error(
                "webhook at %s refused %s with %d: that one is not sent again; check the address and what it expects",
                self._host,
                event,
                status,
            )


def _checked(url: object) -> tuple[str, str]:
    """Return an address and its host.

    Raises:
        HyperhookError: It is missing, or cannot be; the message does not repeat it.
    """
    url = url.strip() if isinstance(url, str) else url
    if not url:
        raise HyperhookError(f"Webhook: there is no address; set the environment variable {_VARIABLE}, or give url=…")
    if isinstance(url, str) and url.isascii() and url.isprintable() and " " not in url:
        with suppress(ValueError):  # a port that is none, a bracket that is not closed
            parts = urlsplit(url)
            if parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc:
                return url, parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
    raise HyperhookError(
        "Webhook: url: expected an address such as 'https://example.com/hook', of http or https, in ASCII, without "
        "spaces, user or password (those go into headers=…); what was given is not shown, since it may be secret"
    )


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not isinstance(name, str) or not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII):
            raise HyperhookError(f"Webhook: headers: {name!r} is no name of a header, such as 'Authorization'")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise HyperhookError(f"Webhook: headers: {name!r} is expected to have one line of ASCII text")
    return dict(headers)


def _facts(trial: TrialRecord) -> dict[str, object]:
    return {
        "name": trial.name,
        "number": trial.number,
        "state": str(trial.state),
        "params": {name: _finite(value) for name, value in trial.params.items()},
        "value": _finite(trial.value),
        "step": trial.step,
        "error": trial.error,
        "duration_seconds": _duration(trial),
    }


def _text(trial: TrialRecord) -> str:
    """Return a trial in one line."""
    words = f"{trial.name} {trial.state}"
    if trial.error is not None:
        words += f": {trial.error}"
    elif trial.value is not None:
        words += f": {trial.value:.6g}" + ("" if trial.step is None else f" at step {trial.step}")
    seconds = _duration(trial)
    if seconds is not None:
        words += f", after {seconds:.1f} s"
    if trial.params:
        words += "; " + ", ".join(f"{name}={_short(value)}" for name, value in trial.params.items())
    words = " ".join(words.split())
    return words if len(words) <= _TEXT_LENGTH else f"{words[: _TEXT_LENGTH - 1]}…"


def _duration(trial: TrialRecord) -> float | None:
    return None if trial.finished_time is None else round(trial.finished_time - trial.started_time, 3)


def _short(value: Scalar) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _finite(value: Any) -> object:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
