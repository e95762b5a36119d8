"""What an audit is pointed at: ciphers as written on the command line, and pipelines of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common import plugins
from common.adversary import CONTROLS, Facts, Scheme
from common.errors import UsageError
from comparisons.attacks.facts import facts_of
from comparisons.config import PipelineSpec, parse_spec

CHANNELS = 3


@dataclass(frozen=True)
class Target:
    """One column of the matrix.

    ``scheme``, ``facts``: None where the ciphertexts of a pipeline are no messages that an attack
    on images could read; checks still look at it. ``argument``: what names it on the command line.
    """

    label: str
    pipeline: str
    parameters: Any
    scheme: Scheme | None
    facts: Facts | None
    argument: str

    @property
    def kind(self) -> str:
        """Kind of the column: control, cipher or pipeline."""
        if self.facts is not None:
            return self.facts.kind
        return "pipeline" if self.pipeline else "cipher"


def cipher_scheme(name: str, options: Mapping[str, Any], size: int) -> Scheme:
    """Find a cipher by name among all families. Raises UnknownNameError or UsageError."""
    for family in _families():
        scheme: Scheme | None = family.of_cipher(name, options, (size, size, CHANNELS))
        if scheme is not None:
            return scheme
    plugins.find("ciphers", name)
    raise UsageError(f"no family of schemes knows the cipher {name!r}")


def cipher_target(text: str, size: int) -> Target:
    """Make a target of ``NAME[param=value,...]``, for images of ``size`` pixels or a few less.

    The largest size that whole blocks tile is taken. Raises UsageError.
    """
    spec = _cipher_spec(text)
    scheme = cipher_scheme(spec.name, spec.parameters, fitting_size(spec, size))
    label = PipelineSpec(scheme.name, spec.parameters).text
    return Target(label, "", None, scheme, facts_of(scheme, label), f"--cipher '{label}'")


def _cipher_spec(text: str) -> PipelineSpec:
    try:
        return parse_spec(text)
    except UsageError as error:
        raise UsageError(error.problem.replace("pipeline", "cipher"), fix=error.fix) from None


def fitting_size(spec: PipelineSpec, size: int) -> int:
    """Return the largest side up to ``size`` that whole blocks of the cipher tile."""
    known = plugins.load("ciphers", spec.name).parameters.model_fields
    patch = spec.parameters.get("patch", known["patch"].default if "patch" in known else 1)
    if not isinstance(patch, int) or not 0 < patch <= size:
        return size
    return size // patch * patch


def pipeline_target(
    spec: PipelineSpec, pipeline: Any, parameters: Any, size: int, backbone: str
) -> Target:
    """Make a target of a pipeline with its resolved parameters."""
    shape = (size, size, CHANNELS)
    argument = f"--pipeline '{spec.text}'"
    for family in _families():
        scheme: Scheme | None = family.of_pipeline(pipeline.name, parameters, shape, backbone)
        if scheme is not None:
            facts = facts_of(scheme, spec.label, pipeline=True)
            return Target(spec.label, pipeline.name, parameters, scheme, facts, argument)
    return Target(spec.label, pipeline.name, parameters, None, None, argument)


def control_scheme(name: str, size: int) -> Scheme:
    """Return a control for images of ``size`` pixels."""
    assert name in CONTROLS
    return cipher_scheme(name, {}, size)


def _families() -> list[Any]:
    return [plugin.load() for plugin in plugins.discover("schemes").values()]
