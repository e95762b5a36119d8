"""A scheduler and workers over TLS, as processes of their own, for the soak and for benchmarks."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

AUTHORITY, CERTIFICATE, KEY = "ca.pem", "cert.pem", "key.pem"
NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1\n"
WORKERS = 2
START_SECONDS = 60.0


def certificates(folder: Path) -> None:
    """Write an authority, a certificate of it for loopback and its key, as docs/how-to do."""
    (folder / "names.cnf").write_text(NAMES)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for words in (
        ("req", "-x509", "-new", *key, "-days", "2", "-subj", "/CN=compare cluster CA")
        + ("-keyout", "ca-key.pem", "-out", AUTHORITY),
        ("req", "-new", *key, "-subj", "/CN=compare cluster", "-keyout", KEY)
        + ("-out", "request.pem"),
        ("x509", "-req", "-in", "request.pem", "-CA", AUTHORITY, "-CAkey", "ca-key.pem")
        + ("-CAcreateserial", "-days", "2", "-extfile", "names.cnf", "-out", CERTIFICATE),
    ):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
    (folder / KEY).chmod(0o600)


class Cluster:
    """What a run needs besides its driver: nothing, or a scheduler and its workers."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        external: bool,
        workers: int = WORKERS,
    ) -> None:
        self.folder = folder
        self.count = workers
        self.environment = dict(environment)
        self.external = external
        self.scheduler: psutil.Process | None = None
        self.workers: list[psutil.Process] = []
        self.port = free_port() if external else 0
        if external:
            self.restart()

    def options(self) -> list[str]:
        """Return the options of ``compare run`` that ask for it."""
        if not self.external:
            return ["--workers", str(self.count)]
        return ["--scheduler", self._address(), *self._tls("--tls-ca")]

    def processes(self) -> list[psutil.Process]:
        """Return its processes that still run."""
        return [one for one in (self.scheduler, *self.workers) if one and one.is_running()]

    def restart(self) -> None:
        """Start scheduler and workers anew on the same port."""
        self.close()
        place = ("--host", "127.0.0.1", "--no-dashboard", *self._tls("--tls-ca-file"))
        self.scheduler = self._start("scheduler", *place, "--port", str(self.port))
        self._wait_for_port()
        self.workers = [
            self._start(
                *("worker", self._address(), "--nthreads", "1", "--no-nanny"),
                *("--death-timeout", "20", "--local-directory", str(self.folder / "work"), *place),
            )
            for _ in range(self.count)
        ]

    def close(self) -> None:
        """End its processes."""
        running = self.processes()
        for one in running:
            one.terminate()
        _, alive = psutil.wait_procs(running, timeout=20)
        for one in alive:
            one.kill()
            one.wait()

    def _start(self, *words: str) -> psutil.Process:
        with (self.folder / "cluster.log").open("ab") as log:
            return psutil.Popen(
                [sys.executable, "-m", "dask", *words],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _address(self) -> str:
        return f"tls://127.0.0.1:{self.port}"

    def _tls(self, authority: str) -> list[str]:
        files = {authority: AUTHORITY, "--tls-cert": CERTIFICATE, "--tls-key": KEY}
        return [word for name, file in files.items() for word in (name, str(self.folder / file))]

    def _wait_for_port(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.2)
            else:
                return
        raise SystemExit("the scheduler did not start: see cluster.log")


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
