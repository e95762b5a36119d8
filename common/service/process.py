"""A server of this machine: start its front, open one session there, always end both."""

from __future__ import annotations

import atexit
import collections
import contextlib
import json
import secrets
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx

from he_compare.common.clock import Clock
from he_compare.common.closed_memory import close_memory
from he_compare.common.errors import ServiceError
from he_compare.common.service.child_process import clean_environment
from he_compare.common.service.session_client import SessionClient
from he_compare.common.service.sessions import DEFAULT_CALL_SECONDS, DEFAULT_MAX_BODY
from he_compare.common.temporary_folders import TemporaryFolder

START_SECONDS = 60.0
# How long a front may take to end its child and itself.
END_SECONDS = 5.0


class ServerProcess(SessionClient):
    """A pipeline's server half in a process of its own, reached over HTTP on loopback.

    Two processes are started. The front serves HTTP; its child holds the server half (``pid``), and
    a new child takes its place where a message ends it. The environment of both is cleaned of
    everything but what Python and the numeric libraries need, each has an empty home that ends with
    it, closes its memory and drops privileges (``common.closed_memory``); ``searchable`` leaves the
    memory open to this user, for the check that searches it. The front's standard input is the life
    line: when it closes, both end. ``device``: where networks run, as torch spells it.
    ``memory_bytes``: what the child may allocate; None: nearly all of the machine's.
    """

    def __init__(
        self,
        pipeline: str,
        public_material: bytes,
        clock: Clock,
        *,
        threads: int,
        call_seconds: float = DEFAULT_CALL_SECONDS,
        max_body_bytes: int = DEFAULT_MAX_BODY,
        searchable: bool = False,
        device: str = "cpu",
        memory_bytes: int | None = None,
    ) -> None:
        """Start the front, and its child with the public material. Raises ServiceError."""
        token = secrets.token_hex(32)
        http = httpx.Client(headers={"authorization": f"Bearer {token}"}, trust_env=False)
        super().__init__(http, pipeline, call_seconds=call_seconds)
        self._last_words: collections.deque[str] = collections.deque(maxlen=20)
        close_memory()
        # Its own and empty: libraries want a home, and it is not to have the user's.
        self._home = TemporaryFolder("server")
        self._process = _spawn(threads, self._home.name, device)
        atexit.register(self.close)
        session = {
            "pipeline": pipeline,
            "threads": threads,
            "device": device,
            "call_seconds": call_seconds,
        }
        settings = {
            "token": token,
            "home": self._home.name,
            "session": session,
            "max_body": max_body_bytes,
            "call_seconds": call_seconds,
            "memory_bytes": memory_bytes,
            "searchable": searchable,
        }
        try:
            http.base_url = httpx.URL(f"http://127.0.0.1:{self._introduce(settings)}")
            self.open(threads=threads, device=device)
            self.give_public(public_material, clock)
        except BaseException:
            self.close()
            raise

    @property
    def front_pid(self) -> int:
        """The number of the front's process."""
        return self._process.pid

    def _introduce(self, settings: dict[str, Any]) -> int:
        """Tell the front what it is to be, and return its port."""
        process = self._process
        assert process.stdin and process.stdout and process.stderr
        threading.Thread(target=self._drain, args=(process.stderr,), daemon=True).start()
        line = b""
        with contextlib.suppress(OSError):
            process.stdin.write((json.dumps(settings) + "\n").encode())
            process.stdin.flush()
            watchdog = threading.Timer(START_SECONDS, process.kill)
            watchdog.start()
            try:
                line = process.stdout.readline()
            finally:
                watchdog.cancel()
        if not line:
            raise self._gone("did not start")
        return int(json.loads(line)["port"])

    def _drain(self, stream: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in stream:
                self._last_words.append(line.decode(errors="replace").rstrip())

    def _gone(self, what: str) -> ServiceError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
        code = self._process.poll()
        words = next((line for line in reversed(self._last_words) if line.strip()), "")
        ending = "is still running" if code is None else f"exit code {code}"
        return ServiceError(
            f"server process of {self.pipeline} {what} ({ending})"
            + (f"; its last output: {words}" if words else ""),
            fix="run the same command again: finished cells are kept",
        )

    def close(self) -> None:
        """Stop front and child and wait for their end; may be called twice."""
        atexit.unregister(self.close)
        super().close()
        process = self._process
        if process.stdin:
            with contextlib.suppress(OSError):
                process.stdin.close()  # the life line
        try:
            process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)
        for stream in (process.stdout, process.stderr):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()
        self._home.cleanup()


def _spawn(threads: int, home: str, device: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "he_compare.common.service.front"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(threads, Path(home), device),
        cwd=home,
        start_new_session=True,
        close_fds=True,
    )
