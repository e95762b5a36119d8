"""Material, messages and replies from outside: parsed in full or refused, and the server lives."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from he_compare.block_scramble.deployment.cipher_instance import make_instance
from he_compare.block_scramble.deployment.client import BlockScrambleClient, labelled_message
from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters
from he_compare.block_scramble.deployment.public_material import TrainingBudget
from he_compare.block_scramble.pipelines.block_scramble import PIPELINE
from he_compare.common.backbones.deit import state_bytes
from he_compare.common.clock import Clock
from he_compare.common.errors import CompareError, MessageError
from he_compare.common.service.wire import pack
from he_compare.common.types import Side, Split
from tests.support.runcontext import Bench
from tests.support.scrambling import DATA, TEST, header


@pytest.fixture(scope="module")
def tiny_state() -> bytes:
    from he_compare.common.backbones.deit import build_vit

    return state_bytes(
        build_vit("deit_tiny_patch16_224", image_size=32, classes=2, weights="untrained", seed=0)
    )


@pytest.mark.parametrize(
    "material",
    [
        b"",
        b"no safetensors",
        pack({}),
        pack({"state 0": np.zeros(3, np.uint8)}),
        pack({"state 0": np.zeros(3, np.uint8)}, {"header": "{}"}),
        pack({"state 0": np.zeros(3, np.uint8)}, {"header": '{"key": "secret"}'}),
        header().to_bytes(b"no state"),
        header(backbone="resnet18").to_bytes(b""),
        header(image_size=33).to_bytes(b""),
        header(models=2).to_bytes(b"one"),
        header().to_bytes(b"one", b"two"),
    ],
    ids=range(11),
)
def test_public_material_that_does_not_parse_is_refused(material: bytes) -> None:
    with pytest.raises(MessageError):
        PIPELINE.load_server(material)


def test_state_of_another_architecture_is_refused(tiny_state: bytes) -> None:
    with pytest.raises(MessageError, match="does not fit"):
        PIPELINE.load_server(header(classes=3).to_bytes(tiny_state))


def test_ciphertexts_that_do_not_parse_are_refused(tiny_state: bytes) -> None:
    server = PIPELINE.load_server(header().to_bytes(tiny_state))
    assert server.verbs == ("infer",)
    for message in (
        b"",
        b"noise",
        pack({"image": np.zeros((32, 32, 3), np.uint8)}),
        pack({"ciphertext": np.zeros((32, 32, 3), np.float32)}),
        pack({"ciphertext": np.zeros((16, 16, 3), np.uint8)}),
    ):
        with pytest.raises(MessageError):
            server.infer([message], Clock(Side.SERVER))


def test_ciphertexts_of_rotated_patches_that_are_no_numbers_are_refused(
    tiny_state: bytes,
) -> None:
    server = PIPELINE.load_server(header(ciphertext="float32").to_bytes(tiny_state))
    rotated = np.zeros((32, 32, 3), np.float32)
    server.infer([pack({"ciphertext": rotated})], Clock(Side.SERVER))
    rotated[0, 0, 0] = np.inf
    with pytest.raises(MessageError, match="no finite numbers"):
        server.infer([pack({"ciphertext": rotated})], Clock(Side.SERVER))


def test_a_message_for_a_client_without_a_model_is_refused(tiny_state: bytes) -> None:
    server = PIPELINE.load_server(header(models=2).to_bytes(tiny_state, tiny_state))
    image = {"ciphertext": np.zeros((32, 32, 3), np.uint8)}
    server.infer([pack(image, {"client": "1"})], Clock(Side.SERVER))
    for metadata in ({"client": "2"}, {"client": "-1"}, {"client": ""}, None):
        with pytest.raises(MessageError, match="no model for client"):
            server.infer([pack(image, metadata)], Clock(Side.SERVER))


def test_training_messages_that_do_not_hold_are_refused(tiny_state: bytes) -> None:
    budget = TrainingBudget(epochs=1, batch_size=4, learning_rate=1e-3, seed=0, patience=1)
    server: Any = PIPELINE.load_server(header(training=budget).to_bytes(tiny_state))
    clock = Clock(Side.SERVER)
    images, labels = TEST.images[:4], TEST.labels[:4]
    good = labelled_message(Split.TRAIN, images, (), labels)
    bad = [
        b"",
        labelled_message(Split.TEST, images, (), labels),
        labelled_message(Split.TRAIN, images, (), labels + 1),
        labelled_message(Split.TRAIN, images, (), labels - 1),
        labelled_message(Split.TRAIN, images, (), labels[:3]),
        labelled_message(Split.TRAIN, images, [bytes(16)], labels),
        labelled_message(Split.TRAIN, images[:0], (), labels[:0]),
        labelled_message(Split.TRAIN, images[:, :16], (), labels),
        pack({"ciphertexts": images, "labels": labels}, {"split": "train"}),
    ]
    for message in bad:
        with pytest.raises(MessageError):
            server.add([message], clock)
    with pytest.raises(MessageError, match="images of both splits"):
        server.epoch([], clock)
    server.add([good, labelled_message(Split.VAL, images, (), labels)], clock)
    with pytest.raises(CompareError, match="no epoch"):
        server.export([], clock)
    report = json.loads(server.epoch([], clock)[0])
    assert report["finished"] is True
    with pytest.raises(MessageError, match="budget is spent"):
        server.epoch([], clock)
    with pytest.raises(MessageError, match="this server trains"):
        server.infer([], clock)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        pack({"logits": np.zeros(3, np.float32)}),
        pack({"logits": np.zeros(2, np.float64)}),
        pack({"logits": np.array([0.0, np.nan], np.float32)}),
    ],
    ids=["empty", "three classes", "float64", "not a number"],
)
def test_replies_that_do_not_parse_are_refused(bench: Bench, reply: bytes) -> None:
    instance = make_instance(BlockScrambleParameters(), DATA, bench.context())
    client = BlockScrambleClient([instance.encryptor("test")], classes=2)
    with pytest.raises(MessageError):
        client.reveal([reply], Clock(Side.CLIENT))
