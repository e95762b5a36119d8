"""Claiming a run folder removes what killed writers left in it, and nothing of the user."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from he_compare.common.errors import UsageError
from he_compare.common.run.folder_claim import LOCK, claimed_folder
from he_compare.common.run.known_files import remove_orphans

OF_THE_USER = (".notes.markdown", ".env.prod_old", "attacks/aes-ctr/jigsaw/.gitignore.original")
LEFT = (".manifest.json.abcdefgh", "predictions/.0123456789abcdef.npz.a1b2c3d4")


def _write(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("content")


def test_files_of_the_user_stay_and_what_a_run_left_goes(tmp_path: Path) -> None:
    _write(tmp_path, (*OF_THE_USER, *LEFT))
    with claimed_folder(tmp_path):
        assert all((tmp_path / name).exists() for name in OF_THE_USER)
        assert not any((tmp_path / name).exists() for name in LEFT)
    assert not (tmp_path / LOCK).exists()


def test_only_what_a_cell_writes_is_removed_as_an_orphan(tmp_path: Path) -> None:
    mine = ("attacks/aes-ctr/jigsaw/my-notes.txt", "attacks/aes-ctr/jigsaw/figure.png")
    orphans = ("attacks/aes-ctr/jigsaw/3-after-attack.png", "predictions/0123456789abcdef.npz")
    _write(tmp_path, (*mine, *orphans))
    assert sorted(remove_orphans(tmp_path, ())) == sorted(orphans)
    assert all((tmp_path / name).exists() for name in mine)


def test_a_lock_of_an_earlier_version_keeps_others_out_more_than_once(tmp_path: Path) -> None:
    """Its note names a process that lives: pytest's parent stands for it."""
    owner = psutil.Process(os.getppid())
    note = json.dumps({"pid": owner.pid, "started": owner.create_time()})
    (tmp_path / LOCK).write_text(note)
    for _ in range(2):
        with pytest.raises(UsageError, match=f"by process {owner.pid}"), claimed_folder(tmp_path):
            pass
    assert (tmp_path / LOCK).read_text() == note


AS_NOBODY = """
import os, sys
from pathlib import Path
from he_compare.common.run.folder_claim import claimed_folder
import psutil
psutil.Process().create_time()
os.setgid(65534), os.setuid(65534)
try:
    with claimed_folder(Path(sys.argv[1])):
        print("claimed")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="root becomes another user")
def test_the_lock_of_another_user_is_named_with_what_to_do() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o777)
        (folder / LOCK).write_bytes(b"")
        (folder / LOCK).chmod(0o600)
        words = [sys.executable, "-c", AS_NOBODY, str(folder)]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert told.startswith(f"UsageError cannot lock {folder / LOCK}: it is a file of another")
        assert "have the file removed, or name another folder with --out" in told
        (folder / LOCK).unlink()
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert told == "claimed\n"
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_a_file_system_without_locks_is_named_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def none(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", none)
    for folder in (tmp_path / "new", tmp_path):
        words = "its file system has no locks"
        with pytest.raises(UsageError, match=words) as caught, claimed_folder(folder):
            pass
        assert "on a file system that has them" in caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()
    with pytest.raises(UsageError, match="it is a folder, and no lock"), claimed_folder(tmp_path):
        pass


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_new_folder_is_for_its_owner_alone_and_one_that_is_there_keeps_its_mode(
    tmp_path: Path,
) -> None:
    there, new = tmp_path / "there", tmp_path / "runs" / "new"
    there.mkdir()
    there.chmod(0o750)
    before = os.umask(0o022)
    try:
        with claimed_folder(there), claimed_folder(new):
            modes = [stat.S_IMODE(one.stat().st_mode) for one in (there, new, new.parent)]
    finally:
        os.umask(before)
    assert modes == [0o750, 0o700, 0o755]
