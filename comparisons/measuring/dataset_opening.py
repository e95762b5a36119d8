"""How a dataset is opened for every command: its family, then what holds whatever the family.

Copies across splits are left out, kept or refused, and a class may be named as the positive one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from he_compare.common import plugins
from he_compare.common.contracts import OpenDataset
from he_compare.common.dataset import DatasetFamily, choose_subset
from he_compare.common.errors import UsageError
from he_compare.common.plugins import nearest
from he_compare.comparisons.measuring.opening_options import DataOptions

if TYPE_CHECKING:
    from he_compare.common.datasets.opened.screening import ScreenedImages
    from he_compare.common.datasets.stored.image_store import StoreWish


def open_dataset(
    dataset_spec: str,
    data_dir: Path | None,
    subset: str,
    seed: int,
    options: DataOptions | None = None,
    wish: StoreWish | None = None,
) -> ScreenedImages:
    """Open ``NAME`` or ``NAME:ARGUMENT``, the default subset where ``subset`` is ''.

    ``wish``: where images are kept that are decoded for a comparison with each other.
    Raises UnknownNameError; DataError too where what was opened does not keep to its contract.
    """
    from he_compare.common.datasets.opened.invariants import check_opened
    from he_compare.common.datasets.opened.screening import screen
    from he_compare.common.datasets.reading.source_policy import current_policy

    options = options or DataOptions()
    family, argument = find_family(dataset_spec)
    chosen = choose_subset(family.name, subset, family.subsets)
    opened = family.open(argument, data_dir, chosen, seed, options.reading)
    check_opened(opened, family.name)
    screened = screen(opened, options.copies, current_policy().progress, wish)
    if options.positive:
        name_positive(screened, options.positive)
    return screened


def find_family(dataset_spec: str) -> tuple[DatasetFamily, str]:
    """Return the family and the argument of ``NAME`` or ``NAME:ARGUMENT``."""
    name, _, argument = dataset_spec.partition(":")
    return plugins.load("datasets", name), argument


def name_positive(opened: OpenDataset, positive: str) -> None:
    """Let sensitivity be computed for a class. Raises UsageError where there is no such class."""
    classes = opened.card.classes
    if positive not in classes:
        raise UsageError(
            f"--positive {positive!r} is not a class of {opened.card.name}: "
            + ", ".join(map(repr, classes[:20])),
            fix=nearest(positive, classes),
        )
    if len(classes) != 2:
        raise UsageError(
            f"--positive {positive!r}: {opened.card.name} has {len(classes)} classes, not two",
            fix="leave --positive out; recall is given for each class",
        )
    opened.card = opened.card.model_copy(update={"positive_class": positive})
    opened.notes.append(f"positive class: {positive!r}, as the command says")
