"""The records a run leaves behind: typed, versioned, one line of documentation per field.

Records are what everything downstream reads: scoring, statistics, reports and audits need neither
torch nor the dataset. The JSON schema of all of them is exported by ``export_schema``. They hold no
secret: keys appear as fingerprints only.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from he_compare.common.run.old_records import (
    with_claim_facts,
    with_manifest_facts,
    with_outcome_facts,
    with_reference_rank,
    with_twins,
    with_wrong_answers,
)
from he_compare.common.types import Aim, FheMode, Knowledge, NotRun, Per, Phase, Side, Stage, Status

SCHEMA_VERSION = 1


class Record(BaseModel):
    """Base of all records: unknown fields are refused, instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Interval(Record):
    """A confidence interval and how it was obtained."""

    low: float = Field(description="Lower end")
    high: float = Field(description="Upper end")
    level: float = Field(default=0.95, description="Confidence level")
    method: str = Field(description="For instance 'Wilson' or 'bootstrap by group, 2000 draws'")


class MetricValue(Record):
    """One metric on one set of predictions."""

    name: str = Field(description="Name of the metric, for instance 'auc'")
    value: float | None = Field(description="Point estimate; none where it is not defined")
    interval: Interval | None = Field(description="None where no interval can be given")
    n: int = Field(description="Number of images the value is computed on")
    unit: str = Field(default="", description="'' for a proportion or a dimensionless score")
    note: str = Field(default="", description="Why a value or an interval is missing, or a caveat")

    @property
    def of_trainings(self) -> tuple[float, ...]:
        """The values of several trainings of which this is the mean; () where it is of one."""
        return ()


class MeanValue(MetricValue):
    """The mean of one metric over trainings under several seeds, on the same images."""

    by_training: list[float] = Field(description="The value of each training, in order of seeds")

    @property
    def of_trainings(self) -> tuple[float, ...]:
        """The value of each training, in order of seeds."""
        return tuple(self.by_training)


class Measurement(Record):
    """Raw timing samples of one stage."""

    stage: Stage = Field(description="Name of the stage")
    side: Side = Field(description="Whose process did the work")
    per: Per = Field(description="Unit of one sample")
    seconds: list[float] = Field(description="Raw samples, warm-up left out")
    items: list[int] = Field(description="Images processed in each sample")


class Traffic(Record):
    """Bytes that crossed the trust boundary over HTTP, headers included."""

    requests: int = Field(description="Number of HTTP requests that carried images or key material")
    upload_bytes: int = Field(description="Client to server, all images of this cell")
    download_bytes: int = Field(description="Server to client, all images of this cell")
    payload_upload_bytes: int = Field(description="Upload without HTTP headers and framing")
    payload_download_bytes: int = Field(description="Download without HTTP headers and framing")
    public_material_bytes: int = Field(description="Keys, contexts and weights sent once")
    training_upload_bytes: int = Field(default=0, description="Sent to the server to train there")
    training_download_bytes: int = Field(default=0, description="Received from it while training")
    n_images: int = Field(description="Images the upload and download bytes are for")
    jpeg_bytes: float | None = Field(
        default=None, description="Mean size of such images as JPEG, quality 90: for scale"
    )


class Agreement(Record):
    """Executed predictions against those of the clear reference on the same images."""

    reference: str = Field(description="What was compared with, for instance 'clear head'")
    executed: int = Field(description="Images run through the protected path")
    compared: int = Field(description="Images compared")
    agree: int = Field(description="Images with the same predicted class")
    max_abs_score_difference: float = Field(description="Largest difference of any score")
    max_abs_score: float = Field(description="Largest score in magnitude, for scale")


class ClearTwinFacts(Record):
    """A clear model between the clear reference and the executed one; see CostRung."""

    name: str = Field(description="The model in words")
    cost: str = Field(description="What the step from the model before costs; '' for the first")


class ValidationFacts(Record):
    """Validation images that were scored so that a threshold can be fixed without test images."""

    images: int = Field(description="Validation images scored; their scores are no test result")
    scored_by: str = Field(
        description="'as executed', or the clear model that stands for the executed path, by name"
    )


