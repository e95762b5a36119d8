"""SEAL objects from outside: every field and number is checked before SEAL is given any of it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import zstandard

from he_compare.common.errors import MessageError
from he_compare.fhe_baseline.ckks.context import galois_elements, import_tenseal, seal_context
from he_compare.fhe_baseline.ckks.parameters import parameter_set
from he_compare.fhe_baseline.ckks.seal_headers import HEADER, framed, inflated, seal_version
from he_compare.fhe_baseline.ckks.seal_objects import (
    MEMBERS,
    checked_ciphertext,
    checked_public_key,
    checked_switching_keys,
    ring_form,
)
from he_compare.fhe_baseline.ckks.serialization import (
    load_ciphertext,
    load_galois_keys,
    load_relinearisation_keys,
    seal_bytes,
)

NUMBERS = MEMBERS.size + HEADER.size + 8
STEPS = [1, 8]


@cache
def parameters() -> Any:
    return parameter_set("n4096-106")


def context() -> Any:
    return seal_context(parameters())


@cache
def keys() -> Any:
    return import_tenseal().sealapi.KeyGenerator(context())


@cache
def upload() -> bytes:
    """A fresh symmetric encryption, seeded."""
    seal = import_tenseal().sealapi
    plain = seal.Plaintext()
    seal.CKKSEncoder(context()).encode([1.0, -2.0], 2.0**27, plain)
    return seal_bytes(seal.Encryptor(context(), keys().secret_key()).encrypt_symmetric(plain))


@cache
def whole() -> bytes:
    """The same ciphertext with both polynomials."""
    return seal_bytes(
        load_ciphertext(import_tenseal().sealapi.Ciphertext(), context(), upload(), "u")
    )


def content_of(data: bytes) -> bytes:
    return inflated(data, 1 << 24, "object")


def stored(content: bytes, compression: int = 2) -> bytes:
    """Put a header before content, compressed as asked."""
    kept = {
        0: lambda: content,
        1: lambda: zlib.compress(content),
        2: lambda: zstandard.ZstdCompressor(write_content_size=False).compress(content),
    }[compression]()
    return HEADER.pack(0xA15E, 16, *seal_version(), compression, 0, 16 + len(kept)) + kept


@pytest.mark.parametrize("data", [upload, whole])
@pytest.mark.parametrize("compression", [0, 1, 2])
def test_a_good_ciphertext_is_loaded_however_it_is_compressed(
    data: Callable[[], bytes], compression: int
) -> None:
    again = stored(content_of(data()), compression)
    checked = checked_ciphertext(context(), again, "upload", 2)
    assert checked == framed(content_of(data()))
    seal = import_tenseal().sealapi
    loaded = load_ciphertext(seal.Ciphertext(), context(), again, "upload", 2)
    plain, slots = seal.Plaintext(), []
    seal.Decryptor(context(), keys().secret_key()).decrypt(loaded, plain)
    slots = seal.CKKSEncoder(context()).decode_double(plain)
    np.testing.assert_allclose(slots[:2], [1.0, -2.0], atol=1e-3)


def test_a_fresh_upload_is_seeded_and_seals_own_reading_of_it_agrees() -> None:
    form = ring_form(context())
    assert len(content_of(upload())) < len(content_of(whole()))
    assert len(content_of(whole())) == form.ciphertext_bytes(2, 2)
    assert form.degree == 4096 and [len(p) for p in form.levels.values()] == [2, 1]


def put(offset: int, value: int, size: int = 8) -> Callable[[bytes], bytes]:
    """Replace a number in the content; offsets below zero count from the end."""

    def change(content: bytes) -> bytes:
        start = offset % len(content)
        return content[:start] + value.to_bytes(size, "little") + content[start + size :]

    return change


def scaled(value: float) -> Callable[[bytes], bytes]:
    (number,) = struct.unpack("<Q", struct.pack("<d", value))
    return put(57, number)


HOSTILE: list[tuple[Callable[[bytes], bytes], str]] = [
    (put(0, 0), "under 2 primes"),
    (put(32, 0, 1), "not of the form"),
    (put(32, 2, 1), "not of the form"),
    (put(33, 1), "polynomials"),
    (put(33, 16), "polynomials"),
    (put(33, 1 << 63), "polynomials"),
    (put(41, 8192), "not of the form"),
    (put(49, 1), "not of the form"),
    (scaled(0.0), "scale"),
    (scaled(-1.0), "scale"),
    (scaled(float("nan")), "scale"),
    (scaled(float("inf")), "scale"),
    (put(65, 0), "not of the form"),
    (put(73, 0), "SEAL's header"),
    (put(78, 2, 1), "not as long"),
    (put(81, 1 << 40), "not as long"),
    (put(89, 0), "numbers, expected"),
    (put(89, 1 << 61), "numbers, expected"),
    (put(NUMBERS, (1 << 64) - 1), "not below its prime"),
    (put(NUMBERS + 8 * 4095, 1 << 40), "not below its prime"),
    (put(-82, 255, 1), "not below its prime"),
    (put(-65, 0, 1), "no seed of a known kind"),
    (put(-65, 3, 1), "no seed of a known kind"),
    (put(-73, 0), "seed is not as long"),
    (lambda content: content[:-1], "no seed|cut short"),
    (lambda content: content[:-81], "SEAL's header|shorter"),
    (lambda content: content + b"\0", "follow"),
    (lambda content: content[:100], "cut short"),
    (lambda content: content[:20], "cut short"),
    (lambda content: b"", "cut short"),
]


@pytest.mark.parametrize("compression", [0, 2])
@pytest.mark.parametrize(("change", "complaint"), HOSTILE)
def test_a_ciphertext_with_one_hostile_field_is_refused(
    change: Callable[[bytes], bytes], complaint: str, compression: int
) -> None:
    hostile = stored(change(content_of(upload())), compression)
    with pytest.raises(MessageError, match=complaint):
        checked_ciphertext(context(), hostile, "upload", 2)


@pytest.mark.parametrize(
    "place", [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 15], ids=lambda place: f"byte {place}"
)
def test_every_changed_byte_of_the_header_is_refused(place: int) -> None:
    changed = bytearray(upload())
    changed[place] ^= 0xFF
    with pytest.raises(MessageError):
        checked_ciphertext(context(), bytes(changed), "upload", 2)


def test_no_flipped_bit_in_the_last_hundred_bytes_ends_the_process() -> None:
    """SEAL's own inflater ended it for some of them."""
    empty = import_tenseal().sealapi.Ciphertext
    refused = 0
    for place in range(len(upload()) - 100, len(upload())):
        for bit in range(8):
            changed = bytearray(upload())
            changed[place] ^= 1 << bit
            try:
                load_ciphertext(empty(), context(), bytes(changed), "upload", 2)
            except MessageError:
                refused += 1
    assert refused > 0


