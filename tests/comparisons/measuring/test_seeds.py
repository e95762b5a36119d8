"""Several seeds of one run: how they are asked for, which cells they have, how they are added."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from he_compare.block_scramble.keys import key_files
from he_compare.common import plugins
from he_compare.common.contracts import RunSettings, TrainingData
from he_compare.common.errors import UsageError
from he_compare.common.files import write_atomic
from he_compare.common.run.kept_artefacts import ArtefactFolder
from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.types import Phase, Status
from he_compare.comparisons.cluster import key_delivery
from he_compare.comparisons.measuring.config import load_config
from he_compare.comparisons.measuring.pipeline_spec import PipelineSpec
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.measuring.plan_manifest import manifest_of
from he_compare.comparisons.measuring.planned import Planned
from he_compare.comparisons.measuring.resuming import add_seeds, explain_cells, require_same_plan
from tests.support.samplerun import three_pipelines

NOTHING: Any = None


def plan(key_file: Path, *pipelines: str, **overrides: object) -> RunPlan:
    manifest = three_pipelines().manifest
    names = pipelines or ("plaintext", "block-scramble")
    found = [plugins.load("pipelines", name) for name in names]
    config = load_config("smoke", overrides)
    return RunPlan(
        config=config,
        dataset_spec="chestxray",
        summary=manifest.dataset,
        backbone=manifest.backbone,
        pipelines=[Planned(PipelineSpec(one.name, {}), one, one.parameters()) for one in found],
        data=TrainingData(NOTHING, NOTHING, (), ""),
        test=NOTHING,
        settings=RunSettings(32, "deit_tiny_patch16_224", "shipped", 2, 8, 1e-3, 1, 4),
        key_file=key_file,
    )


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A key file that is not there yet, in a folder of its own."""
    return tmp_path / "keys" / "client.key"


@pytest.mark.parametrize(
    ("given", "seeds"),
    [
        ({}, (0,)),
        ({"seed": 4}, (4,)),
        ({"seeds": "0,1,2"}, (0, 1, 2)),
        ({"seeds": [7, 3]}, (7, 3)),
        ({"seeds": " 5 , 6 ", "seed": 5}, (5, 6)),
        ({"seeds": "9"}, (9,)),
        ({"repeats": 3}, (0, 1, 2)),
        ({"repeats": 2, "seed": 8}, (8, 9)),
        ({"repeats": 1}, (0,)),
        ({"repeats": 2, "seeds": "1,2"}, (1, 2)),
    ],
)
def test_seeds_are_said_in_several_ways(given: dict[str, Any], seeds: tuple[int, ...]) -> None:
    config = load_config("smoke", given)
    assert (config.all_seeds, config.seed) == (seeds, seeds[0])
    assert load_config("smoke", {"seeds": list(seeds)}) == config


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seeds": "0,1,0"}, "seeds=0,1,0 has 0 twice"),
        ({"seeds": "0,-1"}, "-1 is not 0 to"),
        ({"seeds": [0, 2**63]}, "is not 0 to 2"),
        ({"repeats": 2, "seed": 2**63 - 1}, "is not 0 to 2"),
        ({"seeds": "0,one"}, "'one' is no whole number"),
        ({"seeds": "0,,1"}, "'' is no whole number"),
        ({"seeds": [0, 1.5]}, "'1.5' is no whole number"),
        ({"seeds": "0,1", "seed": 1}, "seed=1 is not the first of seeds=0,1"),
        ({"seeds": "0,1", "repeats": 3}, "repeats=3 contradicts 2 seeds=0,1"),
        ({"repeats": 0}, "allowed: 1 to 100"),
        ({"repeats": 101}, "allowed: 1 to 100"),
        ({"seeds": ",".join(map(str, range(101)))}, "101 seeds are more than 100"),
    ],
)
def test_seeds_that_contradict_are_refused_by_value(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        load_config("smoke", given)
    assert said in str(refused.value)


def test_accuracy_has_every_seed_and_the_rest_the_first_alone(key_file: Path) -> None:
    cells = plan(key_file, seeds="4,5,6", robustness_images=2).cells()
    found = {phase: [one.seed for one in cells if one.phase is phase] for phase in Phase}
    assert found[Phase.ACCURACY] == [4, 4, 5, 5, 6, 6]
    assert set(found[Phase.LATENCY]) == set(found[Phase.ROBUSTNESS]) == {4}
    assert [one.again for one in cells if one.phase is Phase.ACCURACY] == [False] * 2 + [True] * 4
    assert len({one.identity for one in cells}) == len(cells)


def test_cells_of_the_first_seed_are_those_of_a_run_with_it_alone(key_file: Path) -> None:
    alone, several = plan(key_file, seed=4), plan(key_file, seeds="4,5")
    assert [one for one in several.cells() if not one.again] == alone.cells()
    assert alone.plan_key() == several.plan_key() == plan(key_file, seeds="4,6,5").plan_key()
    assert plan(key_file, seeds="5,4").plan_key() != several.plan_key()


def test_every_seed_has_a_key_of_its_own_that_a_resumed_run_finds(key_file: Path) -> None:
    made = plan(key_file, seeds="4,5,6")
    made.cells()
    files = [made.key_file_of(seed) for seed in (4, 5, 6)]
    assert files[0] == key_file and {one.parent for one in files} == {key_file.parent}
    assert len({key_files.load(one).fingerprint for one in files}) == 3
    assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}
    assert plan(key_file, seeds="4,5,6").cells() == made.cells()