class KeySpace(Record):
    """Size of the key space in bits, nominal and as limited by the key's own entropy."""

    nominal_bits: float | None = Field(description="log2 of the number of keys; none: continuous")
    seed_entropy_bits: float = Field(description="Entropy of the source the key is derived from")
    effective_bits: float = Field(description="min(nominal, seed entropy)")
    searched: bool = Field(
        default=True, description="False: keys are found by lattice reduction, not one by one"
    )


class LatticeFacts(Record):
    """One kind of key or ciphertext: its LWE or RLWE parameters and what they are worth."""

    scheme: str = Field(description="CKKS or TFHE")
    task: Literal["", "inference", "training"] = Field(
        default="", description="What is computed under it"
    )
    use: str = Field(
        default="", description="What it is used for within the task; '' where it is for all of it"
    )
    name: str = Field(default="", description="Parameter set or circuit by name")
    dimension: int = Field(description="N of the ring, or n of plain LWE")
    log2_q: float = Field(description="log2 of the modulus, key-switching prime included")
    log2_sigma: float = Field(description="log2 of the errors' standard deviation")
    secret_distribution: str = Field(description="How secret keys are drawn")
    verdicts: dict[str, str] = Field(
        default_factory=dict, description="What each published table says, by table"
    )
    attack: str = Field(default="", description="The attack whose cost is estimated")
    estimated_by: str = Field(default="", description="The program that made the estimate")
    block_size: int | None = Field(default=None, description="beta of BKZ; none: out of reach")
    bits: dict[str, float] = Field(
        default_factory=dict, description="log2 of the attack's cost, by name of the cost model"
    )
    bits_are_at_most: bool = Field(
        default=False, description="True: the block size is at the formula's floor"
    )
    enforced_by: str = Field(default="", description="Who enforces the parameters")
    precision: str = Field(default="", description="How numbers are held: scale or integers")
    precision_bits: float | None = Field(
        default=None, description="-log2 of the predicted absolute error; none: exact"
    )
    precision_of: str = Field(default="", description="What the error refers to")
    failure_probability: float | None = Field(
        default=None,
        description="Probability that a circuit's result is wrong; none: not of this kind",
    )

    @property
    def purpose(self) -> str:
        """Task and use in words."""
        return ": ".join(filter(None, (self.task, self.use)))


class SecurityClaims(Record):
    """What a pipeline claims, on what basis, and what it gives away by design."""

    scheme: str = Field(description="Scheme or cipher by name")
    protects: str = Field(description="What is hidden from the server, in one sentence")
    claim_type: Literal["reduction to a hardness assumption", "heuristic", "none"] = Field(
        description="Basis of the claim"
    )
    assumption: str = Field(default="", description="Hardness assumption, where there is one")
    enforced_by: str = Field(default="", description="Who enforces the parameters")
    deterministic: bool | None = Field(default=None, description="Equal input, equal ciphertext")
    key_space: KeySpace | None = Field(
        default=None, description="None where there is no key, or none is stated"
    )
    key_fingerprint: str = Field(default="", description="Names the key, reveals nothing of it")
    key_policy: str = Field(default="", description="per_client or per_image")
    preserves: list[str] = Field(default_factory=list, description="What the ciphertext keeps")
    server_learns: list[str] = Field(default_factory=list, description="What the server sees")
    server_learns_class: bool | None = Field(
        default=None,
        description="True: the server classifies in the clear and knows the class by design",
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="Scheme parameters")
    lattice: list[LatticeFacts] = Field(
        default_factory=list, description="Parameters the claim rests on, and their estimates"
    )
    insecure: list[str] = Field(
        default_factory=list, description="Reasons why this instance must not protect real data"
    )
    source: str = Field(default="", description="Paper or standard")

    @model_validator(mode="before")
    @classmethod
    def _facts_of_old_records(cls, values: Any, info: ValidationInfo) -> Any:
        """Fill in what records written before these fields say in sentences only."""
        return with_claim_facts(values) if info.mode == "json" else values


