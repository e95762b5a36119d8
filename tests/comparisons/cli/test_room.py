"""Only what is one is called a lack of memory: libraries fail to load for other reasons too."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_compare.common.errors import UsageError
from he_compare.common.memory_errors import lacks_memory
from he_compare.comparisons.cli import room

NO_LIMIT_TO_SPEAK_OF = 1 << 46
SHORT = {
    "python": "raise MemoryError",
    "torch": "raise RuntimeError('DefaultCPUAllocator: not enough memory: you tried to allocate')",
    "loader": "raise ImportError('libtorch_cuda.so: failed to map segment from shared object')",
    "openblas": "import os, sys\n"
    "print('OpenBLAS error: Memory allocation still failed after 10 retries', file=sys.stderr)\n"
    "sys.stderr.flush()\nos._exit(1)",
}
OTHERWISE = {
    "missing": "import no_such_module_xyz",
    "static": "raise ImportError('cannot allocate memory in static TLS block')",
    "broken": "raise ValueError('a broken installation')",
    "silent": "import os\nos._exit(3)",
}


def _require(
    monkeypatch: pytest.MonkeyPatch, folder: Path, content: str, limit: int = NO_LIMIT_TO_SPEAK_OF
) -> None:
    (folder / "probed_module.py").write_text(content)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(room, "LIGHT_MODULES", ("probed_module",))
    room._require_libraries(limit, "VmPeak", "-v", heavy=False)


@pytest.mark.parametrize("kind", SHORT)
def test_a_lack_of_memory_is_called_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with pytest.raises(UsageError, match=r"^memory: .* the libraries alone do not fit"):
        _require(monkeypatch, tmp_path, SHORT[kind])


@pytest.mark.parametrize("kind", OTHERWISE)
def test_other_failures_are_left_to_the_command_that_meets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    _require(monkeypatch, tmp_path, OTHERWISE[kind])


def test_a_crash_under_a_limit_is_told_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"
    with pytest.raises(UsageError, match=r"the libraries end with SIGSEGV") as caught:
        _require(monkeypatch, tmp_path, crash)
    assert not caught.value.problem.startswith("memory")
    assert "ulimit -v unlimited" in caught.value.fix


def test_libraries_that_are_slow_to_load_are_no_matter_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PROBE_LIMIT_SECONDS", 0.2)
    _require(monkeypatch, tmp_path, "import time\ntime.sleep(20)")


def test_what_fits_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _require(monkeypatch, tmp_path, "")
    with pytest.raises(UsageError, match=r"^memory: .* the work at least"):
        _require(monkeypatch, tmp_path, "", limit=10_000_000)


def test_room_for_thread_local_variables_is_not_memory() -> None:
    assert not lacks_memory(ImportError("x.so: cannot allocate memory in static TLS block"))
    assert lacks_memory(ImportError("x.so: cannot allocate memory"))
