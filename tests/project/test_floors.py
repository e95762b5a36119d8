"""Imports go down the floors only, and the heavy rooms stay closed until they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.repository import ROOT

FLOORS: dict[str, set[str]] = {
    "common": set(),
    "block_scramble": {"common"},
    "fhe_baseline": {"common"},
    "comparisons": {"common"},
    "reports": {"common"},
}
# The command and the Python interface load the report when asked; nothing else reaches up.
ALLOWED = {
    ("comparisons/cli/app.py", "reports"),
    ("comparisons/cli/finished_runs.py", "reports"),
    ("comparisons/api.py", "reports"),
}


def imported_floors(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names & (set(FLOORS) | {"tests", "tools", "benchmarks"})


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_go_down_only(floor: str) -> None:
    offences = []
    for file in sorted((ROOT / floor).rglob("*.py")):
        name = file.relative_to(ROOT).as_posix()
        for imported in imported_floors(file) - {floor} - FLOORS[floor]:
            if (name, imported) not in ALLOWED:
                offences.append(f"{name} imports {imported}")
    assert offences == []


def test_the_check_itself_sees_an_upward_import(tmp_path: Path) -> None:
    file = tmp_path / "room.py"
    file.write_text("def f():\n    from he_compare.reports.build import build_document\n")
    assert imported_floors(file) == {"reports"}


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
