"""No pipeline of the house and no part of an audit asks for all images of a split at once.

The images of a real plan are replaced by ones that lie elsewhere: they refuse to become one array,
and remember how many were asked for at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from he_compare.common.audit_budget import AttackBudget
from he_compare.common.contracts import ClearTwin, Fitted
from he_compare.common.errors import CellError
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.store import RunFolder
from he_compare.common.types import (
    Float64Array,
    HeldPictures,
    ImageBatch,
    IntArray,
    NotRun,
    Phase,
    Status,
    UInt8Array,
)
from he_compare.comparisons.auditing.deployments import RunDeployments, deployed_cells
from he_compare.comparisons.auditing.harness import Harness, Setup
from he_compare.comparisons.auditing.pool import RunPool, training_images
from he_compare.comparisons.measuring import clear_models
from he_compare.comparisons.measuring.clear_models import WHOLE_PIECES
from he_compare.comparisons.measuring.config import load_config
from he_compare.comparisons.measuring.measurer import CellMeasurer
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.measuring.plan_manifest import manifest_of
from he_compare.comparisons.measuring.planning import make_plan
from he_compare.comparisons.measuring.runner import CellLog, HereExecutor
from he_compare.comparisons.progress import ProgressReporter
from he_compare.fhe_baseline.checks.tools.victim import MOST_INSPECTED
from tests.support.imagefolders import CLASSES, write_image

SIZE = 32
COUNTS = {"train": 270, "val": 250, "test": 260}
# The most images that are asked for at once: those that checks of features look at.
MOST = MOST_INSPECTED
FAST = (
    "plaintext[model=logistic]",
    "local",
    "fhe-head",
    "block-scramble[cipher=vit_block,mode=adapted]",
)
SLOW = (
    "plaintext",
    "convnet",
    "block-scramble[cipher=vit_block]",
    "block-scramble-convnet[cipher=orthogonal]",
    "fhe-train[components=8,steps=3]",
    "fhe-tfhe[components=8]",
)
BUDGET = AttackBudget("tiny", 1, 10, 2, 4, 20, 30, 10, 120.0)
STEPS = ("brightness_prior", "reidentification", "freshness", "key_space")


@dataclass
class PicturesElsewhere:
    """Images that give what is asked for, remember how many, and are never one array."""

    source: HeldPictures
    asked: list[int] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return self.source.dtype

    @property
    def ndim(self) -> int:
        return 4

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int | slice | IntArray) -> UInt8Array:
        found = self.source[index]
        self.asked.append(1 if found.ndim == 3 else len(found))
        return found

    def __iter__(self) -> NoReturn:
        raise AssertionError("all images were gone through one by one")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise AssertionError("all images were asked for as one array")

    def select(self, positions: IntArray) -> PicturesElsewhere:
        return PicturesElsewhere(self.source.select(positions), self.asked)

    def digests(self) -> tuple[bytes, ...]:
        return self.source.digests()

    def digest(self) -> str:
        return self.source.digest()


def elsewhere(batch: ImageBatch, asked: list[int]) -> ImageBatch:
    return ImageBatch(
        batch.ids,
        PicturesElsewhere(HeldPictures(batch.images[:]), asked),
        batch.labels,
        batch.groups,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split, count in COUNTS.items():
        for number in range(count):
            label = number % len(CLASSES)
            write_image(root / split / CLASSES[label] / f"{number}.png", label, SIZE, generator)
    return root


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hand clear models the fewest images, as with large ones."""
    monkeypatch.setattr(clear_models, "MOST_BYTES", 1)
    yield


@dataclass(frozen=True)
class Study:
    """One plan of all pipelines, and what they share: images, backbone, features, sources.

    ``asked``: how many images were asked for at a time, since it was last emptied.
    """

    plan: RunPlan
    run: RunFolder
    measurer: CellMeasurer
    asked: list[int]


