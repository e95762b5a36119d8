"""What is loaded or compiled once in a process is not booked on the pipeline that comes first."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from he_compare.comparisons.measuring.fitting import fit_and_deploy, load_libraries
from tests.comparisons.measuring.test_local_session import Alone
from tests.support.deployments import ground

SLOW = "import time\ntime.sleep(0.2)\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that imports a slow library in a function, and one that is not installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "slow_library.py").write_text(SLOW)
    (tmp_path / "uses_it.py").write_text(
        "def work():\n    import slow_library\n    import no_such_library\n"
    )
    for name in ("slow_library", "uses_it"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "uses_it"


def test_libraries_are_loaded_before_and_only_once(module: str) -> None:
    first, second = load_libraries([module]), load_libraries([module])
    assert "slow_library" in sys.modules
    assert first >= 0.2 > second


def test_loading_is_no_part_of_the_fit(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Alone()
    monkeypatch.setattr(pipeline, "source_modules", lambda parameters: (module,))
    fit = fit_and_deploy(pipeline, pipeline.parameters(), ground(tmp_path))
    assert fit.library_seconds >= 0.2
    assert fit.once.total() < 0.2
