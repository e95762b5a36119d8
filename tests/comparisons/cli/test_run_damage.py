"""`compare run` in a folder with damage or leftovers: the same command heals, nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.types import Status
from he_compare.comparisons.judging.verify import verify_run
from tests.support.echo_runs import done_here, finished_run
from tests.support.imagefolders import write_chestxray_like

SMALL = (
    "--image-size 32 --train-limit 8 --val-limit 4 --test-limit 12 --infer-batch 4 --quiet "
    "--latency-images 3 --latency-rounds 1 --pictures 2 --profile smoke --subset published"
)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    data = tmp_path_factory.mktemp("data") / "chestxray"
    write_chestxray_like(data, per_class_train=12, per_class_test=8, size=32)
    fixed = ["--dataset", "chestxray", "--data-dir", str(data), "--pipeline", "echo"]
    return [*fixed, *SMALL.split(), "--format", "md"]


@pytest.fixture
def compare(words: list[str], echo: str, tmp_path: Path) -> Callable[..., int]:
    """Run `compare run` in this process and return its exit code."""

    def run(*extra: str) -> int:
        return done_here(["run", *words, "--out", str(tmp_path / "run"), *extra])

    return run


@pytest.fixture(scope="module")
def finished(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = finished_run(tmp_path_factory.mktemp("finished"), words)
    assert verify_run(RunFolder(run)) == []
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, where the command goes on with it."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def _ok(run: Path) -> list[RunRecord]:
    """Every line of the records that says ok, repeated ones too."""
    lines = (run / "records.jsonl").read_bytes().splitlines()
    found = [RunRecord.model_validate_json(line) for line in lines]
    return [one for one in found if one.status is Status.OK]


def _flip(path: Path, place: int = -40) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def _names(run: Path) -> set[str]:
    return {one.relative_to(run).as_posix() for one in run.rglob("*") if one.is_file()}


@pytest.mark.parametrize("how", ["missing", "cut", "flipped", "empty", "no npz"])
def test_damaged_predictions_are_made_again_by_the_same_command(
    run: Path, compare: Callable[..., int], how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = (run / "predictions").iterdir()
    whole = path.read_bytes()
    before = _ok(run)
    if how == "missing":
        path.unlink()
    elif how == "flipped":
        _flip(path, len(whole) // 2)
    else:
        path.write_bytes({"cut": whole[:-100], "empty": b"", "no npz": b"x" * 999}[how])
    assert verify_run(RunFolder(run)) != []
    assert compare() == 0
    assert capsys.readouterr().err.count(f"{path.name}") == 1
    assert verify_run(RunFolder(run)) == []
    again = _ok(run)
    (accuracy,) = {one.identity for one in before if one.predictions}
    assert [one.identity for one in again].count(accuracy) == 2
    assert len(again) == len(before) + 1


def test_a_damaged_line_of_a_record_is_set_aside_and_its_cell_runs_again(
    run: Path, compare: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {one.identity for one in _ok(run)}
    path = run / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if b'"status":"ok"' in line)
    lines[number] = lines[number].replace(b'"seconds":', b'"seconds":1', 1)
    path.write_bytes(b"".join(lines))
    assert compare() == 0
    assert f"line {number + 1} of records.jsonl is damaged" in capsys.readouterr().err
    assert verify_run(RunFolder(run)) == []
    assert {one.identity for one in _ok(run)} == before


@pytest.mark.parametrize("place", [10, 60, -30])
def test_damaged_pictures_are_put_together_again(
    run: Path, compare: Callable[..., int], place: int
) -> None:
    known = RunFolder(run).pictures()
    _flip(run / "pictures.npz", place)
    before = len(_ok(run))
    assert compare() == 0
    assert verify_run(RunFolder(run)) == []
    again = RunFolder(run).pictures()
    assert {n: v.tolist() for n, v in again.items()} == {n: v.tolist() for n, v in known.items()}
    assert len(_ok(run)) == before


def test_an_edited_manifest_is_written_again_from_the_plan(
    run: Path, compare: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "manifest.json"
    known = json.loads(path.read_text())
    path.write_text(path.read_text().replace('"profile": "smoke"', '"profile": "smoky"'))
    assert verify_run(RunFolder(run)) != []
    assert compare() == 0
    assert "manifest.json is not what was written" in capsys.readouterr().err
    assert json.loads(path.read_text()) == known
    assert verify_run(RunFolder(run)) == []


def test_a_finished_run_changes_nothing_when_it_is_asked_again(
    run: Path, compare: Callable[..., int]
) -> None:
    before = {name: (run / name).read_bytes() for name in _names(run)}
    assert compare() == 0
    after = {name: (run / name).read_bytes() for name in _names(run)}
    assert {n for n in before if before[n] != after.get(n)} <= {"scores.json", "SHA256SUMS"}
    assert set(after) == set(before)


@pytest.mark.parametrize(
    "left",
    [
        ".lock",
        "..lock.cs58lq2k",
        ".manifest.json.x3_k9abc",
        ".hec-0123456789abcdef.part",
    ],
)
@pytest.mark.parametrize("content", [b"", b'{"pid": 1, "star', b"\x00" * 9])
def test_what_a_killed_start_left_blocks_no_run_and_does_not_stay(
    compare: Callable[..., int], tmp_path: Path, left: str, content: bytes
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / left).write_bytes(content)
    assert compare() == 0
    assert left not in _names(run)
    assert verify_run(RunFolder(run)) == []


def test_leftovers_in_a_run_are_swept_by_the_next_command(
    run: Path, compare: Callable[..., int]
) -> None:
    before = _names(run)
    (run / "predictions" / f"{'0' * 16}.npz").write_bytes(b"of a cell that was killed")
    (run / ".workers").mkdir()
    (run / ".workers" / "test.npy").write_bytes(b"images in the clear")
    of_a_tape = f"tape/.{'0' * 16}.tape.abcdefgh"
    for name in (".hec-0123456789abcdef.part", of_a_tape, ".pictures.npz.k4_9xyzw"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(b"half")
    assert compare() == 0
    assert _names(run) == before
    assert not (run / ".workers").exists()


HOLDER = """
import sys, time
from pathlib import Path
from he_compare.common.run.store import RunFolder
with RunFolder(Path(sys.argv[1])).claimed():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("begun", [False, True])
def test_a_second_start_in_one_folder_says_so_and_touches_nothing(
    finished: Path,
    compare: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    begun: bool,
) -> None:
    run = tmp_path / "run"
    if begun:
        shutil.copytree(finished, run)
    words = [sys.executable, "-c", HOLDER, str(run)]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        before = _names(run)
        capsys.readouterr()
        assert compare() == 2
        told = capsys.readouterr().err
        assert f"is being written by process {holder.pid}" in told
        assert _names(run) == before
    finally:
        holder.kill()
        holder.communicate()
    assert compare() == 0


