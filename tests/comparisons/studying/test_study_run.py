"""`compare study` with a pipeline that learns nothing: run, kill, resume, change, missing data."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.study_kills import tables
from he_compare.common.run.store import RunFolder
from he_compare.common.study.study_folder import StudyFolder
from he_compare.common.study.study_progress import study_progress
from he_compare.common.study.study_records import StudyRow
from he_compare.common.study.study_view import read_study
from he_compare.common.types import Phase, Status
from he_compare.comparisons.cli import app
from he_compare.comparisons.judging.verify import verify_run
from he_compare.comparisons.measuring import plan as measuring_plan
from he_compare.comparisons.studying.changes import OTHER_CODE
from he_compare.comparisons.studying.surveying import SurveyedSet, lone_words
from tests.support.command import as_started_by_a_shell
from tests.support.imagefolders import write_chestxray_like, write_image

FILE = """title = "Echoes"
profile = "smoke"
seeds = [0, 1]
pipelines = ["echo", "echo[behaviour=claim]"]

[settings]
image_size = 32
train_limit = 8
val_limit = 4
test_limit = 12
infer_batch = 4
latency_images = 3
latency_rounds = 1
pictures = 2

[data.chest]
title = "Chest X-rays"
dataset = "chestxray"
subset = "published"

[data.ours]
title = "Our own"
dataset = "folder:ours"
"""
# Of two data sets: two pipelines, each two trainings and a round of latency.
CELLS = 2 * 2 * (2 + 1)
QUIET = ("--quiet", "--format", "")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    write_chestxray_like(folder / "chestxray", per_class_train=12, per_class_test=8, size=32)
    generator = np.random.default_rng(1)
    for label, name in enumerate(("healthy", "ill")):
        for number in range(30):
            write_image(folder / "ours" / name / f"{number}.png", label, 32, generator)
    return folder


@pytest.fixture
def study(
    echo: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Run `compare study run` with a file in this process and return its exit code."""

    def run(text: str = FILE, *extra: str, out: str = "study") -> int:
        (tmp_path / "mine.toml").write_text(text)
        given = ["study", "run", str(tmp_path / "mine.toml"), "--out", str(tmp_path / out)]
        given += ["--data-dir", str(data), "--key", str(tmp_path / "client.key"), *QUIET, *extra]
        return command(given, monkeypatch)

    return run


def command(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["compare", *arguments])
    with pytest.raises(SystemExit) as stop:
        app.main()
    return int(stop.value.code or 0)


def lines_of(folder: Path) -> dict[str, bytes]:
    """Return the records of all runs of a study, byte for byte."""
    return {path.parent.name: path.read_bytes() for path in folder.glob("runs/*/records.jsonl")}


