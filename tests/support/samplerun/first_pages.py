"""Invented runs of every kind that a first page has to answer for, by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from he_compare.common.run.records import (
    AttackOutcome,
    CellScores,
    Interval,
    MeanDifference,
    MeanScores,
    MeanValue,
    MetricValue,
    PairedDifference,
    RunRecord,
    ScoreSheet,
    Verdict,
)
from he_compare.common.run.store import MANIFEST, SCORES
from he_compare.common.types import Aim, Knowledge, NotRun, Status
from tests.support.samplerun.kinds import FHE, LATTICE, LOCAL, PLAIN, SCRAMBLE, Kind, invented
from tests.support.samplerun.runs import SampleRun, build, ten_pipelines, three_pipelines

TWO = ("NORMAL", "PNEUMONIA")
LOGISTIC = invented("plaintext[model=logistic]", 0.92, 3.1, 5.6, 150_000, 310, 22_000_000)
HEAD = replace(FHE, label="fhe-head")
TFHE = invented(
    "fhe-tfhe[components=63]", 0.88, 21.0, 9.0, 1_800, 11_500, 2_700, claim=LATTICE, picture=False
)
BLOCKS = invented(
    "block-scramble[cipher=vit_block]", 0.80, 4.0, 5.6, 150_400, 310, 22_100_000, claim="heuristic"
)
AL_AMIN, IDENTITY = (
    SCRAMBLE,
    replace(invented("block-scramble[cipher=identity]", 0.92, 4.0, 5.6, 150_400, 310, 22_100_000)),
)
# Fields that manifests and scores of older schema versions do not have.
NEWER = {"twin", "twin_wanted", "twin_differs", "work"}
SYMMETRIES = (
    "up to the eight symmetries of the square and a global negative, which ciphertexts do not "
    "determine"
)


def outcome_on(
    target: str, attack: str, title: str, verdict: Verdict, aim: Aim, **rest: Any
) -> AttackOutcome:
    """Return an invented outcome against a pipeline."""
    rung = rest.pop("rung", Knowledge.MANY_CIPHERTEXTS)
    share = rest.pop("share", None)
    found = {
        "identity": f"{attack}-{target}",
        "attack": attack,
        "title": title,
        "target": target,
        "target_kind": "pipeline",
        "rung": rung,
        "knowledge": [rung],
        "headline": f"{title} was tried on {target}",
        "verdict": verdict,
        "aim": aim,
        "metric": None
        if share is None
        else MetricValue(name=rest.pop("of", "share"), value=share, interval=None, n=3),
    }
    return AttackOutcome.model_validate(found | rest)


def rebuilt(target: str) -> AttackOutcome:
    """Return the attack that rebuilds scrambled images."""
    return outcome_on(
        target,
        "jigsaw",
        "Correlation and jigsaw solver",
        "broken",
        Aim.IMAGE,
        of="SSIM to the original",
        share=1.0,
        per_key=[1.0, 1.0, 0.99],
        floor=0.3,
        ceiling=1.0,
        advantage=1.0,
        spent={"ciphertexts": 20, "keys": 3},
        limits=[SYMMETRIES],
        seconds=2.5,
    )


def resisted_by(target: str) -> AttackOutcome:
    """Return an attack on images that won nothing."""
    return outcome_on(
        target,
        "feature_inversion",
        "Pictures from features and from ciphertexts",
        "resists within budget",
        Aim.IMAGE,
        share=0.02,
        advantage=0.02,
    )


def on_encryption(target: str) -> tuple[AttackOutcome, ...]:
    """Return what attacks find of a CKKS pipeline: secrecy holds, what is not promised does not."""
    beyond = {"promised": False, "rung": Knowledge.ACTIVE}
    whole = MetricValue(name="from one complex decode of a reply", value=1.0, interval=None, n=1)
    return (
        resisted_by(target),
        outcome_on(
            target,
            "malleability",
            "Malleability of replies",
            "broken",
            Aim.INTEGRITY,
            share=1.0,
            spent={"replies": 8},
            **beyond,
        ),
        outcome_on(
            target,
            "ind_cpa_d",
            "Key recovery from decrypted results (IND-CPA-D)",
            "broken",
            Aim.DECRYPTIONS,
            share=1.0,
            details=[whole],
            **beyond | {"rung": Knowledge.DECRYPTED_RESULTS},
        ),
        outcome_on(
            target,
            "learned_unet",
            "Learned inversion (U-Net, pairs of this key)",
            "not run",
            Aim.IMAGE,
            not_run=NotRun.BUDGET,
            reason="it needs 200 pairs",
        ),
    )


def two_classes() -> SampleRun:
    """Everything of a quick run, audited: one cipher broken, encryption not."""
    kinds = (PLAIN, LOGISTIC, LOCAL, BLOCKS, AL_AMIN, IDENTITY, HEAD, TFHE)
    run = _same_answers(_built(kinds, n=680), HEAD.label, LOGISTIC.label)
    outcomes = (
        rebuilt(BLOCKS.label),
        rebuilt(AL_AMIN.label),
        *on_encryption(HEAD.label),
        *on_encryption(TFHE.label)[:2],
    )
    return replace(run, outcomes=outcomes)


def only_scrambling() -> SampleRun:
    """One protection, broken, and its twin."""
    return replace(_built((PLAIN, BLOCKS)), outcomes=(rebuilt(BLOCKS.label),))


def only_encryption() -> SampleRun:
    """One protection, not broken, and its twin."""
    run = _same_answers(_built((LOGISTIC, HEAD)), HEAD.label, LOGISTIC.label)
    return replace(run, outcomes=on_encryption(HEAD.label))


def none_broken() -> SampleRun:
    """Attacks ran on both protections, and none won."""
    targets = (BLOCKS.label, HEAD.label)
    return replace(
        _built((PLAIN, LOGISTIC, BLOCKS, HEAD)), outcomes=tuple(map(resisted_by, targets))
    )


def all_broken() -> SampleRun:
    """Attacks won against both protections."""
    lost = outcome_on(
        HEAD.label, "server_state", "Secret key at the server", "broken", Aim.KEY, share=1.0
    )
    return replace(_built((PLAIN, LOGISTIC, BLOCKS, HEAD)), outcomes=(rebuilt(BLOCKS.label), lost))


def failed_cells() -> SampleRun:
    """Both protections gave no result."""
    lost = {"status": Status.FAILED, "reason": "the server process ended with code -9"}
    missing = {"status": Status.UNAVAILABLE, "reason": "tenseal is not installed"}
    return _built((PLAIN, LOGISTIC, replace(BLOCKS, **lost), replace(HEAD, **missing)))


def several_seeds() -> SampleRun:
    """Each pipeline trained with three seeds."""
    run = _built((PLAIN, LOGISTIC, BLOCKS, HEAD))
    assert run.sheet is not None
    records, repeats = list(run.records), []
    for cell in run.sheet.cells:
        first = next(one for one in run.records if one.identity == cell.identity)
        for seed, shift in ((8, -0.012), (9, 0.021)):
            again = _other_seed(first, seed)
            records.append(again)
            repeats.append(_shifted(cell, again.identity, shift))
    sheet = run.sheet.model_copy(update={"repeats": repeats, **_means(run.sheet, repeats)})
    again = {one.identity: run.predictions[one.identity[1:]] for one in records[len(run.records) :]}
    return replace(
        run, records=tuple(records), sheet=sheet, predictions={**run.predictions, **again}
    )


def twelve_classes() -> SampleRun:
    """Twelve classes, two protections, attacks on one."""
    classes = tuple(f"organ {letter}" for letter in "ABCDEFGHIJKL")
    kinds = tuple(replace(one, accuracy=0.6) for one in (PLAIN, LOGISTIC, BLOCKS, HEAD))
    run = build(kinds, classes=classes, n=360, untrained=False, rounds=2)
    return replace(_real(run), outcomes=(rebuilt(BLOCKS.label),))


def no_twin() -> SampleRun:
    """Two protections without the models that they protect."""
    return _built((BLOCKS, HEAD))


def one_cell() -> SampleRun:
    """A single pipeline without protection, no timing."""
    return build((PLAIN,), classes=TWO, n=40, untrained=False, rounds=0)


def twelve_ciphers() -> SampleRun:
    """More set-ups than the first page has rows."""
    kinds: list[Kind] = [PLAIN, LOGISTIC]
    for number, cipher in enumerate(
        ("vit_block", "al_amin", "orthogonal", "madono_ele", "etc", "nakachi")
    ):
        kinds.append(
            replace(BLOCKS, label=f"block-scramble[{cipher}]", parameters=(("cipher", cipher),))
        )
        kinds.append(replace(HEAD, label=f"fhe-head[C=0.{number + 1}]"))
    return _built(tuple(kinds))


FIRST_PAGES: dict[str, Callable[[], SampleRun]] = {
    "two-classes": two_classes,
    "only-scrambling": only_scrambling,
    "only-encryption": only_encryption,
    "none-broken": none_broken,
    "all-broken": all_broken,
    "failed-cells": failed_cells,
    "no-audit": three_pipelines,
    "several-seeds": several_seeds,
    "twelve-classes": twelve_classes,
    "synthetic": ten_pipelines,
    "no-twin": no_twin,
    "one-cell": one_cell,
    "many-set-ups": twelve_ciphers,
    "older": two_classes,
}


def write_first_page(name: str, path: Path) -> Path:
    """Write the run of a name and return its folder; an "older" one loses what is new in it."""
    folder = FIRST_PAGES[name]().write(path)
    if name == "older":
        _age(folder)
    return folder


def _age(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    for planned in manifest["pipelines"]:
        for field in NEWER:
            planned.pop(field, None)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    sheet = json.loads((folder / SCORES).read_text(encoding="utf-8"))
    sheet = {key: value for key, value in sheet.items() if key not in ("against_twins", "repeats")}
    reference = sheet["reference"]
    sheet["differences"] = [one for one in sheet["differences"] if one["reference"] == reference]
    (folder / SCORES).write_text(json.dumps(sheet), encoding="utf-8")


def _built(kinds: tuple[Kind, ...], n: int = 200) -> SampleRun:
    return _real(build(kinds, classes=TWO, n=n, untrained=False, rounds=2))


def _real(run: SampleRun) -> SampleRun:
    """Let the images be called what a reader would call them, and be no synthetic ones."""
    card = run.manifest.dataset.card
    called = {"title": "Invented chest X-rays: normal or pneumonia", "synthetic": False}
    if len(card.classes) > 2:
        called["title"] = "Invented abdominal CT slices"
    dataset = run.manifest.dataset.model_copy(update={"card": card.model_copy(update=called)})
    return replace(run, manifest=run.manifest.model_copy(update={"dataset": dataset}))


def _same_answers(run: SampleRun, label: str, twin: str) -> SampleRun:
    """Let a pipeline answer every image as its twin does."""
    assert run.sheet is not None
    cells = {cell.label: cell for cell in run.sheet.cells}
    equal = cells[twin].model_copy(
        update={"label": label, "identity": cells[label].identity, "rungs": []}
    )
    differences = [
        _none(one) if (one.pipeline, one.reference) == (label, twin) else one
        for one in run.sheet.differences
    ]
    sheet = run.sheet.model_copy(
        update={
            "cells": [equal if one.label == label else one for one in run.sheet.cells],
            "differences": differences,
        }
    )
    return replace(run, sheet=sheet)


def _none(found: PairedDifference) -> PairedDifference:
    counted = (0, 0) if found.metric == "accuracy" else None
    interval = Interval(low=0.0, high=0.0, method="invented for tests")
    return found.model_copy(
        update={"difference": 0.0, "interval": interval, "discordant": counted, "p_value": None}
    )


def _other_seed(record: RunRecord, seed: int) -> RunRecord:
    identity = f"{seed}{record.identity}"
    return record.model_copy(
        update={
            "identity": identity,
            "cell": record.cell.model_copy(update={"seed": seed}),
            "predictions": f"predictions/{identity}.npz",
        }
    )


def _means(sheet: ScoreSheet, repeats: list[CellScores]) -> dict[str, object]:
    """Return invented means over three trainings; of differences the first is what is stored."""
    means, differences = [], []
    for cell in sheet.cells:
        trained = [cell, *(one for one in repeats if one.label == cell.label)]
        metrics = []
        for place, metric in enumerate(cell.metrics):
            values = [one.metrics[place].value or 0.0 for one in trained]
            facts = metric.model_dump() | {"value": sum(values) / 3, "by_training": values}
            metrics.append(MeanValue.model_validate(facts))
        means.append(MeanScores(label=cell.label, seeds=[7, 8, 9], metrics=metrics))
    for one in sheet.differences:
        apart = [(one.difference or 0.0) + shift for shift in (0.0, -0.011, 0.008)]
        facts = one.model_dump() | {"difference": sum(apart) / 3, "by_training": apart}
        differences.append(MeanDifference.model_validate(facts | {"p_value": None}))
    return {"means": means, "mean_differences": differences, "over_trainings": "invented"}


def _shifted(cell: CellScores, identity: str, shift: float) -> CellScores:
    metrics = [
        one.model_copy(update={"value": round((one.value or 0.0) + shift, 6)})
        for one in cell.metrics
    ]
    return cell.model_copy(update={"identity": identity, "metrics": metrics})
