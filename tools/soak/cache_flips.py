"""Bit flips of what is cached: features, stored images, artefacts. None may be used or block a run.

Real caches are filled by the code that fills them in a run, with a few invented images. A flip is
one bit of one of their files; then what is cached is asked for again. Used: it comes back with
another value. Blocked: asking for it fails. Remade: it is made again, with the value that it had.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tools.soak.campaign import Outcome, Part
from tools.soak.figures import Line, Report, counted, no_more_than
from tools.soak.invented import invented_images

FLIPS_A_UNIT = 50
SIZE, IMAGES = 32, 4
# What is flipped in turn, unit by unit: features most, which the figure to reach is of.
TURNS = ("features", "features", "features", "images", "artefacts")


class CacheFlips(Part):
    """Flips one bit of a cache at a time."""

    name = "cache"
    bears_company = True

    def __init__(self, folder: Path, seed: int, count: int) -> None:
        super().__init__(folder, seed)
        self.count = count

    @property
    def units(self) -> int:
        """Units of the first kind hold the flips that were asked for; the others come on top."""
        wanted, number = -(-self.count // FLIPS_A_UNIT), 0
        while wanted > 0:
            wanted -= TURNS[number % len(TURNS)] == TURNS[0]
            number += 1
        return max(number, len(TURNS))

    def prepare(self) -> None:
        """Start the processes that hold the caches."""
        super().prepare()
        self._pool = ProcessPoolExecutor(
            self.at_once,
            mp_context=get_context("spawn"),
            initializer=_begin,
            initargs=(self.folder,),
        )

    def try_one(self, unit: int) -> Outcome:
        """Flip some bits, one after the other."""
        most = min(FLIPS_A_UNIT, self.count)
        return self._pool.submit(_flipped, self.seed, unit, most).result()

    def report(self, outcomes: Sequence[Outcome]) -> Report:
        """Say what became of the flips of each cache."""
        lines, figures = [], []
        for what in dict.fromkeys(TURNS):
            total: Counter[str] = Counter()
            for one in outcomes:
                if one["what"] == what:
                    total.update(one["fates"])
            n = sum(total.values())
            lines.append(Line(f"cached {what}, one bit flipped", n, counted(total)))
            figures.append(no_more_than(f"cached {what}: used after a flip", 0, total["used"]))
            figures.append(no_more_than(f"cached {what}: blocked by a flip", 0, total["blocked"]))
        faults = [f"cached {one['what']}: {line}" for one in outcomes for line in one["faults"]]
        return Report(tuple(lines), tuple(figures), tuple(faults))

    def close(self) -> None:
        """End the processes."""
        if hasattr(self, "_pool"):
            self._pool.shutdown()


# In the processes that hold the caches ------------------------------------------------------------


@dataclass(frozen=True)
class Cache:
    """A filled cache. ``folder``: its files; ``ask``: for what is in it, and was it made again."""

    folder: Path
    ask: Callable[[], tuple[bytes, bool]]
    right: bytes


_caches: dict[str, Cache] = {}


def _begin(folder: Path) -> None:
    """Fill the caches of this process. What it has to say of damage goes to a file."""
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    own = folder / f"caches-{os.getpid()}"
    for name, fill in (("features", _features), ("images", _images), ("artefacts", _artefacts)):
        place, ask = fill(own / name)
        right, made = ask()
        again, made_again = ask()
        if not made or made_again or again != right:
            raise RuntimeError(f"the cache of {name} is none: made {made}, again {made_again}")
        _caches[name] = Cache(place, ask, right)


def _flipped(seed: int, unit: int, count: int) -> Outcome:
    what = TURNS[unit % len(TURNS)]
    cache, random = _caches[what], np.random.default_rng([seed, 6, unit])
    fates: Counter[str] = Counter()
    faults = []
    for _ in range(count):
        with _one_bit_flipped(cache.folder, random) as where:
            fate, told = _fate(cache)
        fates[fate] += 1
        if fate in ("used", "blocked"):
            faults.append(f"{where}: {fate}{told}")
    return {"what": what, "fates": dict(fates), "faults": faults[:5]}


@contextlib.contextmanager
def _one_bit_flipped(folder: Path, random: np.random.Generator) -> Iterator[str]:
    """Flip a bit of a file of a cache; half of the flips are in its first or last kilobyte."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path = files[int(random.integers(len(files)))]
    data = path.read_bytes()
    near = min(len(data), 1024)
    at = int(random.integers(len(data)))
    if random.integers(2):
        at = (
            int(random.integers(near))
            if random.integers(2)
            else len(data) - 1 - int(random.integers(near))
        )
    bit = int(random.integers(8))
    path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
    yield f"{path.suffix} file, byte {at:,} of {len(data):,}, bit {bit}"
    path.write_bytes(data)


