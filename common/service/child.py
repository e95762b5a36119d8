"""The process that a server half lives in: ``python -m he_compare.common.service.child``.

A front starts it and sends it orders over its standard input, one after the other; answers go to
what was its standard output (``common.service.pipe``). It gets the name of a pipeline, public
material and messages: no token, no secret, no data set and no file name. Whatever a message does to
it ends this process at most: the front starts another one. It ends when its front does.

Orders: ``load`` (body: the public material), ``call`` with a ``verb`` (body: framed messages),
``threads`` (compute with so many), ``status``. An answer has an ``error`` or what was asked; one
that has ``ends`` is the last.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from io import BufferedReader, FileIO
from typing import Any

from he_compare.common.closed_memory import end_with_parent, give_up_privileges
from he_compare.common.service.pipe import PipeFrame, receive_frame, send_frame

MAX_TIMING_ENTRIES = 400
# The front has counted a body before it sends it.
ANY_SIZE = 1 << 62
PARENT_POLL_SECONDS = 1.0


def main() -> None:
    """Answer orders until the front closes the pipe."""
    orders, answers = _take_pipes()
    first = receive_frame(orders, 0)
    if first is None:
        return
    settings = first.header
    limit_memory(settings["memory_bytes"])
    give_up_privileges(searchable=settings["searchable"] is True)
    if not end_with_parent():
        threading.Thread(target=_end_with_front, args=(os.getppid(),), daemon=True).start()
    half = ServerHalf(str(settings["pipeline"]), str(settings["device"]))
    order = None
    # An order is kept until the next one comes: the check that searches this memory for keys must
    # find what was just sent, or it would not know that it sees anything.
    while orders.peek(1):
        order = None
        order = receive_frame(orders, ANY_SIZE)
        if order is None:
            return
        answer, body = half.answer(order)
        send_frame(answers, answer, [body], len(body))
        del body
        if "ends" in answer:
            return


def _take_pipes() -> tuple[BufferedReader, int]:
    """Return the stream of orders and where answers go; hide both from libraries.

    What a library prints, or reads, must not get into the front's pipes.
    """
    orders, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return BufferedReader(FileIO(orders)), answers


def limit_memory(most: int | None) -> None:
    """Limit what this process and those it starts may each allocate, in bytes; None: no limit.

    RLIMIT_DATA counts what may be written to and is of this process alone; RLIMIT_AS would count
    the addresses that torch reserves and never uses as well.
    """
    if most is None:
        return
    try:
        import resource
    except ImportError:  # Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    except (OSError, ValueError):
        traceback.print_exc()


def _end_with_front(front: int) -> None:
    """End when the front has ended: another process is this one's parent then."""
    while os.getppid() == front:
        time.sleep(PARENT_POLL_SECONDS)
    os._exit(0)


class ServerHalf:
    """The server half of one pipeline, and how orders to it are answered."""

    def __init__(self, pipeline: str, device: str) -> None:
        """Import the pipeline: the front may still be receiving the public material."""
        from he_compare.common.backbones.device import use_for_server
        from he_compare.common.plugins import load

        self._pipeline: Any = None
        self._server: Any = None
        self._broken: Exception | None = None
        use_for_server(device)
        try:
            self._pipeline = load("pipelines", pipeline)
        except Exception as error:  # told when it is asked for anything
            self._broken = error

    def answer(self, order: PipeFrame) -> tuple[dict[str, Any], bytes]:
        """Return header and body of the answer to an order; an error becomes one."""
        from he_compare.common.errors import CompareError, MessageError
        from he_compare.common.memory_errors import lacks_memory

        try:
            return self._answer(order)
        except MessageError as error:
            return _error(400, "MessageError", str(error)), b""
        except CompareError as error:
            return _error(422, type(error).__name__, str(error)), b""
        except Exception as error:
            traceback.print_exc()
            words = " ".join(str(error).split())[:500]
            if lacks_memory(error):
                return _error(507, "MemoryError", words) | {"ends": True}, b""
            return _error(500, type(error).__name__, words), b""

    def _answer(self, order: PipeFrame) -> tuple[dict[str, Any], bytes]:
        from he_compare.common.numeric_threads import change_threads

        if self._broken is not None:
            raise self._broken
        what = order.header.get("order")
        if what == "load":
            return self._load(order.body), b""
        if what == "call":
            return self._call(order.header["verb"], order.body)
        if what == "threads":
            return {"changed": change_threads(order.header["threads"])}, b""
        return _status(), b""

    def _load(self, public_material: bytes) -> dict[str, Any]:
        start = time.perf_counter()
        self._server = self._pipeline.load_server(public_material)
        verbs = [str(verb) for verb in self._server.verbs]
        return {"verbs": verbs, "seconds": time.perf_counter() - start}

    def _call(self, verb: str, body: bytes) -> tuple[dict[str, Any], bytes]:
        from he_compare.common.clock import Clock
        from he_compare.common.service.framing import join, split
        from he_compare.common.types import Side

        start = time.perf_counter()
        clock = Clock(Side.SERVER)
        replies = join(getattr(self._server, verb)(split(body), clock))
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "timings": timing_entries(clock)}, replies


def _status() -> dict[str, Any]:
    """Tell memory and processes, with those that the server half started."""
    from he_compare.common.backbones.device import smallest_batch
    from he_compare.common.environment import peak_memory_bytes, peak_of_processes

    together = peak_of_processes(os.getpid())
    return {
        "peak_bytes": together.bytes if together else peak_memory_bytes(),
        "processes": together.count if together else None,
        "batch_limit": smallest_batch(),
    }


def _error(status: int, kind: str, message: str) -> dict[str, Any]:
    return {"error": {"status": status, "kind": kind, "message": message}}


def timing_entries(clock: Any) -> list[list[Any]]:
    """Return a clock's samples as lists of stage, unit, seconds and images, of which one at least.

    Many samples of one stage are summed into one.
    """
    entries = []
    count = sum(len(values) for values in clock.samples.values())
    for key, values in clock.samples.items():
        stage, _, per = key
        items = clock.items[key]
        if count > MAX_TIMING_ENTRIES:
            values, items = [sum(values)], [sum(items)]
        entries += [
            [stage.value, per.value, round(seconds, 9), max(n, 1)]
            for seconds, n in zip(values, items, strict=True)
        ]
    return entries


if __name__ == "__main__":
    main()
