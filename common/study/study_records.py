"""What a study folder says of itself: what was asked, row by row, and what each row came to.

``study.json`` holds no result: those are in the runs. It says which cells were planned, so that
what is done and left can be counted without opening a data set.
"""

from __future__ import annotations

from pydantic import Field

from he_compare.common.run.records import Record
from he_compare.common.types import Phase

STUDY_SCHEMA = 1


class StudyCell(Record):
    """A cell of a row as planned. ``seconds``: as estimated, None where nothing estimates it."""

    identity: str = Field(description="Key of its record in the run", max_length=64)
    label: str = Field(description="Label of the pipeline")
    seed: int = Field(description="Seed of the training")
    phase: Phase = Field(description="What is measured")
    round: int = Field(default=0, description="Of latency; 0 elsewhere")
    seconds: float | None = Field(default=None, description="Estimate; none where not known")


class StudyRow(Record):
    """One data set of a study: one run, in ``runs/NAME``."""

    name: str = Field(
        description="Name of the row and of its run's folder",
        pattern=r"^[a-z0-9][a-z0-9-]{0,39}$",
    )
    title: str = Field(description="What the data set is called in reports")
    dataset: str = Field(description="The data set as runs write it down, without a path")
    pipelines: list[str] = Field(description="Labels of the pipelines that are asked for")
    plan: str = Field(default="", description="Key of the plan that was last accepted for its run")
    unavailable: str = Field(default="", description="Why this machine has no such data; '' else")
    problem: str = Field(default="", description="Why its run was given up; '' where it was not")
    cells: list[StudyCell] = Field(default_factory=list, description="All cells of its run")
    audit_seconds: float | None = Field(
        default=0.0, description="What its attacks take at most; none where nothing bounds them"
    )
    ended: bool = Field(default=False, description="Its run came to its end, attacks included")


# What a figure may be of beside metrics: what attackers got, and seconds of encrypted training.
WHAT_ATTACKERS_GOT, TRAINING_SECONDS = "secrecy", "encrypted_training_seconds"
NO_METRICS = (WHAT_ATTACKERS_GOT, TRAINING_SECONDS)


class PublishedFigure(Record):
    """A figure of somebody's publication, and which figure of this study stands beside it."""

    name: str = Field(description="Name of the entry in the study file")
    work: str = Field(description="The publication: authors, year, where")
    says: str = Field(description="The figure as published, in words")
    data: str = Field(description="Name of the row that ours is of")
    pipeline: str = Field(description="Label of the pipeline that ours is of")
    metric: str = Field(
        description="Name of the metric that ours is of; `secrecy`: what attackers got of the "
        "images; `encrypted_training_seconds`: training on ciphertexts, after the upload"
    )
    minus_twin: bool = Field(default=False, description="Ours is the difference to the twin")
    checked: str = Field(
        default="", description="Where the figure was read; '' where nobody verified it"
    )
    differs: str = Field(default="", description="What differs between theirs and ours")


class StudyRecord(Record):
    """The plan of a study, and how far each row is."""

    schema_version: int = Field(default=STUDY_SCHEMA, description="Version of this schema")
    digest: str = Field(description="SHA-256 of all that the study file asks for")
    title: str = Field(description="Title of the study")
    file: str = Field(description="Name of the study file, without a path")
    created_at: str = Field(description="UTC, ISO 8601")
    tool_version: str = Field(description="Version of he-compare")
    seeds: list[int] = Field(description="Seeds of the trainings, the first one first")
    margins: dict[str, float] = Field(
        description="Differences smaller than this are of no weight, by kind: accuracy, auc"
    )
    rows: list[StudyRow] = Field(description="Data sets in their order")
    published: list[PublishedFigure] = Field(
        default_factory=list, description="Published figures that the study stands beside"
    )
    accepted: list[str] = Field(
        default_factory=list, description="Changes of the study file that were accepted, in words"
    )
