"""A pipeline of a plan, and which other one of the plan is it without its protection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from pydantic import BaseModel

from he_compare.common import plugins
from he_compare.comparisons.measuring.pipeline_spec import PipelineSpec, resolve_parameters


@dataclass(frozen=True)
class Planned:
    """A pipeline of the plan: its specification, its plug-in and its resolved parameters."""

    spec: PipelineSpec
    pipeline: Any
    parameters: BaseModel

    @property
    def label(self) -> str:
        """Short unique name within the run."""
        return self.spec.label

    def resolved(self) -> dict[str, Any]:
        """Parameters with defaults, as JSON values."""
        return self.parameters.model_dump(mode="json")


class TwinFacts(TypedDict):
    """The fields of a planned pipeline that tell of its twin."""

    twin: str
    twin_wanted: str
    twin_differs: str


def twin_facts(planned: Planned, others: Sequence[Planned]) -> TwinFacts:
    """Return the twin that a pipeline names, and its label where the plan has it.

    Two pipelines are the same where their names and their parameters with defaults are.
    """
    twin = planned.pipeline.twin(planned.parameters)
    if twin is None:
        return TwinFacts(twin="", twin_wanted="", twin_differs="")
    pipeline = plugins.load("pipelines", twin.pipeline)
    wanted = resolve_parameters(pipeline, PipelineSpec(twin.pipeline, dict(twin.parameters)))
    resolved = wanted.model_dump(mode="json")
    found = [
        one.label
        for one in others
        if one.pipeline.name == twin.pipeline and one.resolved() == resolved
    ]
    named = wanted.model_dump(mode="json", exclude_defaults=True)
    return TwinFacts(
        twin=found[0] if found else "",
        twin_wanted=PipelineSpec(twin.pipeline, named).text,
        twin_differs=twin.differs,
    )
