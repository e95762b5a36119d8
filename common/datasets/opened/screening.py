"""What becomes of copies across splits, whatever the dataset: left out, kept, or refused.

``screen`` wraps an open dataset; the splits of the wrapper are what is used. Rule and counts are in
``copies_found``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from he_compare.common.contracts import OpenDataset, Progress, SplitIndex
from he_compare.common.datasets.opened.copies_found import (
    COPYING,
    CopiesFound,
    CopyPair,
    look_for_copies,
)
from he_compare.common.datasets.opened.fingerprint import NativePixels
from he_compare.common.datasets.stored.image_store import StoreWish
from he_compare.common.errors import DataError
from he_compare.common.run.copies_table import (
    KEPT_IN,
    LEFT_OUT,
    NEAR_KEPT,
    CopyLine,
    table_bytes,
)
from he_compare.common.run.copies_words import (
    copies_sentence,
    images,
    near_sentence,
    tested_sentence,
)
from he_compare.common.run.records import CopiesFacts, DatasetCard
from he_compare.common.types import IntArray, Split, UInt8Array

NAMED = 5
KEEP = "pass --copies keep to run with the copies in"


@dataclass
class ScreenedImages:
    """An open dataset whose copies were looked for; ``kept``: the positions that are left."""

    source: OpenDataset
    found: CopiesFound
    policy: str
    kept: Mapping[Split, IntArray]
    card: DatasetCard
    subset: str
    notes: list[str]
    _indices: dict[Split, SplitIndex] = field(default_factory=dict)

    def index(self, split: Split) -> SplitIndex:
        """Return ids, labels and groups of what is left of a split."""
        if split not in self._indices:
            self._indices[split] = part_of(self.source.index(split), self.kept[split])
        return self._indices[split]

    def read(self, split: Split, positions: IntArray, size: int) -> UInt8Array:
        """Decode images of a split, as the dataset does."""
        return self.source.read(split, self.kept[split][positions], size)

    def copies_facts(self, used: Mapping[Split, IntArray]) -> CopiesFacts:
        """Return the counts for the images that a run uses."""
        return self.found.facts(
            self.policy, {split: self.kept[split][chosen] for split, chosen in used.items()}
        )

    def copies_table(self) -> bytes:
        """Return the table of copies and near copies of a run; b"" where there is none."""
        done = LEFT_OUT if self.policy == "drop" else KEPT_IN
        lines = [self._line(pair, 0, done) for pair in self.found.pairs()]
        near = self.found.near_pairs()
        return table_bytes(lines + [self._line(pair, bits, NEAR_KEPT) for pair, bits in near])

    def _line(self, pair: CopyPair, bits: int, done: str) -> CopyLine:
        copy, other = (
            (self.found.name(place), place.split.value, self.found.label(place))
            for place in (pair.copy, pair.equals)
        )
        return CopyLine(*copy, *other, str(bits), done)


class ScreenedNativeImages(ScreenedImages):
    """The same for a dataset that can return its images as stored."""

    def native(self, split: Split, positions: IntArray) -> Iterator[UInt8Array]:
        """Yield images of a split as stored."""
        stored = cast(NativePixels, self.source)
        return stored.native(split, self.kept[split][positions])


def screen(
    dataset: OpenDataset,
    policy: str,
    progress: Progress | None = None,
    wish: StoreWish | None = None,
) -> ScreenedImages:
    """Look for copies and do about them what ``policy`` says: drop, keep or error.

    Raises DataError under "error" where there are copies or they were not looked for, and under
    "drop" where a class or a split has no image left. ``wish``: where decoded images are kept.
    """
    found = look_for_copies(dataset, progress, wish)
    if policy == "error":
        _refuse_copies(found)
    whole = {split: np.arange(len(dataset.index(split).ids), dtype=np.int64) for split in Split}
    kept = dict(whole)
    if policy == "drop":
        for split in COPYING:
            kept[split] = np.setdiff1d(whole[split], found.copies(split))
            _require_what_is_left(found, split, kept[split])
    wrapper = ScreenedNativeImages if isinstance(dataset, NativePixels) else ScreenedImages
    notes = [*dataset.notes, *notes_of(found, policy)]
    return wrapper(dataset, found, policy, kept, dataset.card, dataset.subset, notes)


def part_of(index: SplitIndex, positions: IntArray) -> SplitIndex:
    """Return a part of a split."""
    return SplitIndex(
        ids=tuple(index.ids[int(position)] for position in positions),
        labels=index.labels[positions],
        groups=tuple(index.groups[int(position)] for position in positions),
    )


def notes_of(found: CopiesFound, policy: str) -> list[str]:
    """Say what was found and done, in sentences for the list of notes."""
    facts = found.facts(policy)
    notes = [copies_sentence(facts), tested_sentence(facts), near_sentence(facts.near)]
    notes = [note for note in notes if note]
    if facts.unreadable:
        notes.append(f"{images(facts.unreadable)} could not be decoded and compared")
    conflicts = found.conflicts()
    if conflicts:
        named = "; ".join(
            " = ".join(f"{found.name(place)!r} ({found.label(place)})" for place in group[:NAMED])
            for group in conflicts[:NAMED]
        )
        more = len(conflicts) - NAMED
        notes.append(
            f"{images(len(conflicts), 'group')} of equal images with different labels: {named}"
            + (f"; and {more} more" if more > 0 else "")
        )
    return notes


def _refuse_copies(found: CopiesFound) -> None:
    if not found.equal.rule:
        raise DataError(
            f"--copies error: copies cannot be looked for, {found.equal.not_compared}",
            fix="pass --copies keep to run without looking",
        )
    pairs = found.pairs()
    if not pairs:
        return
    named = "; ".join(
        f"{found.name(pair.copy)!r} ({pair.copy.split}) equals {found.name(pair.equals)!r} "
        f"({pair.equals.split})"
        for pair in pairs[:NAMED]
    )
    more = len(pairs) - NAMED
    raise DataError(
        f"{found.facts('error').count} images equal one of a later split: {named}"
        + (f"; and {more} more" if more > 0 else ""),
        fix="pass --copies drop to leave them out of train and val, or remove them yourself",
    )


def _require_what_is_left(found: CopiesFound, split: Split, kept: IntArray) -> None:
    """Refuse a split or a class of it of which dropping copies leaves nothing. Raises DataError."""
    labels, classes = found.dataset.index(split).labels, found.dataset.card.classes
    before, after = set(labels.tolist()), set(labels[kept].tolist())
    lost = [classes[label] for label in sorted(before - after)]
    if not lost:
        return
    later = "test images" if split is Split.VAL else "test or validation images"
    if not after:
        raise DataError(
            f"all {len(labels)} {split} images are copies of {later}, so that none is left",
            fix=f"add {split} images that are not in a later split, or {KEEP}",
        )
    count = int(np.isin(labels, sorted(before - after)).sum())
    raise DataError(
        f"all {count} {split} images of class {', '.join(map(repr, lost))} are copies of {later}, "
        "so that none is left" + (f"; {split} has one class only then" if len(after) == 1 else ""),
        fix=f"add other {split} images of that class, or {KEEP}",
    )
