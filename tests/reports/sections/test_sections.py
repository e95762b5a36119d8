"""What the sections say: the verdict's words, what counts as a deviation, timings, metric names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from he_compare.common.run.records import Agreement, RunRecord, WorkPlace
from he_compare.common.run.spelling import parameters
from he_compare.common.run.store import RunFolder
from he_compare.common.run.timing import cold_seconds, latency_of, throughput_of
from he_compare.common.run.view import RunView, read_run
from he_compare.common.run.work_places import beside_words
from he_compare.common.types import FheMode, Phase, Side, Status
from he_compare.reports import banners
from he_compare.reports.build import build_document
from he_compare.reports.cards import found_by
from he_compare.reports.confusion import confusion_tables
from he_compare.reports.document.nodes import Paragraph, Row, Table, plain
from he_compare.reports.findings.on_accuracy import executed_agreement
from he_compare.reports.metric_tables import is_recall, title_of
from he_compare.reports.render.markdown import markdown
from he_compare.reports.sections import (
    accuracy_detail,
    claims,
    compared,
    deviations,
    method,
    other_costs,
    pictures,
)
from tests.support.samplerun import FHE, PLAIN, SampleRun, build, ten_pipelines, three_pipelines


def _view(run: SampleRun, path: Path) -> RunView:
    return read_run(RunFolder(run.write(path)))


def _changed(run: SampleRun, label: str, **update: Any) -> SampleRun:
    """Return the run with fields of one pipeline's records changed."""
    records = tuple(
        record.model_copy(update=update) if record.cell.label == label else record
        for record in run.records
    )
    return replace(run, records=records)


def _claims(view: RunView) -> str:
    return "\n".join(plain(found.claim) for found in found_by(deviations.RULES, view))


def test_a_good_run_deviates_only_by_backbone_size_and_attacks(tmp_path: Path) -> None:
    found = found_by(deviations.RULES, _view(three_pipelines(), tmp_path))
    assert [one.severity for one in found] == ["warn", "unknown", "warn", "unknown"]
    assert "not recorded whether the weights were learnt from" in plain(found[1].claim)
    assert plain(found[-1].claim) == "No attack was run on this run's pipelines."


def test_flags_of_manifest_and_cells_become_deviations(tmp_path: Path) -> None:
    text = _claims(_view(ten_pipelines(), tmp_path))
    assert "is untrained: its weights are random" in text
    assert "The images are synthetic." in text
    assert "“balanced”, not the published one" in text
    assert "60 images: a 95% interval of a proportion near one half reaches ±0.123" in text
    assert "failed (accuracy): the server process ended" in text


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"server_pid_separate": False}, "ran in the client's process"),
        ({"servers_replaced": 1}, "fhe-head: 4 processes of its server ended and were replaced"),
        ({"fhe_mode": FheMode.SIMULATE}, "FHE mode simulate, not executed"),
        ({"warnings": ["clock jumped"]}, "fhe-head: clock jumped"),
        ({"status": Status.TIMEOUT, "reason": "600 s passed"}, "timeout (accuracy): 600 s passed"),
    ],
)
def test_flags_of_records_become_deviations(
    update: dict[str, Any], words: str, tmp_path: Path
) -> None:
    assert words in _claims(_view(_changed(three_pipelines(), "fhe-head", **update), tmp_path))


def test_load_dirt_and_insecure_keys_become_deviations(tmp_path: Path) -> None:
    run = three_pipelines()
    first = run.records[0]
    assert first.environment is not None
    busy = first.environment.model_copy(update={"load_average": 7.5, "source_dirty": True})
    claimed = next(one.claims for one in run.records if one.cell.label == "fhe-head")
    assert claimed is not None
    weak = claimed.model_copy(update={"insecure": ["32-bit seed"]})
    run = _changed(_changed(run, "plaintext", environment=busy), "fhe-head", claims=weak)
    view = _view(run, tmp_path)
    text = _claims(view)
    assert "4 of 12 cells began under a load average above the 2 cores of the machine (up" in text
    assert "4 of 12 cells ran from a checkout with uncommitted changes" in text
    assert "Cells ran in 2 environments." in text
    assert "fhe-head must not protect real data: 32-bit seed" in text
    assert [banner.title for banner in banners.banners(view)] == ["Insecure keys or parameters"]


def _placed(run: SampleRun, hosts: Sequence[str], **update: Any) -> SampleRun:
    """Let workers on these machines have measured the cells, in turn; '' for the driver itself."""
    records = []
    for number, one in enumerate(run.records):
        host = hosts[number % len(hosts)]
        alone = one.cell.phase is Phase.LATENCY
        made = {"worker": 1, "machine": 1, "at_once": 1 if alone else 3, "host": host}
        place = WorkPlace(**made | (update if alone else {})) if host else None
        records.append(one.model_copy(update={"place": place}))
    return replace(run, records=tuple(records))


