"""A `compare host` as a process of its own, for tests: on loopback, or in a network namespace."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from he_compare.common.service.secret_files import make_token_file
from tests.support.command import as_started_by_a_shell
from tests.support.tls_files import Authority

START_SECONDS, END_SECONDS = 60.0, 20.0
LISTENING = re.compile(r"listening on (https?)://(\S+):(\d+);")
COMMAND = (sys.executable, "-m", "he_compare.comparisons", "host")


class RunningHost:
    """One host that runs. ``lines``: what it printed."""

    def __init__(
        self,
        folder: Path,
        *,
        tls: bool = True,
        listen: str = "127.0.0.1",
        names: tuple[str, ...] = ("localhost", "127.0.0.1"),
        options: Sequence[str] = (),
        before: Sequence[str] = (),
    ) -> None:
        """``folder``: for certificates and token. ``before``: words in front of the command."""
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.token_file = folder / "token"
        if not self.token_file.exists():
            make_token_file(self.token_file)
        words = ["--token-file", str(self.token_file)]
        if tls and not (folder / "authority.pem").exists():
            Authority(folder).issue(names=names)
        self.authority = folder / "authority.pem"
        if tls:
            files = (str(folder / "host.pem"), str(folder / "host-key.pem"))
            words += ["--tls-cert", files[0], "--tls-key", files[1]]
        self._words = [*before, *COMMAND, *words, *options]
        self._listen = listen
        self.lines: list[str] = []
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, on the port that it had before."""
        self.lines.clear()
        self.began = time.time()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen(
            [*self._words, "--listen", f"{self._listen}:{self.port}"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=as_started_by_a_shell,
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        found = LISTENING.search(self.wait_for("listening on "))
        assert found is not None
        self.port = int(found[3])
        self.address = f"{found[1]}://{found[2]}:{self.port}"

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, words: str, seconds: float = START_SECONDS) -> str:
        """Return the first line with these words. Fails where none comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in list(self.lines):
                if words in line:
                    return line
            if self.process.poll() is not None:
                time.sleep(0.2)
                break
            time.sleep(0.02)
        found = [line for line in self.lines if words in line]
        assert found, f"no {words!r} in {self.lines}"
        return found[0]

    def children(self) -> list[psutil.Process]:
        """Return the processes below it."""
        return psutil.Process(self._own_pid()).children(recursive=True)

    def _own_pid(self) -> int:
        return self.process.pid

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal and return its exit code."""
        if self.process.poll() is None:
            os.kill(self._own_pid(), number)
        return self.process.wait(END_SECONDS)

    def kill(self) -> None:
        """Kill it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(END_SECONDS)
