"""Claiming a run folder removes what killed writers left in it, and nothing of the user."""

from __future__ import annotations

import json
import os
from pathlib import Path

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
    assert remove_orphans(tmp_path, ()) == len(orphans)
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
