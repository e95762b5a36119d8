"""Sums vouch for nothing that nobody knows: no command gives a digest to bytes that were edited."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from he_compare.common.errors import IntegrityError
from he_compare.common.run.known_files import ATTACKS, RECORDS
from he_compare.common.run.records import AttackOutcome, RunRecord
from he_compare.common.run.store import MANIFEST, PICTURES, SCORES, RunFolder
from he_compare.common.run.sums import SUMS, read_sums, write_sums
from tests.support.samplerun import audited
from tests.support.sealing import seal

MADE = audited()


def _unsealed(lines: tuple[RunRecord, ...] | tuple[AttackOutcome, ...]) -> str:
    return "".join(one.model_dump_json(exclude={"line_sha256"}) + "\n" for one in lines)


def _new(path: Path) -> RunFolder:
    """Return a run of this version that ended."""
    manifest = MADE.manifest.model_copy(update={"sums_cover_all": True})
    return RunFolder(replace(MADE, manifest=manifest).write(path))


def _older(path: Path, *, ended: bool = True) -> RunFolder:
    """Return a run as earlier versions left it: lines without digests, sums that cover less."""
    MADE.write(path)
    (path / RECORDS).write_text(_unsealed(MADE.records))
    (path / ATTACKS).write_text(_unsealed(MADE.outcomes))
    (path / "report").mkdir()
    (path / "report" / "report.md").write_text("as it was")
    (path / SUMS).unlink()
    if ended:
        seal(path)
        sums = read_sums(path)
        kept = {n: d for n, d in sums.digests.items() if not n.startswith("report/")}
        write_sums(path, replace(sums, digests=kept, complete=False))
    return RunFolder(path)


def _resume(path: Path) -> RunFolder:
    """Do to a run what the command does that finds all of its cells finished."""
    folder = RunFolder(path)
    folder.recover()
    folder.remove_orphans()
    folder.write_sums()
    return folder


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_run_that_ends_again_holds(tmp_path: Path) -> None:
    folder = _new(tmp_path / "run")
    before = (folder.path / SUMS).read_bytes()
    assert folder.check_sums().problems == folder.check_sums().notes == []
    _resume(folder.path)
    assert (folder.path / SUMS).read_bytes() == before


def _one_of_each_kind(folder: RunFolder) -> list[str]:
    """Return a file of every folder, and those beside them, but for the lines of records."""
    names = sorted(read_sums(folder.path).digests)
    whole = [name for name in names if (folder.path / name).stat().st_size]
    kinds = {name.partition("/")[0]: name for name in whole if name not in (RECORDS, ATTACKS)}
    return list(kinds.values())


@pytest.mark.parametrize("make", [_new, _older])
def test_no_edited_file_gets_a_fresh_digest_when_the_run_goes_on(
    tmp_path: Path, make: object
) -> None:
    assert callable(make)
    folder = make(tmp_path / "run")
    for name in _one_of_each_kind(folder):
        path = folder.path / name
        whole, sums = path.read_bytes(), (folder.path / SUMS).read_bytes()
        _flip(path)
        _resume(folder.path)
        assert f"{name} was changed" in folder.check_sums().problems
        for again in (folder.add_to_sums, folder.write_sums):
            again()
            assert f"{name} was changed" in folder.check_sums().problems
        path.write_bytes(whole)
        (folder.path / SUMS).write_bytes(sums)
    assert folder.check_sums().problems == []


@pytest.mark.parametrize("name", [RECORDS, ATTACKS])
def test_edited_lines_of_an_older_run_stop_the_command_that_would_go_on(
    tmp_path: Path, name: str
) -> None:
    folder = _older(tmp_path / "run")
    path = folder.path / name
    text = path.read_text()
    number = text.index('"seconds":') + len('"seconds":')
    path.write_text(text[:number] + "9" + text[number:])
    with pytest.raises(IntegrityError, match=rf"{name} is not what was written") as caught:
        RunFolder(folder.path).recover()
    assert "or delete it" in caught.value.fix
    folder.write_sums()
    assert f"{name} was changed" in folder.check_sums().problems
    path.unlink()  # what is advised works
    _resume(folder.path)


def test_lines_that_were_added_to_an_older_run_are_told_apart(tmp_path: Path) -> None:
    """Sealed ones are known; of unsealed ones nobody knows, and the file is not covered."""
    folder = _older(tmp_path / "run")
    folder.append(MADE.records[0])
    assert _resume(folder.path).check_sums().problems == []
    assert RECORDS in read_sums(folder.path).digests
    other = _older(tmp_path / "other")
    with (other.path / RECORDS).open("a") as stream:
        stream.write(_unsealed(MADE.records[:1]))
    _resume(other.path)
    assert RECORDS in read_sums(other.path).uncovered
    found = other.check_sums()
    assert found.problems == [] and "not covered" in found.notes[-1]


def test_of_an_older_run_that_never_ended_it_is_said_what_is_not_covered(tmp_path: Path) -> None:
    folder = _older(tmp_path / "run", ended=False)
    (folder.path / "predictions" / "zzz.npz").write_bytes(b"of nobody")
    _resume(folder.path)
    sums = read_sums(folder.path)
    assert sums.digests == {} or set(sums.digests) <= {MANIFEST}
    assert {RECORDS, ATTACKS, PICTURES, SCORES, "report/report.md"} <= sums.uncovered
    found = folder.check_sums()
    assert found.problems == ["predictions/zzz.npz was added"]
    assert "not covered" in found.notes[-1]
    (folder.path / "report" / "new.md").write_text("added since")
    assert "report/new.md was added" in folder.check_sums().problems


def test_what_an_earlier_version_did_not_cover_is_not_covered_by_going_on(tmp_path: Path) -> None:
    folder = _older(tmp_path / "run")
    (folder.path / "notes.txt").write_text("mine")
    assert folder.check_sums().problems == []
    _resume(folder.path)
    assert read_sums(folder.path).uncovered == {"notes.txt", "report/report.md"}
    assert folder.check_sums().problems == []


def test_a_run_that_lost_its_sums_gets_no_digest_for_what_has_none(tmp_path: Path) -> None:
    folder = _new(tmp_path / "run")
    (folder.path / SUMS).write_bytes(b"damaged")
    with pytest.raises(IntegrityError, match="cut off"):
        folder.add_to_sums()
    again = RunFolder(folder.path)
    assert "is written again" in again.sums.damage_words()
    _resume(folder.path)
    sums = read_sums(folder.path)
    assert {RECORDS, ATTACKS} <= sums.digests.keys()
    assert {MANIFEST, PICTURES, SCORES} <= sums.uncovered


def test_a_report_of_a_run_that_never_ended_gives_no_digest_to_what_is_there(
    tmp_path: Path,
) -> None:
    folder = _new(tmp_path / "run")
    sums = read_sums(folder.path)
    began = {MANIFEST: sums.digests[MANIFEST]}
    write_sums(folder.path, replace(sums, digests=began))
    _flip(folder.path / PICTURES)
    again = RunFolder(folder.path)
    again.put("report/report.md", b"new")
    again.add_to_sums()
    found = read_sums(folder.path)
    assert {MANIFEST, RECORDS, "report/report.md"} <= found.digests.keys()
    assert PICTURES in found.uncovered


def test_files_have_the_digests_of_their_records(tmp_path: Path) -> None:
    folder = _new(tmp_path / "run")
    name = next(one.predictions for one in MADE.records if one.predictions)
    digest = read_sums(folder.path).digests[name]
    record = next(one for one in MADE.records if one.predictions == name)
    folder.append(record.model_copy(update={"files_sha256": {name: digest}}))
    (folder.path / SUMS).unlink()
    _flip(folder.path / name)
    _resume(folder.path)
    assert read_sums(folder.path).digests[name] == digest
    assert f"{name} was changed" in folder.check_sums().problems
    (folder.path / name).unlink()
    _resume(folder.path)
    assert f"{name} is missing" in folder.check_sums().problems


def test_lines_set_aside_are_covered_only_where_all_of_them_are_known(tmp_path: Path) -> None:
    folder = _new(tmp_path / "run")
    for known in (True, False):
        lines = (folder.path / RECORDS).read_bytes().splitlines(keepends=True)
        (folder.path / RECORDS).write_bytes(b"".join(lines) + b'{"half')
        if not known:
            with (folder.path / "records.torn").open("ab") as stream:
                stream.write(b"added by somebody\n")
        again = _resume(folder.path)
        assert again.check_sums().problems == ([] if known else ["records.torn was changed"])


def test_what_is_damaged_among_artefacts_keeps_its_digest_until_it_is_made_again(
    tmp_path: Path,
) -> None:
    folder = _new(tmp_path / "run")
    folder.artefacts.get_or_make("head", {}, lambda: b"weights")
    folder.write_sums()
    (kept,) = (folder.path / "artefacts").glob("head-*.kept")
    name = f"artefacts/{kept.name}"
    _flip(kept)
    _resume(folder.path)
    assert folder.check_sums().problems == [f"{name} was changed"]
    folder.artefacts.get_or_make("head", {}, lambda: b"weights")
    folder.write_sums()
    assert folder.check_sums().problems == []


def test_an_edited_manifest_does_not_make_an_earlier_run_of_a_new_one(tmp_path: Path) -> None:
    folder = _new(tmp_path / "run")
    path = folder.path / RECORDS
    first, *rest = path.read_bytes().splitlines(keepends=True)
    bare = _unsealed((MADE.records[0],)).encode()
    path.write_bytes(b"".join([first, bare, *rest]))
    facts = json.loads((folder.path / MANIFEST).read_text())
    (folder.path / MANIFEST).write_text(json.dumps(facts | {"sums_cover_all": False}))
    with pytest.raises(IntegrityError, match=r"line 2 of records\.jsonl .* has lost its digest"):
        folder.records()
    assert RunFolder(folder.path).recover() == ["line 2 of records.jsonl has lost its digest"]
