"""Files appear whole or not at all, and what killed writers left is swept and nothing else."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from he_compare.common import files
from he_compare.common.files import append_lasting, replacing, sweep, write_atomic, write_new

resource = pytest.importorskip("resource")
posix_only = pytest.mark.skipif(os.name != "posix", reason="flock(2)")


@pytest.fixture
def named(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Write as on a system that has no files without a name."""
    if request.param:
        monkeypatch.setattr(files, "_unnamed", lambda _: -1)
    return bool(request.param)


@pytest.mark.parametrize("named", [False, True], indirect=True)
def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path, named: bool) -> None:
    path = tmp_path / "below" / "a"
    for content in (b"old", b"newer", b""):
        write_atomic(path, content, mode=0o640)
        assert path.read_bytes() == content
        assert os.name != "posix" or path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in path.parent.iterdir()] == ["a"]


@pytest.mark.parametrize("named", [False, True], indirect=True)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool, step: str
) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomic(path, b"new")
    assert caught.value.filename == str(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("named", [False, True], indirect=True)
def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path, named: bool) -> None:
    path = tmp_path / "a"
    write_new(path, b"first", mode=0o600)
    with pytest.raises(FileExistsError):
        write_new(path, b"second", mode=0o600)
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_interrupted_before_it_takes_its_place_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"old")
    with pytest.raises(KeyboardInterrupt), replacing(path, b"new", mode=0o600):
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"untouched")
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    write_atomic(tmp_path / "a", b"new")
    assert not (tmp_path / "a").is_symlink() and (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "elsewhere").read_bytes() == b"untouched"


def test_what_cannot_be_appended_whole_is_not_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines"
    append_lasting(path, b"one\n")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        append_lasting(path, b"two\n")
    monkeypatch.undo()
    assert caught.value.filename == str(path)
    append_lasting(path, b"three\n")
    assert path.read_bytes() == b"one\nthree\n"


def test_of_what_a_full_disk_took_in_part_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a limit on the size of files stands for the disk: the first part is written."""
    path = tmp_path / "lines"
    append_lasting(path, b"one\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            append_lasting(path, b"x" * 30_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert path.read_bytes() == b"one\n"


WRITER = """
import sys, time
from pathlib import Path
from he_compare.common import files
if sys.argv[2] == "named":
    files._unnamed = lambda _: -1
draft = files.Draft(Path(sys.argv[1]), 0o600)
draft.fill(b"plaintext", lasting=True)
print("written", flush=True)
time.sleep(60)
"""


def _writer(folder: Path, how: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WRITER, str(folder), how]
    writer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None and writer.stdout.readline() == "written\n"
    return writer


@posix_only
def test_the_file_of_a_living_writer_stays_and_that_of_a_killed_one_is_swept(
    tmp_path: Path,
) -> None:
    (tmp_path / "below").mkdir()
    writer = _writer(tmp_path / "below", "named")
    try:
        (draft,) = (tmp_path / "below").iterdir()
        assert files.TEMPORARY.fullmatch(draft.name) and draft.read_bytes() == b"plaintext"
        assert sweep(tmp_path, deep=True) == 0
        assert draft.exists()
    finally:
        writer.kill()
        writer.communicate()
    assert sweep(tmp_path) == 0  # not in folders below, unless asked
    assert sweep(tmp_path, deep=True) == 1
    assert list((tmp_path / "below").iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="no files without a name")
def test_of_a_writer_without_a_name_nothing_stays(tmp_path: Path) -> None:
    writer = _writer(tmp_path, "unnamed")
    during = list(tmp_path.iterdir())
    writer.kill()
    writer.communicate()
    assert during == list(tmp_path.iterdir()) == []


def test_files_of_the_user_are_not_swept(tmp_path: Path) -> None:
    kept = [".hec-0123.part", ".bashrc", "hec-0123456789abcdef.part", ".notes.settings", "a.part"]
    for name in kept:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".hec-0123456789abcdef.part").mkdir()
    assert sweep(tmp_path, deep=True) == 0
    assert sweep(tmp_path, deep=True, earlier=lambda name: name == "b.png") == 0
    assert {one.name for one in tmp_path.iterdir()} == {*kept, ".hec-0123456789abcdef.part"}


def test_what_earlier_versions_left_is_swept_by_the_file_it_was_named_after(
    tmp_path: Path,
) -> None:
    (tmp_path / ".b.png.k3j4_x9z").write_bytes(b"plaintext")
    assert sweep(tmp_path, earlier=lambda name: name == "b.png") == 1
    assert list(tmp_path.iterdir()) == []


def test_where_nobody_sees_who_writes_age_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "fcntl", None)
    draft = tmp_path / ".hec-0123456789abcdef.part"
    draft.write_bytes(b"")
    assert sweep(tmp_path) == 0
    old = time.time() - files.STALE_SECONDS - 1
    os.utime(draft, (old, old))
    assert sweep(tmp_path) == 1