@pytest.mark.parametrize("seed", range(3))
def test_flipped_bits_anywhere_are_refused_or_loaded(seed: int) -> None:
    random = np.random.default_rng(seed)
    empty = import_tenseal().sealapi.Ciphertext
    refused = loaded = 0
    for _ in range(200):
        changed, ciphertext = bytearray(upload()), empty()
        changed[random.integers(len(changed))] ^= 1 << int(random.integers(8))
        try:
            load_ciphertext(ciphertext, context(), bytes(changed), "upload", 2)
        except MessageError:
            refused += 1
        else:
            loaded += ciphertext.size() == 2
    assert refused + loaded == 200 and refused > 0


def test_a_bomb_and_a_frame_that_lies_about_its_size_are_refused() -> None:
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 28))
    liar = zstandard.ZstdCompressor(write_content_size=True).compress(bytes(1 << 28))
    for frame in (bomb, liar):
        header = HEADER.pack(0xA15E, 16, *seal_version(), 2, 0, 16 + len(frame))
        with pytest.raises(MessageError, match=r"inflate|claims"):
            checked_ciphertext(context(), header + frame, "upload", 2)


def test_two_frames_and_bytes_after_a_frame_are_refused() -> None:
    frame = upload()[16:]
    for more in (frame, b"x", zstandard.ZstdCompressor().compress(b"")):
        header = HEADER.pack(0xA15E, 16, *seal_version(), 2, 0, 16 + len(frame + more))
        with pytest.raises(MessageError):
            checked_ciphertext(context(), header + frame + more, "upload", 2)


# Evaluation keys


@cache
def elements() -> list[int]:
    return galois_elements(STEPS, parameters().degree)


@cache
def galois() -> bytes:
    return seal_bytes(keys().create_galois_keys(elements()))


@cache
def relinearisation() -> bytes:
    return seal_bytes(keys().create_relin_keys())


def test_good_keys_are_loaded_and_tell_what_they_are_for() -> None:
    seal = import_tenseal().sealapi
    rotations = load_galois_keys(seal.GaloisKeys(), context(), galois(), "keys", elements())
    assert [rotations.has_key(element) for element in [*elements(), 5]] == [True, True, False]
    products = load_relinearisation_keys(seal.RelinKeys(), context(), relinearisation(), "keys")
    assert products.has_key(2)


def test_keys_that_were_not_asked_for_are_refused() -> None:
    others = galois_elements([2, 4], parameters().degree)
    with pytest.raises(MessageError, match="not asked for"):
        checked_switching_keys(context(), galois(), "keys", others)
    with pytest.raises(MessageError, match="at most"):
        checked_switching_keys(context(), galois(), "keys", elements()[:1])
    with pytest.raises(MessageError):
        checked_switching_keys(context(), galois(), "keys", None)
    with pytest.raises(MessageError):
        checked_switching_keys(context(), relinearisation(), "keys", elements())


@pytest.mark.parametrize(
    "change",
    [
        put(0, 1),
        put(32, 0),
        put(32, 1 << 40),
        put(40, 1),
        put(40, 1 << 62),
        put(-70, 7),
        put(-200, (1 << 64) - 1),
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content + b"\0" * 8,
        lambda content: content[:40],
        lambda content: b"",
    ],
)
def test_hostile_keys_are_refused(change: Callable[[bytes], bytes]) -> None:
    for good, wanted in ((galois(), elements()), (relinearisation(), None)):
        hostile = stored(change(content_of(good)))
        with pytest.raises(MessageError):
            checked_switching_keys(context(), hostile, "keys", wanted)


def test_a_message_that_names_as_many_keys_as_there_are_coefficients_costs_little() -> None:
    """SEAL would make room for them all."""
    import resource

    content = content_of(galois())
    degree = parameters().degree
    many = content[:32] + struct.pack("<Q", degree) + struct.pack("<Q", 1 << 20) * degree
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MessageError, match="not asked for"):
        checked_switching_keys(context(), stored(many), "keys", elements())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_a_public_key_is_checked_as_a_ciphertext_of_keys() -> None:
    seal = import_tenseal().sealapi
    key = seal.PublicKey()
    keys().create_public_key(key)
    good = seal_bytes(key)
    assert checked_public_key(context(), good, "key") == framed(content_of(good))
    hostile = stored(put(NUMBERS + 8, (1 << 64) - 1)(content_of(good)))
    with pytest.raises(MessageError, match="not below its prime"):
        checked_public_key(context(), hostile, "key")
