"""What anybody finds out about a scheme by running its algorithm under keys of their own.

Nothing is declared by the cipher: a cipher from a third party is looked at like the built-in ones.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np

from he_compare.common.scheme import KeyedScheme, Scheme, encrypted, seen
from he_compare.common.target_facts import Facts
from he_compare.common.types import BoolArray, IntArray, PixelArray, UInt8Array

PROBES = 24
PROBE_SEED = 20_240_501
OWN_KEYS = (101, 202)
# Of sums of single-precision numbers, whose order differs between machines and numbers of threads.
TOLERANCE = 1e-5
# Grey levels from row to row and from column to column of a probe.
STEPS = (2, 1)
# Values that have to come twice at one position before a table is taken for one.
LEAST_REPEATED = 8


class _Changes(NamedTuple):
    """Of single changed values: how many ciphertext values change at most, and where."""

    most: int
    in_place: bool
    across_blocks: bool


def facts_of(scheme: Scheme, label: str, kind: str) -> Facts:
    """Probe a scheme under two throwaway keys with random images."""
    random = np.random.default_rng(PROBE_SEED)
    patch = _patch_of(scheme)
    image = random.integers(0, 256, (1, *scheme.shape), dtype=np.uint8)
    keys = [scheme.new_key(seed) for seed in OWN_KEYS]
    views = [_see(scheme, key, image) for key in keys]
    again = _see(scheme, keys[0], image)
    deterministic = _alike(views[0], again)
    changes = _changes(scheme, keys[0], image, patch, random) if deterministic else None
    size = image.size
    local = changes is not None and changes.most <= 2
    kept = [_blocks_kept(image, view, patch) for view in views]
    return Facts(
        label=label,
        kind=kind,
        scheme=scheme.name,
        parameters=scheme.parameters,
        shape=scheme.shape,
        patch=patch,
        pictures=scheme.shows_pictures,
        ciphertext=str(views[0].dtype),
        deterministic=deterministic,
        one_key=changes is not None and changes.most < max(3, size // 4),
        keeps_values=all(_same(_values(image), _values(view)) for view in views),
        keeps_folded=all(_same(_folded(image), _folded(view)) for view in views),
        keeps_nibbles=all(_same(_nibbles(image), _nibbles(view)) for view in views),
        keeps_places=changes is not None and changes.in_place,
        local=local,
        bytewise=changes is not None and changes.most <= 1,
        unadaptable=scheme.unadaptable,
        shared_key=patch is not None and _equal_blocks_stay_equal(scheme, keys[0], patch, random),
        moves_blocks=(local and changes is not None and changes.across_blocks)
        or any(one.moved for one in kept),
        folds_in_place=all(_folds_in_place(image, view) for view in views),
        keeps_blocks=all(one.whole for one in kept),
        keeps_neighbours=patch is not None
        and all(_neighbours_stay(scheme, key, patch) for key in keys),
        keeps_channel_blocks=all(_channel_blocks_kept(image, view, patch) for view in views),
        tables_in_place=all(_tables_in_place(image, view, patch or 1) for view in views),
        claims=scheme.claims(),
    )


def _patch_of(scheme: Scheme) -> int | None:
    patch = scheme.parameters.get("patch")
    height, width, _ = scheme.shape
    fits = isinstance(patch, int) and patch > 0 and not height % patch and not width % patch
    return patch if fits else None


def _see(scheme: Scheme, key: KeyedScheme, images: UInt8Array) -> PixelArray:
    return seen(scheme, encrypted(key, images))


def _changes(
    scheme: Scheme,
    key: KeyedScheme,
    image: UInt8Array,
    patch: int | None,
    random: np.random.Generator,
) -> _Changes:
    flat = random.choice(image.size, min(PROBES, image.size), replace=False)
    altered = np.repeat(image, len(flat), axis=0)
    # Both halves of the byte change, so that a cipher on nibbles shows that it moves them apart.
    altered.reshape(len(flat), -1)[np.arange(len(flat)), flat] ^= 0x11
    before = _see(scheme, key, image)[0].reshape(-1)
    after = _see(scheme, key, altered).reshape(len(flat), -1)
    touched = ~_equal(after, before)
    rows, places = np.nonzero(touched)
    channels = scheme.shape[2]
    in_place = bool((places // channels == flat[rows] // channels).all())
    block = _block_numbers(scheme.shape, patch)
    across = block is not None and bool((block[places] != block[flat[rows]]).any())
    return _Changes(int(touched.sum(axis=1).max()), in_place, across)


def _block_numbers(shape: tuple[int, int, int], patch: int | None) -> IntArray | None:
    if patch is None:
        return None
    row, column, _ = np.indices(shape)
    return cast(IntArray, (row // patch * (shape[1] // patch) + column // patch).ravel())


def _equal_blocks_stay_equal(
    scheme: Scheme, key: KeyedScheme, patch: int, random: np.random.Generator
) -> bool:
    height, width, channels = scheme.shape
    block = random.integers(0, 256, (patch, patch, channels), dtype=np.uint8)
    image = np.tile(block, (height // patch, width // patch, 1))
    seen = _see(scheme, key, image[None])[0]
    return _alike(seen, np.tile(seen[:patch, :patch], (height // patch, width // patch, 1)))


class _Kept(NamedTuple):
    """Whether blocks hold what one block of the image held, and whether they changed places."""

    whole: bool
    moved: bool


def _blocks_kept(image: UInt8Array, view: PixelArray, patch: int | None) -> _Kept:
    """Compare the halves that blocks hold: two random blocks hardly ever hold the same."""
    if patch is None or view.dtype != np.uint8:
        return _Kept(False, False)
    before, after = (_block_contents(cast(UInt8Array, one), patch) for one in (image, view))
    whole = sorted(before) == sorted(after)
    return _Kept(whole, whole and before != after)


def _channel_blocks_kept(image: UInt8Array, view: PixelArray, patch: int | None) -> bool:
    """Compare the folded values that blocks of one channel hold, whatever channel they are in."""
    if patch is None or view.dtype != np.uint8:
        return False
    before, after = (_channel_contents(cast(UInt8Array, one), patch) for one in (image, view))
    return before == after


def _channel_contents(image: UInt8Array, patch: int) -> list[bytes]:
    _, height, width, channels = image.shape
    grid = image.reshape(height // patch, patch, width // patch, patch, channels)
    blocks = grid.transpose(0, 2, 4, 1, 3).reshape(-1, patch * patch)
    return sorted(_folded(block).tobytes() for block in blocks)


def _block_contents(image: UInt8Array, patch: int) -> list[bytes]:
    _, height, width, channels = image.shape
    grid = image.reshape(height // patch, patch, width // patch, patch, channels)
    blocks = grid.transpose(0, 2, 1, 3, 4).reshape(-1, patch * patch * channels)
    return [_nibbles(block).tobytes() for block in blocks]


def _folds_in_place(image: UInt8Array, view: PixelArray) -> bool:
    """Compare the folded values of each pixel; a plain copy folds in place, too."""
    if view.dtype != np.uint8:
        return False
    before, after = (np.sort(np.minimum(one, 255 - one), axis=3) for one in (image, view))
    return bool(np.array_equal(before, after))


def _tables_in_place(image: UInt8Array, view: PixelArray, patch: int) -> bool:
    """Say whether equal values at one position of two blocks stay equal, and unequal ones unequal.

    Where hardly any values at one position are equal, nothing shows it.
    """
    if view.dtype != np.uint8:
        return False
    row, column, channel = np.indices(image.shape[1:])
    position = (row % patch * patch + column % patch) * image.shape[3] + channel
    plain, held = (one[0].astype(np.int64) + 256 * position for one in (image, view))
    pairs = len(np.unique(plain * position.size * 256 + held))
    repeated = image.size - pairs
    one_to_one = pairs == len(np.unique(plain)) == len(np.unique(held))
    return one_to_one and repeated >= LEAST_REPEATED


def _equal(first: PixelArray, second: PixelArray) -> BoolArray:
    """Say where values are equal; numbers that are no bytes are rounded by whoever adds them."""
    if first.dtype == np.uint8 and second.dtype == np.uint8:
        return cast(BoolArray, first == second)
    return np.isclose(first, second, rtol=TOLERANCE, atol=TOLERANCE * 255)


def _alike(first: PixelArray, second: PixelArray) -> bool:
    return first.shape == second.shape and bool(_equal(first, second).all())


def _neighbours_stay(scheme: Scheme, key: KeyedScheme, patch: int) -> bool:
    """Encrypt blocks that rise by small steps: whatever turns or negates them keeps the steps."""
    height, width, channels = scheme.shape
    row, column = np.indices((patch, patch))
    block = (STEPS[0] * row + STEPS[1] * column).astype(np.uint8)
    image = np.tile(block[:, :, None], (height // patch, width // patch, channels))
    view = _see(scheme, key, image[None])[0]
    if view.dtype != np.uint8:
        return False
    whole = view.astype(np.int64).reshape(height // patch, patch, width // patch, patch, channels)
    steps = [np.abs(np.diff(whole, axis=axis)) for axis in (1, 3)]
    return all(int(step.max(initial=0)) <= max(STEPS) for step in steps)


def _same(first: PixelArray, second: PixelArray) -> bool:
    return _alike(first, second)


def _values(images: PixelArray) -> PixelArray:
    return cast(PixelArray, np.sort(images, axis=None))


def _folded(images: PixelArray) -> PixelArray:
    return cast(PixelArray, np.sort(np.minimum(images, 255 - images), axis=None))


def _nibbles(images: PixelArray) -> PixelArray:
    if images.dtype != np.uint8:
        return images
    values = cast(UInt8Array, images)
    halves = np.concatenate([values & 15, values >> 4], axis=None)
    return cast(UInt8Array, np.sort(np.minimum(halves, 15 - halves)))
