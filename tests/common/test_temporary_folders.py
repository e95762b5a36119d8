"""Private temporary folders: gone with their command, and those of killed ones with the next."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from he_compare.common.errors import UsageError
from he_compare.common.temporary_folders import FOLDERS, sweep_folders, swept_folder

OWNER = """
import sys, time
from pathlib import Path
from he_compare.common.temporary_folders import swept_folder
with swept_folder("key", Path(sys.argv[1])) as folder:
    (folder / "client.key").write_text("secret")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="flock(2)")
def test_a_folder_goes_with_the_next_command_when_its_process_was_killed(tmp_path: Path) -> None:
    words = [sys.executable, "-c", OWNER, str(tmp_path)]
    owner = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        assert folder.name.startswith(f"{FOLDERS}key-")
        assert folder.stat().st_mode & 0o777 == 0o700
        sweep_folders(tmp_path)
        assert (folder / "client.key").read_text() == "secret"
    finally:
        owner.kill()
        owner.communicate()
    with swept_folder("report", tmp_path) as mine:
        assert list(tmp_path.iterdir()) == [mine]
    assert list(tmp_path.iterdir()) == []


def test_folders_and_links_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "file").write_text("mine")
    (tmp_path / f"{FOLDERS}link").symlink_to(tmp_path / "target", target_is_directory=True)
    (tmp_path / f"{FOLDERS}new").mkdir()  # not locked yet
    theirs = [tmp_path / f"{FOLDERS}results", tmp_path / f"{FOLDERS}key-abcdefgh"]
    for folder in theirs:  # of the user: called otherwise, or with something in it and no lock
        folder.mkdir(mode=0o700)
        (folder / "thesis.csv").write_text("mine")
        os.utime(folder, (0, 0))
    sweep_folders(tmp_path)
    for folder in theirs:
        assert (folder / "thesis.csv").exists()
        shutil.rmtree(folder)
    assert (tmp_path / "target" / "file").exists()
    assert {one.name for one in tmp_path.iterdir()} == {
        "target",
        f"{FOLDERS}link",
        f"{FOLDERS}new",
    }


def test_where_there_are_no_locks_no_folder_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def none(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(UsageError, match="TMPDIR"), swept_folder("key", tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
