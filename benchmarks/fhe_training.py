"""Training under encryption: one upload, rounds against compute, keys, several classes.

The server is a process of its own, on one thread unless more processes are named; seconds of a
training are the wall clock after the upload, transport included. Data: the chest X-rays, the brain
MRI and the histology where COMPARE_DATA names them (features of the shipped DeiT-Ti at 112 px, kept
in the user's cache), else Gaussian classes of the shape of the chest X-rays. Nothing is chosen on
test images.

Two published figures stand beside: HETAL's encrypted transfer learning (Lee et al., ICML 2023: 567
to 3,442 s on an NVIDIA A40, 768 features, softmax, bootstrapping), and one iteration of logistic
regression on 1,024 x 196 on GPUs (the figures collected in Cheddar's README: 775 ms on a V100 by
100x, 113 ms by WarpDrive, 40.7 ms on an H100 and 29.9 ms on an RTX 4090 by Cheddar). Other
hardware, data and circuits: they give an orientation, not a ranking.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import platformdirs

from benchmarks.rows import Row, against, main
from he_compare.common.backbones.head import LinearModel, train_head
from he_compare.common.clock import Clock
from he_compare.common.contracts import OpenDataset, RunContext, RunSettings
from he_compare.common.datasets.chestxray import DATASET as CHEST
from he_compare.common.datasets.folder import DATASET as FOLDER
from he_compare.common.datasets.opened.choice import load_batch
from he_compare.common.run.kept_artefacts import ArtefactFolder
from he_compare.common.service.process import ServerProcess
from he_compare.common.types import Float64Array, ImageBatch, IntArray, Side, Split
from he_compare.comparisons.measuring.dataset_opening import open_dataset
from he_compare.fhe_baseline.ckks.encrypted_head import EncryptedHeadClient, load_encrypted_head
from he_compare.fhe_baseline.ckks.inference import make_plan
from he_compare.fhe_baseline.ckks.training.choosing import PreparedTask, prepared_scores, ranking
from he_compare.fhe_baseline.ckks.training.clear_references import (
    fit_optimum,
    relative_difference,
    run_twin,
)
from he_compare.fhe_baseline.ckks.training.preparing import (
    LabelledFeatures,
    Wish,
    make_task,
    prepare,
)
from he_compare.fhe_baseline.ckks.training.problem import make_problem
from he_compare.fhe_baseline.ckks.training.rounds import CkksTraining, CkksTrainingOutcome
from he_compare.fhe_baseline.ckks.training.sets import choose_set
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.ckks.training.steps import plain_steps
from he_compare.fhe_baseline.preparation import Preparation

BACKBONE, WEIGHTS, IMAGE_SIZE = "deit_tiny_distilled_patch16_224", "shipped", 112
INVERSE_L2 = 0.01
HETAL_SECONDS = 567.0
PUBLISHED_ITERATIONS = {
    "100x on a V100": 775.0,
    "WarpDrive": 113.0,
    "Cheddar on an H100": 40.7,
    "Cheddar on an RTX 4090": 29.9,
}
TRAINING_ROWS, VALIDATION_ROWS, TEST_ROWS, WIDTH = 4694, 522, 624, 192
WISH = Wish("preconditioned", 63, 3, 3, 0.0, INVERSE_L2, True, 1, None, 0)
MEGABYTE = 1e6


@dataclass(frozen=True)
class Task:
    """Features and labels of a data set's splits, and what it is called."""

    name: str
    classes: int
    train: LabelledFeatures
    validation: LabelledFeatures
    test: LabelledFeatures

    @property
    def everything(self) -> LabelledFeatures:
        """Training and validation images together."""
        features = np.concatenate([self.train.features, self.validation.features])
        return LabelledFeatures(
            features, np.concatenate([self.train.labels, self.validation.labels])
        )


@dataclass(frozen=True)
class Training:
    """An encrypted training that was run. ``difference``: relative, to the clear twin."""

    plan: PreparedTask
    outcome: CkksTrainingOutcome
    difference: float

    @property
    def seconds(self) -> float:
        """Wall clock after the upload."""
        return sum(one.seconds for one in self.outcome.rounds)


