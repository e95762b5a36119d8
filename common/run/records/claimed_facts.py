"""What a pipeline claims of its security, and the parameters that the claim rests on."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, model_validator

from he_compare.common.run.old_records import with_claim_facts
from he_compare.common.run.records.record_base import Record


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
