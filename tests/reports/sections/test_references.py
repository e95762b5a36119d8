"""Deviations say where a run used public images, or weights, of the collection under test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from he_compare.common.run.records import AttackOutcome, ReferenceFacts
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import read_run
from he_compare.reports.cards import found_by
from he_compare.reports.document.nodes import plain
from he_compare.reports.sections import deviations
from tests.support.samplerun.audited import audited
from tests.support.samplerun.runs import SampleRun


def claims(run: SampleRun, folder: Path) -> str:
    return "\n".join(
        plain(one.claim)
        for one in found_by(deviations.RULES, read_run(RunFolder(run.write(folder))))
    )


def with_reference(outcome: AttackOutcome, domain: str) -> AttackOutcome:
    facts: dict[str, Any] = {"name": "train", "domain": domain, "digest": "d", "provenance": "p"}
    return outcome.model_copy(update={"reference": ReferenceFacts(**facts)})


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("in-domain", "public images train, an in-domain reference"),
        ("domain not known", "of which it is not known"),
        ("foreign", ""),
    ],
)
def test_attacks_with_public_images(domain: str, words: str, tmp_path: Path) -> None:
    run = audited()
    changed = tuple(with_reference(one, domain) for one in run.outcomes)
    text = claims(replace(run, outcomes=changed), tmp_path / "run")
    assert words in text if words else "public images" not in text


def test_matched_embeddings_and_pretraining(tmp_path: Path) -> None:
    run = audited()
    card = run.manifest.dataset.card.model_copy(update={"collections": ["mine"]})
    manifest = run.manifest.model_copy(
        update={
            "dataset": run.manifest.dataset.model_copy(update={"card": card}),
            "backbone": run.manifest.backbone.model_copy(update={"pretrained_on": ["mine"]}),
        }
    )
    training = {"matching_reference": "atlas", "matching_reference_domain": "in-domain"}
    records = tuple(one.model_copy(update={"training": training}) for one in run.records)
    text = claims(replace(run, manifest=manifest, records=records), tmp_path / "near")
    assert "In-domain pretraining: the weights were trained on mine" in text
    assert "matched to public images, atlas, an in-domain reference" in text
    text = claims(run, tmp_path / "far")
    assert "In-domain pretraining" not in text and "matched to public images" not in text


def test_a_server_that_read_the_pictures_is_named(tmp_path: Path) -> None:
    run = audited()
    words = "the server solved the scrambling from the ciphertexts alone"
    for start in ("solved", "inside_solved", "matched", "fresh"):
        training = {"embedding_start": start}
        records = tuple(one.model_copy(update={"training": training}) for one in run.records)
        text = claims(replace(run, records=records), tmp_path / start)
        assert (words in text) == (start == "solved")