def measure(quick: bool) -> list[Row]:
    """Measure everything; ``quick``: the head on the chest X-rays and one iteration alone."""
    chest = chest_xrays() or gaussian_task()
    rows = [*one_upload_rows(chest), *iteration_rows(2 if quick else 6)]
    if quick:
        return rows
    rows += [*round_rows(chest), *key_rows(chest), *process_rows(chest)]
    for task in (brain_mri(), histology()):
        if task is not None:
            rows += several_classes_rows(task)
    return rows


def one_upload_rows(task: Task) -> list[Row]:
    """The whole head on all training images from one upload, three steps."""
    rows = []
    for components in (31, 63):
        plan = plan_of(task, replace(WISH, components=components), together=True)
        done = train(plan, rounds=0)
        what = f"head on {task.name}, {len(plan.problem.matrix)} x {components + 1}, one upload"
        n = len(task.test.labels)
        head, encrypted = clear_head_scores(task, together=True), test_scores(task, plan, done)
        rows += [
            against(f"{what}: after the upload", done.seconds, "s", 3, "HETAL", HETAL_SECONDS),
            Row(f"{what}: refresh rounds", 0, "rounds", 3),
            Row(f"{what}: encrypt and upload", done.outcome.data.seconds, "s", 1),
            Row(f"{what}: upload of data", done.outcome.data.bytes / MEGABYTE, "MB", 1),
            Row(f"{what}: evaluation keys", done.outcome.keys.bytes / MEGABYTE, "MB", 1),
            Row(f"{what}: weights against clear twin", done.difference, "relative", 3),
            against(f"{what}: test accuracy", encrypted[0], "share", n, "clear head", head[0]),
            against(f"{what}: test AUC", encrypted[1], "AUC", n, "clear head", head[1]),
        ]
    return [*rows, *encrypted_head_rows(plan, done, task)]


def encrypted_head_rows(plan: PreparedTask, done: Training, task: Task) -> list[Row]:
    """The trained head, still encrypted, on a few images: ciphertext times ciphertext."""
    table = np.vstack([-done.outcome.weights, done.outcome.weights]) / 2
    model = LinearModel(table[:, :-1], table[:, -1])
    inference = make_plan(model, "replicated", "auto")
    client = EncryptedHeadClient(inference.parameters, model)
    server = load_encrypted_head(client.public_material())
    seconds, error, there = [], 0.0, Clock(Side.CLIENT)
    features = plan.preparation.apply(task.test.features[:20])
    for row in features:
        at_server = Clock(Side.SERVER)
        replies = server.infer(client.protect(row[None], there), at_server)
        scores = client.reveal(replies, there)
        error = max(error, float(np.abs(scores - model.scores(row[None])).max()))
        seconds.append(at_server.total())
    n = len(features)
    return [
        Row("inference with the encrypted head: server", median(seconds) * 1e3, "ms", n),
        Row("inference with the encrypted head: largest error", error, "score", 2 * n),
    ]


def iteration_rows(steps: int) -> list[Row]:
    """One full-batch step on 1,024 x 196, one classifier, with a refresh after each."""
    features, labels = _gaussians(1024, 195, seed=1)
    problem = make_problem(features, labels, 2, INVERSE_L2, balanced=True)
    lengths = plain_steps(steps + 1, problem.safe_length(), fit_sigmoid(3, 12.0))
    plan = PreparedTask(
        make_task(LabelledFeatures(features.astype(np.float32), labels), 2, WISH, 63)[0],
        problem,
        lengths,
        {},
    )
    done = train(plan, rounds=steps)
    # The first step begins from zero weights and has no forward pass.
    milliseconds = median(one.server_seconds for one in done.outcome.rounds[1:]) * 1e3
    what = "one iteration, 1,024 x 196, N = 8192: server, one core"
    return [
        against(what, milliseconds, "ms", steps, peer, published)
        for peer, published in PUBLISHED_ITERATIONS.items()
    ] + [Row("one iteration, 1,024 x 196: weights against twin", done.difference, "relative", 1)]