def test_a_folder_of_somebody_else_is_refused_and_not_swept(
    compare: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    (run / "below").mkdir(parents=True)
    for name in ("holiday.jpg", "below/.notes.settings", ".hec-0123456789abcdef.part"):
        (run / name).write_text("mine")
    before = _names(run)
    assert compare() == 2
    assert "'below'" in capsys.readouterr().err
    assert _names(run) == before


def test_a_cache_that_cannot_be_written_costs_nothing_but_a_note(
    compare: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    assert compare() == 0
    told = capsys.readouterr().err
    assert told.count("decoded images are not kept in the cache (Not a directory)") == 1
    assert "Traceback" not in told
    assert verify_run(RunFolder(tmp_path / "run")) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes anywhere")
def test_an_output_that_cannot_be_written_is_one_line(
    compare: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir(mode=0o500)
    assert compare() == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert str(tmp_path / "run") in line and "--out" in line


def test_running_again_makes_nothing_of_somebody_else_a_part_of_the_run(
    run: Path, compare: Callable[..., int]
) -> None:
    (run / "predictions" / "zzz.npz").write_bytes(b"added")
    page = run / "report" / "extra.html"
    page.write_bytes(b"added")
    (kept,) = list((run / "artefacts").glob("view-*"))
    _flip(kept)
    (run / "pictures.npz").touch()
    assert compare() == 0
    assert sorted(verify_run(RunFolder(run))) == [
        "SHA256SUMS: predictions/zzz.npz was added",
        "SHA256SUMS: report/extra.html was added",
    ]
    assert not kept.exists()


def test_a_cell_that_the_plan_has_no_more_leaves_no_run_unfinished_for_ever(
    run: Path, compare: Callable[..., int]
) -> None:
    """An update changes identities: what was begun under the old ones is never ended."""
    folder = RunFolder(run)
    one = next(record for record in folder.records() if record.status is Status.OK)
    left = {"identity": "0" * 16, "status": Status.STARTED, "predictions": "", "tape": None}
    folder.append(one.model_copy(update=left))
    assert compare() == 0
    assert verify_run(folder) == []


def test_a_record_that_lost_its_digest_is_set_aside_and_its_cell_runs_again(
    run: Path, compare: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if b'"status":"ok"' in line)
    edited = json.loads(lines[number])
    del edited["line_sha256"]
    edited["seconds"] += 1000
    lines[number] = json.dumps(edited, separators=(",", ":")).encode() + b"\n"
    path.write_bytes(b"".join(lines))
    assert compare() == 0
    assert f"line {number + 1} of records.jsonl has lost its digest" in capsys.readouterr().err
    assert verify_run(RunFolder(run)) == []
    assert all(one.seconds < 1000 for one in RunFolder(run).records())


def test_an_edit_that_changes_no_array_is_found_by_the_digest_of_the_record(
    run: Path, compare: Callable[..., int]
) -> None:
    """Bytes of the container that no reader looks at: a run that was killed has no sums yet."""
    (file,) = (run / "predictions").iterdir()
    with file.open("ab") as stream:
        stream.write(b"\x00")
    (run / "SHA256SUMS").unlink()
    before = len(_ok(run))
    assert compare() == 0
    assert len(_ok(run)) == before + 1
    assert verify_run(RunFolder(run)) == []


@pytest.mark.parametrize("value", ["plan", "created_at", "seed"])
def test_a_manifest_is_found_again_whatever_was_changed_in_it(
    run: Path, compare: Callable[..., int], value: str
) -> None:
    path = run / "manifest.json"
    known = json.loads(path.read_text())
    changed = {"plan": "0" * 64, "created_at": "1999-01-01T00:00:00+00:00", "seed": 99}[value]
    path.write_text(json.dumps(known | {value: changed}))
    assert compare() == 0
    again = json.loads(path.read_text())
    if value == "created_at":  # not known any more: the first record tells
        assert again.pop("created_at") >= known.pop("created_at")
        assert "1999" not in path.read_text()
    assert again == known
    assert verify_run(RunFolder(run)) == []


def test_a_run_that_lost_its_sums_gets_them_again_without_a_digest_for_what_has_none(
    run: Path, compare: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "report" / "extra.md").write_text("of somebody")
    (run / "SHA256SUMS").write_bytes(b"damaged\n")
    assert compare() == 0
    assert "line 1 is not valid, or there twice: it is written again" in capsys.readouterr().err
    assert verify_run(RunFolder(run)) == ["SHA256SUMS: report/extra.md was added"]