def test_data_follow_the_first_seed_and_training_follows_each(key_file: Path) -> None:
    made = plan(key_file, seeds="4,5")
    store = ArtefactFolder(key_file.parent)
    first, again = [
        made.ground(store, key_file.parent, print, seed=seed) for seed in made.config.all_seeds
    ]
    assert (first.seed, again.seed) == (4, 5)
    assert again == replace(first, seed=5, key_file=made.key_file_of(5))


def test_a_worker_elsewhere_gets_the_key_of_every_seed_where_its_plan_looks_for_it(
    key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(key_file, seeds="4,5,6")
    made.cells()
    there = tmp_path / "worker"

    def put(
        client: Any, worker: str, key: Path, name: str = key_delivery.KEY_NAME, folder: str = ""
    ) -> Path:
        assert folder in ("", str(there))
        there.mkdir(exist_ok=True)
        write_atomic(there / name, key.read_bytes(), mode=0o600)
        return there / name

    monkeypatch.setattr(key_delivery, "give_key", put)
    first = key_delivery.give_keys(None, "tcp://worker", made)
    assert replace(made, key_file=first).cells() == made.cells()


def record(made: RunPlan, position: int) -> RunRecord:
    cell = made.cells()[position]
    return RunRecord(
        identity=cell.identity,
        cell=made.cell_record(cell),
        status=Status.OK,
        started_at="2025-03-01T09:30:00Z",
    )


def test_seeds_are_added_to_a_finished_run(key_file: Path, tmp_path: Path) -> None:
    alone = plan(key_file)
    folder = RunFolder(tmp_path / "run")
    folder.create(manifest_of(alone))
    for position in range(len(alone.cells())):
        folder.append(record(alone, position))
    more = plan(key_file, seeds="0,1")
    require_same_plan(folder, more)
    lines = explain_cells(more, folder).splitlines()
    new = [line for line in lines if line.endswith("run: no record of it")]
    assert len(lines) - len(new) == len(alone.cells())
    assert [line.split(": ")[1] for line in new] == ["fit and test, seed 1"] * 2
    add_seeds(folder, more)
    assert folder.manifest().seeds == folder.manifest().settings["seeds"] == [0, 1]
    assert "--seeds 0,1" in folder.manifest().command
    before = folder.manifest()
    add_seeds(folder, alone)
    assert folder.manifest() == before
    add_seeds(folder, plan(key_file, seeds="0,2"))
    assert folder.manifest().seeds == [0, 1, 2]
    assert folder.manifest().plan == alone.plan_key()


def test_the_command_of_a_run_says_its_seeds_once(key_file: Path) -> None:
    assert "--seeds 4,5 " in manifest_of(plan(key_file, seed=4, repeats=2)).command + " "
    assert "--seed 4" not in manifest_of(plan(key_file, seeds="4,5")).command
    assert "--seed 4" in manifest_of(plan(key_file, seeds="4")).command