class RobustnessPoint(Record):
    """What one strength of the disturbance did to the test images."""

    level: float = Field(description="Share of flipped bits, or sigma in units of byte values")
    n: int = Field(description="Messages sent: every image once per draw")
    draws: int = Field(default=1, description="How often each message was disturbed anew")
    flips_expected: float | None = Field(
        default=None, description="Bits to be flipped on average, all messages; none: not counted"
    )
    flips_drawn: int | None = Field(default=None, description="Bits that were flipped")
    correct: int = Field(description="Messages answered with the true class of their image")
    same: int = Field(description="Messages answered with the class of their undisturbed one")
    refused: int = Field(description="Messages that the server refused")
    unreadable: int = Field(description="Replies that the client could not read")
    garbage: int = Field(description="Replies with scores that are not finite or implausibly large")
    crashes: int = Field(
        default=0, description="Refused since they ended the server's process, which was replaced"
    )
    wrong: int = Field(description="Messages answered with another class, unnoticed")
    accuracy: float = Field(description="correct / n: the share of messages answered right")
    interval: Interval = Field(description="Of the accuracy, over images and draws")
    wrong_interval: Interval | None = Field(
        default=None, description="Of wrong / n, over images and draws"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, values: Any) -> Any:
        return with_wrong_answers(values)

    @property
    def noticed(self) -> int:
        """Messages without a usable answer, whoever noticed: the server or the client."""
        return self.refused + self.unreadable + self.garbage


class RobustnessCurve(Record):
    """One pipeline under one kind of disturbance, from none to strong."""

    disturbance: str = Field(description="For instance 'bit flips'")
    unit: str = Field(description="What a level is")
    applied_to: str = Field(description="Which bytes were disturbed")
    seed: int = Field(description="Root seed of the disturbances")
    points: list[RobustnessPoint] = Field(description="In order of level")
    reason: str = Field(default="", description="Why there are no points")


class EnvironmentFingerprint(Record):
    """The machine and software a cell ran on."""

    python: str = Field(description="Python version and implementation")
    platform: str = Field(description="Operating system and architecture")
    cpu: str = Field(description="Processor model")
    logical_cores: int = Field(description="Logical cores the process may use")
    memory_bytes: int = Field(description="Installed memory")
    threads: int = Field(description="Threads each process was pinned to")
    load_average: float | None = Field(description="One-minute load average when the cell began")
    packages: dict[str, str] = Field(description="Versions of the packages that matter")
    source_commit: str = Field(default="", description="Commit of the project, where known")
    source_dirty: bool | None = Field(default=None, description="Uncommitted changes, where known")


class ServerHost(Record):
    """The machine that ran the server halves of a cell, where `compare host` was used."""

    machine: str = Field(description="Stands for the machine; says nothing of its name")
    environment: EnvironmentFingerprint = Field(description="That machine and its software")
    certificate: str = Field(
        default="", description="SHA-256 of the certificate that it showed; '' without TLS"
    )
    clock_offset_seconds: float = Field(
        description="How far its clock is ahead of the client's, by the shortest round trip"
    )
    clock_uncertainty_seconds: float = Field(description="Half of that round trip")
    round_trip_seconds: list[float] = Field(
        description="Raw round trips of requests without messages, when the cell was done"
    )


class DeviceFacts(Record):
    """A device that networks ran on; encryption is on the CPU whatever it is."""

    name: str = Field(description="As torch spells it: cpu, cuda:0, mps")
    model: str = Field(description="Model of the processor or of the GPU")
    memory_bytes: int = Field(description="Memory of the device")
    precision: str = Field(
        default="float32", description="Of the numbers in training steps; measured in float32"
    )


class ErrorInfo(Record):
    """Why a cell did not end ok."""

    kind: str = Field(description="Class of the error")
    message: str = Field(description="One line: what was wrong, which value, what to do")


