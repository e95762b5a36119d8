"""Sends hostile messages through the real service: a server process as a run starts it.

Orders and lines are those of ``bombarded``. A refusal is an answer of 400 to 422; 500 and the like
are uncaught. A child that a message ends is replaced by the service, which counts them; where the
service itself has ended, that is told and another one is started.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from he_compare.common.clock import Clock
from he_compare.common.errors import CellError, MessageError, ServiceTimeoutError
from he_compare.common.service.framing import join, split
from he_compare.common.service.process import ServerProcess
from he_compare.common.types import Side
from tools.soak.bombarded import RSS_EVERY, Order, open_channel
from tools.soak.hostile import hostile
from tools.soak.target_files import read_target
from tools.soak.targets import Call, Target

CALL_SECONDS = 120.0
STATUS = re.compile(r"\((\d{3})\)")
# A child that is replaced is loaded anew before the next answer: that is no hang of the service.
LOAD_SECONDS = 60.0


class Service:
    """A running server process, and what happened to it."""

    def __init__(self, target: Target) -> None:
        self.target, self.ends, self.replaced = target, 0, 0
        self._start()

    def _start(self) -> None:
        self.server = ServerProcess(
            self.target.pipeline,
            self.target.public_material,
            Clock(Side.CLIENT),
            threads=1,
            call_seconds=CALL_SECONDS,
        )

    def send(self, verb: str, messages: list[bytes]) -> str:
        """Send messages; return their fate."""
        try:
            self.server.call(verb, messages, Clock(Side.CLIENT))
        except ServiceTimeoutError:
            return "uncaught time-out"
        except CellError as error:
            status = STATUS.search(str(error))
            if status is not None:
                return "refused" if status[1] in ("400", "404", "409", "413", "422") else f"uncaught {status[1]}"
            self._see_whether_it_lives()
            return "uncaught loss of the connection"
        return "answered"

    def _see_whether_it_lives(self) -> None:
        """Start another service where this one has ended."""
        if psutil.pid_exists(self.server.pid) and self._answers_status():
            return
        self.ends += 1
        self.close()
        self._start()

    def _answers_status(self) -> bool:
        return self.server.measure_peak() is not None

    def close(self) -> None:
        """End it; what it counted is kept."""
        with suppress(Exception):
            self.server.measure_peak()
        self.replaced += getattr(self.server, "replaced", 0) or 0
        self.server.close()

    @property
    def memory(self) -> int:
        """Resident bytes of the service without its children."""
        try:
            return int(psutil.Process(self.server.pid).memory_info().rss)
        except psutil.Error:
            return 0


def lines_of(order: Order, say: Callable[[str], None]) -> Iterator[str]:
    """Send all messages of an order through a service; yield a line each."""
    say("#wait")
    target = read_target(Path(order.target))
    service = Service(target)
    good = [message for call in target.calls for message in call.messages][:64]
    verbs = sorted({call.verb for call in target.calls if call.messages})
    say(f"#good {LOAD_SECONDS / 3:.1f}")
    say("#go")
    try:
        for number in range(order.start, order.count):
            random = order.generator(number)
            verb = verbs[int(random.integers(len(verbs)))]
            calls = [one for one in target.calls if one.verb == verb and one.messages]
            kind, messages = _changed(calls[int(random.integers(len(calls)))], random, good)
            yield f"{number}\t{service.send(verb, messages)}\t{verb}: {kind}"
            if number % RSS_EVERY == 0 or number == order.count - 1:
                say(f"#rss {number} {service.memory}")
        say("#wait")
        say(f"#alive {int(_answers(service))}")
    finally:
        service.close()
        say(f"#ends {service.ends}")
        say(f"#replaced {service.replaced}")


def _changed(call: Call, random, good: list[bytes]) -> tuple[str, list[bytes]]:  # type: ignore[no-untyped-def]
    messages = list(call.messages)
    place = int(random.integers(len(messages)))
    if random.random() < 0.1:
        kind, body = hostile(join(messages), random, good)
        with suppress(MessageError):
            return kind, split(body)
    kind, messages[place] = hostile(messages[place], random, good)
    return kind, messages


def _answers(service: Service) -> bool:
    """Send a good session; say whether every call of it was answered."""
    service.close()
    service._start()
    return all(service.send(one.verb, list(one.messages)) == "answered" for one in service.target.calls)


def main() -> None:
    """Do what one line of standard input orders."""
    stream = open_channel()
    order = Order(**json.loads(sys.stdin.readline()))

    def say(line: str) -> None:
        stream.write(line.replace("\n", " ") + "\n")
        stream.flush()

    for line in lines_of(order, say):
        say(line)


if __name__ == "__main__":
    main()
