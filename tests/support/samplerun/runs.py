"""Whole sample runs in memory, ready to be changed and written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.run.records import (
    AttackOutcome,
    BackboneSummary,
    DatasetCard,
    DatasetSummary,
    Manifest,
    PlannedPipeline,
    RunRecord,
    ScoreSheet,
    SplitSummary,
)
from he_compare.common.run.store import PICTURES, SCORES, RunFolder
from he_compare.common.run.stored_arrays import npz_bytes
from he_compare.common.types import Status
from tests.support.samplerun.kinds import (
    FHE,
    LATTICE,
    LOCAL,
    PLAIN,
    SCRAMBLE,
    Arrays,
    Kind,
    invented,
    twins_of,
)
from tests.support.samplerun.records import CREATED, record
from tests.support.samplerun.scores import predictions, scores
from tests.support.samplerun.training import with_twins


@dataclass(frozen=True)
class SampleRun:
    """A run in memory; change it with ``dataclasses.replace`` and ``write`` it."""

    manifest: Manifest
    records: tuple[RunRecord, ...]
    sheet: ScoreSheet | None
    predictions: dict[str, Arrays]
    pictures: Arrays
    outcomes: tuple[AttackOutcome, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Write a run folder and return its path."""
        folder = RunFolder(path)
        folder.create(self.manifest)
        for one in self.records:
            folder.append(one)
        for outcome in self.outcomes:
            folder.append(outcome)
        for name, data in self.files.items():
            folder.put(name, data)
        for identity, arrays in self.predictions.items():
            folder.put(f"predictions/{identity}.npz", npz_bytes(arrays))
        if self.sheet is not None:
            folder.write_model(SCORES, self.sheet)
        if self.pictures:
            folder.put(PICTURES, npz_bytes(self.pictures))
        folder.write_sums()
        return path


def three_pipelines() -> SampleRun:
    """A binary run of 200 test images with a shipped backbone; every cell ended ok."""
    return build(
        (PLAIN, SCRAMBLE, FHE), classes=("NORMAL", "PNEUMONIA"), n=200, untrained=False, rounds=3
    )


def with_the_hospital_alone() -> SampleRun:
    """The three pipelines, and one without a server."""
    kinds = (PLAIN, LOCAL, SCRAMBLE, FHE)
    return build(kinds, classes=("NORMAL", "PNEUMONIA"), n=200, untrained=False, rounds=3)


def ten_pipelines() -> SampleRun:
    """A synthetic four-class run of 60 images with long names; three pipelines did not end ok."""
    ciphers = ("al_amin", "vit_block", "madono_ele", "orthogonal", "identity")
    scrambles = tuple(
        invented(
            f"block-scramble[cipher={cipher},mode=adapted,key_policy=per_client,clients=1]",
            0.55 + 0.06 * i,
            3.5 + i,
            5.0 + i,
            150_000 + 10_000 * i,
            420,
            22_000_000 + 10**6 * i,
            claim="none" if cipher == "identity" else "heuristic",
            status=Status.FAILED if cipher == "orthogonal" else Status.OK,
            reason="the server process ended with code -9 while inferring image 37",
        )
        for i, cipher in enumerate(ciphers)
    )
    fhe = tuple(
        invented(
            f"fhe-head[packing={packing},parameter_set=n8192-160]",
            0.80,
            12.0 * 3**i,
            40.0 * 8**i,
            331_000 * (i + 1),
            90_000,
            9_000_000,
            claim=LATTICE,
            picture=False,
        )
        for i, packing in enumerate(("tenseal-dot", "replicated", "tenseal-mm"))
    )
    concrete = invented(
        "fhe-tfhe[n_bits=8]", 0.8, 22, 35, 4_900, 10_800, 64, picture=False,
        claim=LATTICE, status=Status.UNAVAILABLE,
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
    made: list[RunRecord] = []
    stored: dict[str, Arrays] = {}
    twins = {one.label: twins_of(one, kinds).get("twin", "") for one in kinds}
    for kind in kinds:
        arrays = with_twins(kind, predictions(kind, labels, len(classes), rng))
        for number in range(rounds + 1):
            cell = record(_later(kind, number), number, 12 if number else n, arrays, rng)
            made.append(cell)
            if number == 0 and cell.status is Status.OK:
                stored[cell.identity] = arrays
    return SampleRun(
        manifest=_manifest(kinds, classes, labels, untrained),
        records=tuple(made),
        sheet=scores(made, stored, classes, twins),
        predictions=stored,
        pictures=_pictures(kinds, classes, rng),
    )


def _later(kind: Kind, number: int) -> Kind:
    """Rounds after a failure are skipped, as a real run does it."""
    if number == 0 or kind.status is not Status.FAILED:
        return kind
    return replace(kind, status=Status.SKIPPED, reason="its pipeline failed before")


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
        source="invented for the tests of he-compare",
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
        subset_is_default=binary,
        limits={} if binary else {"test": 60},
        splits={"train": split, "val": split, "test": split},
        fingerprint="5a" * 32,
        image_size=224,
        notes=[] if binary else ["limited to 60 test images by --test-limit"],
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
            resolved=kind.resolved,
            no_server=kind.no_server,
            **twins_of(kind, kinds),
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
        settings={
            "image_size": 224,
            "epochs": 8,
            "threads": 1,
            "test_limit": None if binary else 60,
        },
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
