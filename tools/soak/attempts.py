"""A hostile message at a server half in this process, and what became of it.

Whoever counts aborts runs this in a child process: a message that ends the process ends it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np

from he_compare.common import plugins
from he_compare.common.clock import Clock
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


PUBLIC_MATERIAL = "public material"
DIGEST_BYTES = 8
# What is drawn twice is drawn again, so often; a few short messages are soon all used up.
MOST_DRAWS = 12
# Of the messages to a call: one too many, one too few.
EXTRA_SHARE, MISSING_SHARE = 0.06, 0.03


@dataclass(frozen=True)
class Try:
    """A hostile message. ``call``: the one that it stands in, None where it is public material.

    ``position``: of the message that it replaces, or behind the last one of its call. ``message``:
    None where the one at that position is left out.
    """

    what: str
    message: bytes | None
    call: int | None = None
    position: int = 0

    @cached_property
    def digest(self) -> str:
        """Tell it from others at the same server half, in hexadecimal digits."""
        hasher = hashlib.blake2b(f"{self.call} {self.position}".encode(), digest_size=DIGEST_BYTES)
        hasher.update(b"-" if self.message is None else b"+")
        hasher.update(self.message or b"")
        return hasher.hexdigest()


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
    def good(self) -> list[Try]:
        """Every message of every call, as it is, and the public material."""
        whole = [
            Try("good", message, number, position)
            for number, call in enumerate(self.target.calls)
            for position, message in enumerate(call.messages)
        ]
        return [*whole, Try("good", self.target.public_material)]

    def place_of(self, one: Try) -> str:
        """Name the verb that a message goes to, or what else it is."""
        return PUBLIC_MATERIAL if one.call is None else self.target.calls[one.call].verb

    def send(self, one: Try) -> Fate:
        """Send a message in the place of a good one, the others of its call being good."""
        if one.call is None:
            material = one.message or b""
            return self._fate(lambda: self._load(material))
        call = self.target.calls[one.call]
        messages = changed_call(call.messages, one)
        stateful = any(other.verb != "infer" for other in self.target.calls)
        key = one.call if stateful else 0
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


def changed_call(messages: Sequence[bytes], one: Try) -> list[bytes]:
    """Return the messages of a call with the hostile one among them."""
    behind = messages[one.position + 1 :]
    new = [] if one.message is None else [one.message]
    return [*messages[: one.position], *new, *behind]


def tries(
    target: Target, seed: int, count: int, *, first: int = 0, public: bool = False
) -> Iterator[Try]:
    """Yield hostile messages to all calls, or public material where ``public``.

    The n-th follows from the seed and n, and from what was drawn before only where it would be the
    same again.
    """
    messages = [one.message for one in Prepared(target).good if one.message is not None]
    calls = target.calls

    def draw(random: np.random.Generator) -> Try:
        if public or not calls:
            what, message = hostile(target.public_material, random, messages[:3])
            return Try(what, message)
        number = int(random.integers(len(calls)))
        mine, drawn = calls[number].messages, float(random.random())
        if not mine or drawn < EXTRA_SHARE:
            other = messages[int(random.integers(len(messages)))]
            what, message = hostile(other, random, messages)
            return Try(f"one more message, {what}", message, number, len(mine))
        position = int(random.integers(len(mine)))
        if drawn < EXTRA_SHARE + MISSING_SHARE:
            return Try("a message left out", None, number, position)
        what, message = hostile(mine[position], random, messages)
        return Try(what, message, number, position)

    yield from _each_once([seed], draw, first, count)


def flips(target: Target, seed: int, count: int, *, first: int = 0) -> Iterator[Try]:
    """Yield uploads with exactly one bit flipped."""
    uploads = [one for one in Prepared(target).good if one.call is not None and one.message]

    def draw(random: np.random.Generator) -> Try:
        one = uploads[int(random.integers(len(uploads)))]
        changed = flipped(one.message or b"", random)
        return Try("one bit flipped", changed, one.call, one.position)

    yield from _each_once([seed, 1], draw, first, count)


def _each_once(
    seed: list[int], draw: Callable[[np.random.Generator], Try], first: int, count: int
) -> Iterator[Try]:
    """Draw messages number ``first`` and on; one that was drawn before is drawn again."""
    seen: set[str] = set()
    for number in range(first, first + count):
        random = np.random.default_rng([*seed, number])
        for _ in range(MOST_DRAWS):
            one = draw(random)
            if one.digest not in seen:
                break
        seen.add(one.digest)
        yield one


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
