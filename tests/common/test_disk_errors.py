"""Errors of the system about files: which end a run, and their one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from he_compare.common.disk_errors import file_error, is_full, stops_a_run


def system_error(number: int, name: Path | str | None = None) -> OSError:
    return OSError(number, os.strerror(number), None if name is None else str(name))


def test_a_full_disk_stops_a_run_wherever_it_is(tmp_path: Path) -> None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        assert stops_a_run(system_error(number), tmp_path)
        assert stops_a_run(system_error(number, "/elsewhere/x"), tmp_path)
        assert is_full(system_error(number))


def test_a_closed_folder_stops_a_run_where_it_is_the_runs_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (errno.EROFS, errno.EACCES, errno.EPERM):
        assert stops_a_run(system_error(number, tmp_path / "a" / "b"), tmp_path)
        assert not stops_a_run(system_error(number, "/elsewhere/x"), tmp_path)
        assert not stops_a_run(system_error(number), tmp_path)
        assert not is_full(system_error(number))
    monkeypatch.chdir(tmp_path)
    assert stops_a_run(system_error(errno.EROFS, "run/a"), Path("run"))
    assert not stops_a_run(system_error(errno.ENOENT, "run/a"), Path("run"))
    assert not stops_a_run(ValueError("No space left on device"), Path("run"))


def test_the_line_names_file_and_fix() -> None:
    told = file_error(system_error(errno.ENOSPC, "/disk/run/records.jsonl"))
    assert told is not None and told.exit_code == 2
    assert str(told) == (
        "cannot use /disk/run/records.jsonl: No space left on device (free space there, or name a "
        "folder on another disk)"
    )
    both = OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b")
    assert str(file_error(both)) == "cannot use a and b: Invalid cross-device link"
    assert "TMPDIR" in str(
        file_error(FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/x']"))
    )
    assert file_error(system_error(errno.EINVAL)) is None
    assert file_error(OSError("something")) is None


def test_a_working_folder_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    told = file_error(system_error(errno.ENOENT))
    assert told is not None and "working folder" in told.problem
    assert not stops_a_run(system_error(errno.EROFS, "x"), Path("run"))
