"""What an attack and a check are: base classes, of which a plug-in fills in what is its own.

The audit sets an adversary against a *scheme* (a cipher, or what a pipeline protects with)::

    Scheme.new_key(seed)               -> KeyedScheme        # one client's key, sealed
    KeyedScheme.protect(images)        -> list[Message]      # the bytes that cross the boundary
    Scheme.read(messages)              -> (n, h, w, c)       # what a server decodes from the bytes
    Attack.run(view, budget, random)   -> guess              # never sees the truth
    Attack.score(guess, truth)         -> Score              # called by the harness

A **check** has no scale and no controls: it looks at a pipeline and says what it found (parameters,
freshness, server state). Plug-ins of kind ``attacks`` assign an ``Attack`` to ``ATTACK``, those of
kind ``checks`` a ``Check`` to ``CHECK``. What a pipeline puts before an adversary is part of its
contract (``contracts.Fitted.scheme``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from he_compare.common.adversary import Need, Truth, View
from he_compare.common.attack_requirements import (
    Obstacle,
    Requirement,
    first_obstacle,
    worst_obstacle,
)
from he_compare.common.attack_score import AttackMetric, Detail, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.run.records import CountsAs, Verdict
from he_compare.common.scheme import Scheme
from he_compare.common.target_facts import Facts
from he_compare.common.types import Aim, IntArray, Knowledge, Pictures, UInt8Array

if TYPE_CHECKING:
    from he_compare.common.contracts import Deployed


class AuditStep(ABC):
    """What attacks and checks have in common.

    ``rung``: the weakest adversary that can do it. ``aim``: the property that it tests; None where
    its author named none. ``source``: paper or standard it follows.
    ``needs``: what it is given besides ciphertexts and the algorithm. ``slow``: it takes more than
    a second or two and comes after the others. ``least_seconds``, ``least_images`` (per key): under
    a smaller budget it cannot conclude and is recorded as not run. ``least_keys``: more keys than a
    budget may have. ``wants_images``: ciphertexts per key that it gets where a budget has fewer.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    rung: ClassVar[Knowledge]
    aim: ClassVar[Aim | None] = None
    source: ClassVar[str] = ""
    needs: ClassVar[frozenset[Need]] = frozenset()
    slow: ClassVar[bool] = False
    least_seconds: ClassVar[float] = 0.0
    least_images: ClassVar[int] = 0
    least_keys: ClassVar[int] = 0
    wants_images: ClassVar[int] = 0


