"""Packing ``batched``: whole batches only, full slots, no key at the server, few bytes an image."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from he_compare.common.backbones.head import CLIP, LinearModel
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError, UsageError
from he_compare.common.types import Message, Side, Stage
from he_compare.fhe_baseline.ckks.inference import load_public_material, make_plan, public_material
from he_compare.fhe_baseline.ckks.packing import PackingClient, PackingServer, load_packing
from he_compare.fhe_baseline.ckks.packings.batched import MARK
from he_compare.fhe_baseline.ckks.parameters import parameter_set

WIDTH, IMAGES = 6, 5


@cache
def deployed(bias: float = 1.0) -> tuple[LinearModel, PackingClient, PackingServer, bytes]:
    generator = np.random.default_rng(4)
    weights = generator.normal(scale=0.3, size=(3, WIDTH))
    weights[0, 2] = 0.0
    model = LinearModel(weights, np.array([bias, -bias, 0.25]))
    plan = make_plan(model, "batched", "auto")
    client = plan.packing.make_client(plan.parameters, model)
    material = public_material(plan, client.public_arrays())
    return model, client, load_public_material(material), material


def clock() -> Clock:
    return Clock(Side.CLIENT)


@cache
def uploads() -> list[Message]:
    _, client, _, _ = deployed()
    return client.protect(np.ones((IMAGES, WIDTH)), clock())


def test_a_full_batch_uses_both_halves_of_every_slot_and_one_more_image_begins_another() -> None:
    model, client, server, _ = deployed()
    n = 4096 + 3
    features = np.random.default_rng(1).uniform(-CLIP, CLIP, size=(n, WIDTH))
    messages = client.protect(features, clock())
    replies = server.infer(messages, clock())
    assert [i for i, one in enumerate(messages) if len(one) > MARK.size] == [0, 4096]
    scores = client.reveal(replies, clock())
    np.testing.assert_allclose(scores, model.scores(features), atol=1e-3)


def test_the_largest_scores_of_two_images_in_one_slot_do_not_overflow() -> None:
    model, client, server, _ = deployed(bias=300.0)
    features = np.repeat(CLIP * np.sign(model.weights), 2100, axis=0)
    scores = client.reveal(server.infer(client.protect(features, clock()), clock()), clock())
    np.testing.assert_allclose(scores, model.scores(features), atol=1e-2)


def test_the_error_stays_within_the_prediction() -> None:
    model, client, server, _ = deployed()
    features = np.clip(np.random.default_rng(2).normal(size=(2000, WIDTH)), -CLIP, CLIP)
    scores = client.reveal(server.infer(client.protect(features, clock()), clock()), clock())
    told = load_packing("batched").facts(parameter_set("n4096-106-wide"), model)
    error = np.abs(scores - model.scores(features)).max()
    assert told["predicted_score_error_5_sigma"] / 20 < error
    assert error < told["predicted_score_error_5_sigma"]


def test_the_server_gets_no_key_of_any_kind() -> None:
    _, client, _, material = deployed()
    assert client.public_arrays() == {}
    assert len(material) < 2000


def test_encrypting_the_same_batch_twice_gives_other_bytes_for_every_image() -> None:
    _, client, _, _ = deployed()
    again = client.protect(np.ones((IMAGES, WIDTH)), clock())
    assert all(a != b for a, b in zip(uploads(), again, strict=True))


def test_bytes_of_an_image_fall_with_the_batch() -> None:
    _, client, server, _ = deployed()
    messages = client.protect(np.zeros((4096, WIDTH)), clock())
    assert sum(map(len, messages)) / 4096 < WIDTH * 10 + MARK.size
    assert sum(map(len, server.infer(messages, clock()))) / 4096 < 80


def mixed() -> list[Message]:
    _, client, _, _ = deployed()
    other = client.protect(np.ones((IMAGES, WIDTH)), clock())
    return [*uploads()[:2], other[2], *uploads()[3:]]


TORN = [
    (lambda: uploads()[:-1], "not whole and in order"),
    (lambda: uploads()[1:], "not whole and in order"),
    (lambda: [uploads()[0], *uploads()[:0:-1]], "not whole and in order"),
    (mixed, "not whole and in order"),
    (lambda: [b"short"], "shorter than the mark"),
    (lambda: [MARK.pack(b"b" * 16, 0, 0)], "a batch of 0 images"),
    (lambda: [MARK.pack(b"b" * 16, 4097, 0)], "a batch of 4097 images"),
    (lambda: [uploads()[0][:-1], *uploads()[1:]], "the header says"),
]


@pytest.mark.parametrize(("messages", "complaint"), TORN, ids=[str(i) for i in range(len(TORN))])
def test_torn_or_mixed_batches_are_refused(messages: object, complaint: str) -> None:
    _, _, server, _ = deployed()
    assert callable(messages)
    with pytest.raises(MessageError, match=complaint):
        server.infer(messages(), clock())


def test_a_batch_for_another_number_of_features_is_refused() -> None:
    generator = np.random.default_rng(0)
    other = LinearModel(generator.normal(size=(2, WIDTH + 1)), np.zeros(2))
    plan = make_plan(other, "batched", "auto")
    client = plan.packing.make_client(plan.parameters, other)
    _, _, server, _ = deployed()
    with pytest.raises(MessageError, match=r"scale|7 features, this head has 6"):
        server.infer(client.protect(np.ones((2, WIDTH + 1)), clock()), clock())


def test_replies_of_another_key_or_torn_apart_are_refused() -> None:
    _, client, server, _ = deployed()
    replies = server.infer(uploads(), clock())
    with pytest.raises(MessageError, match="not whole and in order"):
        client.reveal(replies[:-1], clock())
    with pytest.raises(MessageError):
        client.reveal([replies[0][:-9], *replies[1:]], clock())


def test_a_class_whose_weights_all_round_to_zero_is_refused() -> None:
    weights = np.array([[1.0, 2.0], [1e-12, 1e-12]])
    with pytest.raises(UsageError, match="only weights that round to zero"):
        make_plan(LinearModel(weights, np.zeros(2)), "batched", "auto")


def test_stages_count_the_images_of_the_batch() -> None:
    _, client, server, _ = deployed()
    there, at_server = Clock(Side.CLIENT), Clock(Side.SERVER)
    client.reveal(server.infer(client.protect(np.ones((7, WIDTH)), there), at_server), there)
    for one in (there, at_server):
        assert all(items == [7] for items in one.items.values())
    assert {stage for stage, *_ in at_server.samples} == {
        *(Stage.DESERIALIZE, Stage.EVALUATE, Stage.SERIALIZE),
    }
