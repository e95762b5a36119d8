"""Invariants of all ciphers over shapes, channels, options, policies and keys."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from he_compare.block_scramble.cipher import Cipher, cipher_parameters
from he_compare.block_scramble.encryptor import KeyPolicy, make_encryptor
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.block_scramble.keys.keystream import Keystream
from he_compare.common import plugins
from he_compare.common.types import UInt8Array

CIPHERS = [plugins.load("ciphers", name) for name in plugins.discover("ciphers")]
INVERTIBLE = [cipher for cipher in CIPHERS if cipher.name != "noise"]
KEYED = [cipher for cipher in INVERTIBLE if cipher.traits.keyed]
# Bytes to bytes by one fixed map, so that every byte string is a ciphertext.
BIJECTIVE = [
    cipher
    for cipher in INVERTIBLE
    if cipher.traits.deterministic and cipher.traits.ciphertext == "uint8"
]

seeds = st.integers(0, 2**32 - 1)


@st.composite
def cases(draw: st.DrawFn, ciphers: list[Cipher]) -> tuple[Cipher, Any, ImageShape]:
    """A cipher with options, and a shape its patch divides."""
    cipher = draw(st.sampled_from(ciphers))
    patch = draw(st.sampled_from([2, 3, 4, 7]))
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    shape = ImageShape(rows * patch, columns * patch, draw(st.sampled_from([1, 3])))
    options: dict[str, Any] = {}
    for name, field in cipher.parameters.model_fields.items():
        if name == "patch":
            options[name] = patch
        elif field.annotation is bool:
            options[name] = draw(st.booleans())
        elif name == "fraction":
            known = [0.1, 0.5, 1.0] if field.annotation is float else [None, 0.1, 0.5, 1.0]
            options[name] = draw(st.sampled_from(known))
    return cipher, cipher_parameters(cipher, options), shape


def pictures(shape: ImageShape, seed: int, count: int = 3) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


@settings(max_examples=300, deadline=None)
@given(cases(INVERTIBLE), seeds, st.sampled_from(list(KeyPolicy)))
def test_decryption_inverts_encryption(
    case: tuple[Cipher, Any, ImageShape], seed: int, policy: KeyPolicy
) -> None:
    cipher, parameters, shape = case
    assume(cipher.traits.keyed or policy is KeyPolicy.PER_CLIENT)
    images = pictures(shape, seed)
    key = ClientKey.from_seed(seed)
    encryptor = make_encryptor(cipher, parameters, shape, key, policy)
    ciphertexts, nonces = encryptor.encrypt(images)
    assert len(nonces) in (0, len(images))
    receiver = make_encryptor(cipher, parameters, shape, ClientKey.from_seed(seed), policy)
    assert (receiver.decrypt(ciphertexts, nonces) == images).all()


@settings(max_examples=40, deadline=None)
@given(cases(BIJECTIVE), seeds)
def test_encryption_is_onto_as_well(case: tuple[Cipher, Any, ImageShape], seed: int) -> None:
    cipher, parameters, shape = case
    keyed = cipher.prepare(ClientKey.from_seed(seed), parameters, shape)
    targets = pictures(shape, seed)
    assert (keyed.encrypt(keyed.decrypt(targets)) == targets).all()


@settings(max_examples=40, deadline=None)
@given(cases(KEYED), st.lists(seeds, min_size=2, max_size=2, unique=True))
def test_two_keys_never_agree(case: tuple[Cipher, Any, ImageShape], pair: list[int]) -> None:
    cipher, parameters, shape = case
    bits = cipher.nominal_bits(parameters, shape)
    assume(bits is None or bits > 60)
    images = pictures(shape, 0, count=8)
    first, second = (
        cipher.prepare(ClientKey.from_seed(seed), parameters, shape).encrypt(images)
        for seed in pair
    )
    assert (first != second).any()


# Share of the ciphertext that another key leaves alone: what is not negated or not encrypted under
# either of two keys, and what a restricted permutation does not move.
LEFT_ALONE = {"np": 0.5, "pixel_np": 0.17, "etc": 0.02, "ffx": 0.25}


@settings(max_examples=40, deadline=None)
@given(cases(KEYED), st.integers(0, 255), seeds)
def test_one_flipped_key_bit_changes_most_of_the_ciphertext(
    case: tuple[Cipher, Any, ImageShape], bit: int, seed: int
) -> None:
    cipher, parameters, _ = case
    assume(getattr(parameters, "patch", 4) > 3)
    assume(getattr(parameters, "fraction", None) is None)
    shape = ImageShape(84, 84, 3)
    secret = bytearray(ClientKey.from_seed(seed).secret_bytes())
    first = cipher.prepare(ClientKey(bytes(secret)), parameters, shape)
    secret[bit // 8] ^= 1 << bit % 8
    second = cipher.prepare(ClientKey(bytes(secret)), parameters, shape)
    image = pictures(shape, seed, count=1)
    changed = (first.encrypt(image) != second.encrypt(image)).mean()
    assert changed > 0.92 * (1 - LEFT_ALONE.get(cipher.name, 0.0)) - 0.12


@settings(max_examples=30, deadline=None)
@given(cases(KEYED), seeds)
def test_options_and_shapes_have_keys_of_their_own(
    case: tuple[Cipher, Any, ImageShape], seed: int
) -> None:
    cipher, parameters, _ = case
    key = ClientKey.from_seed(seed)
    wide, tall = ImageShape(84, 168, 3), ImageShape(168, 84, 3)
    first = cipher.prepare(key, parameters, wide)
    second = cipher.prepare(key, parameters, tall)
    ramp = np.arange(wide.height * wide.width * 3).reshape(1, *wide).astype(np.uint8)
    assert (first.encrypt(ramp).ravel() != second.encrypt(ramp.reshape(1, *tall)).ravel()).any()


@settings(max_examples=40, deadline=None)
@given(cases(KEYED), seeds)
def test_values_survive_as_a_multiset_up_to_negation(
    case: tuple[Cipher, Any, ImageShape], seed: int
) -> None:
    cipher, parameters, shape = case
    kept = cipher.preserves(parameters)
    image = pictures(shape, seed, count=1)
    ciphertext = cipher.prepare(ClientKey.from_seed(seed), parameters, shape).encrypt(image)
    folded = np.minimum(image, 255 - image), np.minimum(ciphertext, 255 - ciphertext)
    if "multiset of values of the image" in kept:
        assert (np.sort(image, axis=None) == np.sort(ciphertext, axis=None)).all()
    elif "multiset of folded values (v or 255 - v) of the image" in kept:
        assert (np.sort(folded[0], axis=None) == np.sort(folded[1], axis=None)).all()
    elif any("4-bit halves" in line for line in kept):
        assert (folded_halves(image) == folded_halves(ciphertext)).all()


def folded_halves(image: UInt8Array) -> UInt8Array:
    """All 4-bit halves as min(v, 15 - v), sorted."""
    halves = np.concatenate([image.ravel() & 15, image.ravel() >> 4])
    return np.sort(np.minimum(halves, 15 - halves))


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.integers(1, 6), st.integers(1, 400))
def test_keyed_permutations_are_bijections(subkey: bytes, count: int, size: int) -> None:
    drawn = Keystream(subkey).permutations(count, size)
    assert (np.sort(drawn, axis=1) == np.arange(size)).all()


@settings(max_examples=30, deadline=None)
@given(
    seeds,
    st.lists(st.lists(st.text(max_size=6), max_size=3).map(tuple), min_size=2, unique=True),
)
def test_every_purpose_has_its_own_subkey(seed: int, purposes: list[tuple[str, ...]]) -> None:
    key = ClientKey.from_seed(seed)
    assert len({key.subkey(*purpose).secret_bytes() for purpose in purposes}) == len(purposes)
