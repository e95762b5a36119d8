"""The engine of the permutation ciphers gives what its definition says, on every path it takes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest

from he_compare.block_scramble.cipher import cipher_parameters
from he_compare.block_scramble.engine import kernels
from he_compare.block_scramble.engine.permutations import (
    BytePermutation,
    NibblePermutation,
    permuted_blocks,
    permuted_nibble_blocks,
)
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common import plugins
from he_compare.common.types import UInt8Array
from tests.support.repository import ROOT

# Sizes that eight divides, and one that it does not; one image spans many tiles, one less than one.
SHAPES = [ImageShape(8, 8, 1), ImageShape(96, 80, 3), ImageShape(7, 9, 1)]
# One image, fewer than eight, eight, and eights with a rest.
COUNTS = [0, 1, 2, 7, 8, 9, 24, 27]


def pictures(shape: ImageShape, count: int, seed: int = 0) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def batch_last(images: UInt8Array) -> UInt8Array:
    return np.ascontiguousarray(images.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)


def drawn(size: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.permutation(size), random.integers(0, 2, size).astype(bool)


def flat(images: UInt8Array) -> UInt8Array:
    return images.reshape(len(images), int(np.prod(images.shape[1:])))


def moved_bytes(images: UInt8Array, index: np.ndarray, negated: np.ndarray) -> UInt8Array:
    """By definition: byte t is plain byte index[t], as 255 - v where negated."""
    moved = flat(images)[:, index]
    return np.where(negated, 255 - moved, moved).reshape(images.shape)


def moved_nibbles(images: UInt8Array, index: np.ndarray, negated: np.ndarray) -> UInt8Array:
    """By definition: nibble t is plain nibble index[t], as 15 - v where negated."""
    moved = np.concatenate([flat(images) & 15, flat(images) >> 4], axis=1)[:, index]
    low, high = np.split(np.where(negated, 15 - moved, moved), 2, axis=1)
    return (low | high << 4).reshape(images.shape)


ENGINES: list[Any] = [(BytePermutation, 1, moved_bytes), (NibblePermutation, 2, moved_nibbles)]
engines = pytest.mark.parametrize(
    ("engine", "pieces", "definition"), ENGINES, ids=["bytes", "nibbles"]
)


@engines
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("count", COUNTS)
def test_every_batch_is_moved_as_defined(
    engine: Any, pieces: int, definition: Any, shape: ImageShape, count: int
) -> None:
    images = pictures(shape, count)
    index, negated = drawn(pieces * int(np.prod(shape)))
    keyed = engine(shape, index, negated)
    expected = definition(images, index, negated)
    for given in (images, batch_last(images)):
        ciphertexts = keyed.encrypt(given)
        assert (ciphertexts == expected).all()
        assert (keyed.decrypt(ciphertexts) == images).all()
        assert ciphertexts.strides == given.strides or count <= 1


@engines
def test_read_only_misaligned_and_strided_batches_are_moved_as_well(
    engine: Any, pieces: int, definition: Any
) -> None:
    shape = SHAPES[1]
    images = pictures(shape, 9)
    index, negated = drawn(pieces * int(np.prod(shape)))
    keyed = engine(shape, index, negated)
    expected = definition(images, index, negated)
    received = np.frombuffer(b"xyz" + images.tobytes(), np.uint8)
    misaligned = received[3:].reshape(images.shape)
    strided = np.repeat(images, 2, axis=0)[::2]
    assert not misaligned.flags.writeable and not strided.flags.c_contiguous
    for given in (misaligned, strided, images[:, ::-1][:, ::-1], np.asfortranarray(images)):
        assert (keyed.encrypt(given) == expected).all()


def test_orders_and_signs_of_blocks_go_by_plain_block() -> None:
    image = np.arange(8, dtype=np.uint8).reshape(1, 2, 4, 1)
    orders = np.array([[3, 0, 1, 2], [0, 1, 3, 2]])
    signs = np.array([[True, False, False, False], [False, False, False, True]])
    keyed = permuted_blocks(ImageShape(2, 4, 1), 2, np.array([1, 0]), orders, signs)
    # Blocks of the image are 0 1 4 5 and 2 3 6 7; the second comes first.
    expected = np.array([[2, 3, 255 - 5, 0], [7, 255 - 6, 1, 4]], np.uint8)
    assert (keyed.encrypt(image)[0, :, :, 0] == expected).all()
    halves = np.concatenate([orders, orders + 4], axis=1)
    nibble_signs = np.concatenate([signs, np.zeros_like(signs)], axis=1)
    keyed_halves = permuted_nibble_blocks(
        ImageShape(2, 4, 1), 2, np.array([1, 0]), halves, nibble_signs
    )
    low = np.array([[2, 3, 15 - 5, 0], [7, 15 - 6, 1, 4]], np.uint8)
    assert (keyed_halves.encrypt(image)[0, :, :, 0] == low).all()


# First bytes of the SHA-256 of ciphertexts; a change here makes shared folders unreadable.
CIPHERTEXTS: list[tuple[str, dict[str, Any], str]] = [
    ("al_amin", {"patch": 16}, "86f73b6ea8541485"),
    (
        "al_amin",
        {"nibble_split": True, "negative_positive": True, "shared_pixel_key": False, "patch": 16},
        "aecc2aaadfd5c624",
    ),
    ("etc", {"patch": 16}, "0b4912eb256c8485"),
    ("etc_gray", {"patch": 8}, "d115941f19952813"),
    ("ffx", {"patch": 16}, "3a50596b00ef42b1"),
    ("madono_ele", {"patch": 16}, "3cebb44017b38f7d"),
    ("np", {"patch": 16}, "7db7a068380ea986"),
    ("pixel_np", {}, "db115375566969d0"),
    ("restricted", {"patch": 16}, "7e829b6c643e0991"),
    ("shf", {"patch": 16}, "a584a7338961b2ff"),
    ("tanaka_le", {"patch": 16}, "abb0362d347b69ef"),
    ("tanaka_le", {"mask_from_order": True, "patch": 16}, "2e4998c2c3cc8143"),
    ("vit_block", {"patch": 16}, "ba96b0f4fac59842"),
    ("vit_block", {"negative_positive": True, "patch": 16}, "e0b567990facf1b1"),
]


@pytest.mark.parametrize(("name", "options", "digest"), CIPHERTEXTS, ids=str)
def test_what_was_encrypted_before_can_still_be_read(
    name: str, options: dict[str, Any], digest: str
) -> None:
    shape = ImageShape(48, 32, 3)
    cipher = plugins.load("ciphers", name)
    keyed = cipher.prepare(ClientKey.from_seed(5), cipher_parameters(cipher, options), shape)
    steps = np.arange(9 * np.prod(shape), dtype=np.uint64) * 2654435761 >> 7
    ciphertexts = keyed.encrypt(steps.astype(np.uint8).reshape(9, *shape))
    assert hashlib.sha256(ciphertexts.tobytes()).hexdigest()[:16] == digest


@engines
@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [(0, 64, "outside"), (0, -1, "outside"), (3, None, "twice")],
    ids=["beyond", "negative", "repeated"],
)
def test_an_index_that_is_no_permutation_is_refused(
    engine: Any, pieces: int, definition: Any, place: int, value: int | None, reason: str
) -> None:
    shape = ImageShape(8, 8, 1)
    index, negated = drawn(64 * pieces)
    index[place] = index[0] if value is None else value * pieces
    with pytest.raises(ValueError, match=reason):
        engine(shape, index, negated)


@engines
def test_no_more_memory_is_taken_than_the_result_and_a_small_buffer(
    engine: Any, pieces: int, definition: Any
) -> None:
    shape = SHAPES[1]
    images = pictures(shape, 64)
    keyed = engine(shape, *drawn(pieces * int(np.prod(shape))))
    keyed.encrypt(images)
    tracemalloc.start()
    keyed.encrypt(images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= images.nbytes + 8 * images[0].nbytes + (1 << 16)


def test_loops_are_compiled_anew_where_no_folder_can_keep_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def njit(signature: Any, *, cache: bool = False, **options: Any) -> Any:
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function 'f': no locator available for file 'f.py'")
        return lambda function: function

    monkeypatch.setattr(kernels, "njit", njit)
    assert kernels._compiled("void()")(len) is len
    assert asked == [True, False]


def test_listing_ciphers_does_not_wait_for_the_compiled_loops() -> None:
    code = (
        "import sys; from he_compare.common import plugins\n"
        "for name in plugins.discover('ciphers'): plugins.load('ciphers', name).describe()\n"
        "print('numba' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "False\n"
