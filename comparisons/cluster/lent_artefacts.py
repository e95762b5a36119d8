"""Artefacts on a worker: what the run has is lent, what is made here is handed to the driver."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from he_compare.common.exclusive import one_at_a_time
from he_compare.common.kept import Kept
from he_compare.common.run.kept_artefacts import ArtefactFolder


class ArtefactElsewhere(BaseException):
    """The run has an artefact that this worker does not: the driver is to send it.

    No Exception: whoever handles the failures of a pipeline is not to take it for one.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class LentArtefacts(ArtefactFolder):
    """``folder``: of this worker, or of all workers of this machine, where what is missing is made
    once. ``lent``: that of the run, read only; None where this worker does not see it."""

    def __init__(self, folder: Path, lent: Path | None) -> None:
        super().__init__(folder)
        self._lent = None if lent is None else ArtefactFolder(lent)
        self._held: frozenset[str] = frozenset()
        self._used: dict[str, None] = {}

    def begin(self, held: Collection[str], given: Mapping[str, Kept]) -> None:
        """Begin a cell. ``held``: names of what the run has; ``given``: what was sent along."""
        self._held = frozenset(held)
        self._used.clear()
        for name, artefact in given.items():
            self.store(name, artefact)

    def to_hand_over(self) -> dict[str, Kept]:
        """Return what the last cell used and the run did not have when it began."""
        found = {name: super(LentArtefacts, self).stored(name) for name in self._used}
        return {name: one for name, one in found.items() if one is not None}

    def stored(self, name: str) -> Kept | None:
        """Return what is stored here or in the run. Raises ArtefactElsewhere."""
        if self._lent is not None and name in self._held:
            lent = self._lent.stored_intact(name)
            if lent is not None:
                return lent
        own = super().stored(name)
        if own is None and self._lent is None and name in self._held:
            raise ArtefactElsewhere(name)
        if own is not None and name not in self._held:
            self._used[name] = None
        return own

    def make(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Make something, unless another worker of this machine is just making it."""
        with one_at_a_time(self.folder / f".{name}.lock", f"makes {name}") as waited:
            self.note_waited(waited)
            own = super().stored(name)
            if own is not None:
                self.note_reused(name, own.seconds)
                data = own.data
            else:
                data = super().make(name, make)
        self._used[name] = None
        return data
