"""From the command line and a profile to one validated configuration of a run.

A profile is a TOML file in ``comparisons/profiles``; every option of the command overrides it. A
pipeline is written ``NAME[param=value,...]``.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.plugins import nearest

PROFILES = Path(__file__).parent / "profiles"
SPEC = re.compile(r"^\s*(?P<name>[A-Za-z][\w-]*)\s*(?:\[(?P<parameters>.*)\])?\s*$", re.DOTALL)


@dataclass(frozen=True)
class OptionGroup:
    """The heading under which `compare run --help` shows a setting."""

    heading: str


RUN = OptionGroup("Run")
IMAGES = OptionGroup("Images")
TRAINING = OptionGroup("Models and training")
MEASUREMENT = OptionGroup("Measurement")
REPORT = OptionGroup("Attacks and report")


class RunConfig(BaseModel):
    """Everything that defines a run, except the dataset.

    A field is a setting of ``compare run`` and of ``comparisons.run``: name, help, bounds, default
    and heading are said here, once. A field without a default is set by every profile. What
    pipelines read as well has a field of the same name in ``common.contracts.RunSettings``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: Annotated[str, RUN] = Field(description="Profile that gives the default values")
    pipelines: Annotated[list[str], RUN] = Field(
        min_length=1, description="Pipelines, each as NAME[param=value,...]"
    )
    seed: Annotated[int, RUN] = Field(
        default=0, ge=0, lt=2**63, description="Seed of every random choice but keys"
    )
    subset: Annotated[str, IMAGES] = Field(
        default="", description="Subset of the dataset, for instance balanced"
    )
    image_size: Annotated[int, IMAGES] = Field(
        ge=16, le=1024, description="Width and height of the images in pixels"
    )
    train_limit: Annotated[int | None, IMAGES] = Field(
        default=None, ge=2, description="Maximum number of training images"
    )
    val_limit: Annotated[int | None, IMAGES] = Field(
        default=None, ge=2, description="Maximum number of validation images"
    )
    test_limit: Annotated[int | None, IMAGES] = Field(
        default=None, ge=2, description="Maximum number of test images"
    )
    backbone: Annotated[str, TRAINING] = Field(
        description="Name of the DeiT, see `compare list backbones`"
    )
    weights: Annotated[str, TRAINING] = Field(
        description="Weights: shipped, hub, untrained, package:NAME or a .safetensors file"
    )
    epochs: Annotated[int, TRAINING] = Field(
        ge=1, le=1000, description="Maximum number of epochs per trained model"
    )
    batch_size: Annotated[int, TRAINING] = Field(
        ge=1, le=4096, description="Images per training batch"
    )
    learning_rate: Annotated[float, TRAINING] = Field(gt=0, le=1, description="Peak learning rate")
    infer_batch: Annotated[int, MEASUREMENT] = Field(
        ge=1, le=4096, description="Images per throughput request"
    )
    latency_images: Annotated[int, MEASUREMENT] = Field(
        ge=0, le=10_000, description="Images per latency round; 0: no latency is measured"
    )
    latency_rounds: Annotated[int, MEASUREMENT] = Field(
        ge=0, le=100, description="Number of latency rounds, pipelines interleaved"
    )
    robustness_images: Annotated[int, MEASUREMENT] = Field(
        default=0, ge=0, le=10_000, description="Test images sent with disturbed bits; 0: none"
    )
    threads: Annotated[int, MEASUREMENT] = Field(
        default=0, ge=0, le=1024, description="Threads per process; 0: all cores"
    )
    call_seconds: Annotated[float, MEASUREMENT] = Field(
        default=900.0, gt=0, description="Time limit per server call in seconds"
    )
    audit: Annotated[Literal["none", "quick", "full"], REPORT] = Field(
        default="quick", description="Budget of the attacks on the run's own pipelines"
    )
    pictures: Annotated[int, REPORT] = Field(
        default=4,
        ge=0,
        le=16,
        description="Sample images in the report; 0: no image is copied into the run",
    )

    @field_validator("backbone")
    @classmethod
    def _known_backbone(cls, value: str) -> str:
        from he_compare.common.backbones.catalog import find_backbone

        try:
            return find_backbone(value).name
        except UnknownNameError as error:
            raise ValueError(str(error)) from None


def option_group(field: FieldInfo) -> str:
    """Return the heading of a setting in the help."""
    return next(one.heading for one in field.metadata if isinstance(one, OptionGroup))


def allowed_values(field: FieldInfo) -> str:
    """Say which values a field takes, for instance "16 to 1024"; empty where it does not bound."""
    if get_origin(field.annotation) is Literal:
        return "one of " + ", ".join(map(str, get_args(field.annotation)))
    bounds = {
        kind: _number(getattr(one, kind))
        for one in field.metadata
        for kind in ("ge", "gt", "le", "lt")
        if hasattr(one, kind)
    }
    if {"ge", "le"} <= bounds.keys():
        return f"{bounds['ge']} to {bounds['le']}"
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    return ", ".join(f"{words[kind]} {bound}" for kind, bound in bounds.items())


def _number(value: Any) -> str:
    """Spell a bound; the large powers of two by their exponent."""
    large = isinstance(value, int) and value >= 2**31 and value & (value - 1) == 0
    return f"2^{value.bit_length() - 1}" if large else str(value)


def profile_names() -> list[str]:
    """Return the names of the profiles that ship, shortest run first."""
    order = ["smoke", "quick", "full"]
    found = [file.stem for file in PROFILES.glob("*.toml")]
    return sorted(found, key=lambda name: (order.index(name) if name in order else 99, name))


def profile_values() -> dict[str, dict[str, Any]]:
    """Return what each profile sets, by the profile's name."""
    files = {name: PROFILES / f"{name}.toml" for name in profile_names()}
    return {name: tomllib.loads(file.read_text("utf-8")) for name, file in files.items()}


def load_config(profile: str, overrides: dict[str, Any]) -> RunConfig:
    """Read a profile and put the given settings over it. Raises UsageError naming the value."""
    profiles = profile_values()
    if profile not in profiles:
        raise UnknownNameError(f"unknown profile {profile!r}", fix=nearest(profile, [*profiles]))
    given = {name: value for name, value in overrides.items() if value is not None}
    for name in given:
        if name not in RunConfig.model_fields:
            raise UnknownNameError(
                f"unknown setting {name}={given[name]!r}",
                fix=nearest(name, [*RunConfig.model_fields]),
            )
    try:
        return RunConfig.model_validate({"profile": profile, **profiles[profile], **given})
    except ValidationError as error:
        raise UsageError(
            describe_validation(error, "setting"), fix=_fix_of(error, RunConfig)
        ) from None


def describe_validation(error: ValidationError, what: str) -> str:
    """Turn a validation error into one line: which value, what is wrong with it."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"]) or what
    message = str(first["msg"]).removeprefix("Value error, ")
    shown = repr(first.get("input"))
    return f"{what} {name}={shown if len(shown) < 80 else '...'}: {message}"


def _fix_of(error: ValidationError, model: type[BaseModel]) -> str:
    """Name the values that the first field that did not validate would take."""
    place = error.errors(include_url=False)[0]["loc"]
    field = model.model_fields.get(str(place[0])) if place else None
    allowed = allowed_values(field) if field else ""
    return f"allowed: {allowed}" if allowed else ""


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
    """Parse ``NAME[param=value,...]`` of what ``noun`` says, for instance a cipher.

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
        raise UsageError(
            describe_validation(error, f"pipeline {pipeline.name}:"),
            fix=_fix_of(error, pipeline.parameters),
        ) from None
