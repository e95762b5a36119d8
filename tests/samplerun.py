"""A factory of complete run folders for tests: plausible in shape, invented in every number.

``three_pipelines()`` is a small binary run in which every cell ended ok; ``ten_pipelines()`` is a
multi-class run with long names and failed, unavailable and skipped cells. Both are deterministic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.identity import array_digest, key_of
from common.records import (
    Agreement,
    BackboneSummary,
    Cell,
    CellScores,
    DatasetCard,
    DatasetSummary,
    EnvironmentFingerprint,
    ErrorInfo,
    Interval,
    KeySpace,
    Manifest,
    Measurement,
    MetricValue,
    PairedDifference,
    PlannedPipeline,
    RunRecord,
    ScoreSheet,
    SecurityClaims,
    SplitSummary,
    Traffic,
)
from common.store import PICTURES, SCORES, RunFolder, save_arrays
from common.types import FheMode, Per, Phase, Side, Stage, Status

CREATED = "2025-03-01T09:30:00Z"
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Kind:
    """An invented pipeline: how good, how slow, how large, and how its cells end."""

    name: str
    label: str
    accuracy: float
    client_ms: float
    server_ms: float
    upload: int
    download: int
    public: int
    claim: str = "none"
    parameters: tuple[tuple[str, Any], ...] = ()
    status: Status = Status.OK
    reason: str = ""
    picture: bool = True


@dataclass(frozen=True)
class SampleRun:
    """A run in memory; change it with ``dataclasses.replace`` and ``write`` it."""

    manifest: Manifest
    records: tuple[RunRecord, ...]
    sheet: ScoreSheet | None
    predictions: dict[str, Arrays]
    pictures: Arrays

    def write(self, path: Path) -> Path:
        """Write a run folder and return its path."""
        folder = RunFolder(path)
        folder.create(self.manifest)
        for record in self.records:
            folder.append(record)
        for identity, arrays in self.predictions.items():
            save_arrays(path / "predictions" / f"{identity}.npz", arrays)
        if self.sheet is not None:
            folder.write_model(SCORES, self.sheet)
        if self.pictures:
            save_arrays(path / PICTURES, self.pictures)
        folder.write_sums()
        return path


PLAIN = Kind("plaintext", "plaintext", 0.93, 3.1, 5.4, 150_000, 310, 22_000_000)
SCRAMBLE = Kind(
    "block-scramble",
    "scramble-al_amin",
    0.84,
    4.0,
    5.6,
    150_400,
    310,
    22_100_000,
    claim="heuristic",
    parameters=(("cipher", "al_amin"), ("patch", 16)),
)
FHE = Kind(
    "fhe-head",
    "fhe-head",
    0.92,
    9.5,
    14.2,
    92_000,
    46_000,
    2_600_000,
    claim="reduction to a hardness assumption",
    parameters=(("packing", "dot"),),
    picture=False,
)


def three_pipelines() -> SampleRun:
    """A binary run of 200 test images with a shipped backbone; every cell ended ok."""
    return build(
        (PLAIN, SCRAMBLE, FHE), classes=("NORMAL", "PNEUMONIA"), n=200, untrained=False, rounds=3
    )


def ten_pipelines() -> SampleRun:
    """A synthetic four-class run of 60 images with long names; three pipelines did not end ok."""
    ciphers = ("al_amin", "vit_block", "madono_ele", "orthogonal", "identity")
    scrambles = tuple(
        Kind(
            "block-scramble",
            f"block-scramble[cipher={cipher},mode=adapted,patch=16,negative_positive=true]",
            0.55 + 0.06 * i,
            3.5 + i,
            5.0 + i,
            150_000 + 10_000 * i,
            420,
            22_000_000 + 10**6 * i,
            claim="none" if cipher == "identity" else "heuristic",
            parameters=(("cipher", cipher), ("mode", "adapted"), ("patch", 16)),
            status=Status.FAILED if cipher == "orthogonal" else Status.OK,
            reason="the server process ended with code -9 while inferring image 37",
        )
        for i, cipher in enumerate(ciphers)
    )
    fhe = tuple(
        Kind(
            "fhe-head",
            f"fhe-head[packing={packing},ring=8192,moduli=60-40-60]",
            0.80,
            12.0 * 3**i,
            40.0 * 8**i,
            331_000 * (i + 1),
            90_000,
            9_000_000,
            claim="reduction to a hardness assumption",
            parameters=(("packing", packing), ("ring", 8192)),
            picture=False,
        )
        for i, packing in enumerate(("dot", "replicated", "matrix-multiplication"))
    )
    concrete = Kind(
        "fhe-tfhe", "fhe-tfhe[n_bits=8]", 0.8, 22, 35, 4_900, 10_800, 64, picture=False,
        claim="reduction to a hardness assumption", status=Status.UNAVAILABLE,
        reason="concrete-ml has no wheel for Python 3.13: use Python 3.12",
    )  # fmt: skip
    classes = ("granular tissue", "smooth tissue", "lymphocytes", "background without tissue")
    kinds = (PLAIN, *scrambles, *fhe, concrete)
    return build(kinds, classes=classes, n=60, untrained=True, rounds=2)


def build(
    kinds: tuple[Kind, ...], *, classes: tuple[str, ...], n: int, untrained: bool, rounds: int
) -> SampleRun:
    """Invent a whole run of ``kinds`` on ``n`` test images."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, len(classes), n)
    manifest = _manifest(kinds, classes, labels, untrained)
    records: list[RunRecord] = []
    predictions: dict[str, Arrays] = {}
    for kind in kinds:
        arrays = _predictions(kind, labels, len(classes), rng)
        for number in range(rounds + 1):
            record = _record(kind, number, n if number == 0 else 12, arrays, rng)
            records.append(record)
            if record.status is not Status.OK:
                break
            if number == 0:
                predictions[record.identity] = arrays
    return SampleRun(
        manifest, tuple(records), _scores(records, predictions, classes), predictions,
        _pictures(kinds, classes, rng),
    )  # fmt: skip


