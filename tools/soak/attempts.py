"""A hostile message at a server half in this process, and what became of it.

Whoever counts aborts runs this in a child process: a message that ends the process ends it.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from he_compare.common import plugins
from he_compare.common.clock import Clock
from he_compare.common.environment import peak_memory_bytes
from he_compare.common.errors import CellError, CompareError
from he_compare.common.types import Side
from tools.soak.hostile import flipped, hostile
from tools.soak.targets import Target

# A half that keeps what it was sent starts anew after so many tries.
FRESH_EVERY = 1000


class Outcome(StrEnum):
    """What became of a message."""

    ANSWERED = "answered"
    REFUSED = "refused"
    UNCAUGHT = "uncaught"


@dataclass(frozen=True)
class Fate:
    """What became of a message, how long it took, and of which kind an uncaught error was."""

    outcome: Outcome
    seconds: float
    kind: str = ""


@dataclass(frozen=True)
class Try:
    """A hostile message. ``place``: call and message that it stands for; None: public material."""

    what: str
    message: bytes
    place: tuple[int, int] | None


@dataclass
class _Standing:
    """A server half that waits for a call, and how often it was tried."""

    server: Any
    tries: int = 0


@dataclass
class Prepared:
    """A target that is tried in this process.

    Of a half that keeps a state, one server stands before each call, so that tries at any call come
    after the good calls before it, and a refused one costs no new server.
    """

    target: Target
    _standing: dict[int, _Standing] = field(default_factory=dict)

    @property
    def places(self) -> list[tuple[int, int]]:
        """Every message of every call that can be replaced by a hostile one."""
        return [
            (number, place)
            for number, call in enumerate(self.target.calls)
            for place in range(len(call.messages))
        ]

    @property
    def messages(self) -> list[bytes]:
        """The good messages, in the order of ``places``."""
        return [self.target.calls[number].messages[place] for number, place in self.places]

    def try_at(self, place: tuple[int, int] | None, message: bytes) -> Fate:
        """Send a message in the place of a good one, the others of its call being good."""
        if place is None:
            return self._fate(lambda: self._load(message))
        number, position = place
        call = self.target.calls[number]
        messages = list(call.messages)
        messages[position] = message
        stateful = any(one.verb != "infer" for one in self.target.calls)
        key = number if stateful else 0
        standing = self._standing.get(key) or self._stand_before(key)

        def ask() -> None:
            getattr(standing.server, call.verb)(messages, Clock(Side.SERVER))

        fate = self._fate(ask)
        standing.tries += 1
        changed = stateful and fate.outcome is Outcome.ANSWERED
        if changed or fate.outcome is Outcome.UNCAUGHT or standing.tries >= FRESH_EVERY:
            _let_go(self._standing.pop(key).server)
        return fate

    def _fate(self, act: Any) -> Fate:
        start = time.perf_counter()
        try:
            act()
            outcome, kind = Outcome.ANSWERED, ""
        except CellError as error:
            outcome, kind = Outcome.REFUSED, type(error).__name__
        except CompareError as error:
            outcome, kind = Outcome.UNCAUGHT, type(error).__name__
        except Exception as error:  # what is counted here is that it was raised
            outcome, kind = Outcome.UNCAUGHT, f"{type(error).__name__}: {str(error)[:80]}"
        return Fate(outcome, time.perf_counter() - start, kind)

    def _stand_before(self, number: int) -> _Standing:
        """Have a server that got every good call before that one."""
        pipeline = plugins.load("pipelines", self.target.pipeline)
        server = pipeline.load_server(self.target.public_material)
        for call in self.target.calls[:number]:
            getattr(server, call.verb)(list(call.messages), Clock(Side.SERVER))
        self._standing[number] = _Standing(server)
        return self._standing[number]

    def _load(self, material: bytes) -> None:
        server = plugins.load("pipelines", self.target.pipeline).load_server(material)
        _let_go(server)


def _let_go(server: Any) -> None:
    close = getattr(server, "close", None)
    if close is not None:
        close()


def tries(
    target: Target, seed: int, count: int, *, first: int = 0, material_share: float = 0.1
) -> Iterator[Try]:
    """Yield hostile messages; the n-th follows from the seed and n alone.

    ``material_share``: how many stand for public material.
    """
    prepared = Prepared(target)
    places, messages = prepared.places, prepared.messages
    for number in range(first, first + count):
        random = np.random.default_rng([seed, number])
        if not places or random.random() < material_share:
            what, message = hostile(target.public_material, random, messages[:3])
            yield Try(f"public material, {what}", message, None)
            continue
        place = int(random.integers(len(places)))
        what, message = hostile(messages[place], random, messages)
        yield Try(what, message, places[place])


def flips(target: Target, seed: int, count: int, *, first: int = 0) -> Iterator[Try]:
    """Yield uploads with exactly one bit flipped."""
    prepared = Prepared(target)
    places, messages = prepared.places, prepared.messages
    for number in range(first, first + count):
        random = np.random.default_rng([seed, number, 1])
        place = int(random.integers(len(places)))
        yield Try("one bit flipped", flipped(messages[place], random), places[place])


def try_reply(reveal: Any, replies: list[bytes], place: int, message: bytes) -> Fate:
    """Have a client half read replies of which one is hostile."""
    changed = list(replies)
    changed[place] = message
    start = time.perf_counter()
    try:
        reveal(changed)
        return Fate(Outcome.ANSWERED, time.perf_counter() - start)
    except CellError as error:
        return Fate(Outcome.REFUSED, time.perf_counter() - start, type(error).__name__)
    except Exception as error:  # what is counted here is that it was raised
        kind = f"{type(error).__name__}: {str(error)[:80]}"
        return Fate(Outcome.UNCAUGHT, time.perf_counter() - start, kind)


def main() -> None:
    """Try messages at a stored target: ``python -m tools.soak.attempts FILE SEED FIRST COUNT``.

    With a fifth argument ``flips``: uploads with one bit flipped. Each number is announced on
    standard output before it is tried, so that whoever started this knows what ended it; the last
    line is JSON with counts.
    """
    path, seed, first, count, *kind = sys.argv[1:]
    target = Target.from_bytes(Path(path).read_bytes())
    make = flips if kind == ["flips"] else tries
    prepared, counts, slowest = Prepared(target), Counter[str](), 0.0
    uncaught: list[str] = []
    begun = time.perf_counter()
    for number, one in enumerate(make(target, int(seed), int(count), first=int(first))):
        print(int(first) + number, flush=True)
        fate = prepared.try_at(one.place, one.message)
        counts[fate.outcome.value] += 1
        slowest = max(slowest, fate.seconds)
        if fate.outcome is Outcome.UNCAUGHT:
            uncaught.append(f"{int(first) + number}: {one.what}: {fate.kind}")
    told = {
        "counts": dict(counts),
        "uncaught": uncaught,
        "slowest": slowest,
        "seconds": time.perf_counter() - begun,
        "peak_bytes": peak_memory_bytes(),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
