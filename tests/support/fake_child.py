"""A front's child without a process: it answers from memory, and ends when it is told to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from he_compare.common.service.child_process import ChildEndedError, ChildOptions
from he_compare.common.service.pipe import PipeFrame

ENDS = b"ends"


class FakeChild:
    """Echoes bodies; one that holds ``ends`` ends it. ``made``: all there ever were."""

    made: list[FakeChild] = []

    def __init__(self, options: ChildOptions, home: Path, max_body: int) -> None:
        self.options, self.home = options, home
        self.pid = 1000 + len(self.made)
        self.alive = True
        self.closed = False
        self.answers: dict[str, PipeFrame] = {}
        self.made.append(self)

    def ask(
        self, order: Mapping[str, Any], pieces: Iterable[bytes] = (), size: int = 0
    ) -> PipeFrame:
        body = b"".join(pieces)
        assert len(body) == size
        what = str(order["order"])
        if ENDS in body or not self.alive:
            self.alive = False
            raise self.ending()
        if what in self.answers:
            return self.answers[what]
        if what == "status":
            return PipeFrame({"peak_bytes": 5, "processes": 1, "batch_limit": None})
        found: dict[str, Any] = {"seconds": 0.0}
        return PipeFrame(found | {"verbs": ["infer", "train"], "timings": []}, body)

    def end(self, why: str, *, late: bool = False) -> None:
        self.alive = False

    def ending(self) -> ChildEndedError:
        return ChildEndedError("it fell asleep")

    def memory_words(self) -> str:
        return "no limit"

    def close(self) -> None:
        self.alive, self.closed = False, True
