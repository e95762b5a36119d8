"""Peak memory of a run's driver and of its server processes, against the number of images.

Radiograph-like grey pictures of 224 px are made, split into folders of train, val and test, and
compared by the real ``compare run`` in a process of its own: frozen features with a logistic head
at the server, the same head under encryption, and a ViT adapted to the key of ``vit_block``. The
ViT has patches of 32 pixels, so that its one epoch is a small part of the time; what is held in
memory does not depend on the patch. Latency and audit are left out.

The kernel's high-water mark (VmHWM) of every process of the run is read many times a second, as a
run sets its own back whenever a phase begins. The peer of each size is the smallest one.

One size alone: ``python -m benchmarks.scale_memory --images 50000 --json FILE``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.rows import Row, against, main
from he_compare.common.environment import usable_cores
from he_compare.common.run.store import RunFolder
from he_compare.common.types import Phase, Status

SIZE = 224
QUICK, WHOLE = (300, 1_500), (2_000, 10_000, 50_000)
SHARES = {"train": 0.85, "val": 0.05, "test": 0.10}
CLASSES = ("clear", "opacity")
PIPELINES = (
    "plaintext[model=logistic]",
    "fhe-head",
    "block-scramble[cipher=vit_block,mode=adapted,patch=32]",
)
COMMAND = "import sys; from he_compare.comparisons.cli.app import main; sys.exit(main())"
SERVER_MODULE = "he_compare.common.service.child"
GIGABYTE = 1e9
PER_TASK = 500
POLL_SECONDS = 0.05
JPEG_QUALITY = 80
COARSE = 12


def measure(quick: bool, sizes: Sequence[int] = ()) -> list[Row]:
    """Run the comparison at every size; rows of later sizes stand beside those of the first."""
    rows: list[Row] = []
    first: dict[str, float] = {}
    asked = sizes or (QUICK if quick else WHOLE)
    for count in asked:
        found = peaks_of_run(count)
        for what, value in found.items():
            rows.append(_row(what, value, count, first, asked[0]))
            first.setdefault(what, value)
            print(f"{rows[-1].name}: {value:.3f} {rows[-1].unit}", file=sys.stderr, flush=True)
    return rows


def _row(what: str, value: float, count: int, first: dict[str, float], least: int) -> Row:
    name, unit = f"{what}, {count:,} images of {SIZE} px", "s" if what == SECONDS else "GB"
    if what not in first or what == SECONDS:
        return Row(name, value, unit, count)
    return against(name, value, unit, count, f"{least:,} images", first[what])


SECONDS = "seconds of the whole run"


def peaks_of_run(count: int) -> dict[str, float]:
    """Compare ``count`` images; return peak memory in GB by process, and the seconds it took."""
    with tempfile.TemporaryDirectory(prefix="scale-memory-") as folder:
        root = Path(folder)
        make_pictures(root / "images", count)
        start = time.perf_counter()
        watched = _run(root)
        seconds = time.perf_counter() - start
        found = {
            "peak memory of the driver": watched.driver / GIGABYTE,
            "peak memory of the largest server": max(watched.servers.values()) / GIGABYTE,
        }
        if watched.others:
            found["peak memory of the largest helper process"] = (
                max(watched.others.values()) / GIGABYTE
            )
        for record in RunFolder(root / "run").records():
            answers = record.status is Status.OK and record.cell.phase is Phase.ACCURACY
            if answers and record.server_peak_bytes is not None:
                name = f"peak memory of the server that answers, {record.cell.label}"
                found[name] = record.server_peak_bytes / GIGABYTE
        return found | {SECONDS: seconds}


def make_pictures(folder: Path, count: int) -> None:
    """Write ``count`` different JPEGs as SPLIT/CLASS/NUMBER.jpg, in processes."""
    tasks = [(start, min(start + PER_TASK, count)) for start in range(0, count, PER_TASK)]
    for split in SHARES:
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
    with ProcessPoolExecutor(usable_cores()) as pool:
        list(pool.map(partial(_write_pictures, folder, count), tasks))


def _write_pictures(folder: Path, count: int, task: tuple[int, int]) -> None:
    for number in range(*task):
        random = np.random.default_rng(number)
        label = number % len(CLASSES)
        coarse = random.integers(60, 200, (COARSE, COARSE)).astype(np.uint8)
        coarse[2:5, 2:5] = np.clip(coarse[2:5, 2:5] + 50.0 * label, 0, 255)
        picture = Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        place = folder / _split_of(number, count) / CLASSES[label] / f"{number:06d}.jpg"
        picture.save(place, quality=JPEG_QUALITY)


def _split_of(number: int, count: int) -> str:
    """Return the split of picture ``number``: the first are trained on, the last are tested."""
    ends = np.cumsum([*SHARES.values()]) * count
    return [*SHARES][min(int(np.searchsorted(ends, number, side="right")), len(SHARES) - 1)]


@dataclass
class Watched:
    """Largest resident memory in bytes: of the driver, and of its other processes by pid."""

    driver: int = 0
    servers: dict[int, int] = field(default_factory=dict)
    others: dict[int, int] = field(default_factory=dict)

    def look(self, pid: int) -> None:
        """Read the high-water marks of the driver and of all that it has started."""
        self.driver = max(self.driver, _high_water(pid))
        for child in _descendants(pid):
            if peak := _high_water(child):
                known = self.servers if SERVER_MODULE in _words(child) else self.others
                known[child] = max(known.get(child, 0), peak)


def _run(root: Path) -> Watched:
    """Run the comparison under ``root`` and watch it. Raises SystemExit where it fails."""
    command = [sys.executable, "-c", COMMAND, "run", "--dataset", f"folder:{root / 'images'}"]
    command += ["--profile", "quick", "--image-size", str(SIZE), "--epochs", "1", "--no-audit"]
    command += ["--latency-rounds", "0", "--latency-images", "0", "--robustness-images", "0"]
    for name in PIPELINES:
        command += ["--pipeline", name]
    command += ["--out", str(root / "run"), "--key", str(root / "client.key"), "--quiet"]
    environment = os.environ | {"XDG_CACHE_HOME": str(root / "cache")}
    watched, log = Watched(), root / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
        ended = threading.Event()
        watcher = threading.Thread(target=_watch, args=(watched, process.pid, ended))
        watcher.start()
        code = process.wait()
        ended.set()
        watcher.join()
    if code:
        raise SystemExit(f"compare run ended with {code}:\n{log.read_text()[-2000:]}")
    return watched


def _watch(watched: Watched, pid: int, ended: threading.Event) -> None:
    while not ended.wait(POLL_SECONDS):
        watched.look(pid)


def _descendants(pid: int) -> list[int]:
    with suppress(psutil.Error):
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return []


def _high_water(pid: int) -> int:
    """Return VmHWM of a process in bytes; 0 where it has ended."""
    with suppress(OSError, IndexError):
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return 0


def _words(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
    return ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--images", type=int, nargs="+", default=[])
    own, sys.argv[1:] = parser.parse_known_args()
    main(partial(measure, sizes=own.images))