def _manifest(
    kinds: tuple[Kind, ...], classes: tuple[str, ...], labels: npt.NDArray[Any], untrained: bool
) -> Manifest:
    counts = {name: int((labels == i).sum()) for i, name in enumerate(classes)}
    binary = len(classes) == 2
    split = SplitSummary(
        n=len(labels),
        groups=len(labels) - 10,
        per_class=counts,
        prevalence=counts[classes[-1]] / len(labels) if binary else None,
    )
    card = DatasetCard(
        name="sample-binary" if binary else "sample-multiclass",
        title="Invented images for the tests of he-compare",
        description="Random pictures with random labels. Every number of this run is invented.",
        source="tests/samplerun.py",
        licence="Apache-2.0",
        citation="none: test data",
        caveats=["Invented: no image shows a patient.", "Groups are numbered at random."],
        classes=list(classes),
        positive_class=classes[-1] if binary else "",
        synthetic=not binary,
        native_size="64 x 64",
    )
    dataset = DatasetSummary(
        card=card,
        subset="published" if binary else "balanced",
        splits={"train": split, "val": split, "test": split},
        fingerprint="5a" * 32,
        image_size=224,
        notes=[] if binary else ["limited to 60 test images by --limit-test"],
    )
    backbone = BackboneSummary(
        name="deit_tiny_patch16_224",
        weights="untrained" if untrained else "shipped",
        weights_sha256="c3" * 32,
        provenance="Random initialisation." if untrained else "Invented for the tests.",
        licence="Apache-2.0",
        untrained=untrained,
        parameters=5_524_416,
        feature_width=192,
    )
    planned = [
        PlannedPipeline(
            name=kind.name,
            label=kind.label,
            parameters=dict(kind.parameters),
            resolved={**dict(kind.parameters), "epochs": 8, "key_policy": "per_client"},
        )
        for kind in kinds
    ]
    return Manifest(
        plan="ab" * 32,
        created_at=CREATED,
        tool_version="0.1.0",
        command=f"compare run --dataset {card.name} --profile quick --seed 7",
        dataset=dataset,
        backbone=backbone,
        pipelines=planned,
        seed=7,
        profile="quick",
        settings={"image_size": 224, "epochs": 8, "threads": 1, "limit_test": None},
    )


