"""The run folder: appended records survive crashes, foreign bytes are told and never trusted."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from he_compare.common.errors import IntegrityError, UsageError
from he_compare.common.run.kept_artefacts import ArtefactFolder
from he_compare.common.run.records import Cell, RunRecord
from he_compare.common.run.store import RunFolder, inside
from he_compare.common.run.stored_arrays import load_arrays, save_arrays
from he_compare.common.types import Phase, Status


def record(identity: str, status: Status = Status.OK) -> RunRecord:
    cell = Cell(
        dataset="d",
        pipeline="p",
        label="p",
        parameters={},
        resolved={},
        seed=0,
        phase=Phase.ACCURACY,
        round=0,
    )
    return RunRecord(identity=identity, cell=cell, status=status, started_at="2026-01-01T00:00:00Z")


def test_the_later_record_of_an_identity_replaces_the_earlier(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append(record("a", Status.STARTED))
    folder.append(record("b"))
    folder.append(record("a", Status.OK))
    assert [(r.identity, r.status) for r in folder.records()] == [
        ("b", Status.OK),
        ("a", Status.OK),
    ]


def test_a_torn_last_line_is_set_aside_and_the_rest_is_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append(record("a"))
    whole = (tmp_path / "records.jsonl").read_bytes()
    (tmp_path / "records.jsonl").write_bytes(whole + whole[: len(whole) // 2])
    assert [r.identity for r in folder.records()] == ["a"]
    assert folder.recover() == ["the last line of records.jsonl is not whole"]
    assert (tmp_path / "records.jsonl").read_bytes() == whole
    assert (tmp_path / "records.torn").read_bytes() == whole[: len(whole) // 2] + b"\n"
    folder.append(record("b"))
    assert [r.identity for r in folder.records()] == ["a", "b"]
    assert folder.recover() == []


@pytest.mark.parametrize("bad", [b"not json\n", b'{"identity": 1}\n', b"\xff\xfe\n", b"[]\n"])
def test_a_bad_line_in_the_middle_is_an_integrity_error_with_its_number(
    tmp_path: Path, bad: bytes
) -> None:
    folder = RunFolder(tmp_path)
    folder.append(record("a"))
    with (tmp_path / "records.jsonl").open("ab") as stream:
        stream.write(bad)
    folder.append(record("b"))
    with pytest.raises(IntegrityError, match=r"line 2 of records\.jsonl"):
        folder.records()


def test_arrays_of_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="objects"):
        save_arrays(tmp_path / "a.npz", {"x": np.array([object()])})
    np.savez(tmp_path / "b.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(IntegrityError, match=r"b\.npz"):
        load_arrays(tmp_path / "b.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x00" * 100])
def test_a_corrupt_npz_is_an_integrity_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"a\.npz"):
        load_arrays(tmp_path / "a.npz")


def test_an_artefact_is_made_once_and_again_when_an_input_changes(tmp_path: Path) -> None:
    store = ArtefactFolder(tmp_path)
    made: list[int] = []

    def make() -> bytes:
        made.append(1)
        return b"weights"

    assert store.get_or_make("model", {"seed": 1}, make) == b"weights"
    assert store.get_or_make("model", {"seed": 1}, make) == b"weights"
    assert len(made) == 1
    assert len(store.drain_reused()) == 1
    store.get_or_make("model", {"seed": 2}, make)
    assert len(made) == 2


def test_a_damaged_artefact_is_made_anew(tmp_path: Path) -> None:
    store = ArtefactFolder(tmp_path)
    store.get_or_make("model", {}, lambda: b"weights")
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (b"damaged", b"", whole[:-1], whole[:50] + b"\xff" + whole[51:]):
        file.write_bytes(damaged)
        assert store.get_or_make("model", {}, lambda: b"weights") == b"weights"
        assert store.drain_reused() == []
        assert file.read_bytes()[-7:] == b"weights"


def test_a_folder_with_other_files_is_not_taken_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"holiday\.jpg"):
        RunFolder(tmp_path).create(None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="holds no run"):
        RunFolder(tmp_path).manifest()


def test_arrays_that_claim_too_much_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "pictures.npz"
    np.savez_compressed(path, original=np.zeros((64, 1024, 1024), np.uint8))
    with pytest.raises(IntegrityError, match=r"67,108,864 bytes, more than 1,048,576"):
        load_arrays(path, most=1 << 20)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(  # type: ignore[no-untyped-call]
        header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 40,)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("original.npy", header.getvalue())
    with pytest.raises(IntegrityError, match=r"1,099,511,627,776 bytes"):
        RunFolder(tmp_path).pictures()


@pytest.mark.parametrize("name", ["/etc/passwd", "../other/p.npz", "predictions/../../p.npz"])
def test_a_record_that_names_a_file_outside_the_folder_is_refused(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(IntegrityError, match="outside the run folder"):
        inside(tmp_path / "run", name)
    assert inside(tmp_path / "run", "predictions/p.npz").name == "p.npz"


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "secret.npz").write_bytes(b"x")
    (run / "p.npz").symlink_to(tmp_path / "secret.npz")
    with pytest.raises(IntegrityError, match="outside the run folder"):
        inside(run, "p.npz")