class Attack(AuditStep):
    """An attack with a scale: a guess per key, scored against the truth.

    The harness runs it under several keys and on all controls. Its floor is the best of ``metric``
    on noise (or an exact ``chance``) and of what ``effortless`` gives; its ceiling is ``metric`` on
    the identity (or ``metric.best``). ``limits``: what an outcome does not show. ``requires``: what
    a target must have for the attack to mean something there. ``reads_pictures``: whether messages
    must be pictures to whoever reads them; False for an attack that takes any bytes.
    ``aligns``: its pictures are turned, mirrored or negated to match the originals before
    they are compared.
    """

    metric: ClassVar[AttackMetric]
    limits: ClassVar[tuple[str, ...]] = ()
    requires: ClassVar[tuple[Requirement, ...]] = ()
    reads_pictures: ClassVar[bool] = True
    aligns: ClassVar[bool] = False

    def applies(self, facts: Facts) -> str:
        """Return '' where the attack means something, else the property of the target why not.

        Not asked for controls, on which every attack is run. Limits of the solver belong in
        ``cannot_read``.
        """
        return first_obstacle(self.requires, facts)

    def cannot_read(self, facts: Facts) -> str:
        """Return '' where the solver can read the target, else its limit: nothing is known then."""
        return ""

    def obstacle(self, facts: Facts) -> Obstacle | None:
        """Return why the attack does not run on a target; None where it does."""
        declared = worst_obstacle(self.requires, facts)
        if declared is not None:
            return declared
        if reason := self.applies(facts):
            return Obstacle(reason, True)
        limit = self.cannot_read(facts)
        return Obstacle(limit, False) if limit else None

    def counts_as(self, facts: Facts) -> CountsAs:
        """Say what an outcome on a target is counted as: evidence, unless it is open by design."""
        return "evidence"

    def rung_on(self, facts: Facts) -> Knowledge:
        """Return the weakest adversary that can do it to a target: ``rung``, or a weaker one.

        An attack that reads images together where they share a key, and one by one where each has
        its own, needs no more than a single ciphertext there.
        """
        return self.rung

    def reads(self, facts: Facts) -> bool:
        """Say whether the attack can read such messages."""
        return facts.pictures or not self.reads_pictures

    @abstractmethod
    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Any:
        """Attack; return a guess that ``score`` understands. Raises AttackFailedError."""

    @abstractmethod
    def score(self, guess: Any, truth: Truth) -> Score:
        """Score a guess of ``run``."""

    def score_nothing(self, truth: Truth) -> Score:
        """Return the score of no guess at all, where the attack gave up: the chance level."""
        return Score(self.chance(truth) or 0.0)

    def chance(self, truth: Truth) -> float | None:
        """Return the chance level where it is known exactly; None: the same attack on noise."""
        return self.metric.chance

    def effortless(self, view: View, truth: Truth) -> Mapping[str, float]:
        """Return what is had without the attack, on the scale of ``metric``, by name.

        It is no merit of the attack, so that the highest is its floor. For pictures
        (``metric.of_pictures``) the harness adds the ciphertext as it is and the mean public
        picture; the default is nothing else.
        """
        return {}


class AttackFailedError(Exception):
    """The attack gave up on this target: scored by ``score_nothing``, the reason kept."""


@dataclass(frozen=True)
class Inspected:
    """What a check looks at: a pipeline of a run, or a cipher as written.

    ``pipeline``: '' for a cipher. ``deployed``: the pipeline as fitted and deployed, None for a
    cipher. ``images``: uint8 (n, h, w, c) with ``labels``, to run the scheme on; an index gives an
    array of what it names, and the others stay where they lie.
    """

    label: str
    pipeline: str
    deployed: Deployed | None
    scheme: Scheme
    images: Pictures
    labels: IntArray
    classes: tuple[str, ...]


@dataclass(frozen=True)
class CheckFinding:
    """What a check found.

    ``claim``: what the target claims of it, '' for its general claim; ``promised``: False where the
    target never promised it. ``counts_as``: "necessary" where a pass is no evidence of resistance.
    ``artefacts``: file name to bytes, kept in the run folder.
    ``pictures``: (image id, role, pixels, caption), roles as in
    ``he_compare.common.run.records.AttackPicture``.
    """

    verdict: Verdict
    headline: str
    value: float | None = None
    details: Sequence[Detail] = ()
    claim: str = ""
    promised: bool = True
    limits: Sequence[str] = ()
    reason: str = ""
    unreliable: Sequence[str] = ()
    spent: Mapping[str, Any] = field(default_factory=dict)
    pictures: Sequence[tuple[str, str, UInt8Array, str]] = ()
    artefacts: Mapping[str, bytes] = field(default_factory=dict)
    counts_as: CountsAs = "evidence"


class Check(AuditStep):
    """A look at a pipeline or a cipher, with no scale; ``metric``: what a finding's value is."""

    metric: ClassVar[AttackMetric | None] = None

    def applies(self, inspected: Inspected) -> str:
        """Return '' where the check applies, else the reason why not."""
        return ""

    def unreadable(self, inspected: Inspected) -> str:
        """Return '' where the check can read what is there, else the reason why not.

        Asked where it means something: what it cannot read is no pass.
        """
        return ""

    @abstractmethod
    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        """Look, and say what was found."""
