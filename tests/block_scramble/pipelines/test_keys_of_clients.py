"""Whose key an image is under: wrong keys, two clients with a key each, nonces that travel."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.block_scramble.deployment.cipher_instance import make_instance
from he_compare.block_scramble.deployment.client import BlockScrambleClient
from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters
from he_compare.block_scramble.pipelines.block_scramble import PIPELINE
from he_compare.common.clock import Clock
from he_compare.common.contracts import (
    Deployment,
    TrainingData,
)
from he_compare.common.errors import UsageError
from he_compare.common.service.wire import unpack
from he_compare.common.types import Side
from tests.support.batches import bright_and_dark
from tests.support.runcontext import Bench
from tests.support.scrambling import DATA, TEST, fit, scores_of


def test_images_under_another_key_get_other_scores(bench: Bench) -> None:
    right, wrong = (
        fit(bench, bench.context(epochs=1), mode="adapted", key=key).deploy(bench.context())
        for key in ("seeded:1", "seeded:2")
    )
    images = np.tile(np.arange(256, dtype=np.uint8), 12).reshape(1, 32, 32, 3)
    expected = scores_of(bench, right, images)
    assert np.abs(scores_of(bench, wrong, images) - expected).max() < 1e-4
    mismatched = Deployment(wrong.client, right.public_material)
    assert np.abs(scores_of(bench, mismatched, images) - expected).max() > 1e-2


def test_wrong_key_at_test_time_loses_what_the_right_key_scores(bench: Bench) -> None:
    images = np.tile(np.arange(256, dtype=np.uint8), 12).reshape(1, 32, 32, 3)
    deployments = {}
    for wrong in (False, True):
        context = bench.context(epochs=1)
        fitted = fit(bench, context, mode="adapted", wrong_key=wrong)
        deployments[wrong] = fitted.deploy(context)
        assert (fitted.clear_reference(images) is None) is wrong
        assert any("wrong_key" in line for line in context.warnings) is wrong
        assert ("wrong_key" in fitted.claims().parameters) is wrong
    assert deployments[True].public_material == deployments[False].public_material
    right, lost = (scores_of(bench, deployments[wrong], images) for wrong in (False, True))
    assert np.abs(right - lost).max() > 1e-2


@pytest.mark.parametrize("sharing", ["joint", "apart"])
def test_two_clients_with_their_own_keys_train_one_model_or_one_each(
    bench: Bench, sharing: str
) -> None:
    context = bench.context(epochs=1)
    fitted = fit(bench, context, clients=2, sharing=sharing)
    trained = bench.servers[:]
    assert len(trained) == (1 if sharing == "joint" else 2)
    dealt = context.training["images_by_client"]
    assert sum(share["train"] for share in dealt) == 32 and min(s["train"] for s in dealt) > 0
    assert ("by_client" in context.training) is (sharing == "apart")
    deployment = fitted.deploy(context)
    scores = scores_of(bench, deployment, TEST.images[:])
    assert scores.shape == (20, 2)
    messages = deployment.client.protect(TEST.images[:], Clock(Side.CLIENT))
    assert {unpack(message)[1]["client"] for message in messages} == {"0", "1"}
    assert len(bench.artefacts.made) == len(trained)
    assert "which client an image comes from" in fitted.claims().server_learns


def test_images_of_two_clients_are_encrypted_under_two_keys_in_their_order(bench: Bench) -> None:
    parameters = BlockScrambleParameters(clients=2)
    instance = make_instance(parameters, DATA, bench.context())
    assert instance.key_of(0).fingerprint != instance.key_of(1).fingerprint
    client = BlockScrambleClient(instance.inference_encryptors(), 2, instance.owner_of_image)
    messages = client.protect(TEST.images[:], Clock(Side.CLIENT))
    for image, message in zip(TEST.images[:], messages, strict=True):
        arrays, metadata = unpack(message)
        owner = int(metadata["client"])
        assert owner == instance.owner_of_image(image)
        encryptor = instance.encryptor("test", owner)
        assert (encryptor.decrypt(arrays["ciphertext"][None], ())[0] == image).all()


def test_a_client_without_images_is_refused(bench: Bench) -> None:
    few = TrainingData(bright_and_dark(8, 0), bright_and_dark(1, 1), ("dark", "bright"), "few")
    parameters = BlockScrambleParameters(clients=2, key="seeded:1")
    with pytest.raises(UsageError, match=r"client [12] of 2 gets no val images"):
        PIPELINE.fit(few, parameters, bench.context())


def test_per_image_nonces_travel_with_the_ciphertexts(bench: Bench) -> None:
    context = bench.context(epochs=1)
    deployment = fit(bench, context, key_policy="per_image").deploy(context)
    messages = deployment.client.protect(TEST.images[:], Clock(Side.CLIENT))
    nonces = {unpack(message)[1]["nonce"] for message in messages}
    assert len(nonces) == 20
    assert {len(nonce) for nonce in nonces} == {32}
    added, _ = unpack(bench.crossing.messages[0])
    assert added["nonces"].shape == (32, 16)
    assert scores_of(bench, deployment, TEST.images[:]).shape == (20, 2)
