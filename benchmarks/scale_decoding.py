"""Decoding into the store beside the decoder alone, and how long a run's planning takes.

The pictures are made here: grey radiograph-like noise of 512 x 512 pixels, smoothed, as PNG, each
another. Beside the store stand two decoders alone, each in two processes that are up: the reading
of the house (decoded and scaled to the size, not kept), and Pillow (decoded only). Planning is from
a folder to batches in the store, the look for copies included: the first time, and again when
nothing changed.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.rows import Row, against, main
from he_compare.common.datasets.folder import DATASET
from he_compare.common.datasets.opened.choice import stored_batches
from he_compare.common.datasets.opened.screening import screen
from he_compare.common.datasets.reading.decoding import open_image, to_square
from he_compare.common.datasets.stored.image_store import StoreWish, decoded_images
from he_compare.common.types import Split

SIDE, SIZE = 512, 224
PROCESSES = 2
COUNTS = (2_000, 10_000)


def measure(quick: bool) -> list[Row]:
    """Decode 2,000 and 10,000 made pictures; if ``quick`` 400."""
    rows: list[Row] = []
    for count in (400,) if quick else COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            rows += _measured(Path(folder), count)
    return rows


def _measured(folder: Path, count: int) -> list[Row]:
    root = folder / "films"
    make_films(root, count)
    files = sorted(root.rglob("*.png"))
    reader = count / _in_two_processes(_read, files)
    seconds = _stored(root, folder / "store")
    pillow = count / _in_two_processes(_load, files)
    what = f"{count:,} pictures of {SIDE} x {SIDE} pixels"
    name = f"decoding, copies, scaling to {SIZE} px and store, {what}"
    rows = [
        against(name, count / seconds, "images/s", count, "decoded and scaled only", reader),
        against(name, count / seconds, "images/s", count, "Pillow, decoded only", pillow),
    ]
    first, again = (_planned(root, folder / "plan") for _ in range(2))
    rows.append(Row(f"planning the first time, {what}", first, "s", count))
    return [*rows, against(f"planning again, {what}", again, "s", count, "first time", first)]


def make_films(root: Path, count: int) -> None:
    """Write pictures in two classes: smoothed noise, so that PNG compresses them as films."""
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (SIDE, SIDE), dtype=np.uint8))
    grain = np.asarray(noise.filter(ImageFilter.BoxBlur(2)))
    for number in range(count):
        low = random.integers(0, 256, (9, 9), dtype=np.uint8)
        shape = np.asarray(Image.fromarray(low).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        film = np.clip(shape * 0.9 + np.roll(grain, number, axis=1) * 0.1, 0, 255)
        target = root / ("ill", "well")[number % 2] / f"{number:06d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(film.astype(np.uint8)).save(target, compress_level=1)


def _in_two_processes(work: Callable[[list[Path]], int], files: list[Path]) -> float:
    """Return the seconds that two processes take for the files, without their start."""
    portions = [files[start : start + 16] for start in range(0, len(files), 16)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, context) as pool:
        list(pool.map(work, portions[: 2 * PROCESSES]))
        start = time.perf_counter()
        list(pool.map(work, portions))
        return time.perf_counter() - start


def _read(files: list[Path]) -> int:
    return sum(to_square(open_image(file, file.name), SIZE).shape[0] for file in files)


def _load(files: list[Path]) -> int:
    total = 0
    for file in files:
        with Image.open(file) as image:
            image.load()
            total += image.size[0]
    return total


def _stored(root: Path, cache: Path) -> float:
    """Return the seconds of the pass and its file, the start of its processes included."""
    dataset = DATASET.open(str(root), None, "", 0)
    chosen = {split: np.arange(len(dataset.index(split).ids)) for split in Split}
    return decoded_images(dataset, chosen, StoreWish(cache, SIZE), looks=True).seconds


def _planned(root: Path, cache: Path) -> float:
    start = time.perf_counter()
    wish = StoreWish(cache, SIZE)
    opened = screen(DATASET.open(str(root), None, "", 0), "drop", None, wish)
    chosen = {split: np.arange(len(opened.index(split).ids)) for split in Split}
    stored_batches(opened, chosen, wish)
    return time.perf_counter() - start


if __name__ == "__main__":
    main(measure, threads=PROCESSES)
