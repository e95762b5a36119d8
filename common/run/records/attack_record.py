"""What one attack achieved against one target: a line of attacks.jsonl."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, model_validator

from he_compare.common.run.old_records import with_outcome_facts
from he_compare.common.run.records.record_base import SCHEMA_VERSION, Interval, MetricValue, Record
from he_compare.common.types import Aim, Knowledge, NotRun

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