def test_latency_of_several_machines_becomes_a_deviation(tmp_path: Path) -> None:
    run = three_pipelines()
    mixed = _claims(_view(_placed(run, ["aa", "bb"]), tmp_path / "mixed"))
    assert "Latency was measured on 2 machines: " in mixed
    one = _view(_placed(run, ["aa"]), tmp_path / "one")
    assert "Latency was measured on" not in _claims(one)
    assert "latency cells" not in _claims(one)
    part = _claims(_view(_placed(run, ["aa", ""]), tmp_path / "part"))
    assert "latency cells do not say on which machine they were measured" in part
    beside = _claims(_view(_placed(run, ["aa"], disturbed=True), tmp_path / "beside"))
    assert "had a worker of the run end or start on their machine meanwhile" in beside


def test_costs_say_how_many_cells_were_measured_at_a_time(tmp_path: Path) -> None:
    run = three_pipelines()
    assert beside_words(_view(run, tmp_path / "alone")) == ""
    view = _view(_placed(run, ["aa"]), tmp_path / "beside")
    table = other_costs.OtherCosts().blocks(view)[-1]
    assert "up to 3 cells of the run were measured at a time" in str(table)


def test_other_threads_for_latency_are_told_and_are_no_other_environment(tmp_path: Path) -> None:
    run = three_pipelines()
    records = []
    for one in run.records:
        assert one.environment is not None
        threads = 8 if one.cell.phase is Phase.LATENCY else 4
        own = one.environment.model_copy(update={"threads": threads})
        records.append(one.model_copy(update={"environment": own}))
    view = _view(replace(run, records=records), tmp_path)
    assert "environments" not in _claims(view)
    (machine,) = view.environments
    assert view.threads_on(machine) == "4; 8 while latency was measured"
    assert "4; 8 while latency was measured" in str(method.SECTION.sections(view))


def test_a_control_is_no_insecure_protection(tmp_path: Path) -> None:
    run = three_pipelines()
    claimed = next(one.claims for one in run.records if one.cell.label == "plaintext")
    assert claimed is not None and claimed.claim_type == "none"
    control = claimed.model_copy(update={"insecure": ["it is a control"]})
    view = _view(_changed(run, "plaintext", claims=control), tmp_path)
    assert banners.banners(view) == ()
    assert "must not protect" not in _claims(view)


def test_disagreement_and_few_compared_images_are_told(tmp_path: Path) -> None:
    agreement = Agreement(
        reference="clear head",
        executed=40,
        compared=40,
        agree=39,
        max_abs_score_difference=0.02,
        max_abs_score=4.0,
    )
    run = _changed(three_pipelines(), "fhe-head", agreement=agreement)
    found = [
        one
        for one in found_by(deviations.RULES, _view(run, tmp_path))
        if "39 of 40" in plain(one.claim)
    ]
    assert [one.severity for one in found] == ["fail"]
    assert "2.0 × 10⁻²" in plain(found[0].claim)


def test_what_noise_decides_among_many_images_is_no_disagreement(tmp_path: Path) -> None:
    """1 of 5,000 images lay so near to the border that its executed class was the other one."""
    agreement = Agreement(
        reference="clear head",
        executed=5000,
        compared=5000,
        agree=4999,
        max_abs_score_difference=0.0006,
        max_abs_score=4.0,
    )
    assert agreement.holds and agreement.differing == 1
    assert not agreement.model_copy(update={"max_abs_score_difference": 0.0041}).holds
    run = _changed(three_pipelines(), "fhe-head", agreement=agreement)
    view = _view(run, tmp_path)
    told = [*found_by(deviations.RULES, view), *executed_agreement(view)]
    (found,) = [one for one in told if "4999 of 5000" in plain(one.claim)]
    assert found.severity == "pass"
    assert "1 too near to a border between classes for the noise" in plain(found.claim)


def test_latency_pools_rounds_and_sums_stages_by_side(tmp_path: Path) -> None:
    view = _view(three_pipelines(), tmp_path)
    latency = latency_of(view.pipelines[2])
    assert latency is not None
    assert latency.total.n == 36
    assert latency.sides[Side.CLIENT].p50 + latency.sides[Side.SERVER].p50 < latency.total.p50
    assert latency.total.interval is not None
    assert latency.total.interval.low <= latency.total.p50 <= latency.total.interval.high


def test_a_stage_not_entered_once_an_image_leaves_its_side_out(tmp_path: Path) -> None:
    def halved(record: RunRecord) -> RunRecord:
        kept = [
            one
            if one.side is not Side.SERVER
            else one.model_copy(update={"seconds": one.seconds[::2], "items": one.items[::2]})
            for one in record.measurements
        ]
        return record.model_copy(update={"measurements": kept})

    run = three_pipelines()
    view = _view(replace(run, records=tuple(halved(one) for one in run.records)), tmp_path)
    latency = latency_of(view.pipelines[0])
    assert latency is not None
    assert Side.CLIENT in latency.sides
    assert Side.SERVER not in latency.sides