def _fate(cache: Cache) -> tuple[str, str]:
    try:
        found, made = cache.ask()
    except Exception as error:
        return "blocked", f" by {type(error).__name__}: {error}"
    if found != cache.right:
        return "used", ""
    return ("remade" if made else "without effect"), ""


def _features(folder: Path) -> tuple[Path, Callable[[], tuple[bytes, bool]]]:
    """Fill the cache of features of a small transformer with random weights."""
    from he_compare.common.backbones.features import FeatureExtractor, cached_features
    from he_compare.common.clock import Clock
    from he_compare.common.contracts import RunContext, RunSettings
    from he_compare.common.run.kept_artefacts import ArtefactFolder
    from he_compare.common.types import ImageBatch, Side

    name = "deit_tiny_patch16_224"
    artefacts = ArtefactFolder(folder / "artefacts")
    settings = RunSettings(SIZE, name, "untrained", 1, 8, 1e-3, 1, 8)
    context = RunContext(
        seed=0,
        settings=settings,
        clock=Clock(Side.CLIENT),
        artefacts=artefacts,
        cache_dir=folder,
        key_file=folder / "client.key",
        start_server=_no_server,
        progress=lambda what, done, total: None,
    )
    extractor = FeatureExtractor(name, SIZE, "untrained", 0, threads=1)
    ids = tuple(map(str, range(IMAGES)))
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    batch = ImageBatch(ids=ids, images=images, labels=np.arange(IMAGES) % 2, groups=ids)

    def ask() -> tuple[bytes, bool]:
        found = cached_features(batch, context, extractor)
        context.warnings.clear()
        return found.tobytes(), not artefacts.drain_reused()

    return folder / "features", ask


def _no_server(pipeline: str, public_material: bytes) -> Any:
    raise AssertionError(f"{pipeline} started a server")


def _images(folder: Path) -> tuple[Path, Callable[[], tuple[bytes, bool]]]:
    """Fill the store of decoded images with a folder of pictures in two classes."""
    from he_compare.common.datasets.folder import DATASET
    from he_compare.common.datasets.stored.image_store import StoreWish, decoded_images
    from he_compare.common.types import Split

    invented_images(folder / "films", a_class=10)
    dataset = DATASET.open(str(folder / "films"), None, "", 0)
    chosen = {split: np.arange(len(dataset.index(split).ids)) for split in Split}

    def ask() -> tuple[bytes, bool]:
        found = decoded_images(dataset, chosen, StoreWish(folder / "cache", SIZE), looks=True)
        parts = [found.pictures(dataset, split, chosen[split])[:].tobytes() for split in Split]
        parts += [found.looks(split, chosen[split]).tobytes() for split in Split]
        return b"".join(parts), not found.reused

    return folder / "cache", ask


def _artefacts(folder: Path) -> tuple[Path, Callable[[], tuple[bytes, bool]]]:
    """Fill a folder of artefacts."""
    from he_compare.common.run.kept_artefacts import ArtefactFolder

    store = ArtefactFolder(folder / "artefacts")
    data = np.random.default_rng(2).bytes(5000)

    def ask() -> tuple[bytes, bool]:
        found = store.get_or_make("weights", {"a": 1}, lambda: data)
        return found, not store.drain_reused()

    return folder / "artefacts", ask
