"""The convolutional baselines learn, on plain images and on ciphertext, and keep the boundary."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from he_compare.block_scramble.deployment.public_material import ServerMaterial
from he_compare.block_scramble.keys import key_files
from he_compare.block_scramble.pipelines.block_scramble_convnet import PIPELINE as SCRAMBLED
from he_compare.block_scramble.pipelines.block_scramble_convnet import (
    ConvnetMaterial,
    ConvnetScrambleParameters,
)
from he_compare.common import plugins
from he_compare.common.backbones.deit import state_bytes
from he_compare.common.clock import Clock
from he_compare.common.errors import CompareError, DataError, MessageError, UsageError
from he_compare.common.pipelines.convnet import PIPELINE as PLAIN
from he_compare.common.pipelines.convnet import ConvnetParameters, build_convnet, convnet_budget
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Side
from he_compare.comparisons.measuring.disturbances import BIT_FLIPS, GAUSSIAN_NOISE
from he_compare.comparisons.measuring.robustness import robustness_curve
from tests.support.batches import bright_and_dark, training_data
from tests.support.runcontext import Bench

DATA = training_data(bright_and_dark(17, 0), bright_and_dark(8, 1))
TEST = bright_and_dark(20, 2)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def accuracy(scores: np.ndarray) -> float:
    return float((scores.argmax(axis=1) == TEST.labels).mean())


def test_both_are_found_by_name() -> None:
    found = plugins.discover("pipelines")
    assert {"convnet", "block-scramble-convnet"} <= set(found)
    assert "tradition" in found["convnet"].summary


def test_the_stem_for_small_images_learns_and_keeps_the_whole_size(bench: Bench) -> None:
    context = bench.context()
    parameters = ConvnetParameters(stem="small")
    fitted = PLAIN.fit(DATA, parameters, context)
    assert accuracy(bench.scores("convnet", fitted.deploy(context), TEST.images[:])) >= 0.9
    small, usual = (
        build_convnet(classes=2, weights="untrained", seed=0, stem=stem)
        for stem in ("small", "imagenet")
    )
    images = torch.zeros(1, 3, 28, 28)
    assert small.forward_features(images).shape == (1, 512, 4, 4)
    assert usual.forward_features(images).shape == (1, 512, 1, 1)


def test_the_stem_for_small_images_is_for_small_images(bench: Bench) -> None:
    with pytest.raises(ValidationError, match="weights=hub are of the imagenet stem"):
        ConvnetParameters(stem="small", weights="hub")
    with pytest.raises(DataError, match="64 pixels at most, not of 112"):
        PLAIN.fit(DATA, ConvnetParameters(stem="small"), bench.context(image_size=112))
    for stem, size, words in (("small", 65, "64 pixels"), ("large", 28, "not one of")):
        setup = {"statistics": "deit_tiny_patch16_224", "image_size": size, "classes": 2}
        material = pack(
            {"state": np.zeros(9000, np.uint8)}, {"setup": json.dumps(setup | {"stem": stem})}
        )
        with pytest.raises(MessageError, match=words):
            PLAIN.load_server(material)


def test_the_plain_network_learns_and_is_trained_once(bench: Bench) -> None:
    context = bench.context()
    fitted = PLAIN.fit(DATA, ConvnetParameters(), context)
    assert accuracy(bench.scores("convnet", fitted.deploy(context), TEST.images[:])) >= 0.9
    assert context.training["model"] == "resnet18"
    assert context.training["epochs"] == len(context.training["history"]) <= 2
    assert fitted.claims().claim_type == "none"
    assert PLAIN.fit(DATA, ConvnetParameters(), bench.context()).state == fitted.state
    assert len(bench.artefacts.kept) == 1


def test_the_same_run_gives_the_same_weights(bench: Bench, tmp_path: Path) -> None:
    states = [
        PLAIN.fit(DATA, ConvnetParameters(), other.context(epochs=1)).state
        for other in (bench, Bench(tmp_path))
    ]
    assert states[0] == states[1]


@pytest.mark.parametrize("options", [{}, {"cipher": "orthogonal"}, {"key_policy": "per_image"}])
def test_a_server_trains_the_network_on_ciphertexts(bench: Bench, options: dict[str, Any]) -> None:
    context = bench.context()
    parameters = ConvnetScrambleParameters(key="seeded:1", **options)
    fitted = SCRAMBLED.fit(DATA, parameters, context)
    deployment = fitted.deploy(context)
    assert accuracy(bench.scores("block-scramble-convnet", deployment, TEST.images[:])) >= 0.9
    training = context.training
    assert training["model"] == "resnet18" and "patch_embedding" not in training
    assert "no key" in training["trained_on"] and training["augmentation"] == "none"
    assert fitted.clear_reference(TEST.images[:]) is None
    picture = fitted.protected_picture(TEST.images[:1])
    assert picture is not None and (picture != TEST.images[:1]).mean() > 0.5


def test_no_key_and_no_plain_image_reaches_the_server(bench: Bench) -> None:
    context = bench.context(epochs=1)
    fitted = SCRAMBLED.fit(DATA, ConvnetScrambleParameters(), context)
    bench.scores("block-scramble-convnet", fitted.deploy(context), TEST.images[:])
    secret = key_files.load(context.key_file).secret_bytes()
    crossed = b"".join([*bench.crossing.public, *bench.crossing.messages])
    assert secret not in crossed and secret.hex().encode() not in crossed
    row = TEST.images[0, 0].tobytes()
    assert row not in crossed and DATA.train.images[0, 0].tobytes() not in crossed
    assert not any(secret in stored for stored in bench.artefacts.kept.values())


def test_images_under_the_wrong_key_are_told_in_the_claims(bench: Bench) -> None:
    fitted = SCRAMBLED.fit(DATA, ConvnetScrambleParameters(wrong_key=True), bench.context(epochs=1))
    assert "wrong_key" in fitted.claims().parameters


@pytest.mark.parametrize(
    "options", [{"mode": "adapted"}, {"clients": 2}, {"sharing": "apart"}, {"weights": "shipped"}]
)
def test_what_a_convolutional_network_cannot_do_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, UsageError)):
        ConvnetScrambleParameters(**options)


@pytest.mark.parametrize("images", [17, 33, 9, 2])
def test_no_batch_of_one_image_is_left_over(bench: Bench, images: int) -> None:
    budget = convnet_budget(bench.context(), images, "plain")
    assert images % budget.batch_size != 1
    assert budget.batch_size in (6, 7, 8)


def test_hub_weights_start_the_body_and_leave_the_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = build_convnet(classes=1000, weights="untrained", seed=9)
    path = tmp_path / "model.safetensors"
    path.write_bytes(state_bytes(published))
    monkeypatch.setattr(
        "he_compare.common.backbones.weights.download_from_hub", lambda repository: path
    )
    model = build_convnet(classes=2, weights="hub", seed=0)
    torch.testing.assert_close(model.conv1.weight, published.conv1.weight)
    assert model.fc.weight.shape == (2, 512)
    path.write_bytes(pack({"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)}))
    with pytest.raises(DataError, match="are not those"):
        build_convnet(classes=2, weights="hub", seed=0)


def test_hub_weights_that_cannot_be_had_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(repository: str) -> Path:
        raise OSError("no route")

    monkeypatch.setattr("he_compare.common.backbones.weights.download_from_hub", no_network)
    with pytest.raises(DataError, match="cannot download"):
        build_convnet(classes=2, weights="hub", seed=0)


@pytest.mark.parametrize(
    "setup",
    [
        "{}",
        "[]",
        "no json",
        '{"image_size": 9, "statistics": "deit_tiny_patch16_224", "classes": 0, "stem": "small"}',
        '{"image_size": 32, "statistics": "no_such_net", "classes": 2, "stem": "imagenet"}',
    ],
)
def test_plain_public_material_that_does_not_hold_is_refused(setup: str) -> None:
    with pytest.raises(CompareError):
        PLAIN.load_server(pack({"state": np.zeros(3, np.uint8)}, {"setup": setup}))


def test_messages_of_another_shape_are_refused(bench: Bench) -> None:
    context = bench.context(epochs=1)
    server = PLAIN.load_server(
        PLAIN.fit(DATA, ConvnetParameters(), context).deploy(context).public_material
    )
    with pytest.raises(MessageError, match="expected 32 px"):
        server.infer([pack({"image": np.zeros((8, 8, 3), np.uint8)})], Clock(Side.SERVER))
    assert server.infer([], Clock(Side.SERVER)) == []


def test_material_of_a_vision_transformer_is_refused() -> None:
    header = ServerMaterial(backbone="deit_tiny_patch16_224", image_size=32, patch=16, classes=2)
    with pytest.raises(MessageError, match="architecture"):
        SCRAMBLED.load_server(header.to_bytes(b"state"))
    own = ConvnetMaterial(**header.model_dump(), architecture="resnet18")
    with pytest.raises(MessageError, match="too small"):
        SCRAMBLED.load_server(own.to_bytes(b"state"))


def test_robustness_of_a_network_on_ciphertexts_falls_with_the_disturbance(bench: Bench) -> None:
    context = bench.context()
    parameters = ConvnetScrambleParameters(key="seeded:1")  # learning depends a little on the key
    deployment = SCRAMBLED.fit(DATA, parameters, context).deploy(context)

    @dataclass
    class Session:
        client: Any
        server: Any

    server = bench.start("block-scramble-convnet", deployment.public_material)
    session = Session(deployment.client, server)
    for disturbance, strongest in ((BIT_FLIPS, 0.5), (GAUSSIAN_NOISE, 5000.0)):
        levels = [0.0, disturbance.levels[1], strongest]
        whole, little, ruined = robustness_curve(
            session, TEST.images[:], TEST.labels, disturbance, levels
        ).points
        assert whole.accuracy >= 0.9 and little.same >= 0.9 * little.n
        assert ruined.accuracy <= 0.75
        assert unpack(bench.crossing.messages[-1])[0]["ciphertext"].dtype == np.uint8