class DatasetCard(Record):
    """What a reader must know of a dataset before believing a number measured on it."""

    name: str = Field(description="Name as passed to --dataset")
    title: str = Field(description="Title")
    description: str = Field(description="One or two sentences")
    source: str = Field(description="Where the images come from, with DOI or address")
    licence: str = Field(description="Licence of the images")
    citation: str = Field(description="How to cite")
    caveats: list[str] = Field(default_factory=list, description="To be disclosed wherever used")
    classes: list[str] = Field(description="Class names in label order")
    positive_class: str = Field(default="", description="Class for which sensitivity is computed")
    synthetic: bool = Field(default=False, description="True: says nothing about patients")
    native_size: str = Field(default="", description="Pixel size of the stored images")
    collections: list[str] = Field(
        default_factory=list,
        description="Collections the images are of, by short names that other datasets share; "
        "empty: not known",
    )


class SplitSummary(Record):
    """Counts of one split."""

    n: int = Field(description="Images")
    groups: int = Field(description="Patient-like groups")
    per_class: dict[str, int] = Field(description="Images of each class")
    prevalence: float | None = Field(default=None, description="Share of the positive class")


class NearCopiesFacts(Record):
    """Test images that look almost like a training or validation image that is no copy."""

    test_images: int = Field(default=0, description="How many, of the test images of the run")
    test_per_class: dict[str, int] = Field(default_factory=dict, description="The same by class")
    test_share: float = Field(default=0.0, description="The same as a share")
    bits: int = Field(description="Length of the perceptual hash")
    threshold: int = Field(description="Most bits in which the hashes of near copies differ")
    turns: bool = Field(default=True, description="Mirrored and turned images are found as well")
    not_compared: str = Field(default="", description="Why looks were not compared")


class CopiesFacts(Record):
    """Equal images in several splits of a dataset, and what the run did about them.

    A copy is a training or validation image that equals one of a later split.
    """

    policy: Literal["drop", "keep", "error"] = Field(description="drop: copies were left out")
    compared: str = Field(description="How images were compared; '' where they were not")
    not_compared: str = Field(default="", description="Why images were not compared")
    unreadable: int = Field(default=0, description="Images that could not be compared")
    copies: dict[str, dict[str, int]] = Field(
        description="Copies by split and class: left out under drop, else used by the run"
    )
    test_images: int = Field(
        description="Test images of the run that a training or validation image equals or, under "
        "drop, equalled"
    )
    test_per_class: dict[str, int] = Field(description="The same by class")
    test_share: float = Field(description="The same as a share of the test images of the run")
    conflicting: int = Field(description="Groups of equal images that have different labels")
    near: NearCopiesFacts = Field(description="What is almost equal: never left out")

    @property
    def count(self) -> int:
        """Return the number of copies."""
        return sum(sum(held.values()) for held in self.copies.values())


class DatasetSummary(Record):
    """The dataset as this run used it."""

    card: DatasetCard = Field(description="The dataset's card")
    subset: str = Field(description="Which choice of images: published, balanced, ...")
    subset_is_default: bool = Field(
        default=True, description="False: not the choice that the dataset gives unasked"
    )
    limits: dict[str, int] = Field(
        default_factory=dict, description="Largest number of images by split, where one was set"
    )
    splits: dict[str, SplitSummary] = Field(description="Counts by split, after any limit")
    before_limits: dict[str, int] = Field(
        default_factory=dict,
        description="Images by split before any limit; empty in older records",
    )
    fingerprint: str = Field(description="SHA-256 over ids, labels, splits and pixels used")
    image_size: int = Field(description="Side in pixels the pipelines receive")
    notes: list[str] = Field(default_factory=list, description="Limits, duplicates, split origin")
    copies: CopiesFacts | None = Field(
        default=None, description="Equal images in several splits; none in older records"
    )


class BackboneSummary(Record):
    """The feature extractor and where its weights came from."""

    name: str = Field(description="timm model name")
    weights: Literal["untrained", "hub", "file", "shipped", "package"] = Field(
        description="Where the weights come from"
    )
    weights_sha256: str = Field(description="SHA-256 over names and values of all parameters")
    provenance: str = Field(description="Who trained them, in one sentence")
    licence: str = Field(default="", description="Licence of the weights")
    untrained: bool = Field(description="True: random weights; flagged on every page")
    pretrained_on: list[str] = Field(
        default_factory=list,
        description="Collections whose images the weights were trained on, as their card declares",
    )
    parameters: int = Field(default=0, description="Number of parameters")
    feature_width: int = Field(default=0, description="Width of the feature vector")


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


