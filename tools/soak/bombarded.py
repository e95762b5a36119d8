"""A process that is bombarded: it holds a server half and sends itself hostile messages.

One line of JSON on standard input says what to do (``Order``); standard output gets a line per
message, ``NUMBER<tab>FATE<tab>KIND``, and lines that begin with ``#`` and tell facts. A message that
ends the process, or that it does not come back from, is the one after the last line: the process
that reads them (``messages``) sees to that, and starts another.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import psutil

from he_compare.common.clock import Clock
from he_compare.common.closed_memory import forbid_core_dumps
from he_compare.common.contracts import Server
from he_compare.common.errors import CompareError
from he_compare.common.service.framing import join, split
from he_compare.common.types import Side
from tools.soak.hostile import flipped, hostile
from tools.soak.target_files import read_target
from tools.soak.targets import Call, Target

# Bytes of memory that a message may cost, besides some times its own length.
MOST_BYTES, MOST_TIMES = 512 << 20, 16
# What the whole process may take: a message that asks for more is not to take the machine along.
MOST_DATA_BYTES = 6 << 30
REBUILT_AFTER, FRAMED_SHARE = 100, 0.05
RSS_EVERY = 50


@dataclass(frozen=True)
class Order:
    """What to do: ``count`` messages of a unit from ``start`` on. ``use``: verbs, public, flips."""

    target: str
    use: str
    seed: int
    unit: int
    start: int
    count: int

    def generator(self, number: int) -> np.random.Generator:
        """Return the generator of one message, which repeats it."""
        return np.random.default_rng([self.seed, 7, self.unit, number])


class Bombarded:
    """A server half, loaded anew now and then and brought to a random place of a good session."""

    def __init__(self, target: Target, order: Order, say: Callable[[str], None]) -> None:
        from he_compare.common import plugins

        self.target, self.order, self.say = target, order, say
        self.pipeline = plugins.load("pipelines", target.pipeline)
        self.good_seconds = 0.0
        self._fed_seconds, self._since, self._sent = 0.0, 0.0, 0
        self.server = self._loaded(len(target.calls))
        self.say(f"#good {self.good_seconds:.3f}")

    def messages(self) -> list[bytes]:
        """Return good messages to mix in."""
        return [message for call in self.target.calls for message in call.messages][:64]

    def attack(self, number: int) -> tuple[str, str]:
        """Send one hostile message; return its fate and its kind."""
        random = self.order.generator(number)
        kind, work = self._chosen(random)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            work()
            fate = "answered"
        except CompareError:
            fate = "refused"
        except MemoryError:
            fate = "uncaught MemoryError"
        except Exception as error:
            fate = f"uncaught {type(error).__name__}"
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        if grown > MOST_BYTES + MOST_TIMES * self._length:
            self.say(f"#memory {number} {grown >> 20} MB: {kind}")
        return fate, kind

    def _chosen(self, random: np.random.Generator) -> tuple[str, Callable[[], object]]:
        """Draw what is sent, and to what."""
        if self.order.use == "public":
            kind, material = hostile(self.target.public_material, random, self.messages())
            self._length = len(material)
            return f"public material: {kind}", lambda: self._load_and_ask(material)
        verbs = sorted({call.verb for call in self.target.calls if call.messages})
        verb = verbs[int(random.integers(len(verbs)))]
        calls = [call for call in self.target.calls if call.verb == verb and call.messages]
        call = calls[int(random.integers(len(calls)))]
        kind, body = self._changed(call, random)
        self._length = len(body)
        return f"{verb}: {kind}", lambda: self._called(verb, body)

    def _changed(self, call: Call, random: np.random.Generator) -> tuple[str, bytes]:
        messages = list(call.messages)
        if self.order.use != "flips" and random.random() < FRAMED_SHARE:
            return hostile(join(messages), random, self.messages())
        place = int(random.integers(len(messages)))
        if self.order.use == "flips":
            kind, messages[place] = "one bit flipped", flipped(messages[place], random)
        else:
            kind, messages[place] = hostile(messages[place], random, self.messages())
        return kind, join(messages)

    def _called(self, verb: str, body: bytes) -> bytes:
        """Do what the service does with the body of a request."""
        replies: list[bytes] = getattr(self.server, verb)(split(body), Clock(Side.SERVER))
        return join(replies)

    def _load_and_ask(self, material: bytes) -> None:
        """Load a server half from public material; if it takes it, send it a good message."""
        server: Server = self.pipeline.load_server(material)
        first = self.target.calls[0]
        if first.verb in server.verbs:
            getattr(server, first.verb)(list(first.messages), Clock(Side.SERVER))

    def renew(self, number: int) -> None:
        """Load the server half anew where it is time, at a random place of a good session."""
        self._sent += 1
        stateless = len(self.target.calls) == 1
        if self.order.use == "public" or stateless or self._sent < REBUILT_AFTER:
            return
        if time.monotonic() - self._since < 3 * self._fed_seconds:
            return
        calls = int(self.order.generator(number).integers(len(self.target.calls) + 1))
        self.server = self._loaded(calls)

    def _loaded(self, calls: int) -> Server:
        self.say("#wait")
        start = time.monotonic()
        server: Server = self.pipeline.load_server(self.target.public_material)
        for call in self.target.calls[:calls]:
            begin = time.monotonic()
            getattr(server, call.verb)(list(call.messages), Clock(Side.SERVER))
            self.good_seconds = max(self.good_seconds, time.monotonic() - begin)
        if self.order.use == "public":
            self.good_seconds = time.monotonic() - start
        self._since, self._sent = time.monotonic(), 0
        self._fed_seconds = self._since - start
        self.say("#go")
        return server

    def ends_well(self) -> bool:
        """Say whether a new server half, or the old one of a stateless pipeline, still answers."""
        try:
            if len(self.target.calls) > 1:
                self._loaded(len(self.target.calls))
            else:
                call = self.target.calls[0]
                getattr(self.server, call.verb)(list(call.messages), Clock(Side.SERVER))
        except Exception:
            return False
        return True


def lines_of(order: Order, say: Callable[[str], None]) -> Iterator[str]:
    """Send all messages of an order; yield a line each."""
    victim = Bombarded(read_target(Path(order.target)), order, say)
    me = psutil.Process()
    for number in range(order.start, order.count):
        victim.renew(number)
        fate, kind = victim.attack(number)
        yield f"{number}\t{fate}\t{kind}"
        if number % RSS_EVERY == 0 or number == order.count - 1:
            say(f"#rss {number} {me.memory_info().rss}")
    say(f"#alive {int(victim.ends_well())}")


def open_channel() -> TextIO:
    """Return standard output for the lines alone: libraries that print must not write into it."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answer


def main() -> None:
    """Do what one line of standard input orders."""
    forbid_core_dumps()
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_DATA_BYTES, MOST_DATA_BYTES))
    stream = open_channel()
    order = Order(**json.loads(sys.stdin.readline()))

    def say(line: str) -> None:
        stream.write(f"{line}\n")
        stream.flush()

    for line in lines_of(order, say):
        say(line.replace("\n", " "))


if __name__ == "__main__":
    main()
