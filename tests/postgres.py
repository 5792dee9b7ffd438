"""A PostgreSQL of our own for tests and benchmarks: started where the programs are, stopped with whoever started it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda found: found.parent.name.zfill(3), reverse=True)
"""Where Debian and Ubuntu put the programs, which are not on the path there."""


def programs() -> Path | None:
    """The folder of the server's programs; None where there are none."""
    found = shutil.which("postgres")
    candidates = [*FOLDERS, *([Path(found).resolve().parent] if found else [])]
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


def _runs(process: int) -> bool:
    """Tell whether a process runs; one that ended and waits to be asked for its code does not."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


class Server:
    """A server on a free port of the loopback; as root it is run as another user, since initdb refuses root."""

    def __init__(self) -> None:
        found = programs()
        assert found is not None
        self._programs = found
        self._folder = Path(tempfile.mkdtemp(prefix="hyperhook-postgres-"))
        self._user = {"user": "nobody", "extra_groups": []} if os.getuid() == 0 else {}
        if self._user:
            shutil.chown(self._folder, "nobody")
        self._numbers = count()
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (self._folder / "password").write_text("se cret@/:?#%\n")
        self._call("initdb", "-D", self._data, "-U", "tester", "-A", "scram-sha-256", "--no-sync",
                   f"--pwfile={self._folder / 'password'}", "-E", "UTF8", "--locale=C")  # fmt: skip
        self.start()

    password = "se%20cret%40%2F%3A%3F%23%25"
    """As it stands in a URL."""

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _call(self, program: str, *arguments: str) -> None:
        done = subprocess.run([self._programs / program, *arguments], cwd="/", capture_output=True, **self._user)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self._folder,
            "fsync": "off",
            "max_connections": 300,
            "log_min_messages": "fatal",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [self._programs / "postgres", "-D", self._data, *options],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self._user,  # type: ignore[call-overload]
        )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, "postgres did not start"
            assert time.monotonic() < deadline, "postgres does not answer"
            time.sleep(0.02)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self._connection("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _connection(self, database: str) -> str:
        return f"postgresql://tester:{self.password}@127.0.0.1:{self.port}/{database}"

    def kill(self) -> None:
        """End it at once, as a crash does: no connection is told."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGQUIT)
        self._process.wait(30)
        self._process = None

    def crash(self) -> None:
        """End all of its processes by SIGKILL, as the kernel does where memory is short: its files stay as they are."""
        assert self._process is not None
        family = f"/proc/{self._process.pid}/task/{self._process.pid}/children"
        backends = [int(word) for word in Path(family).read_text().split()]
        for process in [self._process.pid, *backends]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait(30)
        self._process = None
        deadline = time.monotonic() + 30
        while any(map(_runs, backends)):
            assert time.monotonic() < deadline, "a backend does not end"
            time.sleep(0.02)

    def database(self) -> str:
        """Make a database; return its URL."""
        import psycopg

        name = f"test{next(self._numbers)}"
        with psycopg.connect(self._connection("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
        return self._connection(name).replace("postgresql://", "postgresql+psycopg://")

    def execute(self, url: str, statement: str) -> list[tuple[object, ...]]:
        """Run a statement beside hyperhook."""
        import psycopg

        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            found = connection.execute(statement)  # type: ignore[call-overload]
            return found.fetchall() if found.description else []

    def close(self) -> None:
        """End it, and leave nothing behind."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