class WorkPlace(Record):
    """Which worker of a run measured a cell, and what else of the run was under way then."""

    worker: int = Field(description="Number of the worker, as the run counts them")
    machine: int = Field(description="Number of the worker's machine, as the run counts them")
    at_once: int = Field(
        description="Most cells of the run that could be under way at a time, this one included"
    )
    losses: int = Field(
        default=0, description="Workers that were lost while they had this cell, before this one"
    )
    host: str = Field(
        default="",
        description="Stands for the machine, salted per run: equal for cells of a run that were "
        "measured on one machine; '' where it is not known",
    )
    disturbed: bool = Field(
        default=False,
        description="Latency: a worker ended or started on that machine meanwhile, at each try",
    )


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


# "not applicable": the attack means nothing here. "unreadable": no attack of the suite reads such
# messages, so that nothing is known. "not run": it should have run and did not, see ``not_run``.
Verdict = Literal[
    "broken",
    "partial",
    "resists within budget",
    "unreliable",
    "not applicable",
    "unreadable",
    "not run",
]


# "evidence": the target is judged by it. "control": an attack on pictures that ran on ciphertexts
# which are none and rest on a hardness assumption, and found what it finds in noise. "open by
# design": what was won is what the server is meant to know. "necessary": it must hold, but holding
# is no evidence of resistance.
CountsAs = Literal["evidence", "control", "open by design", "necessary"]

MessageSource = Literal[
    "", "crossed in the run", "deployed again", "deployed for the audit", "cipher alone"
]


class ReferenceFacts(Record):
    """Public images that an attack, or the matching of a patch embedding, was given."""

    name: str = Field(description="As passed to --public; of a folder its digest stands for a path")
    domain: Literal["in-domain", "foreign", "domain not known"] = Field(
        description="in-domain: of the collection under test, or made from it"
    )
    digest: str = Field(description="SHA-256 of what the images are drawn from")
    provenance: str = Field(description="Where they come from, in one line")
    images: int | None = Field(default=None, description="How many were given, per key")
    notes: list[str] = Field(default_factory=list, description="What was done to them")


class AttackPicture(Record):
    """One picture an attack left: what was seen, what came out, and how near it is to the truth."""

    file: str = Field(description="PNG in the run folder, relative")
    role: Literal["original", "server's view", "after attack"] = Field(description="What it shows")
    image: str = Field(description="Id of the image it shows")
    caption: str = Field(default="", description="The text under the picture")