@pytest.fixture(scope="module")
def study(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    place, asked = tmp_path_factory.mktemp("study"), list[int]()
    plan = planned(folder, place, asked)
    run = RunFolder(place / "run")
    run.create(manifest_of(plan))
    with ProgressReporter(quiet=True) as progress:
        ground = plan.ground(run.artefacts, place / "cache", progress)
    measurer = CellMeasurer(plan, ground, np.arange(0, COUNTS["test"], 9))
    yield Study(plan, run, measurer, asked)
    measurer.close()


def planned(folder: Path, place: Path, asked: list[int]) -> RunPlan:
    settings = {"image_size": SIZE, "epochs": 1, "infer_batch": 8, "threads": 1, "pictures": 2}
    settings |= {"latency_images": 2, "latency_rounds": 1, "weights": "untrained", "audit": "quick"}
    limits = {f"{split}_limit": count for split, count in COUNTS.items()}
    plan = make_plan(
        load_config("smoke", settings | limits | {"pipelines": [*FAST, *SLOW]}),
        f"folder:{folder}",
        None,
        place / "client.key",
        place / "cache",
    )
    train, val = (elsewhere(one, asked) for one in (plan.data.train, plan.data.val))
    return replace(
        plan, data=replace(plan.data, train=train, val=val), test=elsewhere(plan.test, asked)
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(FAST + SLOW)), ids=[*FAST, *SLOW])
def test_a_pipeline_and_its_audit_ask_for_portions_only(
    study: Study, number: int, small_portions: None
) -> None:
    """Features are extracted for the first that needs them: the others may ask for fewer images."""
    label = study.plan.pipelines[number].label
    study.asked.clear()
    with ProgressReporter(quiet=True) as progress:
        log = CellLog(study.plan, study.run, progress)
        try:
            cells = [cell for cell in log.to_do() if cell.planned.label == label]
            HereExecutor(study.measurer).run(cells, log)
        finally:
            study.measurer.close()
        records = [one for one in study.run.records() if one.cell.label == label]
        ended = {record.cell.phase: record for record in records}
        assert all(record.status is Status.OK for record in ended.values()), ended
        assert ended[Phase.ACCURACY].n_images == COUNTS["test"]
        outcomes = audited(study, label, progress)
    study.measurer.fits.clear()
    study.measurer.tapes.clear()
    assert {outcome.not_run for outcome in outcomes} <= {None, NotRun.BUDGET}
    assert sum(study.asked) > COUNTS["test"]
    assert max(study.asked) <= MOST


def audited(study: Study, label: str, progress: ProgressReporter) -> list[AttackOutcome]:
    """Run attacks that are given public images and candidates, and checks, on what was deployed."""
    plan, run = study.plan, study.run
    deployments = RunDeployments(plan, deployed_cells(plan, run), run.path, study.measurer)
    targets = [deployments.target(one) for one in plan.pipelines if one.label == label]
    pool = RunPool(plan.summary.fingerprint, plan.data.classes, plan.test, plan.data.train)
    setup = Setup(pool, BUDGET, 0, "", control_keys=1, references=(training_images(pool),))
    return Harness(setup, run, progress).run(targets, STEPS)


class Doubtful(Fitted):
    """Names its clear models after the images it is asked about."""

    def __init__(self, reference: str, twin: str) -> None:
        self.names = reference, twin

    def deploy(self, context: Any) -> NoReturn:
        raise NotImplementedError

    def claims(self) -> NoReturn:
        raise NotImplementedError

    def clear_reference(self, images: UInt8Array) -> tuple[str, Float64Array]:
        return self._name(0, images), images[:, 0, 0, :2].astype(np.float64)

    def clear_twins(self, images: UInt8Array) -> tuple[ClearTwin, ...]:
        return (ClearTwin(self._name(1, images), "", images[:, 1, 1, :2].astype(np.float64)),)

    def _name(self, which: int, images: UInt8Array) -> str:
        return self.names[which].format(len(images))


NOISE = np.random.default_rng(0).integers(0, 256, (WHOLE_PIECES + 9, 8, 8, 3), dtype=np.uint8)


def test_clear_models_answer_for_all_images_in_order(small_portions: None) -> None:
    asked: list[int] = []
    images = PicturesElsewhere(HeldPictures(NOISE), asked)
    clear = clear_models.clear_models_of(Doubtful("clear", "twin"), images, 2)
    assert asked == [WHOLE_PIECES, 9] and clear.reference is not None
    assert clear.reference[0] == "clear" and np.array_equal(clear.reference[1], NOISE[:, 0, 0, :2])
    assert [(one.name, one.cost) for one in clear.twins] == [("twin", "")]
    assert np.array_equal(clear.twins[0].scores, NOISE[:, 1, 1, :2])
    agreement = clear.agreement(clear.reference[1] + 1.0)
    assert agreement is not None and agreement.executed == agreement.agree == len(NOISE)
    assert agreement.max_abs_score_difference == 1.0


@pytest.mark.parametrize("names", [("clear {}", "twin"), ("clear", "twin {}")])
def test_other_clear_models_for_other_images_are_refused(
    names: tuple[str, str], small_portions: None
) -> None:
    with pytest.raises(CellError, match="names other models for some images"):
        clear_models.clear_models_of(Doubtful(*names), HeldPictures(NOISE), 2)


def test_all_test_images_of_the_shipped_profiles_are_one_portion() -> None:
    assert clear_models.images_at_once((112, 112, 3)) >= 624
    assert clear_models.images_at_once((1024, 1024, 3)) == WHOLE_PIECES
