"""What every cipher that discovery finds has to hold to, whoever wrote it."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from he_compare.block_scramble.cipher import Cipher, cipher_parameters
from he_compare.block_scramble.encryptor import KeyPolicy, make_encryptor
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keyed_cipher import NONCE_BYTES, as_pictures
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common import plugins
from he_compare.common.errors import UsageError
from he_compare.common.types import UInt8Array

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


def test_the_whole_lineage_is_found() -> None:
    lineage = (
        "al_amin etc etc_gray ffx madono_ele np orthogonal patch_shuffle pixel_np restricted shf "
        "tanaka_le vit_block"
    )
    controls = "aes_ctr identity noise"
    assert set(f"{lineage} {controls}".split()) <= set(NAMES)


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
    assert traits.claim_type != "reduction to a hardness assumption" or traits.assumption


def test_its_description_names_every_parameter_default_and_interpretation(cipher: Cipher) -> None:
    lines = cipher.describe()
    for name, field in cipher.parameters.model_fields.items():
        shown = ", not set" if field.default is None else f"={field.default}".lower()
        assert f"{name}{shown} ({field.description})" in lines["parameters"]
    assert lines.get("interpretation", "") == cipher.traits.interpretation


def test_it_describes_itself_in_single_lines(cipher: Cipher) -> None:
    lines = cipher.describe()
    where = "224 px, blocks of 16" if "patch" in cipher.parameters.model_fields else "224 px"
    assert lines[f"key space ({where})"]
    assert lines["adaptable by key"].startswith(("yes, ", "no: "))
    assert all(line and "\n" not in line for line in lines.values())


def test_ciphertexts_have_the_shape_of_images_and_the_type_it_says(cipher: Cipher) -> None:
    keyed = cipher.prepare(ClientKey.from_seed(0), parameters_of(cipher), SHAPE)
    for count in (0, 1, 5):
        ciphertexts = keyed.encrypt(images(count))
        assert ciphertexts.shape == (count, *SHAPE)
        assert ciphertexts.dtype == np.dtype(cipher.traits.ciphertext)
        pictures = as_pictures(ciphertexts)
        assert pictures.dtype == np.uint8 and pictures.shape == ciphertexts.shape


def test_encryption_leaves_its_input_alone_and_shares_no_memory_with_it(cipher: Cipher) -> None:
    keyed = cipher.prepare(ClientKey.from_seed(0), parameters_of(cipher), SHAPE)
    given = images()
    given.flags.writeable = False
    ciphertexts = keyed.encrypt(given)
    assert not np.shares_memory(ciphertexts, given)
    assert (given == images()).all()


def encryptor_of(cipher: Cipher, seed: int = 0, policy: KeyPolicy = KeyPolicy.PER_CLIENT) -> Any:
    """An encryptor whose fresh nonces, where there are any, are 0, 1, 2, ..."""
    count = itertools.count()
    return make_encryptor(
        cipher,
        parameters_of(cipher),
        SHAPE,
        ClientKey.from_seed(seed),
        policy,
        sequence="test",
        draw_nonce=lambda: next(count).to_bytes(NONCE_BYTES, "little"),
    )


def test_images_are_encrypted_one_by_one(cipher: Cipher) -> None:
    whole, _ = encryptor_of(cipher).encrypt(images())
    encryptor = encryptor_of(cipher)
    single = np.concatenate([encryptor.encrypt(image[None])[0] for image in images()])
    assert (whole == single).all()


@pytest.mark.parametrize("policy", list(KeyPolicy))
def test_no_images_are_no_ciphertexts_under_either_policy(
    cipher: Cipher, policy: KeyPolicy
) -> None:
    if policy is KeyPolicy.PER_IMAGE and not cipher.traits.keyed:
        pytest.skip("there is no key for each image where there is none at all")
    ciphertexts, nonces = encryptor_of(cipher, policy=policy).encrypt(images(0))
    assert ciphertexts.shape == (0, *SHAPE) and nonces == ()


def test_a_wrong_key_never_gives_the_image(cipher: Cipher) -> None:
    if not cipher.traits.keyed:
        pytest.skip("there is no wrong key where there is none at all")
    ciphertexts, nonces = encryptor_of(cipher, 0).encrypt(images())
    opened = encryptor_of(cipher, 1).decrypt(ciphertexts, nonces)
    assert cipher.traits.wrong_key
    assert (opened != images()).mean() > 0.2


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
    space = cipher.key_space(parameters_of(cipher), SHAPE, 32.0)
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
        assert embedding.values == 192
        assert (embedding.embeddings > 1) is cipher.keys_by_block(parameters)


def test_no_two_parts_of_a_key_come_from_one_subkey(
    cipher: Cipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[bytes, tuple[str, ...]]] = []
    subkey = ClientKey.subkey

    def recorded(key: ClientKey, *purpose: str) -> ClientKey:
        drawn.append((key.secret_bytes(), purpose))
        return subkey(key, *purpose)

    options = {
        name: True for name, f in cipher.parameters.model_fields.items() if f.annotation is bool
    }
    patch = {"patch": 8} if "patch" in cipher.parameters.model_fields else {}
    for chosen in (patch, patch | options):
        drawn.clear()
        monkeypatch.setattr(ClientKey, "subkey", recorded)
        cipher.prepare(ClientKey.from_seed(0), cipher_parameters(cipher, chosen), SHAPE)
        monkeypatch.undo()
        assert len(set(drawn)) == len(drawn)
        assert bool(drawn) is (cipher.name != "identity")


@pytest.mark.parametrize("work", [pickle.dumps, copy.copy, copy.deepcopy])
def test_keyed_ciphers_are_neither_pickled_nor_copied(
    cipher: Cipher, work: Callable[[Any], Any]
) -> None:
    keyed = cipher.prepare(ClientKey.from_seed(0), parameters_of(cipher), SHAPE)
    keyed.encrypt(images())
    with pytest.raises(TypeError, match="holds key material: it is not pickled and not copied"):
        work(keyed)


def test_keyed_objects_show_no_key_material(cipher: Cipher) -> None:
    key = ClientKey.from_seed(0)
    keyed = cipher.prepare(key, parameters_of(cipher), SHAPE)
    assert key.secret_bytes().hex() not in repr(keyed) + repr(vars(keyed))
