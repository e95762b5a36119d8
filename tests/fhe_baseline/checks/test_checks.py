"""Checks of the homomorphic pipelines as an audit runs them, and their bytes as schemes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from he_compare.common import plugins
from he_compare.common.attack import CheckFinding, Inspected
from he_compare.common.audit_budget import BUDGETS
from he_compare.common.errors import UsageError
from he_compare.common.types import Message
from he_compare.fhe_baseline.checks import decryptions, malleability
from he_compare.fhe_baseline.checks.tools.recorded_training import Recorded, record_training
from he_compare.fhe_baseline.checks.tools.victim import Victim, victim_of
from he_compare.fhe_baseline.ckks.context import import_tenseal, seal_context
from he_compare.fhe_baseline.ckks.serialization import load_ciphertext, seal_bytes
from he_compare.fhe_baseline.ckks.training.circuit import Circuit
from he_compare.fhe_baseline.ckks.training.problem import Problem
from he_compare.fhe_baseline.encrypted_training_parameters import FheTrainParameters
from he_compare.fhe_baseline.fitted import FittedOnFeatures
from he_compare.fhe_baseline.pipelines.fhe_head import FheHeadParameters
from he_compare.fhe_baseline.pipelines.fhe_tfhe import PIPELINE as TFHE
from he_compare.fhe_baseline.pipelines.fhe_tfhe import FheTfheParameters
from tests.support.deployments import deployed, images, inspected

HOMOMORPHIC = ("fhe-head", "fhe-train", "fhe-tfhe")
REFRESHED = FheTrainParameters(
    components=3, steps=2, rounds=1, parameter_set="n1024-insecure", allow_insecure=True
)
ONE_UPLOAD = FheTrainParameters(components=3, steps=2, parameter_set="n8192-214-deep")


def of(pipeline: str) -> Inspected:
    if pipeline == "fhe-tfhe" and not TFHE.availability().available:
        pytest.skip(TFHE.availability().reason)
    return inspected(pipeline, REFRESHED if pipeline == "fhe-train" else None)


CHECKS = sorted(
    name
    for name, plugin in plugins.discover("checks").items()
    if plugin.module.startswith("he_compare.fhe_baseline.checks")
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
    assert "" in [check.applies(of(pipeline)) for pipeline in HOMOMORPHIC]


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
@pytest.mark.parametrize("pipeline", ["fhe-head", "fhe-tfhe"])
def test_whoever_carries_replies_decides_each_answer_either_way(pipeline: str) -> None:
    finding = examine("malleability", of(pipeline))
    assert (finding.verdict, finding.value) == ("broken", 1.0)
    told = {detail.name: detail.value for detail in finding.details}
    assert told["replies that were given another class"] == 1.0
    assert finding.headline.startswith("8 of 8 replies")


def inverted(victim: Victim, reply: Message) -> Message:
    """Return a CKKS reply with every score negated."""
    assert victim.plan is not None
    seal = import_tenseal().sealapi
    context = seal_context(victim.plan.parameters)
    ciphertext = load_ciphertext(seal.Ciphertext(), context, reply, "reply")
    seal.Evaluator(context).negate_inplace(ciphertext)
    return seal_bytes(ciphertext)


@pytest.mark.slow
def test_an_adversary_who_turns_answers_around_without_choice_is_no_harmless_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A shift that wraps scores around inverts answers: that decides none, and changes all."""
    monkeypatch.setattr(malleability, "_moved", lambda victim, reply, sign: inverted(victim, reply))
    finding = examine("malleability", of("fhe-head"))
    assert (finding.verdict, finding.value) == ("broken", 0.0)


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
    finding = examine("decryptions", of("fhe-train"))
    assert finding.verdict == "resists within budget"
    noise = {detail.name: detail.value for detail in finding.details}
    assert 2.5 < noise["least noise deviation of a refreshed state"] < 4
    assert "refreshed weights go back as fresh ciphertexts" in finding.headline
    assert finding.spent["steps"] == 2


@pytest.mark.slow
def test_nothing_is_sent_after_the_one_decryption_of_a_training_from_one_upload() -> None:
    finding = examine("decryptions", inspected("fhe-train", ONE_UPLOAD))
    assert finding.verdict == "resists within budget"
    assert "one upload and one download" in finding.headline
    assert "nothing is sent to the training server afterwards" in finding.headline
    told = {detail.name: detail.value for detail in finding.details}
    assert "least noise deviation of a refreshed state" not in told
    assert told["training: values decrypted"] == 4  # three components, the constant
    assert told["training: sent to the server"] > 100_000
    assert told["training: decrypted values in it"] == told["training: replies sent back"] == 0


