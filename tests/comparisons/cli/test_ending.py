"""One line and one code for whatever ends a command: memory, disks, folders, the unforeseen."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from he_compare.common.memory_limits import CONTAINER, FreeMemory
from he_compare.comparisons.cli import app
from he_compare.comparisons.cli.ending import MOST_TRACES, TRACES
from he_compare.comparisons.user_folders import default_cache_dir, default_key_file
from tests.support.command import ended, environment, in_shell, limited, only_line
from tests.support.imagefolders import write_chestxray_like

linux = pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of Linux")


def command_that_raises(error: BaseException, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run a command in this process that raises; return its exit code."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("he_compare.comparisons.cli.listing.collect", fail)
    monkeypatch.setattr(sys, "argv", ["compare", "list", *words])
    with pytest.raises(SystemExit) as stop:
        app.main()
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 3, "memory was too small for this command"),
        (RuntimeError("std::bad_alloc"), 3, "memory was too small"),
        (ImportError("x.so: failed to map segment"), 2, "memory was too small for the libraries"),
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), 2, "cannot use /a/b: No space"),
        (OSError(errno.EROFS, "Read-only file system", "/a/b"), 2, "not read-only"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), 2, "cannot use /a/b"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to resume"),
        (SystemExit(7), 7, ""),
        (SystemExit(None), 0, ""),
    ],
)
def test_every_end_is_one_line_and_its_code(
    error: BaseException,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command_that_raises(error, monkeypatch) == code
    said = capsys.readouterr().err
    if words:
        assert words in only_line(said)
    else:
        assert said == ""


def test_the_trace_of_what_nobody_foresaw_is_kept_for_this_user(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_that_raises(ZeroDivisionError("by\nnothing"), monkeypatch) == 1
    line = only_line(capsys.readouterr().err)
    assert line.startswith("internal error: ZeroDivisionError: by nothing (its trace is in ")
    path = Path(line.removesuffix(")").rpartition(" ")[2])
    assert path.read_text().startswith("compare list\n\nTraceback")
    assert "raise error\nZeroDivisionError: by\nnothing" in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    for number in range(2 * MOST_TRACES):
        (path.parent / f"20200101T0000{number:02d}-1.txt").touch()
    command_that_raises(ZeroDivisionError(), monkeypatch, "--json")
    kept = sorted(one.name for one in path.parent.iterdir())
    assert len(kept) <= MOST_TRACES and path.name in kept


def test_debug_shows_the_trace_and_the_code_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_that_raises(ZeroDivisionError("by nothing"), monkeypatch, "--debug") == 1
    said = capsys.readouterr().err
    assert "Traceback" in said and said.splitlines()[-1].startswith("internal error: ZeroDivision")
    assert not (default_cache_dir() / TRACES).exists()


def test_where_no_trace_can_be_kept_the_line_says_how_to_see_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert command_that_raises(ZeroDivisionError(), monkeypatch) == 1
    assert "run again with --debug" in only_line(capsys.readouterr().err)


@linux
def test_too_little_address_space_is_said_before_anything_begins(tmp_path: Path) -> None:
    before = limited("RLIMIT_AS", 1_500_000_000)
    done = ended("run", "--out", str(tmp_path / "run"), before=before)
    assert done.returncode == 2
    line = only_line(done.stderr)
    assert line.startswith("error: memory: ") and "ulimit -v" in line
    assert not (tmp_path / "run").exists()
    assert ended("run", "--help", before=before).returncode == 0


@linux
def test_too_small_a_container_is_said_before_the_kernel_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = FreeMemory(500_000_000, CONTAINER)
    monkeypatch.setattr("he_compare.common.memory_limits.free_memory", lambda: small)
    monkeypatch.setattr(sys, "argv", ["compare", "run", "--quiet"])
    with pytest.raises(SystemExit) as stop:
        app.main()
    line = only_line(capsys.readouterr().err)
    assert stop.value.code == 2
    assert line.startswith("error: memory: 500 MB are free for this container") and "more" in line


@linux
def test_a_light_command_needs_little_address_space(tmp_path: Path) -> None:
    done = ended("schema", before=limited("RLIMIT_AS", 200_000_000))
    assert done.returncode == 2 and "ulimit -v" in only_line(done.stderr)
    assert ended("schema", before=limited("RLIMIT_AS", 3_000_000_000)).returncode == 0


@linux
def test_a_full_disk_ends_a_run_with_one_line(echo: str, tmp_path: Path) -> None:
    """The limit on the size of files stands for the disk: what is written there is cut as well."""
    data = tmp_path / "data" / "chestxray"
    write_chestxray_like(data, per_class_train=12, per_class_test=8, size=32)
    words = ["--dataset", "chestxray", "--data-dir", str(data), "--subset", "published"]
    words += ["--profile", "smoke", "--pipeline", "echo", "--format", "", "--no-audit"]
    words += ["--image-size", "32", "--train-limit", "8", "--test-limit", "12"]
    out = tmp_path / "run"
    done = ended(
        *("run", *words, "--quiet", "--out", str(out)), before=limited("RLIMIT_FSIZE", 2_000)
    )
    assert done.returncode == 2
    *notes, line = done.stderr.splitlines()
    assert line.startswith("error: ") and "File too large" in line and "free" in line
    assert all(one.startswith("note: ") for one in notes)


def test_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from he_compare.common.errors import UsageError

    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("uid")))
    for find in (default_cache_dir, default_key_file):
        with pytest.raises(UsageError, match=r"no home folder.*HOME"):
            find()


def test_without_home_variables_the_password_file_says_where_it_is(tmp_path: Path) -> None:
    bare = {name: text for name, text in environment().items() if name != "HOME"}
    assert ended("list", "profiles", env=bare).returncode == 0


def test_a_working_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = in_shell(f"cd {gone} && rmdir {gone} && $compare list profiles", cwd=tmp_path)
    assert done.returncode == 0
    done = in_shell(
        f"cd {gone.parent} && mkdir {gone} && cd {gone} && rmdir {gone} && $compare show run"
    )
    assert done.returncode == 2 and "run" in only_line(done.stderr)


@pytest.mark.parametrize("mask", ["000", "077", "777"])
def test_own_files_are_open_to_their_owner_and_secrets_to_nobody_else(
    mask: str, tmp_path: Path
) -> None:
    from he_compare.block_scramble.keys import key_files

    key = tmp_path / "key"
    key_files.load_or_create(key)
    assert in_shell(f"umask {mask}; $compare key rotate {key}").returncode == 0
    assert {one.stat().st_mode & 0o777 for one in tmp_path.glob("key*")} == {0o600}


def test_the_mask_of_the_process_keeps_what_it_has_from_others() -> None:
    before = os.umask(0o027)
    try:
        app._keep_own_files_open()
        assert os.umask(0o777) == 0o027
        app._keep_own_files_open()
        assert os.umask(before) == 0o077
    finally:
        os.umask(before)
