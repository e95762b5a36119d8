"""The heavy rooms stay closed until they are needed: what is imported, how soon help appears."""

from __future__ import annotations

import resource
import subprocess
import sys

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


def processor_seconds() -> float:
    """Return what all finished processes that were started from here have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["list"]])
def test_help_and_list_start_quickly(arguments: list[str]) -> None:
    """Half a second is the target. Processor time, so that a busy machine does not fail it."""
    begun = processor_seconds()
    command = [sys.executable, "-m", "comparisons", *arguments]
    subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
    assert processor_seconds() - begun < 1.5
