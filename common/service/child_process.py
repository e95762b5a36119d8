"""A front's end of one child: start it, give it orders, end it, and say how it ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from he_compare.common.environment import thread_environment
from he_compare.common.errors import CompareError, MessageError
from he_compare.common.service.pipe import PipeFrame, receive_frame, send_frame, widen

KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
# What a process needs beside these to find the GPU that it is to use.
GPU_VARIABLES = ("CUDA_", "NVIDIA_", "PYTORCH_CUDA_ALLOC_CONF", "CUBLAS_WORKSPACE_CONFIG")
# What a child may allocate, of what the machine or its control group has.
SHARE_OF_MEMORY = 0.9
LAST_WORDS = 4096
# How long a child that has closed its pipe may take to end by itself, so that it says how.
LAST_SECONDS = 1.0
END_SECONDS = 10.0
STOPPED = "it was stopped"


@dataclass(frozen=True)
class ChildOptions:
    """What a child is started with. ``device``: where its networks run, as torch spells it.

    ``searchable``: leave its memory open to this user, for the check that searches it.
    ``memory_bytes``: what it may allocate; None: nearly all of the machine's, on the CPU; on other
    devices there is no limit then.
    """

    pipeline: str
    threads: int
    device: str = "cpu"
    searchable: bool = False
    memory_bytes: int | None = None


class ChildEndedError(CompareError):
    """A child ended, or was ended, and gave no answer.

    ``late``: it was ended because it took too long.
    """

    def __init__(self, reason: str, *, late: bool = False) -> None:
        super().__init__(reason)
        self.late = late


def clean_environment(threads: int, home: Path, device: str) -> dict[str, str]:
    """Return what Python and the numeric libraries need of this process's environment, no more.

    ``home``: an empty folder, also for temporary files of the process.
    """
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    kept |= {name: text for name, text in os.environ.items() if name.startswith("OPENBLAS_")}
    if device != "cpu":
        kept |= {name: text for name, text in os.environ.items() if name.startswith(GPU_VARIABLES)}
    search = os.pathsep.join(entry for entry in sys.path if entry)
    return (
        kept
        | thread_environment(threads)
        | {"HOME": str(home), "PYTHONPATH": search, "PYTHONUNBUFFERED": "1"}
    )


class ChildProcess:
    """One process with one server half. It has to be started on a thread that stays as long as it:
    the kernel ends it with that thread."""

    def __init__(self, options: ChildOptions, home: Path, max_body: int) -> None:
        """Start it. ``home``: a new folder for it alone, which ends with it. Raises OSError."""
        from he_compare.common.memory_limits import oom_kills

        home.mkdir(mode=0o700)
        self._home = home
        self._max_body = max_body
        self._limit = _memory_limit(options)
        self._kills = oom_kills()
        self._lock = threading.Lock()
        self._exited = threading.Event()
        self._ended_for: tuple[str, bool] | None = None
        # Pipes are closed by whoever uses them last: the number of one that was closed may by then
        # be that of another file.
        self._asking = self._closing = False
        self._words = b""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "he_compare.common.service.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(options.threads, home, options.device) | {"TMPDIR": str(home)},
            cwd=home,
            start_new_session=True,
            close_fds=True,
        )
        self.pid = self._process.pid
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._orders, self._answers = self._process.stdin.fileno(), self._process.stdout
        widen(self._orders)
        widen(self._answers.fileno())
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        threading.Thread(target=self._watch, daemon=True).start()
        settings = {
            "pipeline": options.pipeline,
            "device": options.device,
            "searchable": options.searchable,
            "memory_bytes": self._limit,
        }
        with contextlib.suppress(OSError):  # it is told at the first order
            send_frame(self._orders, settings)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return not self._exited.is_set() and not _is_dead(self._process)

    def ask(
        self, order: Mapping[str, Any], pieces: Iterable[bytes] = (), size: int = 0
    ) -> PipeFrame:
        """Give an order, whose body is ``pieces``, ``size`` bytes in all, and wait for its answer.

        ``end`` from another thread ends the waiting. Raises ChildEndedError where none comes.
        """
        with self._lock:
            if self._closing:
                raise ChildEndedError(STOPPED)
            self._asking = True
        try:
            return self._asked(order, pieces, size)
        finally:
            with self._lock:
                self._asking = False
                last = self._closing
            if last:
                self._close_pipes()

    def _asked(self, order: Mapping[str, Any], pieces: Iterable[bytes], size: int) -> PipeFrame:
        try:
            send_frame(self._orders, order, pieces, size)
            answer = receive_frame(cast(BinaryIO, self._answers), self._max_body)
        except MessageError as error:
            self.end(f"it answered what is no answer: {error.problem}")
            answer = None
        except (OSError, ValueError):
            answer = None
        if answer is None:
            raise self.ending()
        return answer

    def end(self, why: str, *, late: bool = False) -> None:
        """Kill it and all that it started; ``why`` and ``late`` are told by ``ending``."""
        with self._lock:
            if not self._exited.is_set():
                self._ended_for = self._ended_for or (why, late)
                _kill_group(self._process)

    def ending(self) -> ChildEndedError:
        """Wait for its end, and say how it came about; end it where it only closed its pipe."""
        if not self._exited.wait(LAST_SECONDS):
            self.end("it closed the pipe that answers go through")
            self._exited.wait(END_SECONDS)
        why, late = self._ended_for or (self._how_it_ended(), False)
        return ChildEndedError(why, late=late)

    def close(self) -> None:
        """End it and remove its folder; may be called twice, also while it is asked."""
        self.end(STOPPED)
        self._exited.wait(END_SECONDS)
        with self._lock:
            self._closing, last = True, not self._asking
        if last:
            self._close_pipes()
        shutil.rmtree(self._home, ignore_errors=True)

    def _close_pipes(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()

    def memory_words(self) -> str:
        """Say how much it may allocate."""
        return "no limit" if self._limit is None else f"{self._limit / 1e9:.1f} GB"

    def _how_it_ended(self) -> str:
        from he_compare.common.memory_errors import ending_words

        self._listener.join(LAST_SECONDS)
        words = _printable(self._words)
        told = f"its process ended: {ending_words(self._process.poll(), self._kills)}"
        if "bad_alloc" in words or "annot allocate memory" in words:
            told += f", with too little memory (limit: {self.memory_words()})"
        return told + (f"; its last output: {words}" if words else "")

    def _listen(self) -> None:
        """Keep the end of what it prints, whatever it prints."""
        stream: IO[bytes] | None = self._process.stderr
        assert stream
        with contextlib.suppress(OSError, ValueError), stream:
            while some := stream.read1(LAST_WORDS):  # type: ignore[attr-defined]
                self._words = (self._words + some)[-LAST_WORDS:]

    def _watch(self) -> None:
        """Wait for its end; what it started ends with it."""
        _wait_for_exit(self._process)
        with self._lock:
            _kill_group(self._process)
            self._process.wait()
            self._exited.set()


def _memory_limit(options: ChildOptions) -> int | None:
    if options.memory_bytes is not None or options.device.partition(":")[0] != "cpu":
        return options.memory_bytes
    from he_compare.common.memory_limits import most_memory

    return int(SHARE_OF_MEMORY * most_memory())


def _wait_for_exit(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has ended, and leave its number taken: it names its group."""
    if hasattr(os, "waitid"):
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return
    process.wait()


def _is_dead(process: subprocess.Popen[bytes]) -> bool:
    """Say whether a process has ended that nobody has waited for yet."""
    if not hasattr(os, "waitid"):
        return False
    with contextlib.suppress(ChildProcessError):
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        return os.waitid(os.P_PID, process.pid, flags) is not None
    return True


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _printable(data: bytes) -> str:
    """Return the last line that says something, with nothing in it that a terminal obeys."""
    lines = [line.strip() for line in data.decode(errors="replace").splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    return "".join(letter if letter.isprintable() else "?" for letter in last)[-300:]
