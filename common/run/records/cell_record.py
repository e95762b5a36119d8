"""One cell of a run: a line of records.jsonl."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from he_compare.common.run.records.claimed_facts import SecurityClaims
from he_compare.common.run.records.machine_facts import (
    DeviceFacts,
    EnvironmentFingerprint,
    ServerHost,
    WorkPlace,
)
from he_compare.common.run.records.measured_facts import (
    Agreement,
    ClearTwinFacts,
    Measurement,
    RobustnessCurve,
    Traffic,
    ValidationFacts,
)
from he_compare.common.run.records.record_base import SCHEMA_VERSION, ErrorInfo, Record
from he_compare.common.types import FheMode, Phase, Status


class Cell(Record):
    """What was asked to be measured."""

    dataset: str = Field(description="Dataset name")
    pipeline: str = Field(description="Pipeline name")
    label: str = Field(description="Short unique label of this pipeline within the run")
    parameters: dict[str, Any] = Field(description="Parameters as passed")
    resolved: dict[str, Any] = Field(description="Parameters as resolved, defaults included")
    seed: int = Field(description="Root seed")
    phase: Phase = Field(description="accuracy, latency or robustness")
    round: int = Field(description="0; 1.. for interleaved latency rounds")


class TapeFacts(Record):
    """The messages of a cell that were kept for the audit: what the server was sent."""

    file: str = Field(description="File in the run folder; '' where the tape stayed in memory")
    public_file: str = Field(description="File of the server's public material; '' then too")
    sha256: str = Field(description="Hash over positions, messages and public material")
    messages: int = Field(description="Messages kept: no more than the audit's budget reads")
    message_bytes: int = Field(description="Their bytes")
    public_material_bytes: int = Field(description="Bytes of the public material")


class RunRecord(Record):
    """One cell of a run: what was asked, how it ended, and everything that was measured."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="Version of this schema")
    identity: str = Field(description="Key of the cell: hash of every input that can change it")
    cell: Cell = Field(description="What was asked")
    status: Status = Field(description="How it ended")
    reason: str = Field(default="", description="Why, where the status is not ok")
    fhe_mode: FheMode = Field(default=FheMode.NOT_APPLICABLE, description="Mode of execution")
    started_at: str = Field(description="UTC, ISO 8601")
    seconds: float = Field(default=0.0, description="Wall time of the whole cell")
    n_images: int = Field(default=0, description="Images measured")
    warmup_images: int = Field(default=0, description="Images run before measuring and left out")
    predictions: str = Field(default="", description="File of stored predictions in the run folder")
    predictions_sha256: str = Field(default="", description="Hash of that file's arrays")
    files_sha256: dict[str, str] = Field(
        default_factory=dict,
        description="Digests of all files that the cell left, by name; empty in older records",
    )
    measurements: list[Measurement] = Field(default_factory=list, description="Stage timings")
    traffic: Traffic | None = Field(default=None, description="Bytes on the wire")
    agreement: Agreement | None = Field(default=None, description="Executed against clear")
    clear_twins: list[ClearTwinFacts] = Field(
        default_factory=list,
        description="Clear models on the way to the executed one, in order; their probabilities "
        "are stored with the predictions, as twin_probabilities (models, n, k)",
    )
    validation: ValidationFacts | None = Field(
        default=None,
        description="How the validation split was scored; its validation_labels (n,) and "
        "validation_probabilities (n, k) are stored with the predictions. None: it was not",
    )
    claims: SecurityClaims | None = Field(default=None, description="Security claims")
    robustness: list[RobustnessCurve] = Field(
        default_factory=list, description="Accuracy under disturbed messages, one per disturbance"
    )
    training: dict[str, Any] = Field(default_factory=dict, description="How the model was fitted")
    client_peak_bytes: int | None = Field(
        default=None,
        description="Peak memory of the client's process while the test images were classified, "
        "with all that the run holds; none: not measured",
    )
    client_growth_bytes: int | None = Field(
        default=None,
        description="How far that peak is above what the process held when the phase began",
    )
    client_peak_method: str = Field(
        default="", description="How the peak was measured; '' in older records or where it was not"
    )
    server_peak_bytes: int | None = Field(
        default=None, description="Peak memory of the server, from its start to the last test image"
    )
    server_pid_separate: bool | None = Field(
        default=None, description="True: the server half ran in a process of its own"
    )
    servers_replaced: int | None = Field(
        default=None,
        ge=0,
        description="Processes of the server that ended in this cell, by a message or otherwise, "
        "and were replaced by new ones; none: not known, in older records, or no server",
    )
    server_on: Literal["", "same machine", "another machine"] = Field(
        default="", description="Where the server half ran; '' in older records and without one"
    )
    server_host: ServerHost | None = Field(
        default=None,
        description="The host that was asked with --host; none: the server ran beside the client",
    )
    no_server: bool = Field(
        default=False,
        description="True: the hospital answered by itself; no server was started, nothing sent",
    )
    reused: list[str] = Field(default_factory=list, description="Artefacts reused, by key")
    reused_seconds: dict[str, float] = Field(
        default_factory=dict, description="What reused artefacts cost when they were made, by key"
    )
    library_seconds: float | None = Field(
        default=None,
        description="Loading libraries and compiled code into the client's process, before the fit "
        "was timed; the pipelines that follow in the run find them loaded",
    )
    tape: TapeFacts | None = Field(default=None, description="Messages kept for the audit")
    environment: EnvironmentFingerprint | None = Field(default=None, description="Machine")
    trained_on: DeviceFacts | None = Field(
        default=None,
        description="Device that trained networks and made features of training images; none: not "
        "known, in older records",
    )
    measured_on: DeviceFacts | None = Field(
        default=None,
        description="Device that networks ran on while they were measured, the same for all "
        "pipelines of a run; none: not known, in older records",
    )
    place: WorkPlace | None = Field(
        default=None,
        description="The worker that measured it; none: the process of `compare run` itself",
    )
    warnings: list[str] = Field(
        default_factory=list, description="Shown wherever the cell is printed"
    )
    error: ErrorInfo | None = Field(default=None, description="Set where the status is not ok")
    line_sha256: str = Field(
        default="",
        description="In the file alone, at the end of the line: SHA-256 of the line without it; '' "
        "in older records",
    )
