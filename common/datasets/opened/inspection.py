"""What `compare data check` finds out about a dataset: counts, groups, copies and sizes.

Every image is decoded once and compared by its pixels as stored.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from he_compare.common.contracts import OpenDataset, Progress
from he_compare.common.datasets.opened.choice import summarise_split
from he_compare.common.datasets.opened.fingerprint import NativePixels, native_pixels
from he_compare.common.errors import DataError
from he_compare.common.run.records import DatasetCard, SplitSummary
from he_compare.common.types import IntArray, Split

# More classes than this are listed one per line.
CLASSES_IN_A_ROW = 12
MAX_NAMED = 10
MAX_SIZES = 12
PROGRESS_EVERY = 200
PORTION = 40


@dataclass(frozen=True)
class Copies:
    """Images with the pixels of another one.

    ``within``: by split, images that could be left out of it. ``across``: groups of equal images
    that lie in more than one split; ``conflicting``: that have more than one label. ``named``: ids
    of the first few of both, one tuple a group.
    """

    within: dict[str, int]
    across: int
    conflicting: int
    named: list[list[str]]


@dataclass(frozen=True)
class DatasetCheck:
    """What was found.

    ``sizes``: images by "width x height", the most frequent first; empty where the dataset cannot
    return them as stored. ``unreadable``: what is wrong with each image that cannot be decoded.
    """

    card: DatasetCard
    subset: str
    splits: dict[str, SplitSummary]
    shared_groups: int
    copies: Copies
    sizes: dict[str, int]
    notes: list[str]
    unreadable: list[str]

    @property
    def patients_known(self) -> bool:
        """Return whether any group holds more than one image."""
        return any(split.groups < split.n for split in self.splits.values())

    def smallest_class(self) -> tuple[str, str, int]:
        """Return split, class and number of images where there are fewest."""
        return min(
            (
                (name, label, count)
                for name, split in self.splits.items()
                for label, count in split.per_class.items()
            ),
            key=lambda found: found[2],
        )

    def as_json(self) -> dict[str, Any]:
        """Return the check as JSON values."""
        return {
            "card": self.card.model_dump(mode="json"),
            "subset": self.subset,
            "splits": {name: split.model_dump(mode="json") for name, split in self.splits.items()},
            "shared_groups": self.shared_groups,
            "copies": asdict(self.copies),
            "sizes": self.sizes,
            "notes": self.notes,
            "unreadable": self.unreadable,
            "smallest_class": dict(
                zip(("split", "class", "images"), self.smallest_class(), strict=True)
            ),
            "patients_known": self.patients_known,
        }


def check(dataset: OpenDataset, progress: Progress | None = None) -> DatasetCheck:
    """Decode and count everything; an image that cannot be decoded is told and left out."""
    positions = {split: np.arange(len(dataset.index(split).ids), dtype=np.int64) for split in Split}
    pixels = _Pixels.of(dataset, progress)
    groups = {split: set(dataset.index(split).groups) for split in Split}
    shared = [g for g, n in Counter(g for held in groups.values() for g in held).items() if n > 1]
    common = pixels.sizes.most_common()
    shown = dict(common[:MAX_SIZES])
    if len(common) > MAX_SIZES:
        rest = common[MAX_SIZES:]
        shown[f"{len(rest)} other sizes"] = sum(count for _, count in rest)
    return DatasetCheck(
        card=dataset.card,
        subset=dataset.subset,
        splits={
            split.value: summarise_split(dataset.index(split), positions[split], dataset)
            for split in Split
        },
        shared_groups=len(shared),
        copies=_copies(dataset, pixels.digests),
        sizes=shown,
        notes=list(dataset.notes),
        unreadable=pixels.unreadable,
    )


@dataclass
class _Pixels:
    """What decoding every image tells; an unreadable one has the digest of its id, its own."""

    digests: dict[Split, list[str]]
    sizes: Counter[str]
    unreadable: list[str]

    @classmethod
    def of(cls, dataset: OpenDataset, progress: Progress | None) -> _Pixels:
        found = cls({split: [] for split in Split}, Counter(), [])
        total = sum(len(dataset.index(split).ids) for split in Split)
        done = 0
        for split in Split:
            count = len(dataset.index(split).ids)
            for start in range(0, count, PORTION):
                portion = np.arange(start, min(start + PORTION, count), dtype=np.int64)
                found._add(dataset, split, portion)
                before, done = done, done + len(portion)
                crossed = done // PROGRESS_EVERY > before // PROGRESS_EVERY
                if progress is not None and (crossed or done == total):
                    progress("checking images", done, total)
        return found

    def _add(self, dataset: OpenDataset, split: Split, portion: IntArray) -> None:
        try:
            images = list(native_pixels(dataset, split, portion))
        except DataError as error:
            if len(portion) > 1:  # find out which of them it is
                for position in portion:
                    self._add(dataset, split, np.array([position], dtype=np.int64))
                return
            self.unreadable.append(str(error))
            self.digests[split].append(f"unreadable {dataset.index(split).ids[int(portion[0])]}")
            return
        for image in images:
            if isinstance(dataset, NativePixels):
                height, width = image.shape[:2]
                self.sizes[f"{width} x {height}"] += 1
            about = f"{image.shape}".encode()
            self.digests[split].append(hashlib.sha256(about + image.tobytes()).hexdigest())


def _copies(dataset: OpenDataset, digests: Mapping[Split, list[str]]) -> Copies:
    holders: dict[str, list[tuple[Split, int]]] = defaultdict(list)
    for split in Split:
        for position, digest in enumerate(digests[split]):
            holders[digest].append((split, position))
    repeated = [held for held in holders.values() if len(held) > 1]

    def labels(held: list[tuple[Split, int]]) -> set[int]:
        return {int(dataset.index(split).labels[position]) for split, position in held}

    across = [held for held in repeated if len({split for split, _ in held}) > 1]
    conflicting = [held for held in repeated if len(labels(held)) > 1]
    worst = across + [held for held in conflicting if held not in across]
    return Copies(
        within={split.value: len(digests[split]) - len(set(digests[split])) for split in Split},
        across=len(across),
        conflicting=len(conflicting),
        named=[
            [dataset.index(split).ids[position] for split, position in held]
            for held in worst[:MAX_NAMED]
        ],
    )


def describe(found: DatasetCheck) -> str:
    """Lay the check out as plain text."""
    card = found.card
    lines = [
        *_table(found),
        "",
        f"groups in more than one split: {found.shared_groups}",
        "copies within a split:         "
        + ", ".join(f"{count} {split}" for split, count in found.copies.within.items()),
        f"copies across splits:          {found.copies.across}",
        f"copies of different labels:    {found.copies.conflicting}",
        *("  " + " = ".join(ids) for ids in found.copies.named),
        "sizes (width x height):        "
        + (", ".join(f"{n:,} of {size}" for size, n in found.sizes.items()) or "not known"),
        *(f"note: {note}" for note in found.notes),
        "",
        f"{card.name}: {card.title}",
        f"  {card.description}",
    ]
    if card.synthetic:
        lines.append("  SYNTHETIC: says nothing about patients")
    lines += [
        f"  source:    {card.source}",
        f"  licence:   {card.licence}",
        f"  citation:  {card.citation}",
        *(f"  caveat:    {caveat}" for caveat in card.caveats),
    ]
    return "\n".join(lines)


def _table(found: DatasetCheck) -> list[str]:
    """Lay out images, groups and classes by split, with the prevalence where one is positive."""
    card = found.card
    many = len(card.classes) > CLASSES_IN_A_ROW
    prevalences = {
        name: "-" if split.prevalence is None else f"{split.prevalence:.1%}"
        for name, split in found.splits.items()
        if card.positive_class
    }
    head = ["split", "images", "groups", *(["prevalence"] if prevalences else [])]
    head += [] if many else card.classes
    rows = [
        [
            name,
            f"{split.n:,}",
            f"{split.groups:,}",
            *([prevalences[name]] if prevalences else []),
            *(f"{split.per_class[label]:,}" for label in card.classes if not many),
        ]
        for name, split in found.splits.items()
    ]
    lines = _aligned([head, *rows])
    if card.positive_class:
        lines.append(f"prevalence is the share of {card.positive_class!r}, the positive class")
    return [*lines, *(["", *_by_class(found)] if many else [])]


def _by_class(found: DatasetCheck) -> list[str]:
    """Lay out the images of many classes, one line per class."""
    splits = list(found.splits.values())
    return _aligned(
        [
            ["class", *found.splits],
            *(
                [label, *(f"{one.per_class[label]:,}" for one in splits)]
                for label in found.card.classes
            ),
        ]
    )


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
