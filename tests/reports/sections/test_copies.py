"""What the deviations say of copies across splits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from he_compare.common.run.records import CopiesFacts, Manifest, NearCopiesFacts
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import read_run
from he_compare.reports import data_rules
from he_compare.reports.cards import found_by
from he_compare.reports.document.nodes import plain
from tests.support.samplerun import three_pipelines

NEAR = NearCopiesFacts(bits=255, threshold=32)
NONE = CopiesFacts(
    policy="drop",
    compared="pixels",
    copies={"train": {}, "val": {}},
    test_images=0,
    test_per_class={},
    test_share=0.0,
    conflicting=0,
    near=NEAR,
)
LEAK = NONE.model_copy(
    update={
        "copies": {"train": {"NORMAL": 3}, "val": {"PNEUMONIA": 1}},
        "test_images": 5,
        "test_per_class": {"NORMAL": 4, "PNEUMONIA": 1},
        "test_share": 0.025,
    }
)


def told(facts: CopiesFacts | None, path: Path) -> list[tuple[str, str, str]]:
    """Return severity, claim and meaning of what the rule finds."""
    run = three_pipelines()
    dataset = run.manifest.dataset.model_copy(update={"copies": facts})
    run = replace(run, manifest=run.manifest.model_copy(update={"dataset": dataset}))
    view = read_run(RunFolder(run.write(path)))
    rule = data_rules._copies
    return [
        (str(one.severity), plain(one.claim), plain(one.limits)) for one in found_by((rule,), view)
    ]


@pytest.mark.parametrize("facts", [None, NONE])
def test_without_copies_or_in_an_older_run_nothing_is_said(
    facts: CopiesFacts | None, tmp_path: Path
) -> None:
    assert told(facts, tmp_path / "run") == []


def test_what_was_left_out_is_a_warning_with_the_share_of_the_test_set(tmp_path: Path) -> None:
    ((severity, claim, meaning),) = told(LEAK, tmp_path / "run")
    assert severity == "warn"
    assert claim == (
        "4 images that equal one of a later split were left out: 3 train (3 NORMAL); "
        "1 val (1 PNEUMONIA); compared by pixels. 5 test images, 2.5% of the test split "
        "(4 NORMAL, 1 PNEUMONIA): a training or validation image equalled each."
    )
    assert "learnt from fewer images" in meaning


def test_a_leak_that_was_kept_fails_the_accuracy(tmp_path: Path) -> None:
    kept = LEAK.model_copy(update={"policy": "keep"})
    ((severity, claim, meaning),) = told(kept, tmp_path / "run")
    assert severity == "fail"
    assert "were kept: 3 train" in claim and "(4 NORMAL, 1 PNEUMONIA)" in claim
    assert "must not be read as accuracy on unseen ones" in meaning
    only_val = kept.model_copy(update={"test_images": 0})
    ((severity, _, meaning),) = told(only_val, tmp_path / "val")
    assert severity == "warn" and meaning.startswith("The validation images were not all unseen")


def test_what_was_not_looked_for_is_unknown(tmp_path: Path) -> None:
    unseen = NEAR.model_copy(update={"not_compared": "too many"})
    blind = NONE.model_copy(
        update={"compared": "", "not_compared": "9,000 megapixels", "near": unseen}
    )
    ((severity, claim, _),) = told(blind, tmp_path / "run")
    assert (severity, claim) == (
        "unknown",
        "Copies across splits were not looked for: 9,000 megapixels.",
    )
    only_near = NONE.model_copy(update={"near": unseen})
    ((severity, claim, _),) = told(only_near, tmp_path / "near")
    assert (severity, claim) == ("unknown", "Near copies were not looked for: too many.")


def test_near_copies_and_conflicting_labels_are_warnings(tmp_path: Path) -> None:
    near = NEAR.model_copy(
        update={"test_images": 1, "test_per_class": {"NORMAL": 1}, "test_share": 0.005}
    )
    facts = NONE.model_copy(update={"near": near, "conflicting": 2})
    found = told(facts, tmp_path / "run")
    assert [severity for severity, _, _ in found] == ["warn", "warn"]
    assert found[0][1] == "2 groups of equal images with different labels."
    assert found[1][1] == (
        "1 test image, 0.5% of the test split (1 NORMAL), looks almost like a training or "
        "validation image (perceptual hash of 255 bits, at most 32 of which differ, mirrored or "
        "turned images included)."
    )


def test_a_manifest_without_the_facts_is_read() -> None:
    stored: dict[str, Any] = three_pipelines().manifest.model_dump(mode="json")
    del stored["dataset"]["copies"]
    assert Manifest.model_validate(stored).dataset.copies is None
