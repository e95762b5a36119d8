"""Which pipeline of a run the others are compared with: a fact of the pipeline that is recorded."""

from __future__ import annotations

from typing import Any

import pytest

from he_compare.common import plugins
from he_compare.common.run.records import Manifest, PlannedPipeline
from he_compare.comparisons.judging.scoring import reference_label
from tests.support.samplerun.runs import three_pipelines


def planned(label: str, name: str = "x", **more: Any) -> PlannedPipeline:
    return PlannedPipeline(label=label, name=name, parameters={}, **{"resolved": {}} | more)


def manifest(*pipelines: PlannedPipeline) -> Manifest:
    return three_pipelines().manifest.model_copy(update={"pipelines": list(pipelines)})


def test_the_smallest_rank_that_answered_is_the_reference() -> None:
    run = manifest(
        planned("never", reference_rank=None),
        planned("second", reference_rank=1),
        planned("first", reference_rank=0),
        planned("as good", reference_rank=0),
    )
    assert reference_label(run, ["never", "second", "first", "as good"]) == "first"
    assert reference_label(run, ["never", "second"]) == "second"
    assert reference_label(run, ["never"]) == ""


@pytest.mark.parametrize(
    ("name", "model", "rank"),
    [
        ("plaintext", "finetune", 0),
        ("plaintext", "logistic", 1),
        ("block-scramble", "finetune", None),
    ],
)
def test_a_plan_from_before_ranks_is_read_with_them(
    name: str, model: str, rank: int | None
) -> None:
    assert planned("label", name, resolved={"model": model}).reference_rank == rank


def test_a_stored_rank_is_kept_whatever_the_name() -> None:
    assert planned("plain", "plaintext", reference_rank=None).reference_rank is None
    assert planned("mine", "of a third party", reference_rank=0).reference_rank == 0


def test_only_pipelines_without_protection_are_references_the_served_one_first() -> None:
    built_in = {
        name: plugins.load("pipelines", name)
        for name, found in plugins.discover("pipelines").items()
        if found.module.startswith("he_compare.")
    }
    ranks = {
        name: pipeline.reference_rank(pipeline.parameters()) for name, pipeline in built_in.items()
    }
    ranked = {name: rank for name, rank in ranks.items() if rank is not None}
    assert sorted(ranked, key=lambda name: ranked[name]) == ["plaintext", "local"]
