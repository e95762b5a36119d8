"""Runs bombarded processes one after the other, and counts what became of every message.

A process that ends or hangs costs one message: the next one goes on with the message after it.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

WAIT_SECONDS = 900.0
# Where a message went that no line came of.
NOT_TOLD = "not told"
MOST_STARTS = 200
# A process that says nothing for so long hangs, where a good message and a start take nothing.
SILENT_SECONDS = 8.0


@dataclass
class Tally:
    """What became of messages. ``fates``: by where they went and what became of them.

    ``seen``: the digests of different ones; ``lost``: those that no line came of. ``memory``: of
    each process, see ``first_and_last``, in bytes. ``hangs``, ``ended``, ``uncaught``, ``greedy``:
    the messages, each by a line.
    """

    fates: dict[str, Counter[str]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    lost: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    hangs: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    uncaught: list[str] = field(default_factory=list)
    greedy: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    told: dict[str, float] = field(default_factory=dict)
    memory: list[tuple[int, int]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        told = asdict(self)
        told["fates"] = {place: dict(fates) for place, fates in self.fates.items()}
        return told | {"kinds": dict(self.kinds), "seen": "".join(sorted(self.seen))}

    def book(self, place: str, fate: str) -> None:
        """Count what became of a message."""
        self.fates.setdefault(place, Counter())[fate] += 1


class Bombardment:
    """One order, done by as many processes as it takes."""

    def __init__(
        self, module: str, order: Mapping[str, Any], environment: Mapping[str, str]
    ) -> None:
        """``module``: what is run with ``python -m``; ``order``: with ``start`` and ``count``."""
        self.module, self.order, self.environment = module, dict(order), dict(environment)
        self.tally = Tally()
        self._next = int(order["start"])
        self._limit = SILENT_SECONDS
        self._rss: list[int] = []

    def run(self) -> Tally:
        """Send all messages; return what became of them."""
        for _ in range(MOST_STARTS):
            self._one_process()
            if self._next >= self.order["count"]:
                return self.tally
        self.tally.broken.append(f"{MOST_STARTS} processes ended: given up at {self._next}")
        return self.tally

    def _one_process(self) -> None:
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                [sys.executable, "-m", self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self.environment,
                start_new_session=True,
            ) as process,
        ):
            assert process.stdin is not None
            process.stdin.write((json.dumps({**self.order, "start": self._next}) + "\n").encode())
            process.stdin.close()
            self._waiting, began, self._rss = True, self._next, []
            finished = self._listen(process)
            if not finished:
                process.kill()
            code = process.wait()
            if self._rss:
                self.tally.memory.append(first_and_last(self._rss))
            errors.seek(0)
            words = [line for line in errors.read().decode(errors="replace").splitlines() if line]
        self._conclude(finished, code, words[-1] if words else "", began)

    def _conclude(self, finished: bool, code: int, words: str, began: int) -> None:
        """Book the message that a process did not come back from."""
        if finished and code == 0:
            return
        if self._waiting:  # it was loading, or answering good messages: nothing hostile in it
            self.tally.broken.append(f"process ended with {code} at {self._next}: {words[:200]}")
            self._next = self.order["count"] if self._next == began else self._next
            return
        what = f"message {self._next} ({self.order['use']})"
        self.tally.lost += 1
        if finished:
            self.tally.ended.append(f"{what}: {_name(code)}: {words[:200]}")
            self.tally.book(NOT_TOLD, "ended its process")
        else:
            self.tally.hangs.append(f"{what}: no answer in {self._limit:.0f} s")
            self.tally.book(NOT_TOLD, "no answer in time")
        self._next += 1

    def _listen(self, process: subprocess.Popen[bytes]) -> bool:
        """Take lines until the process ends; False where it does not answer in time."""
        for line in _lines(process, lambda: WAIT_SECONDS if self._waiting else self._limit):
            if line is None:
                return False
            self._take(line)
        return True

    def _take(self, line: str) -> None:
        if not line.startswith("#"):
            number, fate, place, digest, kind = line.split("\t", 4)
            self._next = int(number) + 1
            self.tally.book(place, "uncaught" if fate.startswith("uncaught") else fate)
            self.tally.seen.add(digest)
            self.tally.kinds[f"{place}: {kind}"[:60]] += 1
            if fate.startswith("uncaught"):
                self.tally.uncaught.append(
                    f"message {number} ({self.order['use']}), {fate}: {kind}"
                )
            return
        word, _, rest = line[1:].partition(" ")
        if word in ("wait", "go"):
            self._waiting = word == "wait"
        elif word == "good":
            well, longest, start = rest.split()
            self._limit = SILENT_SECONDS + 3 * float(longest) + 3 * float(start)
            if well != "1":
                self.tally.broken.append("a good message is not answered before")
        elif word == "rss":
            self._rss.append(int(rest.split()[1]))
        elif word == "memory":
            self.tally.greedy.append(f"message {rest}")
        elif word == "slow":
            self.tally.hangs.append(f"message {rest}")
        elif word == "done":
            self._waiting = True
        elif word == "alive":
            self._waiting = True
            if rest != "1":
                self.tally.broken.append("a good message is not answered afterwards")
        else:
            self.tally.told[word] = self.tally.told.get(word, 0.0) + float(rest)


def _lines(process: subprocess.Popen[bytes], patience: Any) -> Iterator[str | None]:
    """Yield whole lines of a process; None where none came within the patience of the moment."""
    assert process.stdout is not None
    held = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(patience()):
                yield None
                return
            data = os.read(process.stdout.fileno(), 1 << 16)
            if not data:
                return
            *whole, held = (held + data).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")


def first_and_last(memory: Sequence[int]) -> tuple[int, int]:
    """Return the most memory in the first third of a process's messages, and the least in the last.

    What leaks makes the second larger than the first; what goes up and down does not.
    """
    third = max(1, len(memory) // 3)
    return max(memory[:third]), min(memory[-third:])


def _name(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
