"""The images of a run: chosen from an open dataset, read, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from he_compare.common.contracts import OpenDataset, Progress, SplitIndex
from he_compare.common.datasets.opened.fingerprint import fingerprint_of
from he_compare.common.datasets.opened.invariants import read_images
from he_compare.common.datasets.opened.screening import ScreenedImages
from he_compare.common.datasets.opened.splits import hashed_order
from he_compare.common.datasets.stored.image_store import StoreWish, decoded_images
from he_compare.common.run.records import DatasetSummary, SplitSummary
from he_compare.common.types import ImageBatch, IntArray, Pictures, Split, UInt8Array


def limit(index: SplitIndex, n: int | None, seed: int, split: Split) -> IntArray:
    """Return at most ``n`` positions of a split, int64, ascending; None takes all.

    Classes keep their shares, and each has an image as soon as ``n`` allows. A smaller ``n`` gives
    a subset of a larger one.
    """
    total = len(index.ids)
    if n is None or n >= total:
        return np.arange(total, dtype=np.int64)
    position_of = {identity: position for position, identity in enumerate(index.ids)}
    order = [position_of[identity] for identity in hashed_order(index.ids, seed, "limit", split)]
    class_sizes = Counter(int(label) for label in index.labels)
    rank: Counter[int] = Counter()
    keyed: list[tuple[float, int, int]] = []
    for position in order:
        label = int(index.labels[position])
        # Each class is spread evenly over (0, 1); its first image goes before all of that.
        share = (rank[label] + 0.5) / class_sizes[label] if rank[label] else 0.0
        keyed.append((share, label, position))
        rank[label] += 1
    keyed.sort()
    return np.array(sorted(position for _, _, position in keyed[: max(n, 0)]), dtype=np.int64)


def load_batch(dataset: OpenDataset, split: Split, positions: IntArray, size: int) -> ImageBatch:
    """Read images with their ids, labels and groups. Raises DataError naming the image."""
    return _batch(dataset, split, positions, read_images(dataset, split, positions, size))


def stored_batches(
    dataset: ScreenedImages,
    chosen: Mapping[Split, IntArray],
    wish: StoreWish,
    progress: Progress | None = None,
) -> tuple[dict[Split, ImageBatch], str]:
    """Return batches of the chosen images, which lie in the store, and their fingerprint.

    They are decoded here unless they were for the comparison with each other. Raises DataError
    naming an image that cannot be read, or saying that the disk has too little room.
    """
    source, decoded = dataset.source, dataset.found.equal.decoded
    held = {split: dataset.kept[split][positions] for split, positions in chosen.items()}
    if decoded is None or decoded.file.header.side != wish.size:
        decoded = decoded_images(source, held, wish, looks=False, progress=progress)
    batches = {
        split: _batch(dataset, split, positions, decoded.pictures(source, split, held[split]))
        for split, positions in chosen.items()
    }
    natives = {split: decoded.natives(split, positions) for split, positions in held.items()}
    return batches, fingerprint_of(dataset, chosen, natives)


def _batch(
    dataset: OpenDataset, split: Split, positions: IntArray, images: Pictures | UInt8Array
) -> ImageBatch:
    index = dataset.index(split)
    return ImageBatch(
        ids=tuple(index.ids[int(position)] for position in positions),
        images=images,
        labels=index.labels[positions],
        groups=tuple(index.groups[int(position)] for position in positions),
    )


def summary(
    dataset: OpenDataset,
    positions_by_split: Mapping[Split, IntArray],
    *,
    fingerprint: str,
    image_size: int,
    default_subset: str,
    limits: Mapping[Split, int | None],
) -> DatasetSummary:
    """Return the counts of what was chosen, with a note on every split that was limited.

    ``default_subset``: what the dataset's family gives unasked. ``limits``: None for no limit.
    """
    splits: dict[str, SplitSummary] = {}
    notes = list(dataset.notes)
    for split, positions in positions_by_split.items():
        index = dataset.index(split)
        splits[split.value] = summarise_split(index, positions, dataset)
        if len(positions) < len(index.ids):
            notes.append(
                f"{split}: {len(positions)} of {len(index.ids)} images, chosen by class share"
            )
    return DatasetSummary(
        card=dataset.card,
        subset=dataset.subset,
        subset_is_default=dataset.subset == default_subset,
        limits={split.value: most for split, most in limits.items() if most is not None},
        splits=splits,
        before_limits={split.value: len(dataset.index(split).ids) for split in positions_by_split},
        fingerprint=fingerprint,
        image_size=image_size,
        notes=notes,
        copies=dataset.copies_facts(positions_by_split)
        if isinstance(dataset, ScreenedImages)
        else None,
    )


def summarise_split(index: SplitIndex, positions: IntArray, dataset: OpenDataset) -> SplitSummary:
    """Return the counts of the chosen images of one split."""
    classes, positive = dataset.card.classes, dataset.card.positive_class
    counts = np.bincount(index.labels[positions], minlength=len(classes))
    per_class = {name: int(count) for name, count in zip(classes, counts, strict=True)}
    n = len(positions)
    return SplitSummary(
        n=n,
        groups=len({index.groups[int(position)] for position in positions}),
        per_class=per_class,
        prevalence=per_class[positive] / n if positive and n else None,
    )
