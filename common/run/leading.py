"""Which two metrics lead: where classes are uneven, accuracy is a number that a constant can win.

A classifier that always answers the largest class has the accuracy of its share, so plain accuracy
leads only for two classes that are about equally frequent among the test images. Else balanced
accuracy leads, in which each class counts the same; the AUC is its macro average then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from he_compare.common.types import Split

if TYPE_CHECKING:
    from he_compare.common.run.view import RunView

# Classes are even where the largest has at most this times the images of the smallest.
MOST_UNEVEN = 1.1
BINARY = 2


def leading_metrics(view: RunView) -> tuple[str, str]:
    """Return the names of the metrics that lead: one at a threshold, and one of ranking."""
    return ("accuracy" if even_classes(view) else "balanced_accuracy"), "auc"


def even_classes(view: RunView) -> bool:
    """Say whether there are two classes, about equally frequent among the test images."""
    split = view.manifest.dataset.splits.get(Split.TEST)
    counts = list(split.per_class.values()) if split else []
    if len(view.manifest.dataset.card.classes) != BINARY or len(counts) != BINARY:
        return False
    return max(counts) <= MOST_UNEVEN * min(counts)


def leading_titles(view: RunView) -> tuple[str, str]:
    """Return the names of the leading metrics as a reader knows them."""
    several = len(view.manifest.dataset.card.classes) > BINARY
    plain = "Accuracy" if even_classes(view) else "Balanced accuracy"
    return plain, "Macro AUC" if several else "AUC"
