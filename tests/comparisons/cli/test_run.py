"""`compare run` from start to end with a pipeline that learns nothing: resume and failures."""

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
from typing import Any

import numpy as np
import psutil
import pytest

from he_compare.common.identity import array_digest
from he_compare.common.run.record_lines import sealed_line
from he_compare.common.run.records import RunRecord
from he_compare.common.run.severity import NOTHING_TO_ATTACK
from he_compare.common.run.store import RunFolder
from he_compare.common.run.stored_arrays import load_arrays, save_arrays
from he_compare.common.scheme import CONTROLS
from he_compare.common.types import Phase, Side, Stage, Status
from he_compare.comparisons.auditing import suite
from he_compare.comparisons.cli import app
from he_compare.comparisons.judging.verify import verify_run
from he_compare.comparisons.measuring import fitting, phases, session
from he_compare.comparisons.measuring.robustness import NO_MESSAGE
from tests.support.command import as_started_by_a_shell, only_line
from tests.support.echo_runs import done_here, finished_run
from tests.support.imagefolders import write_chestxray_like
from tests.support.sealing import seal

SMALL_OPTIONS = {
    "--image-size": 32,
    "--train-limit": 8,
    "--val-limit": 4,
    "--test-limit": 12,
    "--infer-batch": 4,
    "--latency-images": 3,
    "--latency-rounds": 2,
    "--pictures": 2,
}
SMALL = [*(str(part) for pair in SMALL_OPTIONS.items() for part in pair), "--quiet"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "chestxray"
    write_chestxray_like(folder, per_class_train=12, per_class_test=8, size=32)
    return folder


def words_for(data: Path, *pipelines: str) -> list[str]:
    words = ["--dataset", "chestxray", "--data-dir", str(data), "--profile", "smoke"]
    words += ["--subset", "published", "--format", "", *SMALL]
    return words + [word for one in pipelines for word in ("--pipeline", one)]


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("finished"), words_for(data, "echo"))


