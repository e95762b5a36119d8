"""Folders of processes that were killed are removed by the next of their kind, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from he_compare.common.service.own_folder import OwnFolder, sweep_folders

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no flock")
CODE = (
    "import time\n"
    "from he_compare.common.service.own_folder import OwnFolder\n"
    "folder = OwnFolder('kind-')\n"
    "print(folder.name, flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_what_a_killed_process_left_is_removed_by_the_next() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True, env=environment
    ) as other:
        assert other.stdout
        left = Path(other.stdout.readline().strip())
        (left / "secret").write_text("x")
        mine = OwnFolder("kind-")
        assert (left / "secret").exists(), "its process runs"
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    assert left.exists()
    OwnFolder("kind-").cleanup()
    assert not left.exists() and Path(mine.name).is_dir()
    assert Path(mine.name).stat().st_mode & 0o777 == 0o700
    mine.cleanup()
    mine.cleanup()
    assert not Path(mine.name).exists()


def test_a_folder_without_a_lock_is_not_touched(tmp_path: Path) -> None:
    foreign = tmp_path / "kind-of-somebody"
    foreign.mkdir()
    (foreign / "file").write_text("x")
    sweep_folders("kind-")
    assert (foreign / "file").exists()
