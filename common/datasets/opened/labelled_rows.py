"""Image files with the labels that folders or a table give them, before labels become numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from he_compare.common.types import Split


@dataclass(frozen=True)
class LabelledFile:
    """``id``: posix path below the folder. ``group``: equal to the id where none is known."""

    id: str
    label: str
    group: str
    split: Split


@dataclass(frozen=True)
class LabelledRows:
    """``root``: the folder that ids are below. ``given``: the splits that were given, empty for
    none. ``grouped``: groups are known. ``place``: what gave the labels, for messages.
    """

    root: Path
    files: list[LabelledFile]
    given: frozenset[Split]
    grouped: bool
    place: str
    notes: list[str]

    def counts(self) -> Counter[str]:
        """Return the number of images by label as it is spelled."""
        return Counter(file.label for file in self.files)
