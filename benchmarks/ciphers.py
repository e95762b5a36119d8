"""Throughput of every cipher at 224 px beside a memory copy and plain Python, one line each.

Peers: ``numpy.copy`` of the same batch, once with a batch that the last-level cache holds and once
with one that it does not, each in the usual layout and with the batch as the last axis in memory;
and a per-block implementation in plain Python of the same key (lists, no array library), checked to
give the same ciphertext. One thread throughout; the shortest of many runs, taken in turns with the
peer's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.rows import Row, against, aligned, main
from he_compare.block_scramble.cipher import Cipher, cipher_parameters
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keyed_cipher import KeyedCipher
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.block_scramble.vit.patch_key import PatchAffine
from he_compare.common import plugins
from he_compare.common.errors import UsageError
from he_compare.common.types import UInt8Array

SHAPE = ImageShape(224, 224, 3)
PATCH = 16
# 9.6 MB, and 77 MB: more than the last-level cache of the machines this was measured on.
BATCHES = {"in cache": 64, "larger than cache": 512}
COPY = "numpy.copy of the batch"
PLAIN_PYTHON = "plain Python, block by block"
LAST_AXIS = "batch as last axis"
# Runs of each, as many as fit into the seconds.
REPEATS, SECONDS = (3, 60), 1.0
COLUMNS = ("GB/s", "images/s", "of copy")
HEADINGS = ("cipher", *(f"{verb} {what}" for verb in ("encrypt", "decrypt") for what in COLUMNS))


def measure(quick: bool) -> list[Row]:
    """Measure all ciphers that are found; ``quick`` repeats less and leaves out large batches."""
    rows = []
    ciphers = {name: plugin.load() for name, plugin in plugins.discover("ciphers").items()}
    for where, count in BATCHES.items():
        large = count > BATCHES["in cache"]
        if quick and large:
            continue
        images = np.random.default_rng(0).integers(0, 256, (count, *SHAPE), dtype=np.uint8)
        last = np.ascontiguousarray(images.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
        seconds = SECONDS / 4 if quick else SECONDS
        for name, cipher in ciphers.items():
            if large and cipher.traits.ciphertext != "uint8":
                continue
            keyed = _prepare(cipher)
            rows += _rows(f"{name}, {where}", keyed, images, seconds)
            rows += _rows(f"{name}, {where}, {LAST_AXIS}", keyed, last, seconds)
            if not large:
                rows += _rows_beside_plain_python(name, keyed, images, seconds)
    return rows


def _prepare(cipher: Cipher) -> KeyedCipher:
    options = {"patch": PATCH} if "patch" in cipher.parameters.model_fields else {}
    parameters = cipher_parameters(cipher, options)
    return cipher.prepare(ClientKey.from_seed(0), parameters, SHAPE)


def _rows(name: str, keyed: KeyedCipher, images: UInt8Array, limit: float) -> list[Row]:
    """Encrypt and decrypt, each interleaved with the copy so that both see the same machine."""
    rows = []
    for verb in ("encrypt", "decrypt"):
        given = images if verb == "encrypt" else keyed.encrypt(images)
        try:
            work = partial(getattr(keyed, verb), given)
            seconds, copy_seconds, repeats = _interleaved(work, lambda: np.copy(images), limit)
        except UsageError:
            continue
        rate, copy_rate = images.nbytes / seconds / 1e9, images.nbytes / copy_seconds / 1e9
        rows.append(against(f"{verb} {name}", rate, "GB/s", repeats, COPY, copy_rate))
        rows.append(Row(f"{verb} {name}", len(images) / seconds, "images/s", repeats))
    return rows


def _rows_beside_plain_python(
    name: str, keyed: KeyedCipher, images: UInt8Array, limit: float
) -> list[Row]:
    try:
        key = keyed.affine_embedding(PATCH)
    except UsageError:
        return []
    if not isinstance(key, PatchAffine):
        return []
    few = images[:2]
    by_hand = [_plain_python(image.tolist(), key) for image in few]
    if not np.array_equal(np.array(by_hand, np.uint8), keyed.encrypt(few)):
        raise AssertionError(f"{name}: the plain implementation gives another ciphertext")
    nested = [image.tolist() for image in few]
    by_definition = partial(lambda key: [_plain_python(image, key) for image in nested], key)
    ours, plain, repeats = _interleaved(lambda: keyed.encrypt(images), by_definition, limit)
    rate, plain_rate = len(images) / ours, len(few) / plain
    return [against(f"encrypt {name}", rate, "images/s", repeats, PLAIN_PYTHON, plain_rate)]


def _plain_python(image: list[Any], key: PatchAffine) -> list[Any]:
    """Encrypt one image given as nested lists, the way the definition reads."""
    side, channels = key.patch, len(image[0][0])
    columns = len(image[0]) // side
    orders, flips = key.value_order.tolist(), key.negated.tolist()
    scramble = _nibbles_scrambled if key.nibbles else _bytes_scrambled
    result = [[[0] * channels for _ in row] for row in image]
    for target, source in enumerate(key.block_order.tolist()):
        top, left = source // columns * side, source % columns * side
        block = [
            value
            for row in image[top : top + side]
            for px in row[left : left + side]
            for value in px
        ]
        which = target if len(orders) > 1 else 0
        values = iter(scramble(block, orders[which], flips[which]))
        top, left = target // columns * side, target % columns * side
        for y in range(top, top + side):
            for x in range(left, left + side):
                result[y][x] = [next(values) for _ in range(channels)]
    return result


def _bytes_scrambled(block: list[int], order: list[int], flips: list[bool]) -> list[int]:
    moved = [block[p] for p in order]
    return [255 - v if flip else v for v, flip in zip(moved, flips, strict=True)]


def _nibbles_scrambled(block: list[int], order: list[int], flips: list[bool]) -> list[int]:
    halves = [value & 15 for value in block] + [value >> 4 for value in block]
    moved = [halves[p] for p in order]
    moved = [15 - v if flip else v for v, flip in zip(moved, flips, strict=True)]
    low, high = moved[: len(block)], moved[len(block) :]
    return [l_half | h_half << 4 for l_half, h_half in zip(low, high, strict=True)]


def _interleaved(
    work: Callable[[], object], peer: Callable[[], object], limit: float
) -> tuple[float, float, int]:
    """Shortest run of each in seconds, taken in turns after a warm-up, and how many there were."""
    work(), peer()
    start, pairs = time.perf_counter(), []
    least, most = REPEATS
    while len(pairs) < least or (len(pairs) < most and time.perf_counter() - start < limit):
        pairs.append((_seconds(work), _seconds(peer)))
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs), len(pairs)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(rows: Sequence[Row]) -> str:
    """Return one line for each cipher, size of batch and layout, and those beside plain Python."""
    values = {(row.name, row.unit, row.peer): row for row in rows}
    names = list(dict.fromkeys(row.name.partition(" ")[2] for row in rows if row.peer == COPY))
    lines = [HEADINGS]
    for name in names:
        cells = [name]
        for verb in ("encrypt", "decrypt"):
            rate = values.get((f"{verb} {name}", "GB/s", COPY))
            images = values.get((f"{verb} {name}", "images/s", ""))
            if rate is None or images is None or rate.ratio is None:
                cells += ["-"] * len(COLUMNS)
            else:
                cells += [f"{rate.value:.2f}", f"{images.value:,.0f}", f"{rate.ratio:.2f}"]
        lines.append(tuple(cells))
    beside = [("cipher", "images/s", PLAIN_PYTHON, "times")]
    for row in rows:
        if row.peer == PLAIN_PYTHON and row.peer_value and row.ratio:
            numbers = (f"{row.value:,.0f}", f"{row.peer_value:.1f}", f"{row.ratio:,.0f}")
            beside.append((row.name.partition(" ")[2], *numbers))
    return aligned(lines) + "\n\n" + aligned(beside)


if __name__ == "__main__":
    main(measure, threads=1, show=table)
