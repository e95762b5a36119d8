"""Every packing evaluates the head that it was given, and says when it cannot."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from he_compare.common.backbones.head import CLIP, LinearModel
from he_compare.common.clock import Clock
from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.plugins import discover
from he_compare.common.types import MAX_CLASSES, Side, Stage
from he_compare.fhe_baseline.ckks.context import explain_seal_error
from he_compare.fhe_baseline.ckks.inference import load_public_material, make_plan, public_material
from he_compare.fhe_baseline.ckks.packing import (
    PackingClient,
    PackingServer,
    load_packing,
    most_classes_of,
)
from he_compare.fhe_baseline.ckks.parameters import CkksParameters, parameter_set

WIDTHS, CLASS_COUNTS = (5, 192, 384, 768, 1024), (2, 3, 11)
ALL_SHAPES = [(width, classes) for width in WIDTHS for classes in CLASS_COUNTS]


def random_model(width: int, classes: int) -> LinearModel:
    generator = np.random.default_rng(width * 100 + classes)
    return LinearModel(
        generator.normal(scale=0.05, size=(classes, width)), generator.normal(size=classes)
    )


def deploy(
    model: LinearModel, packing: str, parameters: str = "auto"
) -> tuple[PackingClient, PackingServer, bytes]:
    plan = make_plan(model, packing, parameters)
    client = plan.packing.make_client(plan.parameters, model)
    material = public_material(plan, client.public_arrays())
    return client, load_public_material(material), material


def largest_error(model: LinearModel, packing: str, parameters: str = "auto", n: int = 2) -> float:
    client, server, _ = deploy(model, packing, parameters)
    features = np.clip(2 * np.random.default_rng(7).normal(size=(n, model.width)), -CLIP, CLIP)
    there, at_server = Clock(Side.CLIENT), Clock(Side.SERVER)
    scores = client.reveal(server.infer(client.protect(features, there), at_server), there)
    assert scores.shape == (n, model.classes)
    return float(np.abs(scores - model.scores(features)).max())


@pytest.mark.parametrize(("width", "classes"), ALL_SHAPES)
def test_replicated_scores_equal_the_clear_ones(width: int, classes: int) -> None:
    assert largest_error(random_model(width, classes), "replicated") < 1e-3


@pytest.mark.parametrize("width", [192, 1024])
def test_replicated_holds_as_many_classes_as_a_head_has(width: int) -> None:
    assert largest_error(random_model(width, MAX_CLASSES), "replicated") < 1e-3


@pytest.mark.parametrize(("width", "classes"), [(5, 3), (192, 2), (384, 2), (768, 3), (1024, 11)])
def test_tenseal_dot_scores_equal_the_clear_ones(width: int, classes: int) -> None:
    assert largest_error(random_model(width, classes), "tenseal-dot", n=1) < 1e-4


@pytest.mark.parametrize(("width", "classes"), [(5, 2), (6, 3), (5, 11), (6, 128)])
def test_tenseal_mm_scores_equal_the_clear_ones(width: int, classes: int) -> None:
    assert largest_error(random_model(width, classes), "tenseal-mm", n=1) < 1e-4


@pytest.mark.parametrize(("width", "classes"), [(1, 2), (5, 11), (192, 2), (5, 128)])
def test_batched_scores_equal_the_clear_ones(width: int, classes: int) -> None:
    assert largest_error(random_model(width, classes), "batched", n=3) < 1e-3


@pytest.mark.parametrize(("width", "classes"), [(1, 2), (5, 11), (192, 3), (384, 2), (192, 42)])
def test_zero_sum_scores_equal_the_clear_ones(width: int, classes: int) -> None:
    assert largest_error(random_model(width, classes), "zero-sum") < 1e-3


@pytest.mark.parametrize("parameters", ["n4096-106-flat", "n8192", "n8192-160", "n8192-144"])
def test_zero_sum_works_with_primes_that_no_double_holds(parameters: str) -> None:
    assert largest_error(random_model(192, 2), "zero-sum", parameters) < 1e-4


@pytest.mark.parametrize(("packing", "classes"), [("replicated", 128), ("zero-sum", 42)])
def test_a_packing_takes_as_many_classes_as_it_says(packing: str, classes: int) -> None:
    assert most_classes_of(packing, "auto", 192) == classes
    make_plan(random_model(192, classes), packing, "auto")
    if classes < MAX_CLASSES:
        with pytest.raises(UsageError, match=f"192 features for {classes + 1} classes"):
            make_plan(random_model(192, classes + 1), packing, "auto")


@pytest.mark.parametrize("parameters", ["n4096", "n8192", "n8192-160", "n8192-144"])
def test_replicated_works_with_every_parameter_set(parameters: str) -> None:
    assert largest_error(random_model(384, 2), "replicated", parameters) < 1e-4


@pytest.mark.parametrize("parameters", ["n8192", "n8192-144"])
def test_tenseal_dot_works_with_every_set_whose_prime_is_its_scale(parameters: str) -> None:
    assert largest_error(random_model(5, 2), "tenseal-dot", parameters) < 1e-4


def test_the_largest_score_a_model_can_give_does_not_overflow() -> None:
    generator = np.random.default_rng(3)
    model = LinearModel(generator.normal(scale=0.3, size=(2, 384)), np.array([40.0, -40.0]))
    client, server, _ = deploy(model, "replicated")
    features = np.stack([CLIP * np.sign(row) for row in (*model.weights, *-model.weights)])
    clock = Clock(Side.CLIENT)
    scores = client.reveal(server.infer(client.protect(features, clock), clock), clock)
    assert np.abs(model.scores(features)).max() > 500
    np.testing.assert_allclose(scores, model.scores(features), atol=2e-3)


def test_one_feature_needs_no_rotation_and_no_galois_keys() -> None:
    model = random_model(1, 2)
    assert largest_error(model, "replicated") < 1e-4
    _, _, material = deploy(model, "replicated")
    assert len(material) < 1000


def test_the_error_stays_within_the_prediction() -> None:
    model = random_model(384, 2)
    predicted = load_packing("replicated").facts(parameter_set("n4096-106"), model)
    error = largest_error(model, "replicated", "n4096-106", n=30)
    assert predicted["predicted_score_error_5_sigma"] / 20 < error
    assert error < predicted["predicted_score_error_5_sigma"]


def test_an_upload_takes_at_most_50_kb_and_galois_keys_are_for_the_rotations_used() -> None:
    model = random_model(384, 2)
    client, server, material = deploy(model, "replicated")
    clock = Clock(Side.CLIENT)
    uploads = client.protect(np.zeros((1, 384)), clock)
    (reply,) = server.infer(uploads, clock)
    assert len(uploads[0]) <= 50_000
    assert len(reply) <= 50_000
    assert len(material) < 1_300_000
    _, _, full_set = deploy(model, "tenseal-dot")
    assert len(full_set) > 10 * len(material)


@pytest.mark.parametrize("packing", ["replicated", "zero-sum", "tenseal-dot"])
def test_two_encryptions_of_the_same_features_differ(packing: str) -> None:
    client, _, _ = deploy(random_model(5, 2), packing)
    first, second = client.protect(np.ones((2, 5)), Clock(Side.CLIENT))
    assert first != second
    same = sum(a == b for a, b in zip(first[200:], second[200:], strict=False))
    assert same < 0.1 * len(first)


def test_stages_are_those_the_interface_can_tell_apart() -> None:
    model = random_model(5, 2)
    told = {}
    for packing in ("replicated", "batched", "zero-sum", "tenseal-dot"):
        client, server, _ = deploy(model, packing)
        there, at_server = Clock(Side.CLIENT), Clock(Side.SERVER)
        client.reveal(server.infer(client.protect(np.ones((3, 5)), there), at_server), there)
        told[packing] = [stage for stage, *_ in there.samples]
        assert [stage for stage, *_ in at_server.samples] == [
            Stage.DESERIALIZE,
            Stage.EVALUATE,
            Stage.SERIALIZE,
        ]
        assert all(items == [3] for items in at_server.items.values())
    common = [Stage.ENCRYPT, Stage.SERIALIZE, Stage.DESERIALIZE, Stage.DECRYPT]
    assert told["tenseal-dot"] == common
    for packing in ("replicated", "batched", "zero-sum"):
        assert told[packing] == [Stage.ENCODE, *common, Stage.DECODE]


def test_auto_takes_the_small_ring_and_the_larger_one_where_scores_are_large() -> None:
    generator = np.random.default_rng(0)
    huge = LinearModel(generator.normal(scale=2e3, size=(2, 384)), np.zeros(2))
    assert make_plan(random_model(384, 2), "auto", "auto").parameter_name == "n4096-106"
    assert make_plan(huge, "auto", "auto").parameter_name == "n8192-160"
    with pytest.raises(UsageError, match="n4096-106: scores would be off"):
        make_plan(huge, "replicated", "n4096-106")


def test_auto_batches_where_a_batch_has_as_many_images_as_features() -> None:
    model = random_model(192, 2)
    for batch, chosen in ((1, "replicated"), (191, "replicated"), (192, "batched")):
        assert make_plan(model, "auto", "auto", batch).packing.name == chosen
    assert make_plan(model, "zero-sum", "auto", 192).packing.name == "zero-sum"


def test_tenseal_is_not_used_where_its_rescale_would_be_silently_wrong() -> None:
    with pytest.raises(UsageError, match="TenSEAL rescales rightly only where"):
        make_plan(random_model(5, 2), "tenseal-dot", "n4096")


def test_parameters_without_a_multiplication_are_refused() -> None:
    flat = CkksParameters(4096, (50, 50), 30)
    for name in set(discover("packings")) - {"batched"}:
        assert "no multiplication" in load_packing(name).misfit(flat, random_model(5, 2))


@pytest.mark.parametrize("packing", ["replicated", "tenseal-dot"])
def test_a_head_of_zero_weights_is_refused_with_the_reason(packing: str) -> None:
    """Constant features give such a head; SEAL refuses a product that hides nothing."""
    with pytest.raises(UsageError, match="only zero weights"):
        make_plan(LinearModel(np.zeros((2, 5)), np.ones(2)), packing, "auto")


def test_an_unknown_packing_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tenseal-dot'"):
        load_packing("tenseal_dott")


@cache
def seal_complaint_about_scale() -> str:
    """Provoke SEAL's own words: a product whose scale exceeds the modulus."""
    from tenseal import sealapi

    from he_compare.fhe_baseline.ckks.context import seal_context

    context = seal_context(parameter_set("n4096"))
    encoder, evaluator = sealapi.CKKSEncoder(context), sealapi.Evaluator(context)
    encryptor = sealapi.Encryptor(context, sealapi.KeyGenerator(context).secret_key())
    plain, cipher = sealapi.Plaintext(), sealapi.Ciphertext()
    encoder.encode([1.0], 2.0**40, plain)
    encryptor.encrypt_symmetric(plain, cipher)
    with pytest.raises((RuntimeError, ValueError)) as caught:
        evaluator.multiply_plain_inplace(cipher, plain)
    return str(caught.value)


def test_scale_out_of_bounds_is_explained_with_the_modulus_and_a_remedy() -> None:
    told = str(explain_seal_error(ValueError(seal_complaint_about_scale()), parameter_set("n4096")))
    assert "scale exceeds the modulus" in told
    assert "[36, 36, 37]" in told
    assert "one more prime" in told
