"""Fields that older claims, manifests and outcomes lack are filled in when they are read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from he_compare.common.run.old_records import with_manifest_facts
from he_compare.common.run.records import AttackOutcome, Manifest, SecurityClaims
from he_compare.common.types import Aim, Knowledge
from tests.support.samplerun import ten_pipelines, three_pipelines


def old_claims(assumption: str, *uses: str) -> SecurityClaims:
    """Read claims as they were stored when lattice facts had no task and keys were all counted."""
    (facts, *_) = (
        record.claims.lattice[0].model_dump(mode="json", exclude={"task"})
        for record in three_pipelines().records
        if record.claims and record.claims.lattice
    )
    stored = {
        "scheme": "s",
        "protects": "p",
        "claim_type": "reduction to a hardness assumption",
        "assumption": assumption,
        "key_space": {"nominal_bits": 9.0, "seed_entropy_bits": 8.0, "effective_bits": 8.0},
        "lattice": [facts | {"use": use} for use in uses],
    }
    return SecurityClaims.model_validate_json(json.dumps(stored))


def test_the_task_was_the_first_part_of_the_use() -> None:
    found = old_claims("decision LWE", "training", "inference: inputs", "bootstrapping key").lattice
    assert [(one.task, one.use, one.purpose) for one in found] == [
        ("training", "", "training"),
        ("inference", "inputs", "inference: inputs"),
        ("", "bootstrapping key", "bootstrapping key"),
    ]


@pytest.mark.parametrize(("assumption", "searched"), [("decision RLWE", False), ("AES", True)])
def test_whether_keys_are_searched_was_said_by_the_assumption(
    assumption: str, *, searched: bool
) -> None:
    space = old_claims(assumption).key_space
    assert space is not None and space.searched is searched


def test_claims_with_the_fields_are_read_as_they_are() -> None:
    claims = [record.claims for record in ten_pipelines().records if record.claims]
    for one in claims:
        assert SecurityClaims.model_validate_json(one.model_dump_json()) == one


def test_the_limits_of_an_older_run_are_those_of_its_settings() -> None:
    made = ten_pipelines().manifest
    stored = made.model_dump(mode="json")
    for name in ("subset_is_default", "limits"):
        del stored["dataset"][name]
    read = Manifest.model_validate_json(json.dumps(stored))
    assert read == made
    assert (read.dataset.subset_is_default, read.dataset.limits) == (False, {"test": 60})
    assert with_manifest_facts(made.model_dump(mode="json")) == made.model_dump(mode="json")


@pytest.mark.parametrize(
    ("kind", "target", "scheme"),
    [
        ("cipher", "vit_block[patch=8]", "vit_block"),
        ("control", "aes_ctr", "aes_ctr"),
        ("pipeline", "block-scramble[vit_block]", ""),
    ],
)
def test_the_cipher_of_an_older_outcome_is_its_target_up_to_the_parameters(
    kind: Any, target: str, scheme: str
) -> None:
    made = AttackOutcome(
        identity="i",
        attack="probe",
        target=target,
        target_kind=kind,
        rung=Knowledge.ACTIVE,
        knowledge=[],
        verdict="broken",
    )
    stored = made.model_dump(mode="json", exclude={"scheme"})
    assert AttackOutcome.model_validate_json(json.dumps(stored)).scheme == scheme


def old_circuit(bootstraps: int | None) -> SecurityClaims:
    """Read claims of a circuit as they were stored when every circuit was called TFHE."""
    facts = old_claims("decision LWE", "inference: inputs", "training").model_dump(mode="json")
    for one in facts["lattice"]:
        one["scheme"] = "TFHE"
        del one["estimated_by"]
    count = {} if bootstraps is None else {"programmable_bootstrap_count": bootstraps}
    stored = facts | {"scheme": "TFHE (LWE), Concrete ML", "parameters": count}
    return SecurityClaims.model_validate_json(json.dumps(stored))


@pytest.mark.parametrize(("bootstraps", "scheme"), [(0, "LWE"), (3, "TFHE"), (None, "TFHE")])
def test_a_circuit_that_bootstraps_nothing_is_lwe(bootstraps: int | None, scheme: str) -> None:
    found = old_circuit(bootstraps)
    assert found.scheme.startswith(scheme)
    assert [one.scheme for one in found.lattice] == [scheme, "TFHE"]


def test_older_estimates_were_made_by_this_package() -> None:
    assert {one.estimated_by for one in old_circuit(0).lattice} == {"he-compare"}


def test_an_older_outcome_says_what_it_aims_at_and_whether_pictures_were_aligned() -> None:
    older = {
        "identity": "a",
        "attack": "jigsaw",
        "target": "fhe-head",
        "target_kind": "pipeline",
        "rung": "many ciphertexts under one key",
        "knowledge": [],
        "metric": {"name": "SSIM", "value": 0.1, "interval": None, "n": 3},
        "advantage": 0.0,
        "claim": "the image is hidden (reduction to a hardness assumption)",
        "verdict": "resists within budget",
    }
    read = AttackOutcome.model_validate_json(json.dumps(older))
    assert (read.aim, read.aligned, read.counts_as) == (Aim.IMAGE, True, "control")
    elsewhere = AttackOutcome.model_validate_json(json.dumps(older | {"attack": "of_a_stranger"}))
    assert (elsewhere.aim, elsewhere.aligned) == (None, False)