def round_rows(task: Task) -> list[Row]:
    """Rounds against compute: the same steps with refreshes between them and without."""
    rows = []
    ways = [(31, 3, 2), *((63, *one) for one in ((3, 2), (3, 1), (3, 0), (4, 0), (6, 0), (6, 5)))]
    for components, steps, rounds in ways:
        wish = replace(WISH, components=components, steps=steps)
        plan = plan_of(task, wish, together=True)
        done = train(plan, rounds)
        name = f"{steps} steps, {rounds} refreshes, {len(plan.problem.matrix)} x {components + 1}"
        refreshed = done.outcome.refresh_upload_bytes + done.outcome.refresh_download_bytes
        rows += [
            Row(f"{name}: after the upload", done.seconds, "s", steps),
            Row(f"{name}: refreshes, both ways", refreshed / MEGABYTE, "MB", rounds),
            Row(f"{name}: upload of data", done.outcome.data.bytes / MEGABYTE, "MB", 1),
            Row(f"{name}: evaluation keys", done.outcome.keys.bytes / MEGABYTE, "MB", 1),
            Row(f"{name}: weights against clear twin", done.difference, "relative", steps),
            Row(f"{name}: test AUC", test_scores(task, plan, done)[1], "AUC", steps),
        ]
    return rows


def key_rows(task: Task) -> list[Row]:
    """Bytes of rotation keys against time."""
    plan, rows = plan_of(task, WISH, together=True), []
    for name, doublings in (("fewest", 4), ("balanced", 2), ("fastest", 1)):
        done = train(plan, rounds=0, doublings=doublings)
        what = f"one upload, rotation keys {name}"
        rows += [
            Row(f"{what}: evaluation keys", done.outcome.keys.bytes / MEGABYTE, "MB", 1),
            Row(f"{what}: after the upload", done.seconds, "s", 3),
        ]
    return rows


def process_rows(task: Task) -> list[Row]:
    """The same training with a second process at the server: one group of rows, one classifier."""
    plan = plan_of(task, WISH, together=True)
    one, two = (train(plan, rounds=0, processes=count) for count in (1, 2))
    what = "one upload, one group of rows, two processes: after the upload"
    return [against(what, two.seconds, "s", 3, "one process", one.seconds)]


def several_classes_rows(task: Task) -> list[Row]:
    """One against the rest for several classes from one upload, with two processes."""
    rows, n = [], len(task.test.labels)
    head = clear_head_scores(task)
    standard = replace(WISH, coordinates="standardised")
    preparation, problem = make_task(task.train, task.classes, standard, 0)
    same = _scores(task, preparation, fit_optimum(problem))
    for steps in (3, 4):
        plan = plan_of(task, replace(WISH, components=0, steps=steps))
        done = train(plan, rounds=0, processes=2)
        kept = plan.entry["components"]
        what = f"{task.name}, {task.classes} classes, {kept} components, {steps} steps"
        encrypted = test_scores(task, plan, done)
        rows += [
            Row(f"{what}: after the upload, two processes", done.seconds, "s", steps),
            Row(f"{what}: upload of data", done.outcome.data.bytes / MEGABYTE, "MB", 1),
            Row(f"{what}: weights against clear twin", done.difference, "relative", steps),
            against(f"{what}: accuracy", encrypted[0], "share", n, "same objective", same[0]),
            against(f"{what}: macro AUC", encrypted[1], "AUC", n, "same objective", same[1]),
            against(f"{what}: accuracy", encrypted[0], "share", n, "multinomial head", head[0]),
            against(f"{what}: macro AUC", encrypted[1], "AUC", n, "multinomial head", head[1]),
        ]
    return rows


def plan_of(task: Task, wish: Wish, *, together: bool = False) -> PreparedTask:
    """Prepare a task; ``together``: on training and validation images, components as named."""
    if together and not wish.components:
        raise ValueError("components can be chosen on a validation split alone")
    train_part = task.everything if together else task.train
    return prepare(train_part, task.validation, task.classes, wish).plan


def train(plan: PreparedTask, rounds: int, processes: int = 1, doublings: int = 2) -> Training:
    """Train at a server process, in the cheapest set of 128 bits that holds the steps."""
    circuit = plan.problem.circuit(
        choose_set("auto", len(plan.steps), rounds, 3),
        plan.steps,
        refreshes=rounds,
        doublings=doublings,
    )
    clock = Clock(Side.CLIENT)

    def start(material: bytes) -> ServerProcess:
        return ServerProcess("fhe-train", material, clock, threads=1)

    session = CkksTraining(circuit, plan.problem, start, clock, processes=processes)
    outcome = session.run(restarts=0)
    twin = run_twin(plan.problem, plan.steps)[-1]
    difference = relative_difference(outcome.weights, twin.weights)
    return Training(plan, outcome, difference)


