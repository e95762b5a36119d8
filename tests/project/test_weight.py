"""The heavy rooms stay closed until they are needed: what is imported, how soon help appears."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.support.repository import ROOT


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "from he_compare.comparisons.cli import listing; listing.render(listing.collect(None))",
        "import he_compare.reports",
        "import he_compare.comparisons.judging.scoring, he_compare.common.statistics.evaluation",
    ],
    ids=["list", "reports", "scoring"],
)
def test_listing_scoring_and_reporting_do_not_import_torch(code: str) -> None:
    loaded = modules_after(code)
    assert loaded.isdisjoint({"torch", "timm", "tenseal", "concrete"})


@pytest.mark.parametrize("arguments", [["--help"], ["list"]])
def test_help_and_list_start_quickly(arguments: list[str]) -> None:
    """Half a second is the target; the best of three tries allows for a loaded machine."""
    best = 9.0
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "comparisons", *arguments],
            capture_output=True,
            check=True,
            cwd=ROOT,
        )
        best = min(best, time.perf_counter() - start)
    assert best < 1.5
