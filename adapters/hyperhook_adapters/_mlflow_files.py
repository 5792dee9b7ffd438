"""Files on their way to MLflow: read at a bounded pace, and told how far they are."""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["RunFiles"]

log = logging.getLogger("hyperhook.mlflow")

_CHUNK, _PIECE = 1 << 20, 1 << 18
_LARGE = 1 << 24
"""From how many bytes on progress is told."""


class _Paced(io.FileIO):
    """A file that is read no faster than allowed, in whatever pieces, and says how far it is."""

    def __init__(self, path: Path, moved: Callable[[str], None], bytes_per_second: float | None) -> None:
        super().__init__(path)
        self._moved = moved
        self._bytes_per_second = bytes_per_second
        self._name = path.name
        self._size = os.fstat(self.fileno()).st_size
        self._began = time.monotonic()

    def read(self, size: int | None = -1) -> bytes:
        """Read a piece, and wait for as long as it may take.

        It may be more than was asked for: HTTP clients ask for 16 KiB at a time, pass on what they get, and at a
        bounded pace would wake a hundred times a second.
        """
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(_CHUNK), b""))
        piece = super().read(max(size, _PIECE)) or b""
        position = self.tell()
        if self._size >= _LARGE:
            self._moved(f"{self._name}: {position >> 20} of {self._size >> 20} MB")
        if self._bytes_per_second:
            ahead = position / self._bytes_per_second - (time.monotonic() - self._began)
            if ahead > 0.01:
                time.sleep(ahead)
        return piece


class RunFiles:
    """The artifacts of one run.

    Args:
        uri: The run's ``artifact_uri``.
        tracking_uri: MLflow's own, which the repository of artifacts is reached through.
        moved: Hears how far a large file is.
        bytes_per_second: How fast to send at the most; None as fast as it goes. Local folders and MLflow's own server
            heed it; other storages are driven by MLflow itself, in its own way.
    """

    def __init__(
        self, uri: str, tracking_uri: str | None, moved: Callable[[str], None], bytes_per_second: float | None
    ) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        self._repository: Any = get_artifact_repository(uri, tracking_uri=tracking_uri)
        self._moved = moved
        self._bytes_per_second = bytes_per_second

    def put(self, path: Path, place: str) -> None:
        """Send a file or folder, in place of what is there."""
        for file, where in _files(path, place):
            self._put_file(file, where)

    def delete(self, place: str) -> None:
        """Delete a file or folder, if it is there."""
        from mlflow.exceptions import MlflowException

        try:
            self._repository.delete_artifacts(place)
        except NotImplementedError:
            log.warning("MLflow: this storage of artifacts cannot delete: %s stays", place)
        except (MlflowException, OSError) as error:
            if not _is_missing(error):
                raise

    def _put_file(self, file: Path, place: str) -> None:
        from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
        from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

        folder, _, name = place.rpartition("/")
        if isinstance(self._repository, HttpArtifactRepository):
            self._put_by_http(file, place)
        elif isinstance(self._repository, LocalArtifactRepository):
            self._put_locally(file, Path(self._repository.artifact_dir) / place)
        elif file.name == name:
            self._repository.log_artifact(str(file), folder or None)
        else:
            raise ValueError(f"{file} cannot be sent as {place}")

    def _put_by_http(self, file: Path, place: str) -> None:
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import augmented_raise_for_status, http_request

        with _Paced(file, self._moved, self._bytes_per_second) as source:
            credentials = get_default_host_creds(self._repository.artifact_uri)
            answer = http_request(credentials, f"/{place}", "PUT", data=source)
        augmented_raise_for_status(answer)

    def _put_locally(self, file: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{os.getpid()}.{target.name}")
        with _Paced(file, self._moved, self._bytes_per_second) as source, open(beside, "wb") as sink:
            while piece := source.read(_CHUNK):
                sink.write(piece)
        os.replace(beside, target)


def _files(path: Path, place: str) -> Iterator[tuple[Path, str]]:
    if not path.is_dir():
        yield path, place
        return
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield file, f"{place}/{file.relative_to(path).as_posix()}"


def _is_missing(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError) or "RESOURCE_DOES_NOT_EXIST" in str(error) or "No such" in str(error)
