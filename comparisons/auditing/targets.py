"""What an audit attacks: ciphers as written on the command line, and deployed pipelines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, Literal

from pydantic import BaseModel

from he_compare.common import plugins
from he_compare.common.adversary import Need
from he_compare.common.attack import Attack
from he_compare.common.contracts import (
    NOTHING_LEAVES,
    Deployed,
    LocalPipeline,
    Pipeline,
)
from he_compare.common.errors import CellError, CompareError, NoServerError, UsageError
from he_compare.common.identity import key_of
from he_compare.common.run.records import MessageSource
from he_compare.common.run.severity import NOTHING_TO_ATTACK
from he_compare.common.run.tape import Tape
from he_compare.common.scheme import CONTROLS, KeyedScheme, Scheme
from he_compare.common.seeds import seed_for
from he_compare.common.target_facts import Facts
from he_compare.common.types import Message, UInt8Array
from he_compare.comparisons.auditing.facts import facts_of
from he_compare.comparisons.auditing.foreign_errors import why_failed
from he_compare.comparisons.measuring.pipeline_spec import PipelineSpec, parse_spec

CHANNELS = 3
# Of the controls when only their code is asked for.
CONTROL_SIZE = 32
# Number of the key that is in use where something is deployed.
KEY_IN_USE = 0
BATCHES = "a message of a batch says nothing by itself: images were encrypted again, one at a time"
ALONE = "the pipeline was fitted for this audit alone, on few images for one epoch"


@dataclass(frozen=True)
class Opened:
    """What the adversary has. ``tape``: messages that crossed, None where none were kept.

    ``deployed``: None for a cipher by itself. ``lost``: stands for the run's own key where it ended
    with an earlier process.
    """

    scheme: Scheme
    messages: MessageSource
    deployed: Deployed | None = None
    tape: Tape | None = None
    lost: LostKey | None = None


@dataclass
class Target:
    """One column of the matrix, opened when the first attack that is not done yet asks for it.

    ``parameters``: as resolved, JSON values. ``tape_digest``: of the messages that crossed, ''
    where there are none. ``argument``: what names it on the command line. ``modules``: whose source
    can change what is attacked. ``open_it`` raises CompareError where there is nothing to attack.
    ``no_server``: nothing is sent to anybody, so that it is never opened. ``family``: of targets
    that may send the same bytes, the same word; '' where another process cannot open it alike,
    because its key or its tape is only in the memory of the process that deployed it.
    """

    label: str
    kind: Literal["pipeline", "cipher", "control"]
    pipeline: str
    parameters: Mapping[str, Any]
    shape: tuple[int, int, int]
    argument: str
    modules: tuple[str, ...]
    open_it: Callable[[], Opened]
    tape_digest: str = ""
    no_server: bool = False
    family: str = ""
    _keys: dict[int, KeyedScheme] = field(default_factory=dict)
    _opened: Opened | CompareError | None = None

    @property
    def opened(self) -> Opened:
        """What is attacked. Raises CompareError, the same one again: nothing is fitted twice."""
        if self.no_server:
            raise NoServerError(NOTHING_TO_ATTACK)
        if self._opened is None:
            try:
                self._opened = self.open_it()
            except CompareError as error:
                self._opened = error
            except Exception as error:  # a pipeline from elsewhere must not take the others with it
                self._opened = CellError(why_failed(error))
        if isinstance(self._opened, CompareError):
            raise self._opened
        return self._opened

    def closed(self, reason: str) -> Target:
        """Return the same target as one that cannot be opened: nothing is fitted for it here."""

        def refuse() -> Opened:
            raise CellError(reason)

        return replace(self, open_it=refuse, _keys={}, _opened=None)

    @property
    def scheme(self) -> Scheme:
        """The scheme that is attacked. Raises CompareError."""
        return self.opened.scheme

    @cached_property
    def facts(self) -> Facts:
        """What anybody finds out about it. Raises CompareError."""
        return facts_of(self.scheme, self.label, self.kind)

    def claim(self) -> str:
        """Return what the target claims, in words; '' where nothing is deployed."""
        if self.no_server:
            return NOTHING_LEAVES
        try:
            claims = self.scheme.claims()
            return f"{claims.protects} ({claims.claim_type})"
        except Exception:  # what it does not say is no claim; opening it has told why
            return ""

    def scheme_name(self) -> str:
        """Return the name of the scheme; '' where nothing is deployed."""
        try:
            return self.scheme.name
        except CompareError:
            return ""

    def limits(self) -> list[str]:
        """Return what an outcome on this target does not show."""
        found = [ALONE] if self.message_source() == "deployed for the audit" else []
        if self.message_source() and self.scheme.in_batches:
            found.append(BATCHES)
        return found

    def message_source(self) -> MessageSource:
        """Say where the attacked messages come from; '' where nothing is deployed."""
        try:
            return self.opened.messages
        except CompareError:
            return ""

    def key(self, number: int, key_seed: int | None = None) -> KeyedScheme:
        """Return key ``number``: 0 is the one in use where something is deployed, others fresh.

        ``key_seed``: what fresh keys are derived from, for debugging; None for keys of the
        operating system, which no seed of the audit gives away.
        """
        if number not in self._keys:
            own = (self.opened.lost or self.scheme.own_key()) if number == KEY_IN_USE else None
            self._keys[number] = own or audit_key(self.scheme, number, key_seed)
        return self._keys[number]

    def equal_work(self, attack: Attack) -> str:
        """Return a key that two targets share where an attack meets the same messages and scheme.

        Three set-ups of one cipher under one key send the same bytes: they are attacked once. An
        attack that reads the deployed model has to meet the same public material as well.
        """
        scheme = self.scheme
        return key_of(
            scheme=scheme.name,
            parameters=dict(scheme.parameters),
            shape=list(scheme.shape),
            deployment=self._deployment(attack) if self.kind == "pipeline" else "",
        )

    def _deployment(self, attack: Attack) -> str:
        tape = self.opened.tape
        if tape is None:
            return self.label
        return tape.digest() if Need.MODELS in attack.needs else tape.messages_digest()


def audit_key(scheme: Scheme, number: int, key_seed: int | None) -> KeyedScheme:
    """Make a key that is attacked: of the operating system, or of ``key_seed`` where there is one.

    Schemes that deploy a pipeline again take keys of the operating system in either case.
    """
    if key_seed is None:
        return scheme.fresh_key()
    return scheme.new_key(seed_for(key_seed, "audit key", scheme.name, number))


def scheme_of_cipher(name: str, options: Mapping[str, Any], size: int) -> Scheme:
    """Find a cipher by name.

    Raises UnknownNameError or UsageError, CellError where code of the cipher raised something else.
    A pipeline that fails is passed over where another encrypts with the cipher.
    """
    plugins.find("ciphers", name)
    failed: list[CompareError] = []
    for pipeline in plugins.load_all("pipelines").values():
        try:
            scheme: Scheme | None = pipeline.cipher_scheme(name, options, (size, size, CHANNELS))
        except CompareError as error:
            failed.append(error)
            continue
        except Exception as error:  # a cipher or pipeline from elsewhere
            failed.append(CellError(why_failed(error, repr(name))))
            continue
        if scheme is not None:
            return scheme
    if failed:
        raise failed[0]
    raise UsageError(f"no pipeline encrypts with the cipher {name!r}")


def cipher_target(text: str, size: int) -> Target:
    """Make a target of ``NAME[param=value,...]``, for images of ``size`` pixels or a few less.

    The largest size that whole blocks tile is taken. Raises UsageError.
    """
    spec = parse_spec(text, "cipher")
    scheme = scheme_of_cipher(spec.name, spec.parameters, fitting_size(spec, size))
    label = PipelineSpec(scheme.name, spec.parameters).text
    return Target(
        label=label,
        kind="control" if scheme.name in CONTROLS else "cipher",
        pipeline="",
        parameters=dict(scheme.parameters),
        shape=scheme.shape,
        argument=f"--cipher '{label}'",
        modules=(type(scheme).__module__, plugins.find("ciphers", scheme.name).module),
        open_it=lambda: Opened(scheme, "cipher alone"),
        family=scheme.name,
    )


def faulty_cipher_target(name: str, size: int, error: CompareError) -> Target:
    """Make a target of a cipher that cannot be attacked, for the reason in ``error``."""

    def open_it() -> Opened:
        raise error

    return Target(
        label=name,
        kind="cipher",
        pipeline="",
        parameters={},
        shape=(size, size, CHANNELS),
        argument=f"--cipher '{name}'",
        modules=(),
        open_it=open_it,
    )


def fitting_size(spec: PipelineSpec, size: int) -> int:
    """Return the largest side up to ``size`` that whole blocks of the cipher tile."""
    known = plugins.load("ciphers", spec.name).parameters.model_fields
    patch = spec.parameters.get("patch", known["patch"].default if "patch" in known else 1)
    if not isinstance(patch, int) or not 0 < patch <= size:
        return size
    return size // patch * patch


def pipeline_target(
    spec: PipelineSpec,
    pipeline: Pipeline,
    parameters: BaseModel,
    size: int,
    open_it: Callable[[], Opened],
    tape_digest: str = "",
    family: str = "",
) -> Target:
    """Make a target of a pipeline with its resolved parameters."""
    return Target(
        label=spec.label,
        kind="pipeline",
        pipeline=spec.name,
        parameters=parameters.model_dump(mode="json"),
        shape=(size, size, CHANNELS),
        argument=f"--pipeline '{spec.text}'",
        modules=pipeline.source_modules(parameters),
        open_it=open_it,
        tape_digest=tape_digest,
        no_server=isinstance(pipeline, LocalPipeline),
        family=family,
    )


class LostKey(KeyedScheme):
    """A key that ended with an earlier process: its messages are on the tape, nothing else is."""

    def protect(self, images: UInt8Array) -> list[Message]:
        """Raise UsageError: the key is gone."""
        if not len(images):
            return []
        raise UsageError(
            "the key of the run ended with the process that made it: nothing more can be encrypted",
            fix="repeat the run with another --out to have it audited by every attack",
        )


def control_scheme(name: str, size: int) -> Scheme:
    """Return a control for images of ``size`` pixels."""
    assert name in CONTROLS
    return scheme_of_cipher(name, {}, size)


@cache
def control_modules() -> tuple[str, ...]:
    """Name the modules whose source can change a control."""
    schemes = [control_scheme(name, CONTROL_SIZE) for name in CONTROLS]
    return (
        *(type(scheme).__module__ for scheme in schemes),
        *(plugins.find("ciphers", scheme.name).module for scheme in schemes),
    )
