"""What a disturbed run needs besides its driver: workers, a scheduler, `compare host`, nothing."""

from __future__ import annotations

import secrets
import socket
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias

import psutil

from tools.soak.cluster import AUTHORITY, CERTIFICATE, KEY, START_SECONDS, Cluster, free_port
from tools.soak.ledger import Stopped
from tools.soak.room import COMMAND, Room

Where: TypeAlias = Literal["alone", "with --workers 2", "with --scheduler", "with --host"]
ALONE: Where = "alone"
WORKERS: Where = "with --workers 2"
SCHEDULER: Where = "with --scheduler"
HOST: Where = "with --host"


def hosts_can_be_run() -> bool:
    """Say whether the command can serve other machines: whether there is `compare host`."""
    from he_compare.comparisons.cli.app import app

    return any(one.name == "host" for one in app.registered_commands)


def is_alive(process: psutil.Process | None) -> bool:
    """Say whether a process runs; one that ended and was not waited for does not."""
    try:
        return process is not None and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Place:
    """Starts what a run needs, and ends it. ``certificates``: the folder of the TLS files."""

    def __init__(self, room: Room, certificates: Path, where: Where) -> None:
        self.where, self._room, self._certificates = where, room, certificates
        self._cluster: Cluster | None = None
        self._host: psutil.Popen | None = None
        self._port = 0

    def __enter__(self) -> Place:
        if self.where == SCHEDULER:
            self._cluster = Cluster(self._certificates, self._room.environment, external=True)
        elif self.where == HOST:
            self._port = free_port()
            self._start_host()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._cluster is not None:
            self._cluster.close()
        if self._host is not None and is_alive(self._host):
            self._host.terminate()
            try:
                self._host.wait(20)
            except psutil.TimeoutExpired:
                self._host.kill()
                self._host.wait()

    def options(self) -> list[str]:
        """Return the options of ``compare run`` that ask for it."""
        if self.where == WORKERS:
            return ["--workers", "2"]
        if self._cluster is not None:
            return self._cluster.options()
        if self.where == HOST:
            authority = str(self._certificates / AUTHORITY)
            address = f"https://localhost:{self._port}"
            token = str(self._token_file())
            remote = ["--host", address, "--token-file", token, "--tls-ca", authority]
            return [*remote, "--workers", "1"]
        return ["--workers", "1"]

    @property
    def top(self) -> psutil.Process | None:
        """The scheduler or the host, None where there is none."""
        return self._cluster.scheduler if self._cluster is not None else self._host

    @property
    def not_ours(self) -> tuple[str, ...]:
        """How the names begin of what is left by a scheduler of Dask that is killed."""
        return ("dask-scratch-space/",) if self.where == SCHEDULER else ()

    @property
    def workers(self) -> list[psutil.Process]:
        """The workers that were started here."""
        return list(self._cluster.workers) if self._cluster is not None else []

    @property
    def pids(self) -> list[int]:
        """The processes that were started here."""
        return [one.pid for one in (self.top, *self.workers) if one is not None]

    def mend(self) -> None:
        """Start again what was killed."""
        if self._cluster is not None and not is_alive(self._cluster.scheduler):
            self._cluster.restart()
        if self.where == HOST and not is_alive(self._host):
            self._start_host()

    def _token_file(self) -> Path:
        path = self._room.folder / "token"
        if not path.is_file():
            path.touch(0o600)
            path.write_text(secrets.token_urlsafe(32) + "\n")
        return path

    def _start_host(self) -> None:
        words = ["host", "--listen", f"127.0.0.1:{self._port}"]
        words += ["--token-file", str(self._token_file())]
        words += ["--tls-cert", str(self._certificates / CERTIFICATE)]
        words += ["--tls-key", str(self._certificates / KEY)]
        with (self._room.folder / "host.log").open("ab") as log:
            self._host = psutil.Popen(
                [sys.executable, "-c", COMMAND, *words],
                env=self._room.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and is_alive(self._host):
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                time.sleep(0.2)
            else:
                return
        raise Stopped(f"compare host did not start: see {self._room.folder / 'host.log'}")
