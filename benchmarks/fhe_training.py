"""Training under encryption: one iteration, the whole head, and rounds against compute.

The server is a process of its own, on one thread; seconds of an iteration are its time to evaluate,
seconds of a whole training the wall clock after the upload, refreshes and transport included. Data:
the chest X-rays where COMPARE_DATA names them (features of the shipped DeiT-Ti at 112 px, kept in
the user's cache), else Gaussian classes of the same shape.

The iteration is set beside a published one (HETAL, Lee et al., ICML 2023, 4.29 to 15.72 s): on a
GPU, other shapes, bootstrapping in place of refreshes. It gives an orientation, not a ranking.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import platformdirs

from benchmarks.rows import Row, against, main
from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.contracts import RunContext, RunSettings
from he_compare.common.datasets.chestxray import DATASET
from he_compare.common.datasets.opened.choice import load_batch
from he_compare.common.run.store import ArtefactFolder
from he_compare.common.service.process import ServerProcess
from he_compare.common.types import Float32Array, Float64Array, ImageBatch, IntArray, Side, Split
from he_compare.fhe_baseline.ckks.encrypted_head import EncryptedHeadClient, load_encrypted_head
from he_compare.fhe_baseline.ckks.inference import make_plan
from he_compare.fhe_baseline.ckks.parameters import training_set
from he_compare.fhe_baseline.ckks.training.clear_references import (
    fit_optimum,
    relative_difference,
    run_twin,
)
from he_compare.fhe_baseline.ckks.training.problem import Problem, make_problem
from he_compare.fhe_baseline.ckks.training.rounds import CkksTraining, CkksTrainingOutcome
from he_compare.fhe_baseline.ckks.training.sigmoid import fit_sigmoid
from he_compare.fhe_baseline.preparation import Preparation, fit_standardisation, fit_whitening

BACKBONE, WEIGHTS, IMAGE_SIZE = "deit_tiny_distilled_patch16_224", "shipped", 112
INVERSE_L2, INTERVAL = 0.01, 12.0
HETAL_SECONDS = 4.29
TRAINING_ROWS, TEST_ROWS, WIDTH = 5216, 624, 192


@dataclass(frozen=True)
class Features:
    """Features and labels of a training and a test set, and where they come from."""

    origin: str
    train: Float64Array
    train_labels: IntArray
    test: Float64Array
    test_labels: IntArray


@dataclass(frozen=True)
class Training:
    """An encrypted training that was run, and its distance to the clear twin at the end."""

    problem: Problem
    outcome: CkksTrainingOutcome
    difference: float

    @property
    def iterations(self) -> int:
        return self.outcome.rounds[-1].iteration

    @property
    def seconds(self) -> float:
        """Wall clock after the upload."""
        return sum(one.seconds for one in self.outcome.rounds)

    @property
    def refresh_bytes(self) -> int:
        return self.outcome.refresh_upload_bytes + self.outcome.refresh_download_bytes


def measure(quick: bool) -> list[Row]:
    """Measure everything; ``quick``: a single iteration, and fewer of all features."""
    features = chest_xrays() or gaussian_features()
    return [
        *iteration_rows(2 if quick else 6),
        *head_rows(features),
        *all_features_rows(features, 5 if quick else 40),
        *round_rows(features, 2 if quick else 8),
        *process_rows(features, 2 if quick else 8),
        *batch_rows(features, 2 if quick else 8),
    ]


def iteration_rows(iterations: int) -> list[Row]:
    """One full-batch iteration, 4,096 x 256 with the constant, one classifier."""
    features, labels = _gaussians(4096, 255, seed=1)
    done = train(make_problem(features, labels, 2, INVERSE_L2, balanced=True), iterations)
    seconds = median(one.server_seconds for one in done.outcome.rounds)
    what = "one iteration, 4096 x 256, one class"
    return [
        against(f"{what}: server", seconds, "s", iterations, "HETAL on an A40", HETAL_SECONDS),
        Row(f"{what}: upload of data", done.outcome.data_bytes / 1e6, "MB", 1),
        Row(f"{what}: weights against clear twin", done.difference, "relative", iterations),
    ]


def head_rows(features: Features) -> list[Row]:
    """The whole head on all training images, whitened to 64 columns, eight iterations."""
    preparation = fit_whitening(features.train, 63)
    done = _train_on(features, preparation, 8)
    what = f"head on {features.origin}, {len(features.train)} x 64 whitened"
    optimum = fit_optimum(done.problem)
    reached, best = (
        _test_scores(features, preparation, weights) for weights in (done.outcome.weights, optimum)
    )
    n = len(features.test)
    return [
        Row(f"{what}: after the upload", done.seconds, "s", done.iterations),
        Row(f"{what}: encrypt and upload", done.outcome.upload_seconds, "s", 1),
        Row(f"{what}: upload of data", done.outcome.data_bytes / 1e6, "MB", 1),
        Row(f"{what}: refreshes, both ways", done.refresh_bytes / 1e6, "MB", done.iterations),
        Row(f"{what}: weights against clear twin", done.difference, "relative", done.iterations),
        against(f"{what}: test accuracy", reached[0], "share", n, "scikit-learn", best[0]),
        against(f"{what}: test AUC", reached[1], "AUC", n, "scikit-learn", best[1]),
        *encrypted_head_rows(done.outcome.weights, preparation.apply(features.test[:20])),
    ]


def encrypted_head_rows(weights: Float64Array, features: Float64Array) -> list[Row]:
    """The trained head, still encrypted, on a few images: ciphertext times ciphertext."""
    table = np.vstack([-weights, weights]) / 2
    model = LinearModel(table[:, :-1], table[:, -1])
    plan = make_plan(model, "replicated", "auto")
    client = EncryptedHeadClient(plan.parameters, model)
    server = load_encrypted_head(client.public_material())
    seconds, error, there = [], 0.0, Clock(Side.CLIENT)
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


def all_features_rows(features: Features, iterations: int) -> list[Row]:
    """All features and the constant, standardised only."""
    done = _train_on(features, fit_standardisation(features.train), iterations)
    rows, columns = done.problem.matrix.shape
    what = f"head on {features.origin}, {rows} x {columns} standardised"
    return [
        Row(f"{what}: after the upload", done.seconds, "s", iterations),
        Row(f"{what}: weights against clear twin", done.difference, "relative", iterations),
    ]


def round_rows(features: Features, iterations: int) -> list[Row]:
    """Rounds against compute: a refresh after each iteration, or after every second."""
    preparation = fit_whitening(features.train, 63)
    rows = []
    for name in ("n8192-214", "n16384-402"):
        done = _train_on(features, preparation, iterations, name)
        what = f"{iterations} iterations of {len(features.train)} x 64 with {name}"
        rounds = len(done.outcome.rounds)
        rows += [
            Row(f"{what}: after the upload", done.seconds, "s", iterations),
            Row(f"{what}: refresh rounds", rounds, "rounds", iterations),
            Row(f"{what}: refreshes, both ways", done.refresh_bytes / 1e6, "MB", rounds),
            Row(f"{what}: upload of data", done.outcome.data_bytes / 1e6, "MB", 1),
            Row(f"{what}: evaluation keys", done.outcome.public_bytes / 1e6, "MB", 1),
        ]
    return rows


def process_rows(features: Features, iterations: int) -> list[Row]:
    """The same training with a second process at the server."""
    preparation = fit_whitening(features.train, 63)
    one, two = (_train_on(features, preparation, iterations, processes=count) for count in (1, 2))
    what = f"{iterations} iterations of {len(features.train)} x 64 with two processes"
    return [against(f"{what}: after the upload", two.seconds, "s", iterations, "one", one.seconds)]


def batch_rows(features: Features, iterations: int) -> list[Row]:
    """Full batches beside halves taken in turn, as many iterations of each."""
    preparation = fit_whitening(features.train, 63)
    full, half = (_train_on(features, preparation, iterations, batches=n) for n in (1, 2))
    reached = [_test_scores(features, preparation, one.outcome.weights)[1] for one in (full, half)]
    what = f"{iterations} iterations of {len(features.train)} x 64 in two mini-batches"
    n = len(features.test)
    return [
        against(f"{what}: after the upload", half.seconds, "s", iterations, "full", full.seconds),
        against(f"{what}: test AUC", reached[1], "AUC", n, "full", reached[0]),
        Row(f"{what}: weights against clear twin", half.difference, "relative", iterations),
    ]


def train(
    problem: Problem,
    iterations: int,
    parameters: str = "n8192-214",
    processes: int = 1,
    batches: int = 1,
) -> Training:
    """Train a problem at a server process; every context is one of 128 bits."""
    if batches > 1:
        problem = problem.shuffled(seed=0)
    circuit = problem.circuit(
        training_set(parameters, 3), fit_sigmoid(3, INTERVAL), allow_insecure=False, batches=batches
    )
    clock = Clock(Side.CLIENT)

    def start(material: bytes) -> ServerProcess:
        return ServerProcess("fhe-train", material, clock, threads=1)

    session = CkksTraining(circuit, problem, start, clock, processes=processes)
    outcome = session.run(iterations, restarts=0)
    twin = run_twin(circuit, problem, iterations)[-1]
    return Training(problem, outcome, relative_difference(outcome.weights, twin.weights))


def _train_on(
    features: Features,
    preparation: Preparation,
    iterations: int,
    parameters: str = "n8192-214",
    processes: int = 1,
    batches: int = 1,
) -> Training:
    prepared = preparation.apply(features.train)
    problem = make_problem(prepared, features.train_labels, 2, INVERSE_L2, balanced=True)
    return train(problem, iterations, parameters, processes, batches)


def _test_scores(
    features: Features, preparation: Preparation, weights: Float64Array
) -> tuple[float, float]:
    """Return accuracy and AUC on the test set, in the clear."""
    from sklearn.metrics import roc_auc_score

    logits = preparation.apply(features.test) @ weights[0, :-1] + weights[0, -1]
    right = (logits > 0) == (features.test_labels == 1)
    return float(right.mean()), float(roc_auc_score(features.test_labels, logits))


def chest_xrays() -> Features | None:
    """Features of all chest X-rays, the published split; None where they are not available."""
    named = os.environ.get("COMPARE_DATA")
    if not named or not (Path(named) / "chestxray").is_dir():
        return None
    dataset = DATASET.open("", Path(named), "published", 0)
    parts: dict[Split, tuple[Float32Array, IntArray]] = {}
    for split in Split:
        labels = dataset.index(split).labels
        batch = load_batch(dataset, split, np.arange(len(labels)), IMAGE_SIZE)
        parts[split] = _cached(batch), labels
    train_parts = [parts[Split.TRAIN], parts[Split.VAL]]
    return Features(
        "chest X-rays",
        np.concatenate([part[0] for part in train_parts]).astype(np.float64),
        np.concatenate([part[1] for part in train_parts]),
        parts[Split.TEST][0].astype(np.float64),
        parts[Split.TEST][1],
    )


def _cached(batch: ImageBatch) -> Float32Array:
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
    return cached_features(batch, context, extractor)


def _no_server(pipeline: str, material: bytes) -> ServerProcess:
    raise RuntimeError(f"features need no server of {pipeline}")


def gaussian_features() -> Features:
    """Two Gaussian classes of the shape of the chest X-rays."""
    features, labels = _gaussians(TRAINING_ROWS + TEST_ROWS, WIDTH, seed=0)
    cut = TRAINING_ROWS
    return Features("Gaussian classes", features[:cut], labels[:cut], features[cut:], labels[cut:])


def _gaussians(rows: int, width: int, seed: int) -> tuple[Float64Array, IntArray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(rows, dtype=np.int64) % 2
    centres = generator.normal(size=(2, width)) / np.sqrt(width)
    features = generator.normal(size=(rows, width)) + centres[labels]
    return np.clip(features, -4, 4), labels


if __name__ == "__main__":
    main(measure, threads=1)
