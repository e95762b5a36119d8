"""From the command line and a profile to one validated configuration of a run.

A profile is a TOML file in ``comparisons/profiles``; every option of the command overrides it. A
pipeline is written ``NAME[param=value,...]``.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.plugins import nearest

PROFILES = Path(__file__).parent / "profiles"
SPEC = re.compile(r"^\s*(?P<name>[A-Za-z][\w-]*)\s*(?:\[(?P<parameters>.*)\])?\s*$", re.DOTALL)


class RunConfig(BaseModel):
    """Everything that defines a run but the dataset itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str = Field(description="Name of the profile the values start from")
    subset: str = Field(default="", description="Dataset subset; '' is the dataset's default")
    image_size: int = Field(ge=16, le=1024, description="Side in pixels the pipelines receive")
    train_limit: int | None = Field(default=None, ge=2, description="Most training images")
    val_limit: int | None = Field(default=None, ge=2, description="Most validation images")
    test_limit: int | None = Field(default=None, ge=2, description="Most test images")
    backbone: str = Field(description="timm name of the DeiT")
    weights: str = Field(description="untrained, hub, shipped, package:NAME, FILE")
    epochs: int = Field(ge=1, le=1000, description="Most epochs of every trained model")
    batch_size: int = Field(ge=1, le=4096, description="Training batch")
    learning_rate: float = Field(gt=0, le=1, description="Peak learning rate")
    infer_batch: int = Field(ge=1, le=4096, description="Images a request in the throughput pass")
    latency_images: int = Field(ge=0, le=10_000, description="Images a latency round; 0: none")
    latency_rounds: int = Field(ge=0, le=100, description="Interleaved latency rounds")
    robustness_images: int = Field(
        default=0, ge=0, le=10_000, description="Test images sent with disturbed bits; 0: none"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Root seed")
    threads: int = Field(default=0, ge=0, le=1024, description="Threads a process; 0: all cores")
    call_seconds: float = Field(default=900.0, gt=0, description="Time limit of one server call")
    pictures: int = Field(default=4, ge=0, le=16, description="Sample images in the report")
    audit: Literal["none", "quick", "full"] = Field(
        default="quick", description="Budget of the attacks on the run's own pipelines"
    )
    pipelines: list[str] = Field(min_length=1, description="NAME[param=value,...]")

    @field_validator("backbone")
    @classmethod
    def _known_backbone(cls, value: str) -> str:
        from he_compare.common.backbones.catalog import find_backbone

        try:
            return find_backbone(value).name
        except UnknownNameError as error:
            raise ValueError(str(error)) from None


def profile_names() -> list[str]:
    """Return the names of the profiles that ship, shortest run first."""
    order = ["smoke", "quick", "full"]
    found = [file.stem for file in PROFILES.glob("*.toml")]
    return sorted(found, key=lambda name: (order.index(name) if name in order else 99, name))


def load_config(profile: str, overrides: dict[str, Any]) -> RunConfig:
    """Read a profile and put the given options over it. Raises UsageError naming the value."""
    path = PROFILES / f"{profile}.toml"
    if profile not in profile_names():
        raise UnknownNameError(
            f"unknown profile {profile!r}", fix=nearest(profile, profile_names())
        )
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    values |= {name: value for name, value in overrides.items() if value is not None}
    try:
        return RunConfig.model_validate({"profile": profile, **values})
    except ValidationError as error:
        raise UsageError(describe_validation(error, "option")) from None


def describe_validation(error: ValidationError, what: str) -> str:
    """Turn a validation error into one line: which value, what is wrong with it."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"]) or what
    message = str(first["msg"]).removeprefix("Value error, ")
    shown = repr(first.get("input"))
    return f"{what} {name}={shown if len(shown) < 80 else '...'}: {message}"


@dataclass(frozen=True)
class PipelineSpec:
    """A pipeline as it was asked for."""

    name: str
    parameters: dict[str, Any]

    @property
    def label(self) -> str:
        """Short name within a run: the pipeline and the values that were passed."""
        shown = [
            value if isinstance(value, str) else f"{name}={_spell(value)}"
            for name, value in self.parameters.items()
        ]
        return f"{self.name}[{','.join(shown)}]" if shown else self.name

    @property
    def text(self) -> str:
        """The spelling that parses back to this specification."""
        pairs = ",".join(f"{name}={_spell(value)}" for name, value in self.parameters.items())
        return f"{self.name}[{pairs}]" if pairs else self.name


def _spell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_spec(text: str, noun: str = "pipeline") -> PipelineSpec:
    """Parse ``NAME[param=value,...]`` of a pipeline, or of what ``noun`` says.

    Raises UsageError naming the part that does not parse.
    """
    match = SPEC.match(text)
    if match is None:
        raise UsageError(
            f"{noun} {text!r} does not parse", fix="write NAME or NAME[param=value,...]"
        )
    parameters: dict[str, Any] = {}
    for part in filter(None, (piece.strip() for piece in (match["parameters"] or "").split(","))):
        name, equals, value = part.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise UsageError(
                f"parameter {part!r} of {noun} {match['name']!r} does not parse",
                fix="write param=value",
            )
        if name in parameters:
            raise UsageError(f"parameter {name!r} of {noun} {match['name']!r} is given twice")
        parameters[name] = _literal(value.strip())
    return PipelineSpec(match["name"], parameters)


def _literal(text: str) -> Any:
    """Numbers and booleans as TOML spells them, everything else as text."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip("\"'")
    return cast(Any, value) if isinstance(value, int | float | bool | str) else text


def resolve_parameters(pipeline: Any, spec: PipelineSpec) -> BaseModel:
    """Validate a specification against the pipeline's parameters.

    Raises UnknownNameError for a parameter that does not exist (with the nearest), UsageError for a
    value that does not fit.
    """
    known = list(pipeline.parameters.model_fields)
    for name in spec.parameters:
        if name not in known:
            raise UnknownNameError(
                f"pipeline {pipeline.name!r} has no parameter {name!r}", fix=nearest(name, known)
            )
    try:
        return cast(BaseModel, pipeline.parameters.model_validate(spec.parameters))
    except ValidationError as error:
        raise UsageError(describe_validation(error, f"pipeline {pipeline.name}:")) from None
