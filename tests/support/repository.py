"""Where the checkout, its golden files and its old runs lie."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
OLD_RUNS = ROOT / "tests" / "data"
