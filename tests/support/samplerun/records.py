"""Invented records of one cell: timings, traffic, claims, environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.contracts import NOTHING_LEAVES
from he_compare.common.identity import array_digest, key_of
from he_compare.common.run.records import (
    Agreement,
    Cell,
    EnvironmentFingerprint,
    ErrorInfo,
    KeySpace,
    LatticeFacts,
    Measurement,
    RunRecord,
    SecurityClaims,
    Traffic,
)
from he_compare.common.types import FheMode, Per, Phase, Side, Stage, Status
from tests.support.samplerun.kinds import Arrays, Kind
from tests.support.samplerun.training import training_facts, twins_of

CREATED = "2025-03-01T09:30:00Z"


def record(kind: Kind, number: int, n: int, arrays: Arrays, rng: np.random.Generator) -> RunRecord:
    identity = key_of(sample=kind.label, round=number)
    ok = kind.status is Status.OK
    cell = Cell(
        dataset="sample",
        pipeline=kind.name,
        label=kind.label,
        parameters=dict(kind.parameters),
        resolved=kind.resolved,
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
    made = RunRecord(
        **common,
        seconds=31.5,
        n_images=n,
        warmup_images=2,
        predictions="" if number else f"predictions/{identity}.npz",
        predictions_sha256=""
        if number
        else array_digest(*(arrays[name] for name in sorted(arrays))),
        measurements=_single(kind, n, rng) if number else _batched(kind, n),
        traffic=Traffic(
            requests=n,
            upload_bytes=(kind.upload + 220) * n,
            download_bytes=(kind.download + 180) * n,
            payload_upload_bytes=kind.upload * n,
            payload_download_bytes=kind.download * n,
            public_material_bytes=kind.public,
            n_images=n,
            jpeg_bytes=9_400.0,
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
        training=training_facts(kind),
        clear_twins=[] if number else twins_of(kind),
        client_peak_bytes=410_000_000,
        server_peak_bytes=530_000_000,
        server_pid_separate=True,
        server_on="same machine",
    )
    return _without_a_server(made) if kind.no_server else made


def _without_a_server(made: RunRecord) -> RunRecord:
    """Nothing was sent, no process was started, all stages are the client's."""
    sent = {"requests": 0, "upload_bytes": 0, "download_bytes": 0}
    assert made.traffic is not None and made.claims is not None
    facts = {"scheme": "no server", "protects": NOTHING_LEAVES, "server_learns": []}
    return made.model_copy(
        update={
            "traffic": made.traffic.model_copy(update=sent),
            "claims": made.claims.model_copy(update=facts),
            "measurements": [one for one in made.measurements if one.side is Side.CLIENT],
            "server_peak_bytes": None,
            "server_pid_separate": None,
            "server_on": "",
            "no_server": True,
        }
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
        key_space=KeySpace(
            nominal_bits=None, seed_entropy_bits=256, effective_bits=128, searched=False
        ),
        server_learns=["number of images", "weights of the head"],
        parameters={"N": 8192, "modulus_bits": [60, 40, 60]},
        lattice=[_lattice()],
        source="ePrint 2024/463",
        **shared,
    )


def _lattice() -> LatticeFacts:
    return LatticeFacts(
        scheme="CKKS",
        task="inference",
        name="n8192-160",
        dimension=8192,
        log2_q=160,
        log2_sigma=1.67,
        secret_distribution="uniform ternary",
        verdicts={"standard 2018": "128 bits", "guidelines 2024": "128 bits"},
        attack="primal uSVP",
        block_size=506,
        bits={"MATZOV (classical)": 176.3, "core-SVP (classical)": 147.8},
        enforced_by="SEAL refuses parameters below 128 bits",
        precision="scale 2^40, depth 1",
        precision_bits=29.5,
        precision_of="a score",
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
