"""The plan of a run: manifest.json."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationInfo, model_validator

from he_compare.common.run.old_records import with_manifest_facts, with_reference_rank, with_twins
from he_compare.common.run.records.dataset_facts import BackboneSummary, DatasetSummary
from he_compare.common.run.records.record_base import SCHEMA_VERSION, Record


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
        description="True: SHA256SUMS leaves no file of the folder out, and every line of a record "
        "has its digest; false in older records",
    )

    @model_validator(mode="before")
    @classmethod
    def _facts_of_old_records(cls, values: Any, info: ValidationInfo) -> Any:
        """Fill in what manifests written before these fields say otherwise."""
        return with_twins(with_manifest_facts(values)) if info.mode == "json" else values
