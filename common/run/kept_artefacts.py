"""Results of expensive steps of a run, kept in its folder and keyed by all their inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from he_compare.common.identity import key_of
from he_compare.common.kept import Kept, KeptResults


@dataclass(frozen=True)
class Reused:
    """Something that was made before. ``seconds``: what making it took, None where not recorded."""

    name: str
    seconds: float | None


class ArtefactFolder:
    """Fitted models and the like, never a secret. A file that is damaged is made again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = KeptResults(folder)
        self.reused: list[Reused] = []
        self.waited = 0.0

    def get_or_make(self, kind: str, inputs: Mapping[str, Any], make: Callable[[], bytes]) -> bytes:
        """Return the stored bytes for these inputs, or make and store them."""
        name = f"{kind}-{key_of(kind=kind, inputs=dict(inputs))}"
        stored = self.stored(name)
        if stored is None:
            return self.make(name, make)
        self.note_reused(name, stored.seconds)
        return stored.data

    def stored(self, name: str) -> Kept | None:
        """Return what is stored under a name; None where nothing is, or it is damaged."""
        return self.results.find(name)

    def stored_intact(self, name: str) -> Kept | None:
        """Return what is stored under a name in the same way, and leave what is damaged alone."""
        return self.results.find(name, remove=False)

    def make(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Make something, and store it under a name with the time that it took."""
        start = time.perf_counter()
        data = make()
        self.store(name, Kept(data, time.perf_counter() - start))
        return data

    def store(self, name: str, artefact: Kept) -> None:
        """Store something that was made; where that cannot be done it is said."""
        self.results.keep(name, artefact)

    def names(self) -> list[str]:
        """Return the names of what is stored, damaged or not."""
        return self.results.names()

    def note_reused(self, name: str, seconds: float | None) -> None:
        """Remember that something made before was used again, wherever it is kept."""
        self.reused.append(Reused(name, seconds))

    def note_waited(self, seconds: float) -> None:
        """Add a wait for another process that made something."""
        self.waited += seconds

    def drain_waited(self) -> float:
        """Return the seconds waited since the last call for another process to make something."""
        waited, self.waited = self.waited, 0.0
        return waited

    def drain_reused(self) -> list[Reused]:
        """Return what was reused since the last call."""
        taken, self.reused = self.reused, []
        return taken
