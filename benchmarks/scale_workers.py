"""Wall time of a run on two workers beside one process, and what Dask costs a run of one worker.

Every run is the real command in a process of its own, with a cache that holds the decoded images
and nothing else, so that none of them finds the features of the one before. The quick profile is
run without attacks, whose time is a budget. With ``--quick`` both comparisons take the smoke
profile.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rows import Row, against, main
from he_compare.common.environment import thread_environment, usable_cores
from tools.soak.cluster import Cluster, certificates

COMMAND = "import sys; from he_compare.comparisons.cli.app import main; sys.exit(main())"
SAME = ("run", "--dataset", "chestxray", "--offline", "--no-audit", "--format", "")
WORKERS = 2


def measure(quick: bool) -> list[Row]:
    """Time the runs one after the other; nothing else should run on the machine.

    Raises CalledProcessError where one of them fails.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        profile = "smoke" if quick else "quick"
        seconds_of(folder, ("--profile", profile, "--explain"), keep_cache=True)
        alone, together = (
            seconds_of(folder, ("--profile", profile, "--workers", str(count)))
            for count in (1, WORKERS)
        )
        what = f"{profile} run, {WORKERS} workers, wall time"
        return [against(what, together, "s", 1, "one process", alone), overhead(folder)]


def overhead(folder: Path) -> Row:
    """Compare a worker of a scheduler with the driver's own process, with equal threads."""
    threads = usable_cores()
    smoke = ("--profile", "smoke", "--threads", str(threads))
    seconds_of(folder, (*smoke, "--explain"), keep_cache=True)
    here = seconds_of(folder, (*smoke, "--workers", "1"))
    certificates(folder)
    environment = os.environ | thread_environment(threads) | {"XDG_CACHE_HOME": _cache(folder)}
    cluster = Cluster(folder, environment, external=True, workers=1)
    try:
        by_dask = seconds_of(folder, (*smoke, *cluster.options()))
    finally:
        cluster.close()
    return against("one worker of Dask, smoke run, wall time", by_dask, "s", 1, "no Dask", here)


def seconds_of(folder: Path, words: Sequence[str], *, keep_cache: bool = False) -> float:
    """Run the command once and return its wall time in seconds."""
    out = folder / "run"
    environment = os.environ | {"XDG_CACHE_HOME": _cache(folder)}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", COMMAND, *SAME, *words, "--quiet", "--out", str(out)],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - start
    shutil.rmtree(out, ignore_errors=True)
    if not keep_cache:
        shutil.rmtree(Path(_cache(folder)) / "he-compare" / "features", ignore_errors=True)
    return seconds


def _cache(folder: Path) -> str:
    return str(folder / "cache")


if __name__ == "__main__":
    main(measure)
