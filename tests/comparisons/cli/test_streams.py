"""Closed streams, readers that leave, and disks that are full, with the real command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.command import ended, environment, in_shell, only_line, start


def with_no_reader(*arguments: str, stderr: int | None = subprocess.PIPE) -> tuple[int, str]:
    """Run a command whose output nobody reads; ``stderr``: None for there as well."""
    read, write = os.pipe()
    os.close(read)
    with start(*arguments, stdout=write, stderr=write if stderr is None else stderr) as process:
        os.close(write)
        said = process.communicate(timeout=60)[1] or b""
    return process.returncode, said.decode()


def test_a_reader_that_leaves_changes_neither_code_nor_words() -> None:
    assert with_no_reader("schema") == (0, "")
    assert with_no_reader("--help") == (0, "")
    assert with_no_reader("schema", stderr=None) == (0, "")


def test_a_reader_that_leaves_does_not_hide_a_failure(tmp_path: Path) -> None:
    code, said = with_no_reader("show", str(tmp_path))
    assert code == 2 and only_line(said).startswith("error: ")
    assert with_no_reader("show", str(tmp_path), stderr=None)[0] == 2


def test_head_ends_the_text_and_nothing_else() -> None:
    done = in_shell("set -o pipefail; $compare schema | head -1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_reason_to_fail(closed: str) -> None:
    done = in_shell(f"$compare list profiles {closed}")
    assert (done.returncode, done.stderr) == (0, "")
    assert ("smoke" in done.stdout) is (">&-" not in closed.replace("2>&-", ""))


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """Else what is printed would be written into it."""
    key = tmp_path / "key"
    assert in_shell(f"$compare key rotate {key} >&- 2>&-").returncode == 2
    from he_compare.block_scramble.keys import key_files

    key_files.load_or_create(key)
    assert in_shell(f"$compare key rotate {key} <&- >&- 2>&-").returncode == 0
    assert key_files.describe(key).generation == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_output_that_cannot_be_written_is_an_error() -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = ended("schema", stdout=full)
        assert done.returncode == 2
        assert "the standard output" in only_line(done.stderr)
        assert "No space left" in done.stderr
        assert ended("list", "profiles", stderr=full).returncode == 0


def test_letters_that_a_terminal_does_not_know_are_spelled(tmp_path: Path) -> None:
    odd = environment(PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    assert ended("list", env=odd).returncode == 0
    assert ended("schema", env=odd).returncode == 0
    done = ended("show", str(tmp_path / "R\u00f6ntgen"), env=odd)
    assert done.returncode == 2 and "ntgen" in only_line(done.stderr)


def test_names_that_are_no_text_are_told(tmp_path: Path) -> None:
    done = ended("show", os.fsencode(tmp_path) + b"/r\xff")
    assert done.returncode == 2 and "r\\udcff" in only_line(done.stderr)
    done = ended("show", b"\xff", b"\xfe\xff")
    assert done.returncode == 2 and only_line(done.stderr)


@pytest.mark.parametrize(
    "odd",
    [
        {"TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "1", "LANG": "xx_XX.none", "LC_ALL": "xx_XX"},
        {"COLUMNS": "0", "LINES": "0", "TMPDIR": "/nonexistent", "HOME": "/nonexistent"},
        {"COLUMNS": "many"},
    ],
)
def test_odd_environments_are_fine(odd: dict[str, str]) -> None:
    done = ended("list", "pipelines", env=environment(**odd))
    assert (done.returncode, done.stderr) == (0, "")
    assert "plaintext" in done.stdout
