"""Bit flips of what is cached: features, stored images, artefacts. None may be used or block a run.

Real caches are filled by the code that fills them in a run, with a few invented images. A flip is
one bit of a file that is read when what is cached is asked for, which is done again then. Remade:
it is made again, with the value that it had, and that is said. Used: it comes back with another
value. Blocked: asking for it fails. Silent: it is made again, and nothing is said. Not seen: it
comes back as it was, as if no bit had changed: so no byte may be, since each has a digest.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from he_compare.common.datasets.reading.source_policy import LOGGER
from he_compare.common.kept import STORAGE_LOG
from tools.soak.campaign import Part
from tools.soak.figures import Line, Report, counted, no_more_than
from tools.soak.filled_caches import FILLED
from tools.soak.ledger import Outcome

FLIPS_A_UNIT = 50
# What is flipped in turn, unit by unit: features most, which the figure to reach is of.
TURNS = ("features", "features", "features", "images", "artefacts")
REMADE, BAD = "remade", ("used", "blocked", "silent", "not seen")


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
            figures += [
                no_more_than(f"cached {what}: {fate} after a flip", 0, total[fate]) for fate in BAD
            ]
        faults = [f"cached {one['what']}: {line}" for one in outcomes for line in one["faults"]]
        return Report(tuple(lines), tuple(figures), tuple(faults))

    def close(self) -> None:
        """End the processes."""
        if hasattr(self, "_pool"):
            self._pool.shutdown()


# In the processes that hold the caches ------------------------------------------------------------


@dataclass(frozen=True)
class Cache:
    """A filled cache. ``ask``: for what is in it, and was it made again.

    ``right``: the value; ``read``: the files that are read for it.
    """

    ask: Callable[[], tuple[bytes, bool]]
    right: bytes
    read: tuple[Path, ...]


_caches: dict[str, Cache] = {}
# Files that were opened for reading since the set was emptied; what was said since.
_opened: set[str] = set()
_said: list[str] = []


class _Listener(logging.Handler):
    """Keeps what the storage and the reading of data say."""

    def emit(self, record: logging.LogRecord) -> None:
        _said.append(record.getMessage())


def _begin(folder: Path) -> None:
    """Fill the caches of this process. What it has to say of damage goes to a file as well."""
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    own = folder / f"caches-{os.getpid()}"
    shutil.rmtree(own, ignore_errors=True)
    sys.addaudithook(_note_opened)
    for logger in (STORAGE_LOG, LOGGER):
        logger.addHandler(_Listener())
    for name, fill in FILLED.items():
        place, ask = fill(own / name)
        right, made = ask()
        _opened.clear()
        again, made_again = ask()
        if not made or made_again or again != right:
            raise RuntimeError(f"the cache of {name} is none: made {made}, again {made_again}")
        read = tuple(
            path
            for path in sorted(place.rglob("*"))
            if str(path) in _opened and path.is_file() and path.stat().st_size
        )
        if not read:
            raise RuntimeError(f"no file is read for cached {name}")
        _caches[name] = Cache(ask, right, read)


def _note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and not isinstance(arguments[0], int):
        _opened.add(str(Path(os.fsdecode(arguments[0])).absolute()))


def _flipped(seed: int, unit: int, count: int) -> Outcome:
    what = TURNS[unit % len(TURNS)]
    cache, random = _caches[what], np.random.default_rng([seed, 6, unit])
    fates: Counter[str] = Counter()
    faults = []
    for _ in range(count):
        with _one_bit_flipped(cache.read, random) as where:
            fate, told = _fate(cache)
        fates[fate] += 1
        if fate != REMADE:
            faults.append(f"{where}: {fate}{told}")
    return {"what": what, "fates": dict(fates), "faults": faults[:5]}


@contextlib.contextmanager
def _one_bit_flipped(files: Sequence[Path], random: np.random.Generator) -> Iterator[str]:
    """Flip a bit of a file; half of the flips are in its first or last kilobyte."""
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
    _said.clear()
    try:
        found, made = cache.ask()
    except Exception as error:
        return "blocked", f" by {type(error).__name__}: {error}"
    if found != cache.right:
        return "used", ""
    if not made:
        return "not seen", ""
    return (REMADE if _said else "silent"), ""
