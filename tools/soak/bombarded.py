"""A process that is bombarded: it holds a server half and sends itself hostile messages.

Lines of JSON on standard input say what to do (``Order``); standard output gets a line per
message (``line_of``), and lines that begin with ``#`` and tell facts. A message that ends the
process, or that it does not come back from, is the one after the last line: the process that reads
them (``bombardment``) sees to that, and starts another.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
import psutil

from he_compare.common.closed_memory import forbid_core_dumps
from he_compare.common.errors import MessageError
from he_compare.common.service.framing import join, split
from tools.soak import attempts
from tools.soak.attempts import Fate, Prepared, Try
from tools.soak.hostile import hostile
from tools.soak.targets import Target

VERBS, PUBLIC, FLIPS, FRAMES = "verbs", "public", "flips", "frames"
SERVICE, SERVICE_FLIPS = "service", "service flips"
BODY = "body of a request"
# Bytes of memory that a message may cost, besides some times its own length.
MOST_BYTES, MOST_TIMES = 512 << 20, 16
# What the whole process may take: a message that asks for more is not to take the machine along.
MOST_DATA_BYTES = 6 << 30
RSS_EVERY = 50
# A message may take so much longer than a good one, and so many times as long.
HANG_SECONDS, HANG_TIMES = 5.0, 3.0


@dataclass(frozen=True)
class Order:
    """What to do: messages number ``start`` to ``count`` of a target. ``use``: see above."""

    target: str
    use: str
    seed: int
    unit: int
    start: int
    count: int


@dataclass(frozen=True)
class Attack:
    """One hostile message: where it goes, its kind, its length, its digest, and what sends it."""

    place: str
    kind: str
    length: int
    digest: str
    send: Callable[[], Fate]


def line_of(number: int, fate: str, place: str, digest: str, kind: str) -> str:
    """Return the line of a message: what became of it, and which one it was."""
    return "\t".join((str(number), fate, place, digest, kind))


def attacks(target: Target, prepared: Prepared, order: Order) -> Iterator[Attack]:
    """Yield the messages of an order."""
    count = order.count - order.start
    if order.use == FRAMES:
        yield from _frames(target, order)
        return
    if order.use == FLIPS:
        made = attempts.flips(target, order.seed, count, first=order.start)
    else:
        public = order.use == PUBLIC
        made = attempts.tries(target, order.seed, count, first=order.start, public=public)
    for one in made:
        length, send = len(one.message or b""), partial(prepared.send, one)
        yield Attack(prepared.place_of(one), one.what, length, one.digest, send)


def _frames(target: Target, order: Order) -> Iterator[Attack]:
    """Yield changed bodies of requests, which hold several messages."""
    bodies = [join(call.messages) for call in target.calls]
    for number in range(order.start, order.count):
        random = np.random.default_rng([order.seed, 2, number])
        kind, body = hostile(bodies[int(random.integers(len(bodies)))], random, bodies)
        digest = Try(kind, body).digest
        yield Attack(BODY, kind, len(body), digest, partial(_split, body))


def _split(body: bytes) -> Fate:
    start = time.perf_counter()
    try:
        split(body)
        outcome, kind = attempts.Outcome.ANSWERED, ""
    except MessageError:
        outcome, kind = attempts.Outcome.REFUSED, ""
    except Exception as error:
        outcome, kind = attempts.Outcome.UNCAUGHT, type(error).__name__
    return Fate(outcome, time.perf_counter() - start, kind)


def good_seconds(prepared: Prepared) -> tuple[float, bool]:
    """Send a good message to every call; return the longest time, and whether all were answered."""
    longest, well = 0.0, True
    for one in prepared.good:
        if one.position == 0:
            fate = prepared.send(one)
            longest = max(longest, fate.seconds)
            well = well and fate.outcome is attempts.Outcome.ANSWERED
    return longest, well


def lines_of(order: Order, say: Callable[[str], None]) -> Iterator[str]:
    """Send all messages of an order; yield a line each."""
    target = Target.from_bytes(Path(order.target).read_bytes())
    prepared, me = Prepared(target), psutil.Process()
    say("#wait")
    start = time.perf_counter()
    longest, well = good_seconds(prepared)
    say(f"#good {int(well)} {longest:.3f} {time.perf_counter() - start:.3f}")
    limit = HANG_SECONDS + HANG_TIMES * longest
    say("#go")
    begun = time.process_time()
    for number, one in enumerate(attacks(target, prepared, order), order.start):
        before = _peak()
        fate = one.send()
        grown = _peak() - before
        kind = f"{one.kind} {fate.kind}".rstrip()
        yield line_of(number, fate.outcome.value, one.place, one.digest, kind)
        if grown > MOST_BYTES + MOST_TIMES * one.length:
            say(f"#memory {number} took {grown >> 20:,} MB: {one.kind}")
        if fate.seconds > limit:
            say(f"#slow {number} took {fate.seconds:.1f} s: {one.kind}")
        if number % RSS_EVERY == 0 or number == order.count - 1:
            say(f"#rss {number} {me.memory_info().rss}")
    say(f"#seconds {time.process_time() - begun:.3f}")
    say("#wait")
    say(f"#alive {int(good_seconds(prepared)[1])}")


def _peak() -> int:
    """Return the most memory that this process has held so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def open_channel() -> TextIO:
    """Return standard output for the lines alone: libraries that print must not write into it."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answer


def serve(lines: Callable[[Order, Callable[[str], None]], Iterator[str]]) -> None:
    """Do what each line of standard input orders, until it ends."""
    stream = open_channel()

    def say(line: str) -> None:
        stream.write(line.replace("\n", " ") + "\n")
        stream.flush()

    for order in sys.stdin:
        for line in lines(Order(**json.loads(order)), say):
            say(line)
        say("#done")


if __name__ == "__main__":
    forbid_core_dumps()
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_DATA_BYTES, MOST_DATA_BYTES))
    serve(lines_of)