def test_a_study_is_a_folder_of_ordinary_runs(
    study: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study() == 0
    folder = StudyFolder(tmp_path / "study")
    assert sorted(one.name for one in (tmp_path / "study" / "runs").iterdir()) == ["chest", "ours"]
    for name in ("chest", "ours"):
        run = folder.run(name)
        assert verify_run(run) == []
        accuracy = [r for r in run.records() if r.cell.phase is Phase.ACCURACY]
        assert [r.cell.seed for r in accuracy] == [0, 0, 1, 1]
        assert [one.seeds for one in run.scores().means] == [[0, 1], [0, 1]]
    found = study_progress(folder)
    assert (found.planned, found.done, found.left) == (CELLS, CELLS, 0)
    assert all(one.row.ended for one in found.rows) and found.seconds_left == 0
    out = capsys.readouterr().out
    assert "chest" in out and "ours" in out
    told = (tmp_path / "study" / "study.json").read_text()
    assert str(tmp_path) not in told and "PATH" in json.loads(told)["rows"][1]["dataset"]


def test_the_folder_holds_its_file_which_asks_for_the_same_under_its_own_name(
    study: Callable[..., int],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    untitled = FILE.partition("\n")[2]
    assert study(untitled) == 0
    place = tmp_path / "study"
    kept, before = place / "study.toml", lines_of(place)
    assert kept.read_text() == f'title = "mine"\n{untitled}'
    given = ["study", "run", str(kept), "--out", str(place), "--data-dir", str(data)]
    assert command([*given, "--key", str(tmp_path / "client.key"), *QUIET], monkeypatch) == 0
    assert lines_of(place) == before and StudyFolder(place).record().accepted == []


def test_the_same_command_again_does_nothing_again(
    study: Callable[..., int], tmp_path: Path
) -> None:
    assert study() == 0
    before = lines_of(tmp_path / "study")
    assert study() == 0
    assert lines_of(tmp_path / "study") == before
    assert study(FILE + "# a comment\n") == 0
    assert lines_of(tmp_path / "study") == before


def test_a_missing_data_set_is_a_row_and_the_others_run(
    study: Callable[..., int], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.move(data / "ours", tmp_path / "elsewhere")
    assert study() == 0
    folder = StudyFolder(tmp_path / "study")
    rows = {one.name: one for one in folder.record().rows}
    assert rows["ours"].unavailable and rows["chest"].ended
    assert str(tmp_path) not in rows["ours"].unavailable
    told = capsys.readouterr()
    assert "ours: unavailable" in told.err and "no result of ours: unavailable" in told.out
    view = read_study(folder)
    assert view.sets[1].view is None and view.sets[1].why.startswith("unavailable: ")
    # It comes back: its row runs, and the other one is not done again.
    before = lines_of(tmp_path / "study")["chest"]
    shutil.move(tmp_path / "elsewhere", data / "ours")
    assert study() == 0
    assert lines_of(tmp_path / "study")["chest"] == before
    assert all(one.ended for one in folder.record().rows)
    # It goes again: what it gave stays, and is said to be of before.
    shutil.move(data / "ours", tmp_path / "elsewhere")
    assert study() == 0
    assert read_study(folder).sets[1].view is not None


def test_where_no_data_set_is_there_nothing_is_done_and_the_code_says_so(
    study: Callable[..., int], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(data)
    assert study() == 3


def test_a_changed_file_is_told_and_done_only_when_accepted(
    study: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study() == 0
    before = lines_of(tmp_path / "study")
    capsys.readouterr()
    more = FILE.replace('"echo[behaviour=claim]"]', '"echo[behaviour=other]"]')
    more = more.replace("seeds = [0, 1]", "seeds = [0, 1, 2]").replace("Our own", "Ours")
    assert study(more) == 2
    told = capsys.readouterr().err
    assert "ours: its title is 'Ours', it was 'Our own'" in told
    assert "chest: 3 cells kept" in told and "no longer asked for" in told and "new" in told
    assert "--accept-changes" in told
    assert lines_of(tmp_path / "study") == before
    assert study(more, "--accept-changes") == 0
    folder = StudyFolder(tmp_path / "study")
    for name in ("chest", "ours"):
        run = folder.run(name)
        assert verify_run(run) == []
        labels = {r.cell.label for r in run.records()}
        assert labels == {"echo", "echo[other]"}
        # What holds is the very line that was there.
        kept = [line for line in before[name].splitlines() if line in _lines(run)]
        assert len(kept) >= 3
        assert run.manifest().seeds == [0, 1, 2]
        # What went is kept whole.
        earlier = RunFolder(tmp_path / "study" / "earlier" / f"{name}-1")
        assert verify_run(earlier) == []
        assert {r.cell.label for r in earlier.records()} == {"echo", "echo[claim]"}
    assert any("no longer asked for" in one for one in folder.record().accepted)
    assert study(more) == 0


def _lines(run: RunFolder) -> list[bytes]:
    return (run.path / "records.jsonl").read_bytes().splitlines()


def test_settings_that_change_every_cell_are_done_again(
    study: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study() == 0
    capsys.readouterr()
    other = FILE.replace("infer_batch = 4", "infer_batch = 6")
    assert study(other) == 2
    assert "would be done again" in capsys.readouterr().err
    assert study(other, "--accept-changes") == 0
    folder = StudyFolder(tmp_path / "study")
    assert folder.run("chest").manifest().settings["infer_batch"] == 6
    assert verify_run(folder.run("chest")) == []


def test_a_data_set_that_is_no_longer_asked_for_goes_to_earlier(
    study: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study() == 0
    capsys.readouterr()
    fewer = FILE[: FILE.index("[data.ours]")]
    assert study(fewer) == 2
    assert "ours: no longer asked for" in capsys.readouterr().err
    assert study(fewer, "--accept-changes") == 0
    assert not (tmp_path / "study" / "runs" / "ours").exists()
    assert verify_run(RunFolder(tmp_path / "study" / "earlier" / "ours-1")) == []


def test_changed_margins_and_titles_are_told_and_remembered(
    study: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study() == 0
    before = lines_of(tmp_path / "study")
    wider = FILE.replace("[settings]", "[margins]\naccuracy = 0.2\n\n[settings]")
    assert study(wider) == 2
    assert "margin accuracy is 0.2, it was 0.03" in capsys.readouterr().err
    assert study(wider, "--accept-changes") == 0
    record = StudyFolder(tmp_path / "study").record()
    assert record.margins["accuracy"] == 0.2 and "margin accuracy" in record.accepted[0]
    assert lines_of(tmp_path / "study") == before


def test_other_images_under_the_same_file_are_a_change_as_well(
    study: Callable[..., int], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study() == 0
    generator = np.random.default_rng(9)
    for number in range(30):
        write_image(data / "ours" / "ill" / f"{number}.png", 1, 32, generator)
    capsys.readouterr()
    assert study() == 2
    told = capsys.readouterr().err
    assert "ours: 0 cells kept (its images have the fingerprint" in told
    assert "chest" not in told
    assert study(FILE, "--accept-changes") == 0


def test_what_fails_on_one_data_set_stops_no_other_and_is_the_code(
    study: Callable[..., int], tmp_path: Path
) -> None:
    failing = FILE.replace(
        'dataset = "chestxray"', 'dataset = "chestxray"\nmore = ["echo[behaviour=raise]"]'
    )
    assert study(failing) == 3
    folder = StudyFolder(tmp_path / "study")
    rows = {one.name: one for one in folder.record().rows}
    assert not rows["chest"].ended and rows["ours"].ended
    states = {r.cell.label: r.status for r in folder.run("chest").records() if not r.cell.round}
    assert states["echo[raise]"] is Status.FAILED and states["echo"] is Status.OK


def test_a_damaged_run_stops_no_other_and_is_named(
    study: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study() == 0
    folder = StudyFolder(tmp_path / "study")
    path = folder.run("chest").path / "predictions"
    for one in path.iterdir():
        one.unlink()
    assert study() == 0  # its cells are done again
    assert verify_run(folder.run("chest")) == []
    manifest = folder.run("chest").path / "manifest.json"
    kept = manifest.read_bytes()
    manifest.write_bytes(b"{}")
    capsys.readouterr()
    assert study() == 4
    assert "chest: manifest.json" in capsys.readouterr().err
    rows = {one.name: one for one in folder.record().rows}
    assert rows["chest"].problem and rows["ours"].ended
    manifest.write_bytes(kept)
    assert study() == 0
    assert not any(one.problem for one in folder.record().rows)


def test_a_torn_line_of_a_run_is_set_aside_and_its_cell_runs_again(
    study: Callable[..., int], tmp_path: Path
) -> None:
    assert study() == 0
    folder = StudyFolder(tmp_path / "study")
    path = folder.run("ours").path / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    assert study() == 0
    assert verify_run(folder.run("ours")) == []
    assert study_progress(folder).left == 0


def test_two_studies_in_one_folder_are_refused(
    study: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = StudyFolder(tmp_path / "study")
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from he_compare.common.study.study_folder import StudyFolder\n"
        f"with StudyFolder(Path({str(folder.path)!r})).claimed():\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    held = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ | _search()
    )
    try:
        assert held.stdout is not None and held.stdout.readline() == b"held\n"
        assert study() == 2
        assert f"is being written by process {held.pid}" in capsys.readouterr().err
    finally:
        held.kill()
        held.wait()
    assert study() == 0


def _search() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(str(Path(one).absolute()) for one in sys.path if one)}


def test_a_folder_that_holds_a_run_is_refused_untouched(
    study: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "manifest.json").write_text("{}")
    assert study() == 2
    assert "holds no study" in capsys.readouterr().err
    assert (tmp_path / "study" / "manifest.json").read_text() == "{}"


def test_killed_again_and_again_a_study_comes_to_the_same_tables(
    study: Callable[..., int], data: Path, tmp_path: Path
) -> None:
    assert study(out="whole") == 0
    words = [sys.executable, "-m", "comparisons", "study", "run", str(tmp_path / "mine.toml")]
    words += ["--out", str(tmp_path / "killed"), "--data-dir", str(data), *QUIET]
    words += ["--key", str(tmp_path / "client.key")]
    environment = os.environ | _search() | {"COMPARE_WORKERS": "1"}
    for done in (1, 4, 7):
        process = subprocess.Popen(
            words,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=as_started_by_a_shell,
            start_new_session=True,
        )
        try:
            _wait_for_cells(tmp_path / "killed", done, process)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert study(out="killed") == 0
    whole, killed = (tables(StudyFolder(tmp_path / name)) for name in ("whole", "killed"))
    assert whole == killed
    for name in ("chest", "ours"):
        assert verify_run(StudyFolder(tmp_path / "killed").run(name)) == []


def _wait_for_cells(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until so many cells ended, or the process did."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        ended = b"".join(lines_of(folder).values()).count(b'"status":"ok"')
        if ended >= count:
            return
        time.sleep(0.02)


def test_a_study_on_workers_comes_to_the_same_tables(
    study: Callable[..., int], tmp_path: Path
) -> None:
    one_set = FILE[: FILE.index("[data.chest]")] + FILE[FILE.index("[data.ours]") :]
    threads = one_set.replace("pictures = 2", "pictures = 2\nthreads = 1")
    assert study(threads, out="here") == 0
    assert study(threads, "--workers", "2", out="workers") == 0
    here, workers = (tables(StudyFolder(tmp_path / name)) for name in ("here", "workers"))
    assert here == workers
    assert verify_run(StudyFolder(tmp_path / "workers").run("ours")) == []


def test_a_cell_that_was_stopped_under_another_source_keeps_no_study_open(
    study: Callable[..., int], tmp_path: Path
) -> None:
    assert study() == 0
    run = StudyFolder(tmp_path / "study").run("chest")
    record = run.records()[0]
    stopped = {"identity": "0" * 16, "status": Status.INTERRUPTED, "predictions": ""}
    run.append(record.model_copy(update=stopped))
    (run.path / "predictions" / f"{record.identity}.npz").unlink()  # so that the row is opened
    assert study() == 0
    assert all(one.ended for one in StudyFolder(tmp_path / "study").record().rows)


def test_results_of_another_version_go_only_when_that_is_accepted_and_are_kept_beside(
    study: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert study() == 0
    before, place = lines_of(tmp_path / "study"), tmp_path / "study"
    monkeypatch.setattr(measuring_plan, "source_digest", lambda *names: "of an upgrade")
    capsys.readouterr()
    assert study() == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"chest: 0 cells kept ({OTHER_CODE})" in told
    assert "chest: 6 cells would be done again: echo" in told and "--accept-changes" in told
    assert lines_of(place) == before
    assert study(FILE, "--accept-changes") == 0
    runs = {name: StudyFolder(place).run(name) for name in before}
    for name, run in runs.items():
        assert (place / "earlier" / f"{name}-1" / "records.jsonl").read_bytes() == before[name]
        assert len(run.records()) == 6 and verify_run(run) == []
    after = lines_of(place)
    assert study() == 0 and lines_of(place) == after


def test_status_says_what_is_done_and_left(
    study: Callable[..., int],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.move(data / "ours", tmp_path / "elsewhere")
    assert study() == 0
    capsys.readouterr()
    place = str(tmp_path / "study")
    assert command(["study", "status", place], monkeypatch) == 0
    text = capsys.readouterr().out
    assert "6 of 6 cells done" in text and "unavailable" in text
    assert command(["study", "status", place, "--json"], monkeypatch) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["cells"], told["done"], told["left"]) == (6, 6, 0)
    assert [one["state"].partition(":")[0] for one in told["rows"]] == ["done", "unavailable"]
    assert command(["study", "status", str(tmp_path)], monkeypatch) == 2


def test_an_unknown_name_in_the_file_is_refused_before_anything_is_written(
    study: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study(FILE.replace('"echo",', '"eco",')) == 2
    told = capsys.readouterr().err
    assert "mine.toml, line 4: " in told and "did you mean" in told
    assert not (tmp_path / "study").exists()


def test_protections_without_their_twin_are_named_with_it() -> None:
    def row(name: str, *lone: tuple[str, str]) -> SurveyedSet:
        return SurveyedSet(StudyRow(name=name, title=name, dataset=name, pipelines=[]), lone=lone)

    head, tfhe = ("fhe-head", "plaintext[model=logistic]"), ("fhe-tfhe", "plaintext")
    assert lone_words([row("chest"), row("mri")]) == []
    lines = lone_words([row("chest", head, ("fhe-train", head[1])), row("mri", head, tfhe)])
    assert lines == [
        "note: fhe-head, fhe-train on chest, mri: no twin, so what the protection costs stays "
        'unknown; add "plaintext[model=logistic]" to pipelines or more',
        "note: fhe-tfhe on mri: no twin, so what the protection costs stays unknown; add "
        '"plaintext" to pipelines or more',
    ]


def test_settings_that_a_data_set_cannot_have_are_refused_by_its_name(
    study: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study(FILE.replace('"folder:ours"', '"folder:ours"\npositive = "nobody"')) == 2
    assert "data set ours: --positive 'nobody'" in capsys.readouterr().err
    assert not (tmp_path / "study" / "runs").exists()
