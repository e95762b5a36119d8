"""Trains on all chest X-rays under three seeds, plain and scrambled, as one command on two workers.

The command is ``compare run --dataset chestxray --subset published --image-size 112 --seeds 0,1,2
--workers 2`` with the pipelines ``plaintext`` and ``block-scramble[cipher=vit_block]``; latency and
attacks are left out. Rows: the time of it all, and of every pipeline the mean AUC and balanced
accuracy over trainings with the ends of their intervals, the spread of the trainings, and the same
of the difference to the twin.

``python -m benchmarks.scale_seeds [--quick] [--json FILE]``: with ``--quick`` 64 training images of
the balanced subset at 64 px, two seeds, one epoch, which says that it works and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rows import Row, main
from he_compare.common.run.records import MetricValue, PairedDifference
from he_compare.common.run.repeated_trainings import spread_of
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.comparisons.judging.verify import verify_run

WORKERS, EPOCHS = 2, 2
METRICS = ("auc", "balanced_accuracy")
COMMAND = "import sys; from he_compare.comparisons.cli.app import main; sys.exit(main())"
SAME = (
    *("run", "--dataset", "chestxray", "--require-real", "--offline", "--no-audit"),
    *("--format", "", "--latency-images", "0", "--robustness-images", "0", "--pictures", "0"),
    *("--pipeline", "plaintext", "--pipeline", "block-scramble[cipher=vit_block]"),
)
WHOLE = (
    *("--profile", "quick", "--subset", "published", "--image-size", "112"),
    *("--epochs", str(EPOCHS), "--batch-size", "32", "--seeds", "0,1,2"),
)
QUICK = (
    *("--profile", "smoke", "--subset", "balanced", "--image-size", "64", "--epochs", "1"),
    *("--train-limit", "64", "--val-limit", "20", "--test-limit", "60", "--repeats", "2"),
)


def measure(quick: bool) -> list[Row]:
    """Run the command in a folder of its own and return what it measured.

    Raises CalledProcessError where the command fails, RuntimeError where its run does not verify.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = [*SAME, *(QUICK if quick else WHOLE), "--workers", str(WORKERS), "--out", str(out)]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", COMMAND, *words], check=True)
        seconds = time.perf_counter() - start
        if problems := verify_run(RunFolder(out)):
            raise RuntimeError(f"the run does not verify: {problems[0]}")
        view = read_run(RunFolder(out))
    trainings = sum(1 + len(one.repeats) for one in view.pipelines)
    time_row = Row(f"all chest X-rays, {trainings} trainings", seconds, "s", trainings)
    return [time_row, *_rows(view)]


def _rows(view: RunView) -> Iterator[Row]:
    for pipeline in view.pipelines:
        for metric in METRICS:
            yield from _row(f"{pipeline.label}: {metric}", pipeline.metric(metric))
            minus = pipeline.difference(metric)
            yield from _row(f"{pipeline.label} minus its twin: {metric}", minus)


def _row(name: str, found: MetricValue | PairedDifference | None) -> Iterator[Row]:
    if found is None:
        return
    mean = found.value if isinstance(found, MetricValue) else found.difference
    if mean is not None:
        yield Row(name, mean, "mean", found.n)
    if found.interval is not None:
        yield Row(f"{name}, 95% from", found.interval.low, "", found.n)
        yield Row(f"{name}, 95% to", found.interval.high, "", found.n)
    if (spread := spread_of(found)) is not None:
        yield Row(f"{name}, lowest training", min(spread.values), "", len(spread.values))
        yield Row(f"{name}, highest training", max(spread.values), "", len(spread.values))


if __name__ == "__main__":
    main(measure)
