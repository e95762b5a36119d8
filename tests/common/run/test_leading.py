"""Which metric leads: accuracy only where an answer that ignores the image cannot win it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from he_compare.common.run.leading import leading_metrics, leading_titles
from he_compare.common.run.records import SplitSummary
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from tests.support.samplerun import three_pipelines


def view_of(counts: dict[str, int], path: Path) -> RunView:
    run = three_pipelines()
    test = SplitSummary(n=sum(counts.values()), groups=1, per_class=counts)
    card = run.manifest.dataset.card.model_copy(update={"classes": list(counts)})
    dataset = run.manifest.dataset.model_copy(update={"splits": {"test": test}, "card": card})
    changed = replace(run, manifest=run.manifest.model_copy(update={"dataset": dataset}))
    return read_run(RunFolder(changed.write(path / "run")))


@pytest.mark.parametrize(
    ("counts", "leads", "titles"),
    [
        ({"ill": 200, "well": 200}, "accuracy", ("Accuracy", "AUC")),
        ({"ill": 109, "well": 100}, "accuracy", ("Accuracy", "AUC")),
        ({"ill": 112, "well": 100}, "balanced_accuracy", ("Balanced accuracy", "AUC")),
        ({"ill": 5, "well": 0}, "balanced_accuracy", ("Balanced accuracy", "AUC")),
        (
            {"a": 10, "b": 10, "c": 10},
            "balanced_accuracy",
            ("Balanced accuracy", "Macro AUC"),
        ),
    ],
)
def test_accuracy_leads_for_two_even_classes_only(
    counts: dict[str, int], leads: str, titles: tuple[str, str], tmp_path: Path
) -> None:
    view = view_of(counts, tmp_path)
    assert leading_metrics(view) == (leads, "auc")
    assert leading_titles(view) == titles
