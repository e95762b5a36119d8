"""Nothing secret leaves the client: all bytes that cross are kept here and searched for secrets."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from he_compare.block_scramble.deployment.cipher_instance import make_instance
from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters
from he_compare.common.clock import Clock
from he_compare.common.service.wire import unpack
from he_compare.common.types import Side
from tests.support.runcontext import Bench
from tests.support.scrambling import DATA, TEST, fit, scores_of


def test_noise_for_classification_is_not_the_noise_of_training(bench: Bench) -> None:
    fitted = fit(bench, bench.context(epochs=1), cipher="noise")
    trained_on = [
        image.tobytes()
        for message in bench.crossing.messages
        for image in unpack(message)[0]["ciphertexts"]
    ]
    client = fitted.deploy(bench.context()).client
    messages = client.protect(TEST.images[:], Clock(Side.CLIENT))
    sent = [unpack(message)[0]["ciphertext"].tobytes() for message in messages]
    shown = [image.tobytes() for image in fitted.protected_picture(TEST.images[:])]
    assert len(trained_on) == 44
    assert len({*trained_on, *sent, *shown}) == 84


@pytest.mark.parametrize("mode", ["trained", "adapted"])
@pytest.mark.parametrize("key", ["client", "seeded:5"])
def test_no_key_material_and_no_plain_image_leaves_the_client(
    bench: Bench, mode: str, key: str
) -> None:
    context = bench.context(epochs=1)
    fitted = fit(bench, context, mode=mode, key=key)
    scores_of(bench, fitted.deploy(context), TEST.images[:])
    parameters = BlockScrambleParameters(mode=mode, key=key)
    instance = make_instance(parameters, DATA, context)
    keys = [instance.client_key, instance.key]
    keys += [
        owner.subkey(*purpose)
        for owner in list(keys)
        for purpose in [("stream",), ("tag",), ("fingerprint",), ("image",)]
    ]
    secrets = [secret for k in keys for secret in spellings(k.secret_bytes())]
    embedding = instance.keyed().affine_embedding(16)
    for order in (embedding.block_order, embedding.value_order[0]):
        secrets += [order.astype(kind).tobytes() for kind in ("<i8", "<i4", "<u2")]
    secrets += [image.tobytes() for one in (DATA.train, DATA.val, TEST) for image in one.images[:]]
    claims = fitted.claims().model_dump_json().encode()
    training = json.dumps(context.training).encode()
    haystacks = [*bench.crossing.public, *bench.crossing.messages, *bench.artefacts.kept.values()]
    for haystack in [*haystacks, claims, training, repr(fitted).encode()]:
        assert not [secret for secret in secrets if secret in haystack]


def spellings(secret: bytes) -> list[bytes]:
    """A secret as bytes, hexadecimal and base64."""
    return [secret, secret.hex().encode(), base64.b64encode(secret)]


def test_picture_is_the_ciphertext(bench: Bench) -> None:
    context = bench.context(epochs=1)
    fitted = fit(bench, context, mode="adapted")
    picture = fitted.protected_picture(TEST.images[:2])
    message = fitted.deploy(context).client.protect(TEST.images[:1], Clock(Side.CLIENT))[0]
    assert picture is not None and picture.dtype == np.uint8
    assert (picture[0] == unpack(message)[0]["ciphertext"]).all()
    assert (picture[0] != TEST.images[0]).mean() > 0.5
