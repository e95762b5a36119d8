"""A small finished run."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_compare.common.run.store import RunFolder
from he_compare.comparisons.judging.scoring import score_run
from tests.support.samplerun import FHE, PLAIN, build


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that verifies."""
    made = build((PLAIN, FHE), classes=("a", "b"), n=40, untrained=False, rounds=1)
    path = made.write(tmp_path_factory.mktemp("soak") / "run")
    folder = RunFolder(path)
    score_run(folder)
    folder.write_sums()
    return path
