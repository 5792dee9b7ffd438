"""A real MLflow server that can be killed and started again, and a proxy before it that misbehaves as told."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter, deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {seconds} s"
        time.sleep(0.02)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """An MLflow server on loopback, always on the same port and database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, where it does not run, and wait until it answers."""
        if self._process is None:
            command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
            command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db"]
            command += ["--artifacts-destination", str(self._folder / "store")]
            environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
            with open(self._folder / "server.log", "ab") as log:
                self._process = subprocess.Popen(
                    command, cwd=self._folder, env=environment, stdout=log, stderr=log, start_new_session=True
                )
        wait_for(self.answers)

    def answers(self) -> bool:
        """Tell whether it is up."""
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """End it, and all its processes, with SIGKILL."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Proxy:
    """Passes requests on to a server; the next ones that write are treated as planned.

    Attributes:
        plan: What to do with the next requests that write: ``"500"``, ``"429"``, ``"silent"`` (never answer)
            or ``"swallow"`` (pass it on, and drop the answer).
        done: How often each was done.
    """

    def __init__(self, port: int) -> None:
        self.plan: deque[str] = deque()
        self.done: Counter[str] = Counter()
        self.released = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                writes = self.path.endswith("log-batch")
                proxy.treat(self, proxy.plan.popleft() if writes and proxy.plan else "pass", body, port)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._listening.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._listening.server_address[1]}"
        threading.Thread(target=self._listening.serve_forever, daemon=True).start()

    def treat(self, handler: BaseHTTPRequestHandler, how: str, body: bytes, port: int) -> None:
        """Answer a request, or do not."""
        self.done[how] += 1
        match how:
            case "500" | "429":
                handler.send_response(int(how))
                handler.send_header("Content-Length", "0")
                handler.end_headers()
            case "silent":
                self.released.wait(60)
                handler.close_connection = True
            case _:
                status, headers, content = ask(handler, body, port)
                if how == "swallow":
                    handler.close_connection = True
                    return
                handler.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                        handler.send_header(name, value)
                handler.send_header("Content-Length", str(len(content)))
                handler.end_headers()
                handler.wfile.write(content)

    def close(self) -> None:
        """Stop listening, and let go of who was never answered."""
        self.released.set()
        self._listening.shutdown()
        self._listening.server_close()


def ask(handler: BaseHTTPRequestHandler, body: bytes, port: int) -> tuple[int, list[tuple[str, str]], bytes]:
    """Pass a request on."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {name: value for name, value in handler.headers.items() if name.lower() not in ("host", "connection")}
    try:
        connection.request(handler.command, handler.path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    except OSError:
        return 502, [], b""
    finally:
        connection.close()