@pytest.fixture
def done(finished: Path, echo: str, tmp_path: Path) -> RunFolder:
    """A copy of what ``compare("echo")`` leaves, where it leaves it."""
    shutil.copytree(finished, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def compare(echo: str, data: Path, tmp_path: Path) -> Callable[..., int]:
    """Run `compare run` in this process and return its exit code."""

    def run(*pipelines: str, out: str = "run", extra: tuple[str, ...] = ()) -> int:
        words = words_for(data, *(pipelines or ("echo",)))
        return done_here(["run", *words, "--out", str(tmp_path / out), *extra])

    return run


def records_of(tmp_path: Path, out: str = "run") -> list[RunRecord]:
    return RunFolder(tmp_path / out).records()


def test_a_run_leaves_complete_records_predictions_pictures_and_sums(
    compare: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare("echo") == 0
    records = records_of(tmp_path)
    assert [(r.cell.phase, r.cell.round, r.status) for r in records] == [
        (Phase.ACCURACY, 0, Status.OK),
        (Phase.LATENCY, 1, Status.OK),
        (Phase.LATENCY, 2, Status.OK),
    ]
    accuracy, latency = records[0], records[1]
    assert accuracy.n_images == 12 and latency.n_images == 3
    assert accuracy.traffic and accuracy.traffic.upload_bytes > 12 * 32 * 32 * 3
    assert accuracy.environment and accuracy.environment.threads >= 1
    assert accuracy.server_peak_bytes and accuracy.server_pid_separate
    totals = [m for m in latency.measurements if m.stage is Stage.TOTAL]
    assert len(totals) == 1 and totals[0].side is Side.CLIENT and len(totals[0].seconds) == 3
    folder = RunFolder(tmp_path / "run")
    assert folder.check_sums().problems == []
    assert set(folder.pictures()) >= {"original", "view_labels", "view_0"}
    metrics = {m.name: m for m in folder.scores().cells[0].metrics}
    assert metrics["accuracy"].interval and metrics["accuracy"].n == 12
    assert "echo" in capsys.readouterr().out


def test_a_run_without_a_server_sends_nothing_and_says_so(
    compare: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    started: list[str] = []
    begin = fitting.start_server

    def watched(name: str, *given: Any) -> Any:
        started.append(name)
        return begin(name, *given)

    monkeypatch.setattr(session, "start_server", watched)
    monkeypatch.setattr(fitting, "start_server", watched)
    extra = ("--weights", "untrained", "--robustness-images", "4", "--audit")
    assert compare("echo", "local", extra=extra) in (0, 3)
    assert started == ["echo"]
    mine = [r for r in records_of(tmp_path) if r.cell.label == "local"]
    assert [r.status for r in mine] == [Status.OK] * 4
    assert all(r.no_server and r.server_pid_separate is None and r.tape is None for r in mine)
    assert not any(r.no_server for r in records_of(tmp_path) if r.cell.label == "echo")
    accuracy, latency, _, disturbed = mine
    assert accuracy.traffic and accuracy.traffic.n_images == 12
    assert accuracy.traffic.upload_bytes == accuracy.traffic.public_material_bytes == 0
    assert accuracy.traffic.jpeg_bytes and accuracy.server_peak_bytes is None
    assert {one.side for one in latency.measurements} == {Side.CLIENT}
    assert [(one.points, one.reason) for one in disturbed.robustness] == [([], NO_MESSAGE)] * 2
    folder = RunFolder(tmp_path / "run")
    verdicts = {(o.verdict, o.reason) for o in folder.outcomes() if o.target == "local"}
    assert verdicts == {("not applicable", NOTHING_TO_ATTACK)}
    assert [one.no_server for one in folder.manifest().pipelines] == [False, True]
    assert folder.scores().reference == "local"
    assert verify_run(folder) == []
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("local ")]
    assert {"0", "nothing"} <= set(row.split())


def test_a_record_without_a_server_that_holds_bytes_is_found_out(done: RunFolder) -> None:
    record = done.records()[0]
    done.append(record.model_copy(update={"no_server": True}))
    seal(done.path)
    told = "\n".join(verify_run(done))
    assert "holds bytes that were sent" in told and "facts of its process" in told


@pytest.mark.parametrize(
    ("pipeline", "extra", "kept"),
    [
        ("echo[behaviour=claim]", ("--audit",), "run folder"),
        ("echo[behaviour=claim]", ("--audit", "--pictures", "0"), "memory"),
        ("echo", ("--audit",), "memory"),
        ("echo[behaviour=claim]", ("--no-audit",), "nowhere"),
    ],
    ids=["protected", "no pictures", "unprotected", "no audit"],
)
def test_the_tape_is_written_only_where_pictures_are_protected_and_wanted(
    compare: Callable[..., int], tmp_path: Path, pipeline: str, extra: tuple[str, ...], kept: str
) -> None:
    assert compare(pipeline, extra=extra) in (0, 3)
    record = next(r for r in records_of(tmp_path) if r.cell.phase is Phase.ACCURACY)
    if "--pictures" in extra:
        images = [*(tmp_path / "run").rglob("*.png"), *(tmp_path / "run").rglob("pictures.npz")]
        assert images == []
    assert (tmp_path / "run" / "tape").exists() is (kept == "run folder")
    if kept == "nowhere":
        assert record.tape is None
        return
    assert record.tape is not None and record.tape.messages > 0
    assert bool(record.tape.file) is (kept == "run folder")
    sources = {one.messages for one in RunFolder(tmp_path / "run").outcomes()}
    assert "crossed in the run" in sources


def test_an_edited_tape_is_named_by_verify_and_recorded_again(
    compare: Callable[..., int], tmp_path: Path
) -> None:
    both = ("echo[behaviour=claim]", "echo")
    assert compare(*both, extra=("--audit",)) in (0, 3)
    (tape,) = (tmp_path / "run" / "tape").glob("*.tape")
    tape.write_bytes(tape.read_bytes()[:-1] + b"x")
    problems = verify_run(RunFolder(tmp_path / "run"))
    assert any("SHA256SUMS" in line and tape.name in line for line in problems)
    assert any("is not valid: it is not what was recorded" in line for line in problems)
    # The cell of the tape runs again, and its messages are attacked.
    (tmp_path / "run" / "attacks.jsonl").unlink()
    assert compare(*both, extra=("--audit",)) in (0, 3)
    assert not any("is not valid" in line for line in verify_run(RunFolder(tmp_path / "run")))
    again = RunFolder(tmp_path / "run").outcomes()
    mended = [one for one in again if one.target == "echo[claim]"]
    assert "crossed in the run" in {one.messages for one in mended}
    assert not any("is not valid" in one.reason for one in mended)


def test_a_run_with_audit_records_every_attack_and_prints_the_matrix(
    compare: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare("echo", extra=("--audit",)) == 0
    folder = RunFolder(tmp_path / "run")
    outcomes = folder.outcomes()
    assert {outcome.target for outcome in outcomes} == {"echo", *CONTROLS}
    found = {outcome.attack: outcome for outcome in outcomes if outcome.target == "echo"}
    assert set(found) == set(suite.names())
    # A pipeline that says nothing about its messages is attacked all the same: they are plain.
    assert found["reidentification"].verdict == "broken"
    assert "strongest attack" in capsys.readouterr().out
    assert folder.check_sums().problems == []
    assert compare("echo", extra=("--no-audit",)) == 0
    assert len(folder.outcomes()) == len(outcomes)
    assert folder.manifest().settings["audit"] == "quick"


def test_the_same_command_again_keeps_finished_cells(
    done: RunFolder, compare: Callable[..., int], tmp_path: Path
) -> None:
    before = (tmp_path / "run" / "records.jsonl").read_bytes()
    assert compare("echo") == 0
    assert (tmp_path / "run" / "records.jsonl").read_bytes() == before


def test_another_plan_in_the_same_folder_is_refused_by_what_differs(
    done: RunFolder, compare: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare("echo[behaviour=other]") == 2
    assert "its pipelines were echo" in capsys.readouterr().err
    assert compare("echo", extra=("--seed", "7")) == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("die", "exit code 9"),
        ("raise", "told to raise"),
        ("fail in fit", "fit was told to fail"),
        ("take too much", "memory was too small for this cell of echo[take too much]"),
        ("disagree", "predictions differ"),
        ("misshapen twin", "'half a model' has scores of shape"),
    ],
)
def test_a_failing_pipeline_is_recorded_and_the_others_go_on(
    compare: Callable[..., int], tmp_path: Path, behaviour: str, reason: str
) -> None:
    assert compare(f"echo[behaviour={behaviour}]", "echo") == 3
    accuracy = {r.cell.label: r for r in records_of(tmp_path) if r.cell.phase is Phase.ACCURACY}
    failed = accuracy[f"echo[{behaviour}]"]
    assert failed.status is Status.FAILED and reason in failed.reason
    assert accuracy["echo"].status is Status.OK
    assert no_server_is_left()


def test_clear_models_are_scored_step_by_step_and_verified(
    compare: Callable[..., int], tmp_path: Path
) -> None:
    assert compare("echo[behaviour=twins]") == 0
    folder = RunFolder(tmp_path / "run")
    record = records_of(tmp_path)[0]
    assert [(one.name, one.cost) for one in record.clear_twins] == [
        ("contrary", ""),
        ("undecided", "courage"),
    ]
    (cell,) = folder.scores().cells
    first, second, executed = cell.rungs
    values = {one.name: one.value for one in cell.metrics}
    assert (executed.cost, executed.accuracy) == ("encryption", values["accuracy"])
    assert executed.auc == values["auc"] and first.auc == pytest.approx(1 - values["auc"])
    assert second.auc == 0.5
    assert [one.reference for one in executed.differences] == ["undecided"] * 2
    assert verify_run(folder) == []
    # Other clear models than those that were scored do not go unnoticed, with a hash that fits too.
    path = folder.path / record.predictions
    arrays = load_arrays(path)
    arrays["twin_probabilities"] = arrays["twin_probabilities"][::-1].copy()
    save_arrays(path, arrays)
    problems = verify_run(folder)
    assert any("does not match the record" in line for line in problems)
    digest = array_digest(*(arrays[name] for name in sorted(arrays)))
    folder.append(record.model_copy(update={"predictions_sha256": digest}))
    seal(folder.path)
    problems = verify_run(folder)
    assert any("rungs[contrary].auc" in line for line in problems)
    # Nor do too few of them.
    arrays["twin_probabilities"] = arrays["twin_probabilities"][:1]
    save_arrays(path, arrays)
    digest = array_digest(*(arrays[name] for name in sorted(arrays)))
    folder.append(record.model_copy(update={"predictions_sha256": digest}))
    seal(folder.path)
    assert any("expected float64 (2, 12, 2)" in line for line in verify_run(folder))


def test_validation_scores_are_kept_and_leave_no_trace_in_what_is_measured(
    compare: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run with and without them: bytes, batches and tape are the same."""
    assert compare("echo[behaviour=claim]", extra=("--audit",)) in (0, 3)
    monkeypatch.setattr(phases, "validation_scores", lambda *given: None)
    assert compare("echo[behaviour=claim]", extra=("--audit",), out="without") in (0, 3)
    kept, bare = (records_of(tmp_path, out)[0] for out in ("run", "without"))
    assert bare.validation is None
    assert kept.validation and (kept.validation.images, kept.validation.scored_by) == (
        4,
        "as executed",
    )
    assert kept.traffic == bare.traffic
    batches = [[(one.stage, one.items) for one in r.measurements] for r in (kept, bare)]
    assert batches[0] == batches[1]
    assert kept.tape and bare.tape and kept.tape.messages == bare.tape.messages
    folder = RunFolder(tmp_path / "run")
    assert verify_run(folder) == verify_run(RunFolder(tmp_path / "without")) == []
    point = folder.scores().cells[0].at_validated_threshold
    assert point and point.threshold is not None and sum(point.validation_images) == 4
    assert RunFolder(tmp_path / "without").scores().cells[0].at_validated_threshold is None


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("validation_probabilities", lambda a: a[:, ::-1], "at_validated_threshold"),
        ("validation_probabilities", lambda a: a[:-1], "expected int64 (4,)"),
        ("validation_probabilities", lambda a: a * 2, "validation_probabilities do not sum to 1"),
        ("validation_labels", lambda a: a + 7, "of 2 classes"),
    ],
    ids=["turned", "short", "no probabilities", "no labels"],
)
def test_other_validation_scores_do_not_go_unnoticed(
    done: RunFolder, name: str, change: Any, words: str
) -> None:
    record = done.records()[0]
    path = done.path / record.predictions
    arrays = load_arrays(path)
    arrays[name] = np.ascontiguousarray(change(arrays[name]))
    save_arrays(path, arrays)
    assert any("does not match the record" in line for line in verify_run(done))
    digest = array_digest(*(arrays[key] for key in sorted(arrays)))
    done.append(record.model_copy(update={"predictions_sha256": digest}))
    seal(done.path)
    assert any(words in line for line in verify_run(done)), verify_run(done)


def test_disturbed_messages_leave_curves_in_a_record(
    compare: Callable[..., int], tmp_path: Path
) -> None:
    assert compare("echo", extra=("--robustness-images", "5")) == 0
    (record,) = [r for r in records_of(tmp_path) if r.cell.phase is Phase.ROBUSTNESS]
    assert record.status is Status.OK and record.n_images == 5
    flips, noise = record.robustness
    assert (flips.disturbance, noise.disturbance) == ("bit flips", "Gaussian noise")
    assert flips.points[0].level == 0 and flips.points[0].same == 5
    assert all(point.n == 5 for point in noise.points)
    assert all(point.n == 5 * point.draws for point in flips.points)
    assert {point.draws for point in flips.points if point.level} == {3}


def test_a_server_that_hangs_ends_as_a_timeout(compare: Callable[..., int], tmp_path: Path) -> None:
    assert compare("echo[behaviour=hang]", extra=("--call-seconds", "0.3")) == 3
    statuses = [r.status for r in records_of(tmp_path)]
    assert statuses == [Status.TIMEOUT, Status.SKIPPED, Status.SKIPPED]
    assert no_server_is_left()


def test_a_pipeline_that_cannot_run_here_is_unavailable_and_no_failure(
    compare: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHO_UNAVAILABLE", "1")
    assert compare("echo") == 0
    records = records_of(tmp_path)
    assert {r.status for r in records} == {Status.UNAVAILABLE}
    assert "unset ECHO_UNAVAILABLE" in records[0].reason


def test_failed_cells_are_tried_again_and_finished_ones_are_not(
    compare: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHO_UNAVAILABLE", "1")
    compare("echo")
    monkeypatch.delenv("ECHO_UNAVAILABLE")
    assert compare("echo") == 0
    assert {r.status for r in records_of(tmp_path)} == {Status.OK}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--pipeline", "ecko"), 2, "did you mean 'echo'"),
        (("--pipeline", "echo[behavior=x]"), 2, "did you mean 'behaviour'"),
        (("--pipeline", "echo[behaviour"), 2, "does not parse"),
        (("--pipeline", "echo[behaviour=a,behaviour=b]"), 2, "given twice"),
        (("--pipeline", "echo", "--epochs", "0"), 2, "epochs=0"),
        (("--pipeline", "echo", "--seed", "-1"), 2, "seed=-1"),
        (("--pipeline", "echo", "--backbone", "deit_tny_patch16_224"), 2, "deit_tiny_patch16_224"),
        (("--pipeline", "echo", "--weights", "nowhere.safetensors"), 2, "no weights file"),
        (("--pipeline", "echo", "--image-size", "33"), 2, "patch 16 does not divide"),
        (("--pipeline", "echo", "--subset", "easy"), 2, "no subset 'easy'"),
        (("--pipeline", "echo", "--dataset", "chestxrya"), 2, "did you mean 'chestxray'"),
        (("--pipeline", "echo", "--profile", "quik"), 2, "did you mean 'quick'"),
        (("--pipeline", "echo", "--format", "docx"), 2, "unknown report format 'docx'"),
        (("--pipeline", "echo", "--data-dir", "no/such/folder"), 2, "no/such/folder"),
        (("--pipeline", "echo", "--no-such-option"), 2, "No such option"),
    ],
)
def test_a_bad_request_is_one_line_that_names_the_value(
    compare: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    said: str,
    data: Path,
    tmp_path: Path,
) -> None:
    words = ["run", *words_for(data), "--out", str(tmp_path / "r"), *arguments]
    assert done_here(words) == code
    error = capsys.readouterr().err.strip()
    assert said in error and error.startswith("error: ") and error.count("\n") <= 1
    assert not (tmp_path / "r" / "manifest.json").exists()


def test_hub_weights_without_a_network_are_told_with_the_choices(
    compare: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import he_compare.common.backbones.weights as weights

    def refused(repository: str) -> Path:
        raise ConnectionError(f"cannot reach {repository}")

    monkeypatch.setattr(weights, "download_from_hub", refused)
    assert compare("echo", extra=("--weights", "hub")) == 2
    error = capsys.readouterr().err
    assert "timm/deit_tiny_distilled_patch16_224" in error and "--weights untrained" in error


def test_hub_weights_that_arrive_are_used_and_named(
    compare: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import he_compare.common.backbones.weights as weights
    from he_compare.common.backbones.deit import build_vit, state_bytes

    file = tmp_path / "model.safetensors"
    name = "deit_tiny_distilled_patch16_224"
    model = build_vit(name, image_size=224, classes=1000, weights="untrained", seed=5)
    file.write_bytes(state_bytes(model))
    asked: list[str] = []
    monkeypatch.setattr(
        weights, "download_from_hub", lambda repository: asked.append(repository) or file
    )
    assert compare("echo", extra=("--weights", "hub")) == 0
    manifest = RunFolder(tmp_path / "run").manifest()
    assert asked[0].startswith(f"timm/{name}")
    assert manifest.backbone.weights == "hub" and not manifest.backbone.untrained


def test_weights_of_another_model_are_refused_in_one_line(
    compare: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from he_compare.common.backbones.deit import build_vit, state_bytes

    file = tmp_path / "plain.safetensors"
    other = "deit_tiny_patch16_224"
    model = build_vit(other, image_size=224, classes=2, weights="untrained", seed=5)
    file.write_bytes(state_bytes(model))
    assert compare("echo", extra=("--weights", str(file))) == 2
    error = capsys.readouterr().err
    assert "plain.safetensors do not fit the model" in error and "--backbone" in error


def test_a_corrupt_run_folder_is_an_integrity_error(
    done: RunFolder,
    compare: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    records = tmp_path / "run" / "records.jsonl"
    records.write_bytes(sealed_line(b'{"identity":1}') + records.read_bytes())
    assert compare("echo") == 4
    assert "line 1 of records.jsonl" in capsys.readouterr().err
    (tmp_path / "run" / "manifest.json").write_text("{")
    assert compare("echo") == 4


def test_changed_predictions_are_an_integrity_error(
    done: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    file = next((done.path / "predictions").glob("*.npz"))
    with np.load(file) as archive:
        arrays = dict(archive)
    arrays["probabilities"] = arrays["probabilities"][:, ::-1]
    np.savez(file, **arrays)
    assert done_here(["score", str(done.path)]) == 4
    assert file.name in capsys.readouterr().err


def test_show_prints_records_as_json_and_one_by_label(
    done: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for arguments, wanted in ((["--json"], "records"), (["echo", "--json"], "identity")):
        assert done_here(["show", str(done.path), *arguments]) == 0
        assert wanted in json.loads(capsys.readouterr().out)


def test_explain_says_why_a_cell_would_run_or_be_kept(
    finished: Path,
    compare: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    compare("echo", extra=("--explain",))
    explained = capsys.readouterr().out
    assert explained.count("run: no record of it") == 3
    # The last block is an estimate; this pipeline does not say what it takes.
    assert "echo: no estimate: the pipeline does not say what it takes" in explained
    shutil.copytree(finished, tmp_path / "run")
    compare("echo", extra=("--explain",))
    assert capsys.readouterr().out.count("kept: finished") == 3


def test_an_estimate_starts_nothing_and_is_json_if_asked(
    compare: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare("echo", extra=("--estimate", "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["seconds"] for one in told["cells"]] == [None] * 3
    assert told["not_known"] == {"echo": "no estimate: the pipeline does not say what it takes"}
    assert not (tmp_path / "run").exists()


ROUNDS = 20


def start_command(data: Path, out: Path, *extra: str) -> subprocess.Popen[str]:
    options = [*words_for(data, "echo"), "--out", str(out), "--latency-rounds", str(ROUNDS)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-m", "comparisons", "run", *options, *extra],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=as_started_by_a_shell,
    )


def wait_for_finished_cells(out: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        records = out / "records.jsonl"
        if records.exists() and records.read_bytes().count(b'"status":"ok"') >= count:
            return
        time.sleep(0.02)
    raise AssertionError("the run did not get that far")


def no_server_is_left() -> bool:
    mine = psutil.Process().children(recursive=True)
    return not [p for p in mine if "he_compare.common.service." in " ".join(p.cmdline())]


def test_after_kill_9_the_same_command_goes_on_where_it_was(
    echo: str, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    process = start_command(data, out)
    wait_for_finished_cells(out, 3)
    servers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    finished = {r.identity: r for r in RunFolder(out).records() if r.status is Status.OK}
    assert 3 <= len(finished) <= ROUNDS
    assert psutil.wait_procs(servers, timeout=10)[1] == []
    again = start_command(data, out)
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    records = {r.identity: r for r in RunFolder(out).records()}
    assert len(records) == 1 + ROUNDS and {r.status for r in records.values()} == {Status.OK}
    assert all(records[identity] == record for identity, record in finished.items())


@pytest.mark.parametrize(
    ("number", "code", "by"),
    [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")],
)
def test_a_signal_keeps_finished_cells_and_leaves_no_process(
    echo: str, data: Path, tmp_path: Path, number: int, code: int, by: str
) -> None:
    out = tmp_path / "stopped"
    process = start_command(data, out)
    wait_for_finished_cells(out, 2)
    servers = psutil.Process(process.pid).children(recursive=True)
    for _ in range(2):  # the second one while things are being closed
        process.send_signal(number)
        time.sleep(0.01)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert only_line(errors).startswith("interrupted")
    assert psutil.wait_procs(servers, timeout=10)[1] == []
    records = RunFolder(out).records()
    stopped = [one for one in records if one.status is Status.INTERRUPTED]
    assert len(stopped) <= 1 and all(one.reason == f"stopped by {by}" for one in stopped)
    assert sum(one.status is Status.OK for one in records) >= 2
    assert not (out / ".lock").exists()


def run_echo_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: str, *extra: str
) -> tuple[int, Path]:
    out = tmp_path / "other"
    options = ["--dataset", dataset, "--profile", "smoke", "--pipeline", "echo", "--format", ""]
    monkeypatch.setattr(
        sys, "argv", ["compare", "run", *options, "--out", str(out), *SMALL, *extra]
    )
    with pytest.raises(SystemExit) as stop:
        app.main()
    return int(stop.value.code or 0), out


def test_a_dicom_folder_goes_through_the_run_and_leaves_no_identity(
    echo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.dicomfolders import write_dicom_tree

    folder = tmp_path / "st_mary" / "Doe_Jane"
    write_dicom_tree(folder, {"": 30}, size=64)
    code, out = run_echo_on(monkeypatch, tmp_path, f"dicom:{folder}")
    assert code == 0
    manifest = RunFolder(out).manifest()
    assert "dicom:PATH" in manifest.command
    assert not manifest.dataset.card.synthetic
    for name in ("manifest.json", "records.jsonl", "scores.json"):
        assert "st_mary" not in (out / name).read_text()


def test_without_any_data_the_synthetic_cohort_is_taken_aloud(
    echo: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("COMPARE_DATA", raising=False)
    code, out = run_echo_on(monkeypatch, tmp_path, "chestxray", "--offline")
    assert code == 0
    assert RunFolder(out).manifest().dataset.card.synthetic
    assert "synthetic" in capsys.readouterr().err


def test_require_real_refuses_the_synthetic_cohort(
    echo: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("COMPARE_DATA", raising=False)
    code, _ = run_echo_on(monkeypatch, tmp_path, "chestxray", "--offline", "--require-real")
    assert code == 2
    assert "COMPARE_DATA" in capsys.readouterr().err


def test_data_check_prints_counts_and_draws_a_contact_sheet(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from PIL import Image

    sheet = tmp_path / "sheet.png"
    arguments = ["data", "check", "chestxray", "--data-dir", str(data), "--sheet", str(sheet)]
    monkeypatch.setattr(sys, "argv", ["compare", *arguments])
    with pytest.raises(SystemExit) as stop:
        app.main()
    assert stop.value.code == 0
    assert "PNEUMONIA" in capsys.readouterr().out
    assert min(Image.open(sheet).size) > 100
    monkeypatch.setattr(sys, "argv", ["compare", *arguments, "--json"])
    with pytest.raises(SystemExit):
        app.main()
    assert json.loads(capsys.readouterr().out)["splits"]["test"]["n"] == 16