@pytest.mark.slow
def test_an_upload_that_holds_decrypted_weights_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaking(problem: Problem, protocol: Circuit) -> Recorded:
        recorded = record_training(problem, protocol)
        return replace(recorded, sent=[*recorded.sent, recorded.weights[-1].tobytes()])

    monkeypatch.setattr(decryptions, "record_training", leaking)
    finding = examine("decryptions", inspected("fhe-train", ONE_UPLOAD))
    assert finding.verdict == "broken"
    assert finding.value is not None and finding.value >= 4


@pytest.mark.slow
def test_releasing_decrypted_weights_is_told() -> None:
    released = REFRESHED.model_copy(update={"use": "decrypted-by-owner"})
    finding = examine("decryptions", inspected("fhe-train", released))
    assert finding.verdict == "partial"
    assert "releases all" in finding.headline


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "who"),
    [
        (REFRESHED, "the client every refresh"),
        (ONE_UPLOAD, "the client only the weights after the last step"),
    ],
)
def test_one_sample_through_the_encrypted_training_comes_back_exactly(
    parameters: FheTrainParameters, who: str
) -> None:
    finding = examine("sample_gradient", inspected("fhe-train", parameters))
    cosines = {detail.name: detail.value for detail in finding.details}
    assert cosines["batch of 1"] > 0.9999
    assert cosines["batch of 30"] < 0.99
    assert finding.verdict == "partial"
    assert f"the server sees neither, {who}" in finding.headline


def test_ciphertexts_give_the_mean_picture() -> None:
    finding = examine("feature_inversion", inspected("fhe-head"))
    assert finding.verdict == "resists within budget"
    told = {detail.name: detail.value for detail in finding.details}
    assert finding.value is not None
    assert abs(finding.value - told["SSIM of the mean picture"]) < 0.05
    assert told["re-identified from shuffled features"] <= 0.4  # of ten pictures
    assert {picture[1] for picture in finding.pictures} == {"original", "after attack"}


def test_every_deployment_is_looked_at_as_it_is() -> None:
    """Another head and packing than the default are those that the victim has."""
    one = deployed("fhe-head", FheHeadParameters(packing="zero-sum"))
    found = victim_of(inspected("fhe-head", FheHeadParameters(packing="zero-sum")))
    fitted = one.fitted
    assert isinstance(fitted, FittedOnFeatures)
    assert found.plan is fitted.plan
    assert found.plan is not None and found.plan.packing.name == "zero-sum"
    assert found.model is fitted.model
    np.testing.assert_array_equal(found.inputs, fitted.inputs(images())[: len(found.inputs)])
    assert found.public_material != one.deployment.public_material


@pytest.mark.parametrize("name", ["ind_cpa_d", "malleability"])
def test_a_check_of_single_ciphertexts_says_which_packing_it_cannot_read(name: str) -> None:
    check = plugins.load("checks", name)
    one = inspected("fhe-head", FheHeadParameters(packing="batched"))
    assert check.applies(one) == ""
    assert "packing batched" in check.unreadable(one)
    assert check.unreadable(of("fhe-head")) == ""


def test_a_plain_deployment_is_no_victim() -> None:
    plain = inspected(
        "plaintext", plugins.load("pipelines", "plaintext").parameters(model="logistic")
    )
    assert all(plugins.load("checks", name).applies(plain) != "" for name in CHECKS)
    with pytest.raises(UsageError, match="no homomorphic encryption"):
        victim_of(plain)


@pytest.mark.parametrize("pipeline", ["fhe-head", "fhe-train"])
def test_the_bytes_of_a_pipeline_are_a_scheme_that_keeps_nothing(pipeline: str) -> None:
    scheme = of(pipeline).scheme
    own, fresh = scheme.own_key(), scheme.new_key(0)
    assert own is not None
    for keyed in (own, fresh):
        first, again = (scheme.read(keyed.protect(images()[:2])) for _ in range(2))
        assert first.shape == (2, 32, 32, 3)
        assert first.dtype == np.uint8
        assert (first == again).mean() < 0.02
        assert keyed.moves() is None
        assert keyed.models() is None
        with pytest.raises(UsageError, match="no model was adapted"):
            keyed.adapted(np.zeros((3, 4)), np.zeros((1, 4)))
    assert (
        scheme.claims()
        == deployed(pipeline, REFRESHED if pipeline == "fhe-train" else None).fitted.claims()
    )


def test_a_packing_of_many_images_sends_a_whole_ciphertext_for_each_in_the_audit() -> None:
    scheme = inspected("fhe-head", FheHeadParameters(packing="batched")).scheme
    sizes = {len(message) for message in scheme.new_key(0).protect(images()[:3])}
    assert min(sizes) > 10_000


@pytest.mark.slow
def test_short_ciphertexts_are_judged_together() -> None:
    if not TFHE.availability().available:
        pytest.skip(TFHE.availability().reason)
    finding = examine("freshness", inspected("fhe-tfhe", FheTfheParameters(whiten=8)))
    assert finding.verdict == "resists within budget"
