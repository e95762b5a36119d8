"""verify, diff, export and the Python interface, on sample runs scored for real."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.run.known_files import RECORDS
from he_compare.common.run.records import AttackOutcome, RunRecord, WorkPlace
from he_compare.common.run.store import SCORES, RunFolder
from he_compare.common.run.stored_arrays import load_arrays, save_arrays
from he_compare.common.run.view import read_run
from he_compare.common.types import Knowledge, Phase, Stage
from he_compare.comparisons import load_run
from he_compare.comparisons.cli import app
from he_compare.comparisons.judging.diff import diff_runs, render
from he_compare.comparisons.judging.limits import load_policy, violations
from he_compare.comparisons.judging.scoring import score_run
from he_compare.comparisons.judging.show import find_record, table
from he_compare.comparisons.judging.verify import verify_run
from tests.support.samplerun import (
    FHE,
    PLAIN,
    SCRAMBLE,
    TRAINED,
    SampleRun,
    build,
    three_pipelines,
)
from tests.support.samplerun.first_pages import two_classes
from tests.support.sealing import seal


def _written(run: SampleRun, path: Path) -> RunFolder:
    """Write a sample run with the scores that its predictions give."""
    folder = RunFolder(run.write(path))
    score_run(folder)
    folder.write_sums()
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = build((PLAIN, SCRAMBLE, FHE), classes=("a", "b"), n=60, untrained=False, rounds=2)
    return _written(run, tmp_path / "run")


def compare(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["compare", *arguments])
    with pytest.raises(SystemExit) as stop:
        app.main()
    return int(stop.value.code or 0)


def _policy(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_runs_whose_clear_twins_are_stored_are_compared(tmp_path: Path) -> None:
    run = build((PLAIN, TRAINED), classes=("a", "b"), n=60, untrained=False, rounds=2)
    folder = _written(run, tmp_path / "run")
    assert "twin_probabilities" in {
        name for path in folder.path.rglob("*.npz") for name in load_arrays(path)
    }
    found = diff_runs(folder, folder, allow_other_environment=False)
    assert all(one["paired"] for one in found["pipelines"])


def test_every_command_takes_debug_and_then_shows_the_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["compare", "diff", str(tmp_path), str(tmp_path), "--debug"])
    with pytest.raises(SystemExit) as stop:
        app.main()
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert "Traceback" in said and "UsageError" in said and said.splitlines()[-1].startswith("err")


def test_a_good_run_verifies(folder: RunFolder) -> None:
    assert verify_run(folder) == []


def test_a_changed_file_is_named(folder: RunFolder) -> None:
    path = folder.path / "manifest.json"
    path.write_text(path.read_text().replace('"seed": 7', '"seed": 8'))
    assert "SHA256SUMS: manifest.json was changed" in verify_run(folder)


def test_an_edited_score_is_found_even_with_new_sums(folder: RunFolder) -> None:
    sheet = json.loads((folder.path / SCORES).read_text())
    sheet["cells"][2]["metrics"][0]["value"] = 0.99
    (folder.path / SCORES).write_text(json.dumps(sheet))
    seal(folder.path)
    (line,) = verify_run(folder)
    assert line.startswith("scores.json: cells[fhe-head].metrics[accuracy].value is 0.99, predict")


def test_edited_predictions_are_named(folder: RunFolder) -> None:
    path = next((folder.path / "predictions").glob("*.npz"))
    arrays = load_arrays(path)
    save_arrays(path, arrays | {"labels": 1 - arrays["labels"]})
    seal(folder.path)
    assert any(f"{path.name} does not match the record" in line for line in verify_run(folder))


def test_a_line_that_is_no_record_is_named(folder: RunFolder) -> None:
    with (folder.path / RECORDS).open("a") as stream:
        stream.write('{"schema_version": 1}\n{}\n')
    assert any("line" in line and RECORDS in line for line in verify_run(folder))


def test_other_images_in_one_cell_are_found(tmp_path: Path) -> None:
    run = build((PLAIN, FHE), classes=("a", "b"), n=40, untrained=False, rounds=1)
    other = run.predictions[next(r.identity for r in run.records if r.cell.label == "fhe-head")]
    other["ids"][0] = "image-x.png"
    from he_compare.common.identity import array_digest

    digest = array_digest(*(other[name] for name in sorted(other)))

    def change(record: RunRecord) -> RunRecord:
        mine = record.cell.label == "fhe-head" and record.predictions
        return record.model_copy(update={"predictions_sha256": digest}) if mine else record

    changed = replace(run, records=tuple(change(record) for record in run.records))
    problems = verify_run(RunFolder(changed.write(tmp_path)))
    assert "predictions of fhe-head: ids differ from those of plaintext" in problems


def test_a_disagreeing_execution_is_found(folder: RunFolder) -> None:
    records = folder.records()
    (folder.path / RECORDS).unlink()
    for one in records:
        found = one.agreement
        # By more than noise: one of 60 that noise decides would be no fault.
        other = {"agree": 59, "max_abs_score_difference": found.max_abs_score} if found else {}
        less = {"agreement": found.model_copy(update=other)} if found else {}
        folder.append(one.model_copy(update=less))
    seal(folder.path)
    assert any("59 of 60 executed predictions agree" in line for line in verify_run(folder))


def test_a_policy_lists_every_limit_that_is_not_kept(folder: RunFolder, tmp_path: Path) -> None:
    outcome = AttackOutcome(
        identity="feedbeef",
        attack="known_plaintext",
        target="block-scramble[al_amin]",
        target_kind="pipeline",
        rung=Knowledge.KNOWN_PAIRS,
        knowledge=[],
        verdict="broken",
    )
    folder.append(outcome)
    policy = load_policy(
        _policy(
            tmp_path / "p.toml",
            '[[rule]]\nforbidden_verdicts = ["broken"]\nminimum_auc = 0.2\n'
            '[[rule]]\npipelines = ["fhe-head"]\nminimum_auc = 0.9999\nmaximum_p50_ms = 1\n'
            "maximum_bytes_per_image = 1000\nattacks_required = true\n",
        )
    )
    found = violations(policy, read_run(folder))
    assert found[0] == "block-scramble[al_amin]: broken by known_plaintext (feedbeef)"
    assert [line.split(": ")[0] for line in found[1:]] == ["fhe-head"] * 4
    assert "the maximum is 1 ms" in found[2]
    assert found[4].endswith("no attack ran, but the policy requires one")


def test_a_policy_forbids_what_was_won_beyond_the_claims_only_where_it_says_so(
    folder: RunFolder, tmp_path: Path
) -> None:
    outcome = AttackOutcome(
        identity="feedbeef",
        attack="ind_cpa_d",
        target="fhe-head",
        target_kind="pipeline",
        rung=Knowledge.DECRYPTED_RESULTS,
        knowledge=[],
        verdict="broken",
        promised=False,
    )
    folder.append(outcome)
    rule = '[[rule]]\npipelines = ["fhe-head"]\n'

    def found(limit: str) -> list[str]:
        policy = load_policy(_policy(tmp_path / "p.toml", rule + limit))
        return violations(policy, read_run(folder))

    assert found('forbidden_verdicts = ["broken", "partial"]') == []
    assert found('forbidden_beyond_claims = ["broken"]') == [
        "fhe-head: broken by ind_cpa_d (feedbeef), beyond its claims"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[rule]]\nminimum_acu = 0.9", "rule.0.minimum_acu"),
        ("[[rule]\n", "is not valid TOML"),
        ("", "rule: Field required"),
        ('[[rule]]\nforbidden_verdicts = ["brokn"]', "forbidden_verdicts"),
    ],
)
def test_a_policy_with_an_error_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        load_policy(_policy(tmp_path / "p.toml", text))


def test_a_policy_for_a_pipeline_the_run_lacks_is_refused(
    folder: RunFolder, tmp_path: Path
) -> None:
    policy = load_policy(_policy(tmp_path / "p.toml", '[[rule]]\npipelines = ["fhe-tfhe"]'))
    with pytest.raises(UsageError, match=r"fhe-tfhe.*plaintext"):
        violations(policy, read_run(folder))


def test_verify_ends_with_code_four(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert compare("verify", str(folder.path), monkeypatch=monkeypatch) == 0
    strict = _policy(tmp_path / "p.toml", "[[rule]]\nminimum_auc = 1.0")
    arguments = ("verify", str(folder.path), "--policy", str(strict))
    assert compare(*arguments, monkeypatch=monkeypatch) == 4
    assert "policy: plaintext: auc is" in capsys.readouterr().out


def _on(run: SampleRun, hosts: Sequence[str], **machine: Any) -> SampleRun:
    """Let latency cells be of these machines in turn, '' for one that is not known."""
    timed = [one for one in run.records if one.cell.phase is Phase.LATENCY]
    places = dict(zip([one.identity for one in timed], itertools.cycle(hosts), strict=False))

    def placed(record: RunRecord) -> RunRecord:
        if record.identity not in places or record.environment is None:
            return record
        host = places[record.identity]
        place = WorkPlace(worker=0, machine=0, at_once=1, host=host) if host else None
        here = record.environment.model_copy(update=machine)
        return record.model_copy(update={"place": place, "environment": here})

    return replace(run, records=tuple(map(placed, run.records)))


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        (("one", "two"), "Latency was measured on 2 machines"),
        (("one", ""), "do not say on which machine"),
        (("one",), ""),
        (("",), ""),
    ],
)
def test_verify_and_diff_say_that_latency_is_of_several_machines(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    hosts: tuple[str, ...],
    said: str,
) -> None:
    run = build((PLAIN, SCRAMBLE), classes=("a", "b"), n=60, untrained=False, rounds=2)
    first, second = (_written(_on(run, hosts), tmp_path / name) for name in "ab")
    assert compare("verify", str(first.path), monkeypatch=monkeypatch) == 0
    told = capsys.readouterr().out
    assert (f"note: {said}" in told or said in told) if said else "atency" not in told
    other = second.path / "scores.json"
    assert other.exists()
    sheet = second.scores().model_copy(update={"threshold": 0.25})  # not the same run
    second.write_model(SCORES, sheet)
    found = diff_runs(first, second, allow_other_environment=False)["latency_machines"]
    assert [one[:2] for one in found] == (["A:", "B:"] if said else [])
    assert all(said in one for one in found)


def test_diff_says_that_times_of_one_image_are_of_different_machines(tmp_path: Path) -> None:
    run = build((PLAIN,), classes=("a", "b"), n=60, untrained=False, rounds=1)
    first = _written(run, tmp_path / "a")
    second = _written(_on(run, ("",), cpu="another processor"), tmp_path / "b")
    with pytest.raises(UsageError, match="different environments"):
        diff_runs(first, second, allow_other_environment=False)
    text = render(diff_runs(first, second, allow_other_environment=True))
    assert "latency: B / A of one image compares different machines" in text
    assert "another processor" in text


def test_show_report_limits_diff_and_export_print_one_median(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four samples: interpolated, their median would be 20.2 ms, which no image took."""
    run = build((PLAIN,), classes=("a", "b"), n=60, untrained=False, rounds=1)
    seconds = [0.001, 0.0103, 0.03, 0.5]

    def timed(record: RunRecord) -> RunRecord:
        totals = [
            one.model_copy(update={"seconds": seconds, "items": [1] * len(seconds)})
            for one in record.measurements
            if one.stage is Stage.TOTAL
        ]
        is_latency = record.cell.phase is Phase.LATENCY
        return record.model_copy(update={"measurements": totals}) if is_latency else record

    changed = replace(run, records=tuple(timed(record) for record in run.records))
    folder = _written(changed, tmp_path / "run")

    heads, row = (re.split(r"\s{2,}", line) for line in table(read_run(folder)).splitlines()[2:4])
    assert row[heads.index("one image, ms")] == "10.3"
    report = compare("report", str(folder.path), "--format", "md", monkeypatch=monkeypatch)
    assert report == 0
    text = (folder.path / "report" / "report.md").read_text()
    assert "| 10.3 " in text
    assert "20.2" not in text
    strict = _policy(tmp_path / "p.toml", "[[rule]]\nmaximum_p50_ms = 1")
    (line,) = violations(load_policy(strict), read_run(folder))
    assert line == "plaintext: p50 is 10.3 ms, the maximum is 1 ms"
    cheaper = replace(changed, manifest=changed.manifest.model_copy(update={"profile": "other"}))
    other = diff_runs(folder, _written(cheaper, tmp_path / "other"), allow_other_environment=False)
    assert "one image, ms (p50): 10.3 -> 10.3" in render(other)
    assert load_run(folder.path).to_frame().loc[0, "p50_s"] == 0.0103
    out = tmp_path / "run.csv"
    compare("export", str(folder.path), "--csv", "--out", str(out), monkeypatch=monkeypatch)
    assert "0.0103" in out.read_text()


