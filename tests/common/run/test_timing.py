"""Timings: places that sum to the median, the price above a twin, cold work, the median batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from he_compare.common.run.disturbed import disturbed_columns
from he_compare.common.run.load import WHAT_IT_SHOWS, loaded_words
from he_compare.common.run.quantiles import spread
from he_compare.common.run.records import Measurement, RunRecord
from he_compare.common.run.same_network import same_network_words, same_networks
from he_compare.common.run.store import RunFolder
from he_compare.common.run.timing import (
    cold_seconds,
    cold_steps,
    extra_seconds,
    fit_seconds,
    latency_of,
    places_of,
    seconds_of_cells,
    throughput_of,
)
from he_compare.common.run.view import RunView, read_run
from he_compare.common.types import Per, Phase, Side, Stage
from tests.support.samplerun import SampleRun, audited, three_pipelines


def view_of(run: SampleRun, path: Path) -> RunView:
    return read_run(RunFolder(run.write(path)))


def changed(run: SampleRun, label: str, phase: Phase, **update: object) -> SampleRun:
    records = tuple(
        one.model_copy(update=update) if (one.cell.label, one.cell.phase) == (label, phase) else one
        for one in run.records
    )
    return replace(run, records=records)


def stage(
    name: Stage, seconds: Sequence[float], side: Side = Side.CLIENT, per: Per = Per.SAMPLE
) -> Measurement:
    return Measurement(
        stage=name, side=side, per=per, seconds=list(seconds), items=[1] * len(seconds)
    )


def test_cells_beside_each_other_count_once(tmp_path: Path) -> None:
    sample = three_pipelines()
    begun = ("00:00", "00:30", "02:00", "never")
    first = sample.records[0]
    records = tuple(
        first.model_copy(update={"started_at": f"2025-03-01T10:{at}+00:00", "seconds": 60.0})
        for at in begun
    )
    view = replace(read_run(RunFolder(sample.write(tmp_path))), records=records)
    assert seconds_of_cells(view) == 90 + 60 + 60


def test_a_p99_needs_two_hundred_samples() -> None:
    assert spread([1.0] * 199).p99 is None
    assert spread([float(i) for i in range(200)]).p99 == 197.0


def test_places_sum_to_the_median_of_one_image(tmp_path: Path) -> None:
    view = view_of(three_pipelines(), tmp_path)
    for pipeline in view.pipelines:
        places, latency = places_of(pipeline), latency_of(pipeline)
        assert places is not None and latency is not None
        assert places.hospital + places.wire + places.server == pytest.approx(latency.total.p50)
        assert 0 <= places.network <= places.hospital
        assert places.n >= latency.total.n / 5
    head = places_of(view.by_label["fhe-head"])
    assert head is not None and head.network > 0


def test_what_is_neither_wire_nor_server_is_the_hospitals(tmp_path: Path) -> None:
    measured = [
        stage(Stage.TOTAL, [10.0, 10.0]),
        stage(Stage.FEATURES, [4.0, 4.0]),
        stage(Stage.TRANSPORT, [1.0, 1.0], Side.NETWORK),
        stage(Stage.EVALUATE, [3.0, 3.0], Side.SERVER),
    ]
    run = changed(three_pipelines(), "fhe-head", Phase.LATENCY, measurements=measured)
    places = places_of(view_of(run, tmp_path).by_label["fhe-head"])
    assert places is not None
    found = (places.hospital, places.network, places.wire, places.server)
    assert found == pytest.approx((6, 4, 1, 3))


def test_time_that_cannot_be_told_apart_by_image_is_not_divided(tmp_path: Path) -> None:
    measured = [stage(Stage.TOTAL, [10.0, 10.0]), stage(Stage.EVALUATE, [6.0], Side.SERVER)]
    run = changed(three_pipelines(), "fhe-head", Phase.LATENCY, measurements=measured)
    pipeline = view_of(run, tmp_path).by_label["fhe-head"]
    latency = latency_of(pipeline)
    assert places_of(pipeline) is None
    assert latency is not None and latency.places == {} and latency.total.p50 == 10.0


def test_the_price_is_paired_with_the_twin_by_round_and_image(tmp_path: Path) -> None:
    run = changed(
        three_pipelines(),
        "plaintext",
        Phase.LATENCY,
        measurements=[stage(Stage.TOTAL, [1.0, 5.0, 9.0])],
    )
    run = changed(
        run, "fhe-head", Phase.LATENCY, measurements=[stage(Stage.TOTAL, [3.0, 7.0, 11.5])]
    )
    view = view_of(run, tmp_path)
    extra = extra_seconds(view.by_label["fhe-head"], view.by_label["plaintext"])
    assert extra is not None
    assert extra.p50 == 2.0 and extra.n == 3 * len(view.by_label["fhe-head"].timed)
    shorter = changed(run, "plaintext", Phase.LATENCY, measurements=[stage(Stage.TOTAL, [1.0])])
    view = view_of(shorter, tmp_path / "shorter")
    assert extra_seconds(view.by_label["fhe-head"], view.by_label["plaintext"]) is None


def test_throughput_is_the_median_batch_and_a_stalled_one_shows_in_the_range(
    tmp_path: Path,
) -> None:
    batches = Measurement(
        stage=Stage.TOTAL,
        side=Side.CLIENT,
        per=Per.BATCH,
        seconds=[0.1, 0.1, 2.0, 0.09],
        items=[20, 20, 20, 9],
    )
    run = changed(three_pipelines(), "plaintext", Phase.ACCURACY, measurements=[batches])
    found = throughput_of(view_of(run, tmp_path).by_label["plaintext"])
    assert found is not None
    assert found.images_per_second == pytest.approx(100)
    assert (found.slowest, found.fastest, found.n_batches) == (10, pytest.approx(200), 4)


def accuracy_of(run: SampleRun, label: str) -> RunRecord:
    return next(
        one for one in run.records if (one.cell.label, one.cell.phase) == (label, Phase.ACCURACY)
    )


def test_one_time_work_is_cold_and_what_was_reused_is_marked(tmp_path: Path) -> None:
    reused = {"features-1": 12.5, "head-2": 0.25}
    run = changed(
        three_pipelines(),
        "plaintext",
        Phase.ACCURACY,
        reused=list(reused),
        reused_seconds=reused,
    )
    pipeline = view_of(run, tmp_path).by_label["plaintext"]
    assert cold_seconds(pipeline) == pytest.approx(95.3 + 12.75)
    assert fit_seconds(pipeline) == pytest.approx(95.0 + 12.75)
    assert [step.name for step in cold_steps(pipeline) if step.reused] == list(reused)


def test_work_whose_price_was_not_recorded_has_no_cold_cost(tmp_path: Path) -> None:
    run = changed(three_pipelines(), "plaintext", Phase.ACCURACY, reused=["features-1"])
    assert cold_seconds(view_of(run, tmp_path).by_label["plaintext"]) is None


@pytest.mark.parametrize(("rounds", "told"), [(0, Stage.DECRYPT), (2, Stage.REFRESH)])
def test_the_last_decryption_of_older_records_is_no_refresh(
    rounds: int, told: Stage, tmp_path: Path
) -> None:
    run = changed(
        three_pipelines(),
        "fhe-head",
        Phase.ACCURACY,
        measurements=[stage(Stage.REFRESH, [0.1], per=Per.ONCE)],
        training={"refresh_rounds": rounds},
    )
    (step,) = cold_steps(view_of(run, tmp_path).by_label["fhe-head"])
    assert step.stage is told


def test_the_same_network_is_compared_and_a_difference_is_not_the_protections(
    tmp_path: Path,
) -> None:
    run = audited()
    for label, seconds in (("fhe-head", 0.0001), ("fhe-train", 0.9)):
        measured = [
            stage(Stage.TOTAL, [0.02] * 20),
            stage(Stage.FEATURES, [seconds + 1e-6 * i for i in range(20)]),
        ]
        run = changed(run, label, Phase.LATENCY, measurements=measured)
    view = view_of(run, tmp_path)
    hospital = next(one for one in same_networks(view) if one.place == "at the hospital")
    assert hospital.differs
    assert hospital.slowest[0].label == "fhe-train"
    words = same_network_words(view)
    assert any("not the price of a protection" in one for one in words)
    assert any("meet" in one for one in words)


def test_a_high_load_says_what_it_does_not_show(tmp_path: Path) -> None:
    run = three_pipelines()
    assert loaded_words(view_of(run, tmp_path / "calm")) == ""
    environment = accuracy_of(run, "plaintext").environment
    assert environment is not None
    busy = environment.model_copy(update={"load_average": 7.5})
    view = view_of(changed(run, "plaintext", Phase.ACCURACY, environment=busy), tmp_path / "busy")
    assert loaded_words(view).startswith("1 of 12 cells began under a load average above the 2")
    assert "not that it happened" in WHAT_IT_SHOWS


def test_the_table_has_three_shares_for_each_strength_and_they_sum_to_one(tmp_path: Path) -> None:
    pipeline = view_of(audited(), tmp_path).by_label["fhe-head"]
    found = disturbed_columns(pipeline)
    names = [f"bit_flips_1e-06_{outcome}" for outcome in ("right", "refused", "wrong")]
    assert set(names) <= set(found)
    assert sum(found[name] for name in names) == pytest.approx(1)