def _predictions(kind: Kind, labels: npt.NDArray[Any], k: int, rng: np.random.Generator) -> Arrays:
    """Draw probabilities that are right about as often as the kind says."""
    right = rng.random(len(labels)) < kind.accuracy
    called = np.where(right, labels, (labels + rng.integers(1, k, len(labels))) % k)
    scores = rng.dirichlet(np.ones(k) * 2, len(labels))
    scores[np.arange(len(labels)), called] += 0.5 + rng.random(len(labels))
    names = np.array([f"image-{i:04d}.png" for i in range(len(labels))])
    return {
        "ids": names,
        "groups": names,
        "labels": labels.astype(np.int64),
        "probabilities": scores / scores.sum(axis=1, keepdims=True),
    }


def _record(kind: Kind, number: int, n: int, arrays: Arrays, rng: np.random.Generator) -> RunRecord:
    identity = key_of(sample=kind.label, round=number)
    ok = kind.status is Status.OK
    cell = Cell(
        dataset="sample",
        pipeline=kind.name,
        label=kind.label,
        parameters=dict(kind.parameters),
        resolved={**dict(kind.parameters), "epochs": 8, "key_policy": "per_client"},
        seed=7,
        phase=Phase.LATENCY if number else Phase.ACCURACY,
        round=number,
    )
    encrypted = kind.name.startswith("fhe")
    common: dict[str, Any] = {
        "identity": identity,
        "cell": cell,
        "status": kind.status,
        "started_at": CREATED,
        "environment": _environment(),
        "fhe_mode": FheMode.EXECUTE if encrypted else FheMode.NOT_APPLICABLE,
    }
    if not ok:
        error = ErrorInfo(kind="ServiceError", message=kind.reason)
        return RunRecord(**common, reason=kind.reason, error=error)
    return RunRecord(
        **common,
        seconds=31.5,
        n_images=n,
        warmup_images=2,
        predictions="" if number else f"predictions/{identity}.npz",
        predictions_sha256="" if number else array_digest(arrays["probabilities"]),
        measurements=_single(kind, n, rng) if number else _batched(kind, n),
        traffic=Traffic(
            requests=n,
            upload_bytes=(kind.upload + 220) * n,
            download_bytes=(kind.download + 180) * n,
            payload_upload_bytes=kind.upload * n,
            payload_download_bytes=kind.download * n,
            public_material_bytes=kind.public,
            n_images=n,
        ),
        agreement=Agreement(
            reference="clear head",
            executed=n,
            compared=n,
            agree=n,
            max_abs_score_difference=7.1e-5,
            max_abs_score=8.2,
        )
        if encrypted and not number
        else None,
        claims=_claims(kind),
        training={"trained_on": "invented images", "epochs": 8, "history": [{"epoch": 1}]},
        client_peak_bytes=410_000_000,
        server_peak_bytes=530_000_000,
        server_pid_separate=True,
    )


def _stages(kind: Kind) -> list[tuple[Stage, Side, float]]:
    """Stages of one image with their usual milliseconds."""
    client, server = Side.CLIENT, Side.SERVER
    middle = Stage.ENCRYPT if kind.claim != "none" else Stage.PREPROCESS
    stages = [
        (Stage.FEATURES, client, 0.5 * kind.client_ms),
        (middle, client, 0.3 * kind.client_ms),
        (Stage.SERIALIZE, client, 0.1 * kind.client_ms),
        (Stage.TRANSPORT, Side.NETWORK, 1.3),
        (Stage.DESERIALIZE, server, 0.1 * kind.server_ms),
        (Stage.EVALUATE, server, 0.9 * kind.server_ms),
        (Stage.DECODE, client, 0.1 * kind.client_ms),
    ]
    return stages if kind.name.startswith("fhe") else stages[1:]