class AttackOutcome(Record):
    """What one attack achieved against one target, between its floor and its ceiling.

    A check that has no scale of its own (parameters, freshness, server state) leaves ``floor``,
    ``ceiling`` and ``advantage`` empty and is read from verdict, ``headline`` and ``details``.
    """

    schema_version: int = Field(default=SCHEMA_VERSION, description="Version of this schema")
    identity: str = Field(description="Key of the outcome: hash of every input that can change it")
    attack: str = Field(description="Name of the attack")
    title: str = Field(default="", description="Name of the attack as a reader knows it")
    target: str = Field(description="Label of the pipeline, or the cipher as written")
    target_kind: Literal["pipeline", "cipher", "control"] = Field(
        default="cipher", description="What is attacked; a control has a known answer"
    )
    scheme: str = Field(
        default="", description="The cipher or scheme attacked, by name; '' where none was deployed"
    )
    rung: Knowledge = Field(
        description="Rung of the capability ladder: the weakest adversary that can do it"
    )
    knowledge: list[Knowledge] = Field(description="All the adversary was given")
    aim: Aim | None = Field(
        default=None, description="Property that is tested; none: its author named none"
    )
    reference: ReferenceFacts | None = Field(
        default=None, description="Public images it was given; none: it needs none"
    )
    headline: str = Field(default="", description="What came out, in one sentence with its number")
    metric: MetricValue | None = Field(
        default=None, description="The attack's result over keys; none where it did not run"
    )
    higher_is_worse: bool = Field(default=True, description="A higher value is worse for the owner")
    per_key: list[float] = Field(default_factory=list, description="The metric, key by key")
    details: list[MetricValue] = Field(default_factory=list, description="Further metrics")
    floor: float | None = Field(
        default=None, description="The most that is had without winning anything"
    )
    floor_from: str = Field(
        default="",
        description="Which floor that is; '' in older records: noise, or a known chance level",
    )
    floors: dict[str, float] = Field(
        default_factory=dict, description="What each floor gives, by name"
    )
    ceiling: float | None = Field(
        default=None, description="The same attack on unprotected data, or the best possible"
    )
    advantage: float | None = Field(
        default=None, description="(metric - floor) / (ceiling - floor), in [0, 1]"
    )
    advantage_interval: Interval | None = Field(default=None, description="Over keys and images")
    controls: dict[str, float] = Field(
        default_factory=dict, description="The metric on each control, by cipher name"
    )
    control_keys: int = Field(
        default=0,
        description="Keys under which the controls were attacked: floor and ceiling are estimates "
        "from so few; 0: not recorded",
    )
    verdict: Verdict = Field(description="Verdict within the budget")
    budget: dict[str, Any] = Field(default_factory=dict, description="Images, queries, keys, ...")
    spent: dict[str, Any] = Field(default_factory=dict, description="What was used of it")
    seconds: float = Field(default=0.0, description="Wall time of the attack on this target")
    unreliable: list[str] = Field(default_factory=list, description="Reasons not to trust it")
    controls_failed: list[str] = Field(
        default_factory=list,
        description="Controls whose answer was wrong: among the reasons not to trust it",
    )
    not_run: NotRun | None = Field(
        default=None, description="Kind of reason, where the verdict is 'not run'"
    )
    artefacts: list[str] = Field(default_factory=list, description="Files in the run folder")
    pictures: list[AttackPicture] = Field(default_factory=list, description="Pictures it left")
    files_sha256: dict[str, str] = Field(
        default_factory=dict,
        description="Digests of all files that it left, by name; empty in older records",
    )
    aligned: bool = Field(
        default=False,
        description="True: before it was compared and shown, a picture was turned, mirrored or "
        "negated as a whole to match its original, which the ciphertext does not determine",
    )
    claim: str = Field(default="", description="The claim of the target that is tested")
    counts_as: CountsAs = Field(
        default="evidence", description="Whether the target is judged by it, or why not"
    )
    keys: Literal["", "operating system", "seeded"] = Field(
        default="",
        description="Where attacked keys come from: those of the operating system make scores "
        "differ within their intervals, seeded ones are for debugging; '' in older records",
    )
    messages: MessageSource = Field(
        default="", description="Where the attacked messages come from; '' where none was read"
    )
    promised: bool = Field(
        default=True, description="False: the target never promised what is tested"
    )
    limits: list[str] = Field(default_factory=list, description="What the outcome does not show")
    reproduce: str = Field(default="", description="Command that reproduces it")
    source: str = Field(default="", description="Paper or standard the attack follows")
    reason: str = Field(
        default="", description="Why not applicable, unreadable, unreliable or not run"
    )
    place: int = Field(
        default=0, description="Place of its cell in the order of the audit; 0 in older records"
    )
    beside: str = Field(
        default="",
        description="Target beside which a control was attacked, with what the attack believes of "
        "it; '' for what was a target itself, and in older records",
    )
    line_sha256: str = Field(
        default="",
        description="In the file alone, at the end of the line: SHA-256 of the line without it; '' "
        "in older records",
    )

    @model_validator(mode="before")
    @classmethod
    def _facts_of_old_records(cls, values: Any, info: ValidationInfo) -> Any:
        """Fill in what records written before these fields say in sentences only."""
        return with_outcome_facts(values) if info.mode == "json" else values

    @property
    def row(self) -> str:
        """Name of its row in the matrix: the attack, with each reference one of its own."""
        return f"{self.attack}@{self.reference.name}" if self.reference else self.attack


