"""What every cipher that discovery finds has to hold to, whoever wrote it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from block_scramble.cipher import Cipher, ImageShape, cipher_parameters, key_space
from block_scramble.keys import ClientKey
from common import plugins
from common.errors import UsageError
from common.types import UInt8Array

SHAPE = ImageShape(32, 32, 3)
NAMES = sorted(plugins.discover("ciphers"))


@pytest.fixture(params=NAMES)
def cipher(request: pytest.FixtureRequest) -> Cipher:
    return plugins.load("ciphers", request.param)


def parameters_of(cipher: Cipher) -> Any:
    options = {"patch": 8} if "patch" in cipher.parameters.model_fields else {}
    return cipher_parameters(cipher, options)


def images(count: int = 4) -> UInt8Array:
    return np.random.default_rng(1).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def test_the_ciphers_of_this_stage_are_found() -> None:
    assert {"al_amin", "identity", "noise", "vit_block"} <= set(NAMES)


def test_it_is_called_what_its_file_is_called(cipher: Cipher) -> None:
    assert plugins.find("ciphers", cipher.name).name == cipher.name
    assert plugins.find("ciphers", cipher.name).summary.endswith(".")


def test_every_parameter_has_a_default_and_a_description(cipher: Cipher) -> None:
    cipher.parameters()
    assert all(field.description for field in cipher.parameters.model_fields.values())


def test_it_says_what_it_does_and_where_it_comes_from(cipher: Cipher) -> None:
    traits = cipher.traits
    assert traits.operations and traits.protects and traits.source
    assert traits.keyed or traits.insecure
    assert cipher.preserves(parameters_of(cipher))


def test_ciphertexts_have_the_shape_and_type_of_images(cipher: Cipher) -> None:
    keyed = cipher.prepare(ClientKey.from_seed(0), parameters_of(cipher), SHAPE)
    for count in (0, 1, 5):
        ciphertexts = keyed.encrypt(images(count))
        assert ciphertexts.shape == (count, *SHAPE)
        assert ciphertexts.dtype == np.uint8


def test_encryption_leaves_its_input_alone_and_shares_no_memory_with_it(cipher: Cipher) -> None:
    keyed = cipher.prepare(ClientKey.from_seed(0), parameters_of(cipher), SHAPE)
    given = images()
    given.flags.writeable = False
    ciphertexts = keyed.encrypt(given)
    assert not np.shares_memory(ciphertexts, given)
    assert (given == images()).all()


def test_images_are_encrypted_one_by_one(cipher: Cipher) -> None:
    parameters = parameters_of(cipher)
    whole = cipher.prepare(ClientKey.from_seed(0), parameters, SHAPE).encrypt(images())
    keyed = cipher.prepare(ClientKey.from_seed(0), parameters, SHAPE)
    single = np.concatenate([keyed.encrypt(image[None]) for image in images()])
    assert (whole == single).all()


def test_it_is_deterministic_exactly_where_it_says_so(cipher: Cipher) -> None:
    keyed = cipher.prepare(ClientKey.from_seed(0), parameters_of(cipher), SHAPE)
    same = bool((keyed.encrypt(images()) == keyed.encrypt(images())).all())
    assert same is cipher.traits.deterministic


def test_another_key_gives_another_ciphertext_exactly_where_there_is_a_key(cipher: Cipher) -> None:
    ciphertexts = {
        cipher.prepare(ClientKey.from_seed(seed), parameters_of(cipher), SHAPE)
        .encrypt(images())
        .tobytes()
        for seed in range(4)
    }
    assert len(ciphertexts) == (1 if cipher.name == "identity" else 4)


def test_key_space_is_stated_exactly_where_there_is_a_key(cipher: Cipher) -> None:
    space = key_space(cipher, parameters_of(cipher), SHAPE, 32.0)
    assert (space is not None) is cipher.traits.keyed
    if space is not None:
        assert 0 < space.effective_bits <= 32


def test_wrong_images_are_refused(cipher: Cipher) -> None:
    keyed = cipher.prepare(ClientKey.from_seed(0), parameters_of(cipher), SHAPE)
    for wrong in (images().astype(np.float32), images()[:, :16], images()[..., :1], images()[0]):
        with pytest.raises(UsageError, match="images are"):
            keyed.encrypt(wrong)


def test_an_obstacle_is_stated_exactly_where_no_model_can_absorb_the_key(cipher: Cipher) -> None:
    parameters = parameters_of(cipher)
    keyed = cipher.prepare(ClientKey.from_seed(0), parameters, SHAPE)
    if cipher.obstacle(parameters):
        with pytest.raises(UsageError):
            keyed.affine_embedding(8)
    else:
        embedding = keyed.affine_embedding(8)
        assert sorted(embedding.block_order) == list(range(16))
        assert sorted(embedding.value_order) == list(range(192))
        assert embedding.negated.shape == (192,)


def test_keyed_objects_show_no_key_material(cipher: Cipher) -> None:
    key = ClientKey.from_seed(0)
    keyed = cipher.prepare(key, parameters_of(cipher), SHAPE)
    assert key.secret_bytes().hex() not in repr(keyed) + repr(vars(keyed))
