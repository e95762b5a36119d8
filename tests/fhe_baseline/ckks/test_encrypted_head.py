"""A head whose weights stay encrypted gives the scores of the clear one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from he_compare.common.backbones.head import CLIP, LinearModel
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import Side
from he_compare.fhe_baseline.ckks.encrypted_head import EncryptedHeadClient, load_encrypted_head
from he_compare.fhe_baseline.ckks.inference import make_plan


def random_model(width: int, classes: int) -> LinearModel:
    generator = np.random.default_rng(width * 100 + classes)
    return LinearModel(
        generator.normal(scale=0.1, size=(classes, width)), generator.normal(size=classes)
    )


def make_client(model: LinearModel) -> EncryptedHeadClient:
    return EncryptedHeadClient(make_plan(model, "replicated", "auto").parameters, model)


@pytest.mark.parametrize(("width", "classes"), [(1, 2), (63, 2), (192, 3), (192, 128)])
def test_scores_equal_the_clear_heads(width: int, classes: int) -> None:
    model = random_model(width, classes)
    client = make_client(model)
    server = load_encrypted_head(client.public_material())
    features = np.clip(2 * np.random.default_rng(7).normal(size=(2, width)), -CLIP, CLIP)
    clock = Clock(Side.CLIENT)
    scores = client.reveal(server.infer(client.protect(features, clock), clock), clock)
    np.testing.assert_allclose(scores, model.scores(features), atol=1e-3)


def test_every_deployment_encrypts_the_head_anew_and_holds_it_nowhere_in_the_clear() -> None:
    model = random_model(63, 2)
    client = make_client(model)
    first, second = (unpack(client.public_material())[0] for _ in range(2))
    assert sorted(first) == ["bias", "galois_keys", "relinearisation_keys", "weights_0"]
    for name in ("weights_0", "bias"):
        assert first[name].tobytes() != second[name].tobytes()
    joined = b"".join(array.tobytes() for array in first.values())
    for number in (*model.weights.ravel(), *model.bias):
        assert number.tobytes() not in joined


def told_in_the_clear(model: LinearModel) -> dict[str, str]:
    """Everything in the material that is not a key or a ciphertext."""
    return unpack(make_client(model).public_material())[1]


def test_heads_of_one_bound_look_alike_to_the_server_whatever_their_weights() -> None:
    """Equal sums of absolute weights, other norms: a predicted error would tell them apart."""
    even = np.full((2, 64), 0.1)
    uneven = even + np.tile([0.02, -0.02], 32)
    bias = np.zeros(2)
    heads = [LinearModel(weights, bias) for weights in (even, uneven)]
    assert abs(heads[0].score_bound() - heads[1].score_bound()) < 1e-9
    assert not np.isclose(*((head.weights**2).sum() for head in heads))
    assert told_in_the_clear(heads[0]) == told_in_the_clear(heads[1])


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("parameters", None, "lacks 'parameters'"),
        ("layout", None, "lacks 'layout'"),
        ("layout", "[]", "is invalid"),
        ("width", 5000, "a head of 5000 features"),
        ("width", "63", "whole numbers"),
        ("classes", 129, "129 classes"),
        ("scales", {}, "is invalid"),
        ("scales", "features", "is invalid"),
        ("scales", {"features": 1.0, "weights": 1.0, "reply": 1.0}, "is invalid"),
        ("weights_0", None, "lacks 'weights_0'"),
        ("weights_0", np.zeros(40, np.uint8), "weights"),
        ("relinearisation_keys", np.zeros(40, np.uint8), "relinearisation keys"),
        ("galois_keys", np.zeros(40, np.uint8), "Galois keys"),
    ],
)
def test_material_that_does_not_hold_together_is_refused(
    name: str, value: object, complaint: str
) -> None:
    arrays, metadata = unpack(make_client(random_model(63, 2)).public_material())
    header = json.loads(metadata["layout"])
    if name in header:
        metadata["layout"] = json.dumps(header | {name: value})
    elif value is None:
        arrays.pop(name, None)
        metadata.pop(name, None)
    elif isinstance(value, np.ndarray):
        arrays[name] = value
    else:
        metadata[name] = str(value)
    with pytest.raises(MessageError, match=complaint):
        load_encrypted_head(pack(arrays, metadata))


def test_the_plain_message_of_another_owner_is_not_scored_by_accident() -> None:
    model = random_model(63, 2)
    owner, stranger = make_client(model), make_client(model)
    server = load_encrypted_head(owner.public_material())
    features, clock = np.ones((1, 63)), Clock(Side.SERVER)
    try:
        scores = owner.reveal(server.infer(stranger.protect(features, clock), clock), clock)
    except MessageError:
        return
    assert np.abs(scores - model.scores(features)).min() > 1
