"""Checks of the homomorphic pipelines as an audit runs them, and their bytes as schemes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from he_compare.common import plugins
from he_compare.common.attack import CheckFinding, Inspected
from he_compare.common.audit_budget import BUDGETS
from he_compare.common.errors import UsageError
from he_compare.fhe_baseline.checks.tools.victim import CKKS, TFHE
from he_compare.fhe_baseline.pipelines.fhe_head import FheHeadParameters
from he_compare.fhe_baseline.pipelines.fhe_tfhe import FheTfheParameters
from he_compare.fhe_baseline.pipelines.fhe_train import FheTrainParameters
from he_compare.fhe_baseline.scheme import SCHEMES

BACKBONE = "deit_tiny_distilled_patch16_224"
PARAMETERS: dict[str, Any] = {
    "fhe-head": FheHeadParameters(),
    "fhe-train": FheTrainParameters(),
    "fhe-tfhe": FheTfheParameters(),
}
CHECKS = sorted(
    name
    for name, plugin in plugins.discover("checks").items()
    if plugin.module.startswith("he_compare.fhe_baseline.checks")
)


@cache
def images() -> np.ndarray:
    random = np.random.default_rng(0)
    made = random.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    made[1::2, :16] //= 2
    return made


def inspected(pipeline: str, parameters: Any = None, backbone: str = BACKBONE) -> Inspected:
    return Inspected(
        label=pipeline or "np",
        pipeline=pipeline,
        parameters=parameters or PARAMETERS.get(pipeline),
        scheme=None,
        images=images(),
        labels=np.arange(30) % 2,
        classes=("a", "b"),
        backbone=backbone,
        weights="untrained",
    )


def examine(name: str, one: Inspected) -> CheckFinding:
    check = plugins.load("checks", name)
    assert check.applies(one) == ""
    return check.examine(one, BUDGETS["quick"], np.random.default_rng(0))


def test_there_are_the_checks_that_the_audit_promises() -> None:
    assert CHECKS == [
        "decryptions",
        "feature_inversion",
        "freshness",
        "head_extraction",
        "ind_cpa_d",
        "malformed_messages",
        "malleability",
        "sample_gradient",
        "server_state",
    ]


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_means_nothing_to_a_cipher_and_says_so(name: str) -> None:
    assert plugins.load("checks", name).applies(inspected("")) != ""


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_applies_to_a_homomorphic_pipeline_or_says_why_not(name: str) -> None:
    check = plugins.load("checks", name)
    reasons = [check.applies(inspected(pipeline)) for pipeline in (*CKKS, *TFHE)]
    assert "" in reasons


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("decryptions", "resists within budget"),
        ("freshness", "resists within budget"),
        ("head_extraction", "broken"),
        ("ind_cpa_d", "broken"),
        ("malleability", "broken"),
    ],
)
def test_the_checks_of_encrypted_inference_find_what_is_there(name: str, verdict: str) -> None:
    finding = examine(name, inspected("fhe-head"))
    assert finding.verdict == verdict
    assert finding.headline
    assert finding.limits
    assert all(np.isfinite(detail.value) for detail in finding.details)


@pytest.mark.slow
def test_no_secret_key_is_found_at_the_server() -> None:
    from he_compare.common.errors import UnavailableError

    try:
        finding = examine("server_state", inspected("fhe-head"))
    except UnavailableError as error:
        pytest.skip(str(error))
    assert (finding.verdict, finding.value) == ("resists within budget", 0.0)


@pytest.mark.slow
def test_training_sends_refreshed_weights_back_as_fresh_ciphertexts() -> None:
    small = FheTrainParameters(whiten=3, parameter_set="n1024-insecure", allow_insecure=True)
    finding = examine("decryptions", inspected("fhe-train", small))
    assert finding.verdict == "resists within budget"
    noise = {detail.name: detail.value for detail in finding.details}
    assert 2.5 < noise["least noise deviation of a refreshed state"] < 4


@pytest.mark.slow
def test_releasing_decrypted_weights_is_told() -> None:
    released = FheTrainParameters(
        whiten=3,
        parameter_set="n1024-insecure",
        allow_insecure=True,
        use="decrypted-by-owner",
    )
    finding = examine("decryptions", inspected("fhe-train", released))
    assert finding.verdict == "partial"
    assert "releases all" in finding.headline


@pytest.mark.slow
def test_one_sample_through_the_encrypted_round_comes_back_exactly() -> None:
    small = FheTrainParameters(parameter_set="n1024-insecure", allow_insecure=True)
    finding = examine("sample_gradient", inspected("fhe-train", small))
    cosines = {detail.name: detail.value for detail in finding.details}
    assert cosines["batch of 1"] > 0.9999
    assert cosines["batch of 30"] < 0.99


def test_ciphertexts_give_the_mean_picture() -> None:
    finding = examine("feature_inversion", inspected("fhe-head"))
    assert finding.verdict == "resists within budget"
    floor = {detail.name: detail.value for detail in finding.details}
    assert finding.value is not None
    assert abs(finding.value - floor["SSIM of the mean picture: the floor"]) < 0.05
    assert {picture[1] for picture in finding.pictures} == {"original", "after attack"}


def test_a_check_without_a_backbone_says_what_is_missing() -> None:
    with pytest.raises(UsageError, match="backbone"):
        examine("freshness", inspected("fhe-head", backbone=""))


def test_a_missing_library_is_unavailable_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from he_compare.common.contracts import Availability
    from he_compare.common.errors import UnavailableError
    from he_compare.fhe_baseline.tfhe import library

    monkeypatch.setattr(
        library, "availability", lambda: Availability(False, "no wheel", "use 3.11")
    )
    with pytest.raises(UnavailableError, match="no wheel"):
        examine("freshness", inspected("fhe-tfhe"))


@pytest.mark.parametrize("pipeline", CKKS)
def test_the_bytes_of_a_pipeline_are_a_scheme_that_keeps_nothing(pipeline: str) -> None:
    scheme = SCHEMES.of_pipeline(pipeline, PARAMETERS[pipeline], (32, 32, 3), BACKBONE)
    keyed = scheme.new_key(0)
    first, again = (scheme.read(keyed.protect(images()[:2])) for _ in range(2))
    assert first.shape == (2, 32, 32, 3)
    assert first.dtype == np.uint8
    assert (first == again).mean() < 0.02
    assert keyed.moves() is None
    space = scheme.claims().key_space
    assert space is not None
    assert space.effective_bits >= 128
    with pytest.raises(UsageError, match="no patch embedding"):
        keyed.adapted(np.zeros((3, 4)), np.zeros((1, 4)))


def test_other_pipelines_and_ciphers_are_not_of_this_family() -> None:
    family = SCHEMES
    assert family.of_cipher("np", {}, (32, 32, 3)) is None
    assert family.of_pipeline("plaintext", None, (32, 32, 3), BACKBONE) is None
