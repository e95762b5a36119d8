"""What was asked for, written ``NAME[param=value,...]``: a pipeline or a cipher with parameters."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.plugins import nearest
from he_compare.comparisons.measuring.validation import describe_validation, fix_of

SPEC = re.compile(r"^\s*(?P<name>[A-Za-z][\w-]*)\s*(?:\[(?P<parameters>.*)\])?\s*$", re.DOTALL)


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
    known = pipeline.parameters.known_names(spec.parameters)
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
            fix=fix_of(error, pipeline.parameters),
        ) from None
