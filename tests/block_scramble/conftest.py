"""A bench for the pipelines that encrypt images block by block."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.runcontext import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Lend contexts for images of 32 pixels."""
    return Bench(tmp_path, {"batch_size": 16, "learning_rate": 3e-4})