def _single(kind: Kind, n: int, rng: np.random.Generator) -> list[Measurement]:
    spread = rng.lognormal(0, 0.08, (len(_stages(kind)), n))
    measured = []
    total = np.zeros(n)
    for (stage, side, usual), noise in zip(_stages(kind), spread, strict=True):
        seconds = usual * 1e-3 * noise
        total += seconds
        measured.append(_measurement(stage, side, Per.SAMPLE, seconds, [1] * n))
    measured.append(_measurement(Stage.TOTAL, Side.CLIENT, Per.SAMPLE, total * 1.02, [1] * n))
    return measured


def _batched(kind: Kind, n: int) -> list[Measurement]:
    batches = [32] * (n // 32) + ([n % 32] if n % 32 else [])
    total = np.array([sum(ms for *_, ms in _stages(kind)) * 0.6e-3 * size for size in batches])
    once = [
        _measurement(Stage.FIT, Side.CLIENT, Per.ONCE, np.array([95.0]), [n]),
        _measurement(Stage.KEYGEN, Side.CLIENT, Per.KEY, np.array([0.21]), [1]),
        _measurement(Stage.KEY_UPLOAD, Side.CLIENT, Per.KEY, np.array([0.09]), [1]),
    ]
    return [*once, _measurement(Stage.TOTAL, Side.CLIENT, Per.BATCH, total, batches)]


def _measurement(
    stage: Stage, side: Side, per: Per, seconds: npt.NDArray[Any], items: list[int]
) -> Measurement:
    rounded = [float(f"{value:.6g}") for value in seconds]
    return Measurement(stage=stage, side=side, per=per, seconds=rounded, items=items)


def _claims(kind: Kind) -> SecurityClaims:
    shared: dict[str, Any] = {"key_fingerprint": "k-77e1", "key_policy": "per_client"}
    if kind.claim == "heuristic":
        return SecurityClaims(
            scheme=dict(kind.parameters)["cipher"],
            protects="The look of the image.",
            claim_type="heuristic",
            deterministic=True,
            key_space=KeySpace(nominal_bits=17984, seed_entropy_bits=256, effective_bits=256),
            preserves=["multiset of pixel values"],
            server_learns=["scrambled images", "predicted probabilities"],
            source="arXiv 2411.05901",
            **shared,
        )
    if kind.claim == "none":
        return SecurityClaims(
            scheme="none",
            protects="Nothing.",
            claim_type="none",
            server_learns=["images", "predicted probabilities"],
        )
    return SecurityClaims(
        scheme="CKKS",
        protects="The feature vector and the scores.",
        claim_type="reduction to a hardness assumption",
        assumption="ring learning with errors",
        enforced_by="SEAL refuses parameters below 128 bits",
        deterministic=False,
        key_space=KeySpace(nominal_bits=None, seed_entropy_bits=256, effective_bits=128),
        server_learns=["number of images", "weights of the head"],
        parameters={"N": 8192, "modulus_bits": [60, 40, 60]},
        source="ePrint 2024/463",
        **shared,
    )


def _environment() -> EnvironmentFingerprint:
    return EnvironmentFingerprint(
        python="3.11.7 CPython",
        platform="Linux 6.1 x86_64",
        cpu="Invented CPU at 2.0 GHz",
        logical_cores=2,
        memory_bytes=8_000_000_000,
        threads=1,
        load_average=0.4,
        packages={"he-compare": "0.1.0", "numpy": "1.26.4", "tenseal": "0.3.18"},
        source_commit="0123456789abcdef0123456789abcdef01234567",
        source_dirty=False,
    )


def _scores(
    records: list[RunRecord], predictions: dict[str, Arrays], classes: tuple[str, ...]
) -> ScoreSheet:
    scored = [record for record in records if record.identity in predictions]
    hits = {
        record.cell.label: predictions[record.identity]["probabilities"].argmax(axis=1)
        == predictions[record.identity]["labels"]
        for record in scored
    }
    cells = [_cell_scores(record, predictions[record.identity], classes) for record in scored]
    reference = records[0].cell.label
    differences = [
        _difference(label, reference, cells, hits, metric)
        for label in hits
        if label != reference
        for metric in ("accuracy", "auc")
    ]
    return ScoreSheet(reference=reference, threshold=0.5, cells=cells, differences=differences)


def _cell_scores(record: RunRecord, arrays: Arrays, classes: tuple[str, ...]) -> CellScores:
    labels, called = arrays["labels"], arrays["probabilities"].argmax(axis=1)
    n, k = len(labels), len(classes)
    confusion = np.zeros((k, k), dtype=int)
    np.add.at(confusion, (labels, called), 1)
    recalls = confusion.diagonal() / confusion.sum(axis=1)
    accuracy = float((labels == called).mean())
    values = {"accuracy": accuracy, "balanced_accuracy": float(recalls.mean())}
    values["auc"] = min(0.999, accuracy + 0.04)
    if k == 2:
        values |= {"sensitivity": float(recalls[1]), "specificity": float(recalls[0])}
    values |= {"f1": accuracy - 0.01, "ece": 0.061, "brier": 0.11}
    values |= {f"recall:{name}": float(recalls[i]) for i, name in enumerate(classes)}
    metrics = [
        MetricValue(name=name, value=round(value, 6), interval=_interval(value, n), n=n)
        for name, value in values.items()
    ]
    return CellScores(
        identity=record.identity,
        label=record.cell.label,
        metrics=metrics,
        confusion=confusion.tolist(),
        reliability=[(0.55, 0.5, 40), (0.75, 0.7, 60), (0.95, 0.96, n - 100)] if n > 100 else [],
    )


def _interval(value: float, n: int) -> Interval:
    half = 1.96 * math.sqrt(max(value * (1 - value), 0.01) / n)
    low, high = round(max(0.0, value - half), 6), round(min(1.0, value + half), 6)
    return Interval(low=low, high=high, method="invented for tests")


def _difference(
    label: str,
    reference: str,
    cells: list[CellScores],
    hits: dict[str, npt.NDArray[Any]],
    metric: str,
) -> PairedDifference:
    of = {
        cell.label: next(one.value for one in cell.metrics if one.name == metric) or 0.0
        for cell in cells
    }
    gap = of[label] - of[reference]
    ours, theirs = hits[label], hits[reference]
    accuracy = metric == "accuracy"
    return PairedDifference(
        metric=metric,
        pipeline=label,
        reference=reference,
        difference=round(gap, 6),
        interval=Interval(
            low=round(gap - 0.03, 6), high=round(gap + 0.03, 6), method="invented for tests"
        ),
        p_value=(0.0004 if gap < -0.05 else 0.62) if accuracy else None,
        n=len(ours),
        discordant=(int((ours & ~theirs).sum()), int((~ours & theirs).sum())) if accuracy else None,
    )


def _pictures(
    kinds: tuple[Kind, ...], classes: tuple[str, ...], rng: np.random.Generator
) -> Arrays:
    """Four ringed discs, and for each pipeline that shows pictures a scramble of them."""
    grid = np.hypot(*np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64)))
    discs = [127 + 120 * np.cos(grid * (6 + 3 * i)) for i in range(4)]
    original = np.repeat(np.stack(discs)[..., None], 3, axis=3).astype(np.uint8)
    shown = [kind for kind in kinds if kind.picture and kind.status is Status.OK]
    arrays: Arrays = {
        "original": original,
        "ids": np.array([f"image-{i:04d}.png" for i in range(4)]),
        "classes": np.array([classes[i % len(classes)] for i in range(4)]),
        "view_labels": np.array([kind.label for kind in shown]),
    }
    for i, kind in enumerate(shown):
        order = np.arange(64) if kind.claim == "none" else rng.permutation(64)
        blocks = original.reshape(4, 8, 8, 8, 8, 3).transpose(0, 1, 3, 2, 4, 5)
        mixed = blocks.reshape(4, 64, 8, 8, 3)[:, order].reshape(4, 8, 8, 8, 8, 3)
        arrays[f"view_{i}"] = mixed.transpose(0, 1, 3, 2, 4, 5).reshape(4, 64, 64, 3)
    return arrays
