"""The client's end of a server process: start it, call it, count the bytes, always end it."""

from __future__ import annotations

import atexit
import collections
import contextlib
import ctypes
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from he_compare.common.clock import Clock
from he_compare.common.closed_memory import close_memory
from he_compare.common.environment import thread_environment
from he_compare.common.errors import MessageError, ServiceError, ServiceTimeoutError
from he_compare.common.service.framing import join, split
from he_compare.common.types import Message, Per, Side, Stage

DEFAULT_CALL_SECONDS = 900.0
START_SECONDS = 60.0
DEFAULT_MAX_BODY = 1 << 30
INSTRUMENTATION_PREFIX = b"compare-"


@dataclass
class ByteCount:
    """Bytes of one kind of traffic, headers included; payload is without headers and framing."""

    requests: int = 0
    upload: int = 0
    download: int = 0
    payload_upload: int = 0
    payload_download: int = 0


class ServerProcess:
    """A pipeline's server half in its own process, reached over HTTP on loopback.

    The environment handed to the process is cleaned of everything but what Python and the numeric
    libraries need, its home is an empty folder that ends with it, and it starts by closing its
    memory and dropping privileges (``common.closed_memory``); ``searchable`` leaves the memory open
    to this user, for the check that searches it. Its standard input is the life line: when it
    closes, the process ends. ``device``: where its networks run, as torch spells it.
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
    ) -> None:
        self.pipeline = pipeline
        self.traffic: dict[str, ByteCount] = collections.defaultdict(ByteCount)
        self.peak_bytes: int | None = None
        self._max_body = max_body_bytes
        self._searchable = searchable
        self._device = device
        # How many images its network takes at once since the device's memory was full.
        self.batch_limit: int | None = None
        self._last_words: collections.deque[str] = collections.deque(maxlen=20)
        self._token = secrets.token_hex(32)
        close_memory()
        # Its own and empty: libraries want a home, and it is not to have the user's.
        self._home = tempfile.TemporaryDirectory(
            prefix="compare-server-", ignore_cleanup_errors=True
        )
        self._process = _spawn(threads, self._home.name, device)
        atexit.register(self.close)
        self.pid = self._process.pid
        # The pid that the service itself reports, once it has its public material.
        self.served_by: int | None = None
        try:
            port = self._introduce()
            self._http = httpx.Client(
                base_url=f"http://127.0.0.1:{port}",
                headers={"authorization": f"Bearer {self._token}"},
                timeout=httpx.Timeout(call_seconds, connect=10.0),
                trust_env=False,
            )
            self._upload_public(public_material, clock)
        except BaseException:
            self.close()
            raise

    def _introduce(self) -> int:
        process = self._process
        assert process.stdin and process.stdout and process.stderr
        threading.Thread(target=self._drain, args=(process.stderr,), daemon=True).start()
        settings = {
            "pipeline": self.pipeline,
            "token": self._token,
            "max_body_bytes": self._max_body,
            "searchable": self._searchable,
            "home": self._home.name,
            "device": self._device,
        }
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
            raise self._died("did not start")
        return int(json.loads(line)["port"])

    def _drain(self, stream: Any) -> None:
        for line in stream:
            self._last_words.append(line.decode(errors="replace").rstrip())

    def _upload_public(self, public_material: bytes, clock: Clock) -> None:
        start = time.perf_counter()
        response = self._send("PUT", "/v1/public", public_material, "public")
        elapsed = time.perf_counter() - start
        seconds = float(response.headers["compare-seconds"])
        self.served_by = int(response.headers["compare-pid"])
        count = self.traffic["public"]
        count.payload_upload += len(public_material)
        clock.add(Stage.SERVER_LOAD, seconds, side=Side.SERVER, per=Per.ONCE)
        clock.add(Stage.KEY_UPLOAD, max(elapsed - seconds, 0.0), side=Side.NETWORK, per=Per.ONCE)

    @property
    def is_separate(self) -> bool | None:
        """Whether the service runs in another process than this one, as it says itself."""
        return None if self.served_by is None else self.served_by != os.getpid()

    def call(self, verb: str, messages: list[Message], clock: Clock) -> list[Message]:
        """POST messages to a verb; server-side stages and the transport are added to ``clock``.

        Raises ServiceError when the server refuses, times out or has died.
        """
        start = time.perf_counter()
        response = self._send("POST", f"/v1/call/{verb}", join(messages), verb)
        try:
            replies = split(response.content)
        except MessageError as error:
            raise ServiceError(
                f"server of {self.pipeline} sent an invalid answer: {error}"
            ) from None
        elapsed = time.perf_counter() - start
        if verb == "infer" and len(replies) != len(messages):
            raise ServiceError(
                f"server of {self.pipeline} answered {len(replies)} of {len(messages)} messages"
            )
        count = self.traffic[verb]
        count.payload_upload += sum(map(len, messages))
        count.payload_download += sum(map(len, replies))
        for stage, per, seconds, items in json.loads(response.headers["compare-timings"]):
            clock.add(Stage(stage), seconds, side=Side.SERVER, per=Per(per), items=items)
        server_seconds = float(response.headers["compare-seconds"])
        clock.add(
            Stage.TRANSPORT,
            max(elapsed - server_seconds, 0.0),
            side=Side.NETWORK,
            items=max(1, len(messages)),
        )
        return replies

    def _send(self, method: str, path: str, body: bytes, kind: str) -> httpx.Response:
        survive_closed_connections()
        try:
            response = self._http.request(
                method, path, content=body, headers={"content-type": "application/octet-stream"}
            )
        except httpx.TimeoutException:
            raise ServiceTimeoutError(
                f"server of {self.pipeline} did not answer {path} in time",
                fix="raise --call-seconds or lower the batch",
            ) from None
        except httpx.HTTPError as error:
            raise self._died(f"ended during {path}: {type(error).__name__}") from None
        count = self.traffic[kind]
        count.requests += 1
        count.upload += request_bytes(response.request)
        count.download += response_bytes(response)
        if response.status_code != 200:
            raise ServiceError(
                f"server of {self.pipeline} refused {path} ({response.status_code}): "
                f"{_error_message(response)}"
            )
        return response

    def _died(self, what: str) -> ServiceError:
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

    def measure_peak(self) -> int | None:
        """Ask the server for its peak memory in bytes; None where it no longer answers."""
        with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
            status = self._http.get("/v1/status").json()
            self.peak_bytes = int(status["peak_bytes"])
            limit = status["batch_limit"]
            self.batch_limit = None if limit is None else int(limit)
        return self.peak_bytes

    def close(self) -> None:
        """Stop the process and wait for its end; may be called twice."""
        atexit.unregister(self.close)
        if hasattr(self, "_http"):
            self._http.close()
        process = self._process
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()
        self._home.cleanup()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")


# What a process needs beside these to find the GPU that it is to use.
GPU_VARIABLES = ("CUDA_", "NVIDIA_", "PYTORCH_CUDA_ALLOC_CONF", "CUBLAS_WORKSPACE_CONFIG")


def _spawn(threads: int, home: str, device: str) -> subprocess.Popen[bytes]:
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
    if device != "cpu":
        kept |= {name: text for name, text in os.environ.items() if name.startswith(GPU_VARIABLES)}
    search = [entry for entry in sys.path if entry]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "he_compare.common.service.host"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=kept
        | thread_environment(threads)
        | {"HOME": home, "PYTHONPATH": os.pathsep.join(search), "PYTHONUNBUFFERED": "1"},
        cwd=home,
        start_new_session=True,
        close_fds=True,
    )


def survive_closed_connections() -> None:
    """Let a write to a closed connection raise BrokenPipeError, as Python has it from the start.

    Compilers of circuits set a handler of SIGPIPE that ends the process without a word. Python lets
    only its main thread change that, and a worker's task runs on another: there libc is asked.
    """
    if not hasattr(signal, "SIGPIPE"):
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        return
    set_handler = ctypes.CDLL(None).signal
    set_handler.argtypes, set_handler.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    set_handler(int(signal.SIGPIPE), int(signal.SIG_IGN))


def request_bytes(request: httpx.Request) -> int:
    """Bytes of a request on the wire: request line, headers, body."""
    line = len(request.method) + len(request.url.raw_path) + len("  HTTP/1.1\r\n")
    return line + _header_bytes(request.headers.raw) + len(request.content)


def response_bytes(response: httpx.Response) -> int:
    """Bytes of a response on the wire, without the toolkit's own instrumentation headers."""
    line = len("HTTP/1.1 200 \r\n") + len(response.reason_phrase)
    return line + _header_bytes(response.headers.raw) + len(response.content)


def _header_bytes(headers: list[tuple[bytes, bytes]]) -> int:
    counted = [
        (name, value)
        for name, value in headers
        if not name.lower().startswith(INSTRUMENTATION_PREFIX)
    ]
    return sum(len(name) + len(value) + 4 for name, value in counted) + 2


def _error_message(response: httpx.Response) -> str:
    try:
        error = response.json()["error"]
        return f"{error['kind']}: {error['message']}"
    except (ValueError, KeyError, TypeError):
        return response.text[:200]