class WorkFacts(Record):
    """Who computes what for a pipeline, in short phrases; '' where it does not say."""

    hospital: str = Field(description="What the hospital computes")
    server: str = Field(description="What the server computes")
    head_trained_by: str = Field(description="Who trained the last layer, and on what")
    head_owner: str = Field(description="Who owns the last layer, and who else holds it")


class PlannedPipeline(Record):
    """A pipeline as the plan names it."""

    name: str = Field(description="Pipeline name")
    label: str = Field(description="Unique label")
    parameters: dict[str, Any] = Field(description="As passed")
    resolved: dict[str, Any] = Field(description="With defaults")
    meanings: dict[str, str] = Field(
        default_factory=dict,
        description="What each parameter means, by name; empty in older records",
    )
    reference_rank: int | None = Field(
        default=None,
        description="The smallest of the run is the reference of differences; none: never it",
    )
    no_server: bool = Field(
        default=False, description="True: it has no server, the hospital does everything itself"
    )
    twin: str = Field(
        default="",
        description="Label of the same model in this run without the protection; '' where the run "
        "has none",
    )
    twin_wanted: str = Field(
        default="", description="That model as --pipeline takes it; '' where it protects nothing"
    )
    twin_differs: str = Field(default="", description="What else differs from the twin")
    work: WorkFacts | None = Field(
        default=None, description="Who computes what; none in older records"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, values: Any) -> Any:
        return with_reference_rank(values)


class Manifest(Record):
    """The plan of a run: written once, compared on resume."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="Version of this schema")
    plan: str = Field(description="Hash of everything that defines the run")
    created_at: str = Field(description="UTC, ISO 8601")
    tool_version: str = Field(description="Version of he-compare")
    command: str = Field(description="Command that reproduces the run, without machine paths")
    dataset: DatasetSummary = Field(description="Dataset as used")
    backbone: BackboneSummary = Field(description="Backbone as used")
    pipelines: list[PlannedPipeline] = Field(description="Pipelines in order")
    seed: int = Field(description="Root seed; of several the first, which the data follow")
    seeds: list[int] = Field(
        default_factory=list,
        description="Seeds under which pipelines were to be trained, the first one first; empty in "
        "older records",
    )
    profile: str = Field(description="Name of the profile")
    settings: dict[str, Any] = Field(description="Resolved settings of the run")
    meanings: dict[str, str] = Field(
        default_factory=dict, description="What each setting means; empty in older records"
    )
    sums_cover_all: bool = Field(
        default=False,
        description="True: SHA256SUMS leaves no file of the folder out; false in older records",
    )

    @model_validator(mode="before")
    @classmethod
    def _facts_of_old_records(cls, values: Any, info: ValidationInfo) -> Any:
        """Fill in what manifests written before these fields say otherwise."""
        return with_twins(with_manifest_facts(values)) if info.mode == "json" else values


class PairedDifference(Record):
    """Difference of two pipelines on the same images."""

    metric: str = Field(description="accuracy, balanced_accuracy or auc")
    pipeline: str = Field(description="Label")
    reference: str = Field(description="Label of the reference")
    difference: float | None = Field(description="pipeline - reference")
    interval: Interval | None = Field(description="Paired bootstrap by group")
    p_value: float | None = Field(description="Of an exact paired test (accuracy only)")
    p_method: str = Field(
        default="",
        description="The test by name; '' in older records: McNemar's, images taken as independent",
    )
    n: int = Field(description="Images in both")
    discordant: tuple[int, int] | None = Field(
        default=None, description="Right only in the pipeline, right only in the reference"
    )

    @property
    def of_trainings(self) -> tuple[float, ...]:
        """The differences of several trainings of which this is the mean; () where it is of one."""
        return ()


class MeanDifference(PairedDifference):
    """The mean difference over trainings: each training minus the other's under the same seed."""

    by_training: list[float] = Field(description="The difference under each seed, in their order")

    @property
    def of_trainings(self) -> tuple[float, ...]:
        """The difference under each seed, in their order."""
        return tuple(self.by_training)


