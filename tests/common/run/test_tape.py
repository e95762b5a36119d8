"""The tape of a run: what crossed is kept, and nothing is believed that was edited."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from he_compare.common.errors import IntegrityError
from he_compare.common.run.tape import (
    Tape,
    TapeRecorder,
    facts_of_tape,
    read_tape,
    tape_problem,
    write_tape,
)


def tape() -> Tape:
    return Tape(np.array([1, 4, 5]), [b"one", b"", b"five" * 100], b"public")


def test_a_recorder_keeps_the_messages_of_the_wanted_images_only() -> None:
    recorder = TapeRecorder(np.array([0, 3, 4, 9]))
    recorder([b"0", b"1", b"2"])
    recorder([b"3", b"4", b"5"])
    found = recorder.tape(b"public")
    assert found.positions.tolist() == [0, 3, 4]
    assert found.messages == [b"0", b"3", b"4"]
    assert [found.message_of(place) for place in (0, 1, 3, 9)] == [b"0", None, b"3", None]


def test_a_tape_comes_back_from_the_run_folder(tmp_path: Path) -> None:
    facts = write_tape(tmp_path, "cell", tape())
    again = read_tape(tmp_path, facts)
    assert again.positions.tolist() == [1, 4, 5]
    assert list(again.messages) == list(tape().messages)
    assert again.public_material == b"public"
    assert (facts.messages, facts.message_bytes, facts.public_material_bytes) == (3, 403, 6)
    assert tape_problem(tmp_path, facts) == ""


def test_an_empty_tape_comes_back(tmp_path: Path) -> None:
    facts = write_tape(tmp_path, "cell", Tape(np.zeros(0, np.int64), [], b""))
    assert read_tape(tmp_path, facts).messages == []


def test_cells_with_one_public_material_share_its_file(tmp_path: Path) -> None:
    first, second = (write_tape(tmp_path, name, tape()) for name in ("a", "b"))
    assert first.public_file == second.public_file
    assert len(list((tmp_path / "tape").iterdir())) == 3


def test_a_tape_in_memory_names_no_file(tmp_path: Path) -> None:
    facts = facts_of_tape(tape())
    assert (facts.file, facts.public_file) == ("", "")
    assert facts.sha256 == write_tape(tmp_path, "cell", tape()).sha256
    assert tape_problem(tmp_path, facts) == ""


@pytest.mark.parametrize("what", ["message", "public", "missing", "truncated", "swapped"])
def test_an_edited_tape_is_refused_and_named(tmp_path: Path, what: str) -> None:
    facts = write_tape(tmp_path, "cell", tape())
    file, public = tmp_path / facts.file, tmp_path / facts.public_file
    if what == "message":
        file.write_bytes(file.read_bytes().replace(b"five", b"FIVE", 1))
    elif what == "public":
        public.write_bytes(b"PUBLIC")
    elif what == "missing":
        file.unlink()
    elif what == "truncated":
        file.write_bytes(file.read_bytes()[:-5])
    else:
        other = write_tape(tmp_path, "other", Tape(np.array([1]), [b"x"], b"public"))
        file.write_bytes((tmp_path / other.file).read_bytes())
    with pytest.raises(IntegrityError, match=r"the tape tape/cell\.tape is not valid"):
        read_tape(tmp_path, facts)
    assert "tape/cell.tape" in tape_problem(tmp_path, facts)


def test_a_tape_outside_the_run_folder_is_not_read(tmp_path: Path) -> None:
    facts = write_tape(tmp_path, "cell", tape()).model_copy(update={"file": "../cell.tape"})
    with pytest.raises(IntegrityError, match="outside the run folder"):
        read_tape(tmp_path, facts)


@pytest.mark.parametrize("name", ["tape/a\0b", "loop", "../outside", "/etc/passwd", "tape", ""])
def test_a_name_in_a_record_that_is_no_file_of_the_run_is_told_not_raised(
    tmp_path: Path, name: str
) -> None:
    facts = write_tape(tmp_path, "cell", tape())
    (tmp_path / "loop").symlink_to("loop")
    for changed in ("file", "public_file"):
        told = facts.model_copy(update={changed: name})
        if told.file:
            assert "is not valid" in tape_problem(tmp_path, told)


def test_public_material_that_was_damaged_is_written_again(tmp_path: Path) -> None:
    """It is named after its content, so that the file of one cell serves the next."""
    kept = Tape(np.array([0, 3]), [b"one", b"two"], b"public material")
    facts = write_tape(tmp_path, "cell", kept)
    (tmp_path / facts.public_file).write_bytes(b"public mXterial")
    assert write_tape(tmp_path, "cell", kept) == facts
    assert (tmp_path / facts.public_file).read_bytes() == b"public material"
