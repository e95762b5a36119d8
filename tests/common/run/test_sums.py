"""SHA256SUMS: whatever changed, is missing or was added is found, and sha256sum agrees."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from he_compare.common.errors import UsageError
from he_compare.common.run.folder_claim import LOCK
from he_compare.common.run.store import RunFolder
from he_compare.common.run.sums import (
    COMPLETE,
    NOT_COVERED,
    SUMS,
    Sums,
    check_sums,
    read_sums,
    write_sums,
)
from he_compare.comparisons.judging.verify import verification
from tests.support.sealing import seal

NAMES = ("manifest.json", "artefacts/head-1.kept", "report/figures/a b.svg", "tape/x.tape", "ü.txt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"content of {name}\n")
    seal(tmp_path)
    return tmp_path


def _problems(folder: Path) -> list[str]:
    return check_sums(folder, must_be_complete=True).problems


def test_sums_cover_every_file_but_themselves(folder: Path) -> None:
    assert set(read_sums(folder).digests) == set(NAMES)
    assert check_sums(folder, must_be_complete=True) == check_sums(folder, must_be_complete=False)
    assert _problems(folder) == []


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_sha256sum_reads_them(folder: Path) -> None:
    if os.name == "posix":
        (folder / "with\nbreak\\.txt").write_text("odd")
        seal(folder)
        assert _problems(folder) == []
    words = ["sha256sum", "--check", "--quiet", SUMS]
    assert subprocess.run(words, cwd=folder, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("seed", range(5))
def test_every_edited_byte_is_found(folder: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    for name in (*NAMES, SUMS):
        whole = (folder / name).read_bytes()
        for place in random.integers(0, len(whole), 40):
            edited = bytearray(whole)
            edited[place] = (edited[place] + int(random.integers(1, 256))) % 256
            (folder / name).write_bytes(edited)
            found = check_sums(folder, must_be_complete=True).problems
            assert found and all(line.isprintable() for line in found), (name, place, edited)
        (folder / name).write_bytes(whole)
    assert _problems(folder) == []


def test_every_line_that_is_missing_and_every_cut_is_found(folder: Path) -> None:
    lines = (folder / SUMS).read_bytes().splitlines(keepends=True)
    for left_out in range(len(lines)):
        (folder / SUMS).write_bytes(b"".join(lines[:left_out] + lines[left_out + 1 :]))
        assert _problems(folder)
    whole = b"".join(lines)
    for end in (0, 1, len(whole) // 2, len(whole) - 1):
        (folder / SUMS).write_bytes(whole[:end])
        assert _problems(folder)
    (folder / SUMS).unlink()
    assert _problems(folder) == [f"{SUMS} is missing"]


def test_every_missing_and_added_file_is_found(folder: Path, tmp_path: Path) -> None:
    for name in NAMES:
        whole = (folder / name).read_bytes()
        (folder / name).unlink()
        assert _problems(folder) == [f"{name} is missing"]
        (folder / name).write_bytes(whole)
    for name in ("x", "report/x.html", "artefacts/.hidden", "predictions/zzz.npz", "new/a/b"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
        assert _problems(folder) == [f"{name} was added"]
        (folder / name).unlink()
    (folder / "new" / "a").rmdir()
    (folder / "new").rmdir()
    (folder / "link").symlink_to(folder / NAMES[0])
    assert _problems(folder) == ["link was added"]


def test_a_file_that_became_a_link_to_its_content_is_found(folder: Path) -> None:
    content = folder.parent / "content"
    shutil.move(folder / "ü.txt", content)
    (folder / "ü.txt").symlink_to(content)
    assert _problems(folder)
    content.unlink()


def test_sums_of_earlier_versions_are_checked_as_far_as_they_go(folder: Path) -> None:
    earlier = [
        line
        for line in (folder / SUMS).read_bytes().splitlines(keepends=True)
        if b"artefacts/" not in line and b"report/" not in line and line.strip() != COMPLETE
    ]
    (folder / SUMS).write_bytes(b"".join(earlier))
    found = check_sums(folder, must_be_complete=False)
    assert found.problems == []
    assert found.notes == [
        f"{SUMS} was written by an earlier version, which did not cover every file: 2 were not "
        "checked (artefacts/, report/)"
    ]
    # What they covered is still missed where it is not named.
    kept = [line for line in earlier if b"tape/" not in line]
    (folder / SUMS).write_bytes(b"".join(kept))
    assert check_sums(folder, must_be_complete=False).problems == ["tape/x.tape was added"]
    (folder / SUMS).write_bytes(b"")
    assert len(check_sums(folder, must_be_complete=False).problems) == 2


def test_what_is_not_covered_is_a_note_and_no_edit_of_the_sums_makes_it_so(folder: Path) -> None:
    known = read_sums(folder)
    names = {"report/figures/a b.svg", "odd\nname\\"} if os.name == "posix" else {"ü.txt"}
    for name in names:
        (folder / name).write_text("of nobody knows what")
    digests = {name: digest for name, digest in known.digests.items() if name not in names}
    write_sums(folder, Sums(digests, complete=True, uncovered=frozenset(names)))
    assert read_sums(folder).uncovered == names
    found = check_sums(folder, must_be_complete=True)
    assert found.problems == [] and len(found.notes) == 1 and "not covered" in found.notes[0]
    whole = (folder / SUMS).read_bytes()
    for place in range(whole.index(NOT_COVERED), whole.rindex(NOT_COVERED) + len(NOT_COVERED) + 9):
        for flip in (1, 4, 32):
            edited = bytearray(whole)
            edited[place] ^= flip
            (folder / SUMS).write_bytes(edited)
            assert _problems(folder), (place, flip)
    (folder / SUMS).write_bytes(whole)
    if shutil.which("sha256sum"):
        words = ["sha256sum", "--check", "--quiet", SUMS]
        assert subprocess.run(words, cwd=folder, capture_output=True, check=False).returncode == 0
    for name in names:
        (folder / name).unlink()
    assert len(_problems(folder)) == len(names)


def test_left_over_is_named_as_such_and_what_is_added_is_found(folder: Path) -> None:
    left = (".hec-0123456789abcdef.part", "report/.hec-fedcba9876543210.part", ".workers/test.npy")
    added = (".hidden", "report/.notes", ".hec-0123.part", "tape/.lock", ".workers.txt")
    for name in (*left, *added):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "empty" / "below").mkdir(parents=True)
    (folder / "attacks" / "none").mkdir(parents=True)
    problems = _problems(folder)
    assert {one for one in problems if one.endswith("was added")} == {
        f"{name} was added" for name in (*added, "empty/below/")
    }
    rest = [one for one in problems if not one.endswith("was added")]
    assert {one.split(" ")[0] for one in rest} == set(left)
    assert all("was left by a command that was killed" in one for one in rest)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", False),
        (b'{"pid": 999999999, "started": 1.0}', False),
        (b'{"pid": 1, "star', False),
        (b"work of years", True),
        (b"x" * 9999, True),
    ],
)
def test_a_lock_that_was_left_is_no_fault_and_other_bytes_under_its_name_are(
    folder: Path, content: bytes, fault: bool
) -> None:
    (folder / LOCK).write_bytes(content)
    found = check_sums(folder, must_be_complete=True)
    assert found.problems == ([f"{LOCK} was added"] if fault else [])
    assert fault or found.notes == [
        f"{LOCK} was left by a command that was killed: it blocks nobody"
    ]


def test_a_lock_that_is_a_link_or_a_folder_is_added(folder: Path) -> None:
    (folder / LOCK).symlink_to(folder / NAMES[0])
    assert _problems(folder) == [f"{LOCK} was added"]
    (folder / LOCK).unlink()
    (folder / LOCK).mkdir()
    assert _problems(folder) == [f"{LOCK}/ was added"]


def test_what_a_living_process_writes_now_is_its_own(folder: Path) -> None:
    run = RunFolder(folder)
    (folder / "audit.json").write_text("{}")
    seal(folder)
    with run.claimed():
        (folder / ".hec-0123456789abcdef.part").write_bytes(b"under way")
        (folder / "added").write_bytes(b"")
        found = check_sums(folder, must_be_complete=True)
    assert found.problems == ["added was added"]
    assert "is writing this folder now" in found.notes[0]


def test_a_name_that_leads_out_of_the_folder_is_not_followed(folder: Path) -> None:
    with (folder / SUMS).open("ab") as stream:
        stream.write(b"0" * 64 + b"  ../elsewhere\n" + b"0" * 64 + b"  /etc/passwd\n")
    assert _problems(folder) == [
        "../elsewhere lies outside the run folder",
        "/etc/passwd lies outside the run folder",
    ]


def test_names_that_are_no_text_are_told_as_text(folder: Path) -> None:
    if os.name != "posix":
        return
    name = os.fsdecode(b"caf\xe9")
    (folder / name).write_bytes(b"")
    assert _problems(folder) == ["caf\\xe9 was added"]
    seal(folder)
    assert _problems(folder) == []


@pytest.mark.parametrize("name", ["artefacts/new", "report/new", "predictions/a/b", "attacks/a/b"])
def test_an_empty_folder_inside_a_folder_of_the_run_was_added(folder: Path, name: str) -> None:
    (folder / name).mkdir(parents=True)
    assert _problems(folder) == [f"{name}/ was added"]


def test_a_run_that_is_being_written_is_verified_later(folder: Path) -> None:
    run = RunFolder(folder)
    with run.claimed(), pytest.raises(UsageError, match="is being written by") as told:
        verification(run)
    assert "when that has ended" in told.value.fix