class CostRung(Record):
    """One model on the way from the clear reference to the executed one, and what it costs."""

    name: str = Field(description="The model in words; the last one is what was executed")
    cost: str = Field(description="What the step from the model before costs; '' for the first")
    accuracy: float | None = Field(description="Accuracy; none where it is not defined")
    auc: float | None = Field(description="AUC as the run reports it; none where not defined")
    differences: list[PairedDifference] = Field(
        default_factory=list,
        description="To the model before, on the same images: accuracy and AUC; none for the first",
    )


class OperatingPoint(Record):
    """How test images are called at a threshold that was fixed on validation images alone."""

    threshold: float | None = Field(
        description="Probability of the positive class at or above which it is called; none: it "
        "could not be fixed, see note"
    )
    rule: str = Field(description="How the threshold was fixed")
    scored_by: str = Field(description="What scored the validation images")
    validation_images: list[int] = Field(description="Validation images, by class")
    confusion: list[list[int]] = Field(
        default_factory=list, description="Test images: rows truth, columns prediction"
    )
    sensitivity: MetricValue | None = Field(default=None, description="On the test images")
    specificity: MetricValue | None = Field(default=None, description="On the test images")
    note: str = Field(default="", description="Why there is no threshold")


class CellScores(Record):
    """All metrics of one accuracy cell."""

    identity: str = Field(description="Record the predictions belong to")
    label: str = Field(description="Pipeline label")
    metrics: list[MetricValue] = Field(description="Every metric with its interval")
    confusion: list[list[int]] = Field(description="Rows truth, columns prediction")
    roc: list[tuple[float, float]] = Field(
        default_factory=list,
        description="Binary only: share of the other class and share of the positive class that "
        "are called positive; of the second class where none is positive",
    )
    reliability: list[tuple[float, float, int]] = Field(
        default_factory=list, description="(mean confidence, observed share, n) by bin"
    )
    rungs: list[CostRung] = Field(
        default_factory=list,
        description="From the clear reference to what was executed, one step at a time; none where "
        "the pipeline names no models between them",
    )
    at_validated_threshold: OperatingPoint | None = Field(
        default=None,
        description="At a threshold fixed on validation images; none where no class is positive "
        "or the validation split was not scored",
    )


class MeanScores(Record):
    """All metrics of one pipeline as means over its trainings."""

    label: str = Field(description="Pipeline label")
    seeds: list[int] = Field(description="Seeds of the trainings, the first of the run first")
    metrics: list[MeanValue] = Field(description="Every metric with an interval for both samples")


class ScoreSheet(Record):
    """Scores of a run, recomputed from stored predictions alone."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="Version of this schema")
    reference: str = Field(description="Label of the reference of paired differences")
    threshold: float = Field(
        description="Probability at or above which the positive class of two is predicted; where "
        "none is positive, and with more classes, the likeliest class is predicted"
    )
    proportions: str = Field(
        default="",
        description="How intervals of proportions were made; '' in older records: Wilson, images "
        "taken as independent",
    )
    cells: list[CellScores] = Field(description="One per scored accuracy cell")
    repeats: list[CellScores] = Field(
        default_factory=list, description="Of accuracy cells of further seeds: trained once more"
    )
    differences: list[PairedDifference] = Field(
        description="Against the twin of each pipeline, and against the reference"
    )
    means: list[MeanScores] = Field(
        default_factory=list, description="Of pipelines that were trained under several seeds"
    )
    mean_differences: list[MeanDifference] = Field(
        default_factory=list,
        description="As ``differences``, where both pipelines have several seeds in common",
    )
    over_trainings: str = Field(
        default="",
        description="How intervals of means were made; '' without means and in older records",
    )
    against_twins: bool = Field(
        default=False, description="False in older records: against the reference only"
    )


def export_schema() -> dict[str, Any]:
    """Return one JSON schema with a definition for every top-level record."""
    from pydantic.json_schema import models_json_schema

    roots: list[type[BaseModel]] = [RunRecord, AttackOutcome, Manifest, ScoreSheet]
    _, schema = models_json_schema(
        [(model, "serialization") for model in roots],
        title="he-compare records",
        description=f"Records of he-compare, schema version {SCHEMA_VERSION}",
    )
    return schema
