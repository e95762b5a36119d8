"""Throughput of every cipher at 224 px, batch 64, beside a memory copy and plain Python.

Peers: ``numpy.copy`` of the same batch, and a per-block implementation in plain Python of the same
key (lists, no array library), checked to give the same ciphertext. One thread throughout.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.rows import Row, against, main
from block_scramble.cipher import Cipher, ImageShape, KeyedCipher, PatchAffine, cipher_parameters
from block_scramble.keys import ClientKey
from common import plugins
from common.errors import UsageError
from common.types import UInt8Array

SHAPE = ImageShape(224, 224, 3)
BATCH = 64
PATCH = 16
COPY = "numpy.copy of the batch"
PLAIN_PYTHON = "plain Python, block by block"


def measure(quick: bool) -> list[Row]:
    """Measure all ciphers that are found; ``quick`` repeats less."""
    repeats = 5 if quick else 25
    images = np.random.default_rng(0).integers(0, 256, (BATCH, *SHAPE), dtype=np.uint8)
    last = np.ascontiguousarray(images.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    rows = []
    for name, plugin in plugins.discover("ciphers").items():
        keyed = _prepare(plugin.load())
        rows += _rows(name, keyed, images, repeats)
        rows += _rows(f"{name}, batch as last axis in memory", keyed, last, repeats)
        rows += _rows_beside_plain_python(name, keyed, images, repeats)
    return rows


def _prepare(cipher: Cipher) -> KeyedCipher:
    options = {"patch": PATCH} if "patch" in cipher.parameters.model_fields else {}
    parameters = cipher_parameters(cipher, options)
    return cipher.prepare(ClientKey.from_seed(0), parameters, SHAPE)


def _rows(name: str, keyed: KeyedCipher, images: UInt8Array, repeats: int) -> list[Row]:
    """Encrypt and decrypt, each interleaved with the copy so that both see the same machine."""
    rows = []
    for verb in ("encrypt", "decrypt"):
        work = getattr(keyed, verb)
        try:
            seconds, copy_seconds = _interleaved(
                partial(work, images), lambda: np.copy(images), repeats
            )
        except UsageError:
            continue
        rate, copy_rate = images.nbytes / seconds / 1e9, images.nbytes / copy_seconds / 1e9
        rows.append(against(f"{verb} {name}", rate, "GB/s", repeats, COPY, copy_rate))
        rows.append(Row(f"{verb} {name}", BATCH / seconds, "images/s", repeats))
    return rows


def _rows_beside_plain_python(
    name: str, keyed: KeyedCipher, images: UInt8Array, repeats: int
) -> list[Row]:
    try:
        embedding = keyed.affine_embedding(PATCH)
    except UsageError:
        return []
    few = images[:2]
    by_hand = [_plain_python(image.tolist(), embedding) for image in few]
    if not np.array_equal(np.array(by_hand, np.uint8), keyed.encrypt(few)):
        raise AssertionError(f"{name}: the plain implementation gives another ciphertext")
    nested = [image.tolist() for image in few]
    plain = _best(lambda: [_plain_python(image, embedding) for image in nested], 3)
    ours = _best(lambda: keyed.encrypt(images), repeats)
    rate, plain_rate = BATCH / ours, len(few) / plain
    return [against(f"encrypt {name}", rate, "images/s", repeats, PLAIN_PYTHON, plain_rate)]


def _plain_python(image: list[Any], embedding: PatchAffine) -> list[Any]:
    """Encrypt one image given as nested lists, the way the definition reads."""
    side, channels = embedding.patch, len(image[0][0])
    columns = len(image[0]) // side
    value_order, negated = embedding.value_order.tolist(), embedding.negated.tolist()
    result = [[[0] * channels for _ in row] for row in image]
    for target, source in enumerate(embedding.block_order.tolist()):
        top, left = source // columns * side, source % columns * side
        block = [
            value
            for row in image[top : top + side]
            for px in row[left : left + side]
            for value in px
        ]
        moved = [block[p] for p in value_order]
        moved = [255 - v if flip else v for v, flip in zip(moved, negated, strict=True)]
        top, left = target // columns * side, target % columns * side
        values = iter(moved)
        for y in range(top, top + side):
            for x in range(left, left + side):
                result[y][x] = [next(values) for _ in range(channels)]
    return result


def _best(work: Callable[[], object], repeats: int) -> float:
    """Shortest of ``repeats`` runs in seconds, after one warm-up."""
    work()
    return min(_seconds(work) for _ in range(repeats))


def _interleaved(
    work: Callable[[], object], peer: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """Shortest run of each in seconds, taken in turns, after one warm-up of both."""
    work(), peer()
    pairs = [(_seconds(work), _seconds(peer)) for _ in range(repeats)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(measure, threads=1)
