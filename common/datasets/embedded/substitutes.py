"""What ``chestxray`` uses if its folder is not found: another copy, then a synthetic cohort.

In this order: PneumoniaMNIST at 224 px (the same radiographs, cropped and split by MedMNIST) where
data is looked for; the same from a download into the user cache; the synthetic cohort that ships
with the package. A ``--data-dir`` without the data is an error: no other images are used instead.
A warning says that the synthetic cohort is used; it is refused where real data is required.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from he_compare.common.contracts import OpenDataset, SplitIndex
from he_compare.common.datasets.medmnist_sets.known_sets import NO_PATIENTS, known_set
from he_compare.common.datasets.medmnist_sets.npz_files import fetch_npz, file_name, find_npz
from he_compare.common.datasets.medmnist_sets.published_split import open_single_label
from he_compare.common.datasets.opened.arrays import ArrayImages, pixel_digests
from he_compare.common.datasets.opened.balancing import BALANCED_PER_CLASS, balance
from he_compare.common.datasets.opened.indexed import ImageRow
from he_compare.common.datasets.reading.download import DownloadError
from he_compare.common.datasets.reading.search import ENVIRONMENT_VARIABLE
from he_compare.common.datasets.reading.source_policy import current_policy, say
from he_compare.common.errors import DataError
from he_compare.common.run.records import DatasetCard
from he_compare.common.types import IntArray, Split

FACTS = known_set("pneumoniamnist")
SIZE = 224
MARKERS = "Some images carry burnt-in markers (such as 'R') that a model can learn."


def open_substitute(
    card: DatasetCard, data_dir: Path | None, subset: str, seed: int, account: str
) -> OpenDataset:
    """Open the first substitute there is. ``account``: the places looked at for the folder itself.

    Raises DataError where ``data_dir`` was given, or where only the synthetic cohort is left and
    real data is required.
    """
    path, _ = find_npz(FACTS.name, SIZE, data_dir)
    if path is not None:
        return open_pneumoniamnist(card, path, subset, seed)
    fix = (
        f"pass its folder with --data-dir, or set {ENVIRONMENT_VARIABLE} to a folder that "
        "contains chestxray/"
    )
    if data_dir is not None:
        raise DataError(f"no chestxray data found; looked in {account}", fix=fix)
    try:
        fetched = fetch_npz(FACTS, SIZE)
    except DownloadError as error:
        reason = f"looked in {account}; download of {file_name(FACTS.name, SIZE)}: {error}"
    else:
        return open_pneumoniamnist(card, fetched, subset, seed)
    if current_policy().require_real:
        raise DataError(f"no real chestxray data found, and it is required; {reason}", fix=fix)
    return open_synthetic(subset, seed, reason)


def open_synthetic(subset: str, seed: int, reason: str) -> OpenDataset:
    """Open the cohort that ships with the package; say so on stderr and in its notes."""
    from he_compare.common.datasets.embedded.atlas import EmbeddedCohort

    cohort = cast(OpenDataset, EmbeddedCohort.open(subset, seed))
    say(
        "WARNING: no real chest X-rays found; using the synthetic cohort of the package, which "
        f"says nothing about patients ({reason})"
    )
    cohort.notes.append(
        "used because no real data was found: neither the folder nor PneumoniaMNIST at 224 px, "
        "and no download" + (" (offline)" if current_policy().offline else "")
    )
    return cohort


def open_pneumoniamnist(card: DatasetCard, path: Path, subset: str, seed: int) -> OpenDataset:
    """Open PneumoniaMNIST at 224 px under the names and subsets of ``chestxray``."""
    of_substitute = FACTS.card(f"{card.title} (PneumoniaMNIST at {SIZE} px)")
    of_substitute = card.model_copy(
        update={
            "title": of_substitute.title,
            "description": of_substitute.description,
            "source": of_substitute.source,
            "citation": of_substitute.citation,
            "caveats": [*FACTS.caveats, MARKERS, NO_PATIENTS],
            "native_size": f"{SIZE} x {SIZE}",
        }
    )
    published = open_single_label(FACTS, of_substitute, path, SIZE)
    published.notes.insert(
        0, f"the folder was not found: these are the images of {path.name}, cropped at the centre"
    )
    return published if subset == "published" else _balanced(published, seed)


def _balanced(published: ArrayImages, seed: int) -> ArrayImages:
    """Keep equally many images of each class, without copies."""
    digests = pixel_digests(published.images) or {}
    rows, position = [], {}
    seen: set[str] = set()
    # Copies of an image of the test split are left out of the others, not the other way round.
    for split in (Split.TEST, Split.TRAIN, Split.VAL):
        index = published.index(split)
        for i, name in enumerate(index.ids):
            twin = digests[split][i] if split in digests else ""
            position[name] = i
            if twin not in seen:
                rows.append(ImageRow(name, int(index.labels[i]), name, split, twin))
                seen |= {twin} - {""}
    chosen = balance(rows, BALANCED_PER_CLASS, seed, published.notes)
    kept: dict[Split, IntArray] = {
        split: np.array(
            sorted(position[row.id] for row in chosen if row.split is split), dtype=np.int64
        )
        for split in Split
    }
    splits = {split: _part(published.index(split), kept[split]) for split in Split}
    return ArrayImages(published.card, "balanced", published.images, splits, published.notes, kept)


def _part(index: SplitIndex, positions: IntArray) -> SplitIndex:
    ids = tuple(index.ids[int(position)] for position in positions)
    return SplitIndex(ids, index.labels[positions], ids)
