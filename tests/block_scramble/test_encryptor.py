"""Keys for all images or for each, nonces that travel, and what is noticed when one is wrong."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher as AesCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes

from he_compare.block_scramble.cipher import Cipher, cipher_parameters, purpose_of
from he_compare.block_scramble.ciphers.aes_ctr import CIPHER as AES_CTR
from he_compare.block_scramble.ciphers.identity import CIPHER as IDENTITY
from he_compare.block_scramble.ciphers.noise import CIPHER as NOISE
from he_compare.block_scramble.ciphers.vit_block import CIPHER as VIT_BLOCK
from he_compare.block_scramble.encryptor import KeyPolicy, PerImageEncryptor, make_encryptor
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common.errors import MessageError, UsageError
from tests.support.smallciphers import KEY, SMALL, pictures, prepare


def test_aes_ctr_is_aes_256_in_counter_mode() -> None:
    shape = ImageShape(8, 8, 1)
    image = pictures(shape, count=1)
    nonce = bytes(range(16))
    keyed = prepare(AES_CTR, shape)
    purpose = purpose_of("aes_ctr", cipher_parameters(AES_CTR, {}), shape)
    algorithm = algorithms.AES256(KEY.subkey(*purpose, "AES-256").secret_bytes())
    counters = b"".join(nonce[:12] + i.to_bytes(4, "big") for i in range(4))
    keystream = AesCipher(algorithm, modes.ECB()).encryptor().update(counters)
    expected = bytes(a ^ b for a, b in zip(image.tobytes(), keystream, strict=True))
    assert keyed.encrypt_under(image, [nonce]).tobytes() == expected


@pytest.mark.parametrize("policy", list(KeyPolicy))
@pytest.mark.parametrize("key", [KEY, ClientKey.generate()], ids=["seeded", "drawn"])
def test_fresh_nonces_travel_and_hide_equal_images(key: ClientKey, policy: KeyPolicy) -> None:
    images = np.repeat(pictures(count=1), 4, axis=0)
    parameters = cipher_parameters(AES_CTR, {})
    encryptor = make_encryptor(AES_CTR, parameters, SMALL, key, policy)
    ciphertexts, nonces = encryptor.encrypt(images)
    assert len({ciphertext.tobytes() for ciphertext in ciphertexts}) == len(set(nonces)) == 4
    assert (encryptor.decrypt(ciphertexts, nonces) == images).all()


@pytest.mark.parametrize("policy", list(KeyPolicy))
def test_two_encryptors_of_one_seeded_series_share_no_nonce(policy: KeyPolicy) -> None:
    first, second = pictures(count=20, seed=1), pictures(count=20, seed=2)
    parameters = cipher_parameters(AES_CTR, {})
    sent, nonces = [], []
    for images in (first, second):
        encryptor = make_encryptor(AES_CTR, parameters, SMALL, KEY, policy, sequence="audit")
        ciphertexts, drawn = encryptor.encrypt(images)
        sent.append(ciphertexts)
        nonces += drawn
    assert len(set(nonces)) == 40
    # Under one nonce the XOR of two ciphertexts is that of the images; else it is as random.
    agree = (sent[0] ^ sent[1]) == (first ^ second)
    assert agree.mean() < 0.02


def test_encryptors_are_neither_pickled_nor_copied() -> None:
    for cipher, policy in itertools.product((VIT_BLOCK, AES_CTR), KeyPolicy):
        options = cipher_parameters(cipher, {"patch": 4} if cipher is VIT_BLOCK else {})
        encryptor = make_encryptor(cipher, options, SMALL, KEY, policy)
        for work in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="holds key material: it is not pickled"):
                work(encryptor)


def test_nonces_that_are_missing_reused_or_malformed_are_refused() -> None:
    parameters = cipher_parameters(AES_CTR, {})
    encryptor = make_encryptor(AES_CTR, parameters, SMALL, KEY, KeyPolicy.PER_CLIENT)
    images = pictures()
    ciphertexts, nonces = encryptor.encrypt(images)
    for bad, reason in (
        ((), "3 ciphertexts came with 0 nonces"),
        (nonces[:2], "3 ciphertexts came with 2 nonces"),
        ((nonces[0], nonces[0], nonces[2]), "the same nonce"),
        ((nonces[0], nonces[1], b"short"), "nonce of ciphertext 2 has 5 bytes"),
    ):
        with pytest.raises(MessageError, match=reason):
            encryptor.decrypt(ciphertexts, bad)
    keyed = prepare(AES_CTR)
    with pytest.raises(MessageError, match="used for two images"):
        keyed.encrypt_under(images, [bytes(16)] * 3)
    with pytest.raises(UsageError, match="with its nonce, and there is none"):
        keyed.decrypt(ciphertexts)


def test_a_nonce_of_another_ciphertext_is_noticed_under_per_image_keys() -> None:
    ciphertexts, nonces = per_image().encrypt(pictures())
    with pytest.raises(MessageError, match="nonce of another ciphertext"):
        per_image().decrypt(ciphertexts, (nonces[1], nonces[1], nonces[2]))
    with pytest.raises(MessageError, match="3 bytes, not 16"):
        per_image().decrypt(ciphertexts[:1], (b"abc",))


def per_image(cipher: Cipher = VIT_BLOCK, key: ClientKey = KEY) -> PerImageEncryptor:
    parameters = cipher_parameters(cipher, {"patch": 4})
    encryptor = make_encryptor(cipher, parameters, SMALL, key, KeyPolicy.PER_IMAGE)
    assert isinstance(encryptor, PerImageEncryptor)
    return encryptor


def test_per_image_keys_differ_between_images_and_repeat_for_the_same() -> None:
    ramp = np.arange(288, dtype=np.uint16).reshape(SMALL).astype(np.uint8)
    images = np.stack([ramp, ramp[::-1], ramp])
    ciphertexts, nonces = per_image().encrypt(images)
    assert [len(nonce) for nonce in nonces] == [16] * 3
    assert nonces[0] == nonces[2] != nonces[1]
    assert (ciphertexts[0] == ciphertexts[2]).all()
    orders = [
        per_image()._keyed(nonce).affine_embedding(4).value_order[0].tolist()
        for nonce in nonces[:2]
    ]
    assert orders[0] != orders[1]


def test_per_image_ciphertexts_come_back_exactly_and_a_wrong_key_is_noticed() -> None:
    images = pictures()
    ciphertexts, nonces = per_image().encrypt(images)
    assert (per_image().decrypt(ciphertexts, nonces) == images).all()
    with pytest.raises(MessageError, match="wrong key"):
        per_image(key=ClientKey.from_seed(1)).decrypt(ciphertexts, nonces)
    altered = ciphertexts.copy()
    altered[0, 0, 0, 0] ^= 1
    with pytest.raises(MessageError, match="ciphertext 0 does not fit"):
        per_image().decrypt(altered, nonces)
    with pytest.raises(MessageError, match="3 ciphertexts came with 2 nonces"):
        per_image().decrypt(ciphertexts, nonces[:2])


def test_per_image_keys_are_refused_for_ciphers_without_a_key() -> None:
    for cipher in (IDENTITY, NOISE):
        with pytest.raises(UsageError, match="has no key"):
            make_encryptor(cipher, cipher_parameters(cipher, {}), SMALL, KEY, KeyPolicy.PER_IMAGE)


def test_a_nonce_is_refused_where_one_key_serves_all() -> None:
    parameters = cipher_parameters(VIT_BLOCK, {"patch": 4})
    encryptor = make_encryptor(VIT_BLOCK, parameters, SMALL, KEY, KeyPolicy.PER_CLIENT)
    ciphertexts, nonces = encryptor.encrypt(pictures())
    assert nonces == ()
    assert (encryptor.decrypt(ciphertexts, ()) == pictures()).all()
    with pytest.raises(MessageError, match="policy per_client"):
        encryptor.decrypt(ciphertexts, [bytes(16)] * 3)
