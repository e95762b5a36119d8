"""Invented pipelines: how good, how slow, how large, and how their cells end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy.typing as npt
from pydantic import ValidationError

from he_compare.common import plugins
from he_compare.common.errors import CompareError
from he_compare.common.run.records import WorkFacts
from he_compare.common.types import Status
from he_compare.comparisons.measuring.pipeline_spec import PipelineSpec, parse_spec

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]
DEFAULTS: dict[str, dict[str, Any]] = {
    "plaintext": {"model": "finetune"},
    "block-scramble": {"mode": "trained", "key_policy": "per_client"},
    "fhe-head": {"packing": "auto", "parameter_set": "auto"},
}


@dataclass(frozen=True)
class Kind:
    """An invented pipeline: how good, how slow, how large, and how its cells end.

    ``training``: under encryption "from one upload", "refreshed", or "older", as records once were.
    """

    name: str
    label: str
    accuracy: float
    client_ms: float
    server_ms: float
    upload: int
    download: int
    public: int
    claim: str = "none"
    parameters: tuple[tuple[str, Any], ...] = ()
    status: Status = Status.OK
    reason: str = ""
    picture: bool = True
    training: str = "from one upload"
    no_server: bool = False

    @property
    def resolved(self) -> dict[str, Any]:
        """Some of the parameters as the pipeline resolves them."""
        return DEFAULTS.get(self.name, {}) | dict(self.parameters)


def invented(
    spec: str,
    accuracy: float,
    client_ms: float,
    server_ms: float,
    upload: int,
    download: int,
    public: int,
    **rest: Any,
) -> Kind:
    """Return the kind of a pipeline spelled as on the command line: ``NAME[param=value,...]``."""
    parsed = parse_spec(spec)
    return Kind(
        parsed.name,
        parsed.label,
        accuracy,
        client_ms,
        server_ms,
        upload,
        download,
        public,
        parameters=tuple(parsed.parameters.items()),
        **rest,
    )


def twins_of(kind: Kind, kinds: Sequence[Kind]) -> dict[str, Any]:
    """Return what a plan says of a kind's twin and work, as the real pipeline of its name does."""
    pipeline = plugins.load("pipelines", kind.name)
    try:
        parameters = pipeline.parameters.model_validate(dict(kind.parameters))
    except (ValidationError, CompareError):  # names from outside, which tests invent
        parameters = pipeline.parameters()
    work = WorkFacts(**asdict(pipeline.work(parameters)))
    twin = pipeline.twin(parameters)
    if twin is None:
        return {"work": work}
    spec = PipelineSpec(twin.pipeline, dict(twin.parameters))
    chosen = plugins.load("pipelines", twin.pipeline).parameters.model_validate(spec.parameters)
    spec = PipelineSpec(twin.pipeline, chosen.model_dump(mode="json", exclude_defaults=True))
    labels = [one.label for one in kinds if one.label == spec.label]
    facts = {"twin": labels[0] if labels else "", "twin_wanted": spec.text}
    return {"work": work, "twin_differs": twin.differs, **facts}


LATTICE = "reduction to a hardness assumption"
PLAIN = invented("plaintext", 0.93, 3.1, 5.4, 150_000, 310, 22_000_000)
SCRAMBLE = invented(
    "block-scramble[cipher=al_amin]",
    0.84,
    4.0,
    5.6,
    150_400,
    310,
    22_100_000,
    claim="heuristic",
)
FHE = invented("fhe-head", 0.92, 9.5, 14.2, 92_000, 46_000, 2_600_000, claim=LATTICE, picture=False)
LOCAL = invented("local", 0.92, 11.0, 0.0, 0, 0, 0, picture=False, no_server=True)
TRAINED = replace(FHE, name="fhe-train", label="fhe-train")