def test_scores(task: Task, plan: PreparedTask, done: Training) -> tuple[float, float]:
    """Return accuracy and AUC of the trained head on the test images, in the clear."""
    return _scores(task, plan.preparation, done.outcome.weights)


def _scores(task: Task, preparation: Preparation, weights: Float64Array) -> tuple[float, float]:
    scores = prepared_scores(preparation, weights, task.test.features)
    return _accuracy_and_auc(scores, task.test.labels)


def clear_head_scores(task: Task, *, together: bool = False) -> tuple[float, float]:
    """Return accuracy and AUC of the clear head, standardised features, same C."""
    part = task.everything if together else task.train
    head = train_head(part.features, part.labels, task.classes, INVERSE_L2)
    return _accuracy_and_auc(head.scores(task.test.features), task.test.labels)


def _accuracy_and_auc(scores: Float64Array, labels: IntArray) -> tuple[float, float]:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    return float((scores.argmax(axis=1) == labels).mean()), ranking(probabilities, labels)


def chest_xrays() -> Task | None:
    """Features of all chest X-rays, the published split; None where they are not available."""
    data = _data_folder("chestxray")
    return data and _task("chest X-rays", CHEST.open("", data.parent, "published", 0))


def histology() -> Task | None:
    """Features of the histology, split by photograph; None where it is not available."""
    data = _data_folder("histology")
    return data and _task("histology", FOLDER.open(str(data), data.parent, "", 0))


def brain_mri() -> Task | None:
    """Features of the brain MRI without the training images that are test images; or None."""
    data = _data_folder("brainmri")
    return data and _task("brain MRI", open_dataset(f"folder:{data}", None, "", 0))


def _data_folder(name: str) -> Path | None:
    named = os.environ.get("COMPARE_DATA")
    return Path(named) / name if named and (Path(named) / name).is_dir() else None


def _task(name: str, dataset: OpenDataset) -> Task:
    parts = []
    for split in (Split.TRAIN, Split.VAL, Split.TEST):
        labels = dataset.index(split).labels
        batch = load_batch(dataset, split, np.arange(len(labels)), IMAGE_SIZE)
        parts.append(_cached(batch, labels))
    return Task(name, int(parts[0].labels.max()) + 1, *parts)


def _cached(batch: ImageBatch, labels: IntArray) -> LabelledFeatures:
    """Return features with the weights that ship, from the cache if there."""
    from he_compare.common.backbones.features import FeatureExtractor, cached_features

    cache = Path(platformdirs.user_cache_dir("he-compare"))
    context = RunContext(
        seed=0,
        settings=RunSettings(IMAGE_SIZE, BACKBONE, WEIGHTS, 1, 1, 1.0, 1, 1),
        clock=Clock(Side.CLIENT),
        artefacts=ArtefactFolder(cache),
        cache_dir=cache,
        key_file=cache / "key",
        start_server=_no_server,
        progress=lambda what, done, total: None,
    )
    extractor = FeatureExtractor(BACKBONE, IMAGE_SIZE, context.settings.weights, 0, 1)
    return LabelledFeatures(cached_features(batch, context, extractor), labels)


def _no_server(pipeline: str, material: bytes) -> ServerProcess:
    raise RuntimeError(f"features need no server of {pipeline}")


def gaussian_task() -> Task:
    """Two Gaussian classes of the shape of the chest X-rays."""
    counts: Sequence[int] = (TRAINING_ROWS, VALIDATION_ROWS, TEST_ROWS)
    features, labels = _gaussians(sum(counts), WIDTH, seed=0)
    cuts = np.cumsum(counts)[:-1]
    parts = zip(np.split(features.astype(np.float32), cuts), np.split(labels, cuts), strict=True)
    return Task("Gaussian classes", 2, *(LabelledFeatures(*part) for part in parts))


def _gaussians(rows: int, width: int, seed: int) -> tuple[Float64Array, IntArray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(rows, dtype=np.int64) % 2
    centres = generator.normal(size=(2, width)) / np.sqrt(width)
    features = generator.normal(size=(rows, width)) + centres[labels]
    return np.clip(features, -4, 4), labels


if __name__ == "__main__":
    main(measure, threads=1)
