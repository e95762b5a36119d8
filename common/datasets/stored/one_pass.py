"""Every image decoded once: the digest of its pixels, its look, and its pixels at a size.

Where the work is worth it, processes share it: each opens the files by itself, from the dataset
that is handed to it once. A dataset that is in memory or cannot be handed over is read by this
process, and so is a small one, for which others would start too late.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from he_compare.common.contracts import OpenDataset, Progress
from he_compare.common.datasets.opened.fingerprint import (
    NativePixels,
    native_pixels,
    pixels_sha256,
)
from he_compare.common.datasets.opened.invariants import read_images
from he_compare.common.datasets.opened.looks import FREQUENCIES, frequencies_of
from he_compare.common.datasets.reading import decoding
from he_compare.common.datasets.reading.decoding import to_square
from he_compare.common.environment import usable_cores
from he_compare.common.errors import DataError
from he_compare.common.types import Float32Array, IntArray, Split, UInt8Array

PER_REQUEST = 16
# Seconds of computing below which no processes are started: each needs some to import its code.
WORTH_PROCESSES = 6.0
# What gives pixels; see ``scales_stored``.
GIVES = frozenset({"read", "native", "own_channels"})
NO_LOOK = np.zeros((FREQUENCIES, FREQUENCIES), dtype=np.float32)


@runtime_checkable
class TellsSources(Protocol):
    """A dataset that says from which bytes an image is read, without decoding: an optional part."""

    def place(self) -> str:
        """Say where the images lie."""
        ...

    def sources(self, split: Split, positions: IntArray) -> Iterator[bytes]:
        """Yield a SHA-256 by position, b"" where it is not known."""
        ...


@runtime_checkable
class OwnChannels(Protocol):
    """A dataset that gives grey images with one channel: an optional part, it saves time."""

    def own_channels(self, split: Split, positions: IntArray) -> Iterator[UInt8Array]:
        """Yield what ``native`` does, uint8 (height, width, 1) where an image is grey."""
        ...


@dataclass(frozen=True)
class Wanted:
    """What a pass finds out. ``size``: of pixels, None for none.

    ``scaled``: whether pixels are scaled from those as stored; else the dataset reads them apart.
    """

    size: int | None
    looks: bool
    sources: bool
    scaled: bool = True


@dataclass(frozen=True)
class SeenImage:
    """``native``: SHA-256 of shape and pixels as stored, b"" where it cannot be decoded.

    ``look``: float32 (16, 16). ``pixels``: uint8 (size, size, 1 or 3). ``source``: SHA-256 of what
    it was read from, b"" where unknown.
    """

    native: bytes
    source: bytes
    look: Float32Array | None
    pixels: UInt8Array | None


@dataclass(frozen=True)
class Portion:
    """Some images of a split."""

    split: Split
    positions: IntArray


def portions_of(split: Split, positions: IntArray) -> list[Portion]:
    """Cut positions into portions, in order."""
    starts = range(0, len(positions), PER_REQUEST)
    return [Portion(split, positions[start : start + PER_REQUEST]) for start in starts]


def look_through(
    dataset: OpenDataset,
    portions: Sequence[Portion],
    wanted: Wanted,
    progress: Progress | None = None,
) -> Iterator[SeenImage]:
    """Decode the images of the portions once, in order. One that cannot be decoded is told so."""
    wanted = replace(wanted, scaled=wanted.size is None or scales_stored(dataset))
    counts = dict.fromkeys(Split, 0)
    totals = {split: sum(len(p.positions) for p in portions if p.split is split) for split in Split}
    for portion, seen in zip(portions, _shared(dataset, portions, wanted), strict=True):
        yield from seen
        if progress is not None:
            counts[portion.split] += len(seen)
            done, total = counts[portion.split], totals[portion.split]
            progress(f"decoding {portion.split} images", done, total)


def see(dataset: OpenDataset, portion: Portion, wanted: Wanted) -> list[SeenImage]:
    """Decode some images; a portion with one that cannot be decoded is halved."""
    split, positions = portion.split, portion.positions
    sources = [b""] * len(positions)
    if wanted.sources and isinstance(dataset, TellsSources):
        # Before the pixels: bytes that change between the two never pass for those decoded.
        sources = list(dataset.sources(split, positions))
    try:
        natives = list(_as_stored(dataset, split, positions))
        apart = None
        if wanted.size is not None and not wanted.scaled:
            apart = read_images(dataset, split, positions, wanted.size)
    except DataError:
        if len(positions) > 1:
            halves = np.array_split(positions, 2)
            return [one for half in halves for one in see(dataset, Portion(split, half), wanted)]
        blank = None if wanted.size is None else np.zeros((wanted.size,) * 2 + (1,), np.uint8)
        return [SeenImage(b"", sources[0], NO_LOOK if wanted.looks else None, blank)]
    return [
        _seen(image, sources[i], wanted, None if apart is None else apart[i])
        for i, image in enumerate(natives)
    ]


def _as_stored(dataset: OpenDataset, split: Split, positions: IntArray) -> Iterator[UInt8Array]:
    """Yield images as stored, with one channel where they are grey."""
    if isinstance(dataset, OwnChannels):
        yield from dataset.own_channels(split, positions)
        return
    for image in native_pixels(dataset, split, positions):
        yield _least_channels(image)


def _seen(image: UInt8Array, source: bytes, wanted: Wanted, apart: UInt8Array | None) -> SeenImage:
    native = pixels_sha256(image)
    look = frequencies_of(image) if wanted.looks else None
    if wanted.size is None:
        return SeenImage(native, source, look, None)
    if apart is not None:
        return SeenImage(native, source, look, _least_channels(apart))
    return SeenImage(native, source, look, _scaled(image, wanted.size))


def _scaled(image: UInt8Array, size: int) -> UInt8Array:
    from PIL import Image

    if image.shape[2] == 3:
        return _least_channels(to_square(Image.fromarray(image), size))
    grey = Image.fromarray(image[..., 0])
    if grey.size != (size, size):
        grey = grey.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(grey, dtype=np.uint8)[..., None]


def _least_channels(image: UInt8Array) -> UInt8Array:
    """Return one channel of an image whose three are equal, else all."""
    first = np.ascontiguousarray(image[..., 0])
    grey = np.array_equal(first, image[..., 1]) and np.array_equal(first, image[..., 2])
    return np.ascontiguousarray(image[..., :1]) if grey else image


def scales_stored(dataset: OpenDataset) -> bool:
    """Say whether a dataset declares that it reads by scaling its pixels as stored.

    The declaration holds for the class that makes it, with the ``read`` and the pixels it has: a
    class below that brings one of its own has to declare it again.
    """
    if not isinstance(dataset, NativePixels) or set(getattr(dataset, "__dict__", ())) & GIVES:
        return False
    for kind in type(dataset).__mro__:
        if "reads_by_scaling" in vars(kind):
            return bool(vars(kind)["reads_by_scaling"])
        if set(vars(kind)) & GIVES:
            return False
    return False


def _shared(
    dataset: OpenDataset, portions: Sequence[Portion], wanted: Wanted
) -> Iterator[list[SeenImage]]:
    """Yield what is seen in each portion, by processes once it shows that they are worth it."""
    start, done = time.process_time(), 0
    for done, portion in enumerate(portions, start=1):
        seen = see(dataset, portion, wanted)
        left = (time.process_time() - start) / max(done - 1, 1) * (len(portions) - done)
        yield seen
        if done == 1:
            start = time.process_time()  # the first portion imports what decodes
        elif left > WORTH_PROCESSES and usable_cores() > 1:
            break
    rest = portions[done:]
    if not rest or not _can_be_shared(dataset):
        yield from (see(dataset, portion, wanted) for portion in rest)
        return
    done = 0
    try:
        for seen in _by_processes(dataset, wanted, rest):
            done += 1
            yield seen
    except BrokenProcessPool:
        # A process was killed, or could not start: the rest is decoded here.
        yield from (see(dataset, portion, wanted) for portion in rest[done:])


def _can_be_shared(dataset: OpenDataset) -> bool:
    """Say whether other processes can open the images: files, and a dataset that pickles."""
    if multiprocessing.current_process().daemon or not getattr(dataset, "reads_files", False):
        return False
    try:
        pickle.dumps(dataset)
    except (pickle.PicklingError, TypeError, AttributeError):
        return False
    return True


def _by_processes(
    dataset: OpenDataset, wanted: Wanted, portions: Sequence[Portion]
) -> Iterator[list[SeenImage]]:
    workers = min(usable_cores(), len(portions))
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_take, initargs=(dataset, wanted))
    waiting: deque[Future[list[SeenImage]]] = deque()
    try:
        for portion in portions:
            with _deaf_to_interrupts():
                waiting.append(pool.submit(_see_there, portion))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let processes that are started here ignore what a terminal sends to all: Ctrl-C, hanging up.

    The one that started them hears it, and ends them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGHUP")]
    before = {one: signal.signal(one, signal.SIG_IGN) for one in numbers if one is not None}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # else no handler of Python's: it cannot be put back
                signal.signal(number, handler)


_taken: list[tuple[OpenDataset, Wanted]] = []


def _take(dataset: OpenDataset, wanted: Wanted) -> None:
    """Keep what the starting process handed over. One thread decodes: others have the cores."""
    decoding.WORKERS = 1
    _taken[:] = [(dataset, wanted)]


def _see_there(portion: Portion) -> list[SeenImage]:
    dataset, wanted = _taken[0]
    return see(dataset, portion, wanted)