def test_runs_on_the_same_images_are_paired(folder: RunFolder, tmp_path: Path) -> None:
    better = replace(FHE, accuracy=0.99)
    run = build((PLAIN, better), classes=("a", "b"), n=60, untrained=False, rounds=1)
    other = _written(run, tmp_path / "other")
    found = diff_runs(folder, other, allow_other_environment=False)
    assert found["only_in_a"] == ["block-scramble[al_amin]"]
    pair = found["pipelines"][1]
    assert pair["paired"] is (
        np.array_equal(*(_labels(one, "fhe-head") for one in (folder, other)))
    )
    same = diff_runs(folder, folder, allow_other_environment=False)["pipelines"][2]
    assert same["accuracy"]["difference"] == 0
    assert same["accuracy"]["interval"] == [0, 0]
    shown = render(diff_runs(folder, other, allow_other_environment=False), 100)
    assert re.search(r"B - A \S+ \[\S+, \S+\], p [<0-9. ]+ \(McNemar's exact test", shown)


def _labels(folder: RunFolder, label: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    record = read_run(folder).by_label[label].measured
    assert record is not None
    return load_arrays(folder.path / record.predictions)["labels"]


def test_other_environments_are_refused_unless_asked_for(folder: RunFolder, tmp_path: Path) -> None:
    run = build((PLAIN,), classes=("a", "b"), n=60, untrained=False, rounds=1)
    records = tuple(
        one.model_copy(update={"environment": one.environment.model_copy(update={"cpu": "Other"})})
        for one in run.records
        if one.environment
    )
    other = _written(replace(run, records=records), tmp_path / "other")
    with pytest.raises(UsageError, match=r"cpu Invented CPU.*Other.*--allow-other-environment"):
        diff_runs(folder, other, allow_other_environment=False)
    shown = render(diff_runs(folder, other, allow_other_environment=True))
    assert "environment: cpu" in shown


def test_a_run_is_a_table(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    frame = load_run(folder.path).to_frame()
    assert list(frame["label"]) == ["plaintext", "block-scramble[al_amin]", "fhe-head"]
    assert frame["auc"].between(frame["auc_low"], frame["auc_high"]).all()
    assert list(frame["worst_verdict"]) == ["not run"] * 3
    out = tmp_path / "run.csv"
    arguments = ("export", str(folder.path), "--csv", "--out", str(out))
    assert compare(*arguments, monkeypatch=monkeypatch) == 0
    read = pd.read_csv(out)
    assert np.allclose(read["p50_s"], frame["p50_s"])


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_parquet_without_pyarrow_says_what_to_install(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = ("export", str(folder.path), "--parquet", "--out", str(tmp_path / "x"))
    assert compare(*arguments, monkeypatch=monkeypatch) == 3
    assert "he-compare[parquet]" in capsys.readouterr().err


def test_export_wants_one_format(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("export", str(folder.path), "--out", str(tmp_path / "x"))
    assert compare(*arguments, monkeypatch=monkeypatch) == 2


def test_load_run_scores_where_that_was_not_done(tmp_path: Path) -> None:
    run = build((PLAIN,), classes=("a", "b"), n=40, untrained=False, rounds=1)
    view = load_run(replace(run, sheet=None).write(tmp_path))
    metric = view.pipelines[0].metric("auc")
    assert metric is not None
    assert metric.value is not None


def test_a_record_that_is_not_there_gets_the_nearest_label(tmp_path: Path) -> None:
    view = read_run(_written(three_pipelines(), tmp_path))
    with pytest.raises(UnknownNameError, match=r"did you mean 'fhe-head'\?"):
        find_record(view, "fhe-hed")
    with pytest.raises(UnknownNameError) as refused:
        find_record(view, "zzz")
    assert str(refused.value).count("fhe-head") == 1


def test_an_attack_that_is_asked_for_as_a_record_leads_to_its_command(tmp_path: Path) -> None:
    view = read_run(_written(two_classes(), tmp_path))
    identity = view.outcomes[0].identity
    with pytest.raises(UnknownNameError) as refused:
        find_record(view, identity)
    assert f"compare audit explain RUN {identity}" in str(refused.value)
    assert f"an attack on {view.outcomes[0].target}" in str(refused.value)