def test_throughput_and_one_time_work_come_from_the_accuracy_cell(tmp_path: Path) -> None:
    pipeline = _view(three_pipelines(), tmp_path).pipelines[0]
    found = throughput_of(pipeline)
    assert found is not None
    assert (found.n_images, found.n_batches) == (200, 7)
    assert cold_seconds(pipeline) == pytest.approx(95.3)


def test_a_failed_cell_has_no_numbers(tmp_path: Path) -> None:
    failed = _view(ten_pipelines(), tmp_path).pipelines[4]
    assert latency_of(failed) is None
    assert throughput_of(failed) is None
    assert failed.bytes_per_image is None
    assert cold_seconds(failed) is None


def test_recalls_are_headed_by_their_class() -> None:
    assert is_recall("recall:PNEUMONIA")
    assert is_recall("recall[PNEUMONIA]")
    assert not is_recall("recall")
    assert title_of("recall_NORMAL") == "NORMAL"
    assert title_of("balanced_accuracy") == "Balanced accuracy"
    assert title_of("new_metric") == "new metric"


def test_parameters_are_spelled_for_readers() -> None:
    values = {"seconds": 44.945776506999664, "cipher": "al_amin", "patch": None, "steps": [4, 2]}
    assert parameters(values) == "cipher=al_amin, patch=null, seconds=44.9458, steps=[4, 2]"
    assert parameters({}) == "none"


def test_a_claim_in_full_has_a_row_for_each_stated_fact(tmp_path: Path) -> None:
    _, section = claims.SECTION.sections(_view(three_pipelines(), tmp_path))
    table = next(
        one
        for one in section.blocks
        if isinstance(one, Table) and one.caption == "What each pipeline states"
    )
    rows = [tuple(plain(cell) for cell in row.cells) for row in table.rows if isinstance(row, Row)]
    assert ("Rests on", "ring learning with errors") in rows
    assert ("Enforced by", "SEAL refuses parameters below 128 bits") in rows
    assert all(text for _, text in rows)


def test_confusion_of_two_classes_is_one_row_a_pipeline(tmp_path: Path) -> None:
    (table,) = confusion_tables(_view(three_pipelines(), tmp_path))
    assert [column.title for column in table.columns[1:]] == [
        "NORMAL, predicted NORMAL",
        "NORMAL, predicted PNEUMONIA",
        "PNEUMONIA, predicted NORMAL",
        "PNEUMONIA, predicted PNEUMONIA",
    ]
    row = table.rows[0]
    assert isinstance(row, Row)
    assert sum(int(plain(cell)) for cell in row.cells[1:]) == 200


def test_of_many_classes_the_worst_are_shown(tmp_path: Path) -> None:
    classes = tuple(f"c{number:03d}" for number in range(40))
    run = build((PLAIN, FHE), classes=classes, n=400, untrained=False, rounds=1)
    view = _view(run, tmp_path)
    tables = [
        block
        for section in accuracy_detail.SECTION.sections(view)
        for block in section.blocks
        if isinstance(block, Table)
    ]
    assert max(len(table.columns) for table in tables) <= 8
    assert sum(len(table.columns) for table in tables) < 60
    recalls = [table for table in tables if "where it is lowest" in table.caption]
    shown = [column.title for table in recalls for column in table.columns[1:]]

    def mean(name: str) -> float:
        return sum(one.value(f"recall[{name}]") or 0.0 for one in view.pipelines)

    assert shown == sorted(classes, key=mean)[:10]
    pairs = [table for table in tables if "confused most" in table.caption]
    names = [column.title for table in pairs for column in table.columns[1:]]
    assert len(names) == 10 and all(", predicted " in name for name in names)
    (dataset,) = [one for one in compared.SECTION.sections(view) if one.anchor == "compared"]
    words = str(dataset.blocks)
    assert "40: c000, c001" in words and "40 classes of " in words


def test_pictures_come_with_the_sentence_on_hiding(tmp_path: Path) -> None:
    (section,) = pictures.SECTION.sections(_view(three_pipelines(), tmp_path))
    words = " ".join(plain(one.content) for one in section.blocks if isinstance(one, Paragraph))
    assert "hidden from the eye, which is not secrecy" in words
    assert "fhe-head send bytes that only the key opens" in words


def test_a_key_that_is_not_stated_is_not_called_absent(tmp_path: Path) -> None:
    run = three_pipelines()
    claimed = next(one.claims for one in run.records if one.cell.label == "fhe-head")
    assert claimed is not None
    silent = {"key_space": None, "key_fingerprint": "", "lattice": []}
    changed = _changed(run, "fhe-head", claims=claimed.model_copy(update=silent))
    text = markdown(build_document(RunFolder(changed.write(tmp_path))))
    assert "images; key not stated" in text
    assert text.count("images; no key") == 1
