"""What an attack and a check are, what an adversary may see, and what the truth is scored against.

The audit sets an adversary against a *scheme* (a cipher, or what a pipeline protects with)::

    Scheme.new_key(seed)               -> KeyedScheme        # one client's key, sealed
    KeyedScheme.protect(images)        -> list[Message]      # the bytes that cross the boundary
    Scheme.read(messages)              -> (n, h, w, c)       # what a server decodes from the bytes
    Attack.run(view, budget, random)   -> guess              # never sees the truth
    Attack.score(guess, truth)         -> Score              # called by the harness

``View`` holds the server's view and, beyond it, only what the attack declares in ``needs``; asking
for more raises ``MissingKnowledgeError``. By Kerckhoffs the algorithm and its parameters are known:
``View.under_own_key`` runs it under keys of the adversary's own. ``Truth`` (originals, key) is
sealed: the harness alone holds it. A **check** has no scale and no controls: it looks at a pipeline
and says what it found (parameters, freshness, server state); it lives where its scheme lives.

Plug-ins of kind ``attacks`` assign an ``Attack`` or a ``Check`` to ``ATTACK``. What a pipeline
puts before an adversary is part of its contract (``contracts.Fitted.scheme``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

import numpy as np

from he_compare.common.contracts import Deployed
from he_compare.common.errors import UsageError
from he_compare.common.run.records import SecurityClaims, Verdict
from he_compare.common.scheme import ImageShape, KeyMoves, Models, Scheme
from he_compare.common.types import IntArray, Knowledge, Message, PixelArray, UInt8Array


class MissingKnowledgeError(UsageError):
    """An attack asks for something that this adversary does not have."""


class Need(StrEnum):
    """What an attack may ask for beyond ciphertexts and the algorithm."""

    AUXILIARY = "auxiliary images"
    PAIRS = "known pairs"
    ORACLE = "encryption oracle"
    CANDIDATES = "candidate images"
    LABELS = "labels of a few"
    MODELS = "plain and deployed model"


@dataclass(frozen=True)
class Budget:
    """What an adversary may spend on one target; ``seconds`` per key."""

    name: str
    keys: int
    images: int
    queries: int
    pairs: int
    auxiliary: int
    candidates: int
    labels: int
    seconds: float

    def as_record(self) -> dict[str, Any]:
        """Return the budget as it stands in an outcome."""
        return dict(vars(self))


BUDGETS: dict[str, Budget] = {
    budget.name: budget
    for budget in (
        Budget("quick", 3, 20, 3, 16, 60, 624, 60, 20.0),
        Budget("full", 5, 50, 16, 64, 500, 624, 200, 300.0),
    )
}


@dataclass(frozen=True)
class Facts:
    """What anybody finds out about a target by running its algorithm under keys of their own.

    ``keeps_values``: the ciphertext is a rearrangement of the image's bytes. ``keeps_folded``: of
    min(v, 255 - v); ``keeps_nibbles``: of 4-bit halves min(v, 15 - v). ``keeps_places``: a changed
    pixel changes that pixel only. ``local``: one changed value changes at most two values.
    ``shared_key``: equal blocks become equal blocks, one key for all. ``moves_blocks``: blocks
    change places. ``bytewise``: it changes at most one. ``one_key``: the key is the same for every
    image. ``unadaptable``: why no model was adapted to the key, '' where one was.
    """

    label: str
    kind: str
    scheme: str
    parameters: Mapping[str, Any]
    shape: ImageShape
    patch: int | None
    ciphertext: str
    deterministic: bool
    one_key: bool
    keeps_values: bool
    keeps_folded: bool
    keeps_nibbles: bool
    keeps_places: bool
    local: bool
    bytewise: bool
    unadaptable: str
    shared_key: bool
    moves_blocks: bool
    claims: SecurityClaims

    @property
    def is_control(self) -> bool:
        """True for a scheme whose answer is known."""
        return self.kind == "control"


Encrypt: TypeAlias = Callable[[UInt8Array], PixelArray]


@dataclass
class Oracle:
    """Encrypts images of the adversary's choice under the victim's key, and counts them."""

    encrypt: Encrypt
    limit: int
    used: int = 0

    def __call__(self, images: UInt8Array) -> PixelArray:
        """Encrypt uint8 (n, h, w, c) as n queries. Raises MissingKnowledgeError when used up."""
        if self.used + len(images) > self.limit:
            raise MissingKnowledgeError(
                f"{self.used + len(images)} chosen plaintexts asked for, "
                f"the budget has {self.limit}",
                fix="raise the budget's queries",
            )
        self.used += len(images)
        return self.encrypt(images)


@dataclass(frozen=True)
class Pairs:
    """Plain images (n, h, w, c) and their ciphertexts, all under the victim's key."""

    plain: UInt8Array
    ciphertexts: PixelArray


@dataclass(frozen=True)
class Labelled:
    """Positions in ``View.ciphertexts`` whose label the adversary has, and those labels."""

    positions: IntArray
    labels: IntArray
    classes: tuple[str, ...]


@dataclass
class View:
    """All that one adversary sees of one key.

    ``ciphertexts``: (n, h, w, c), decoded from ``messages``, the bytes that crossed the boundary.
    Everything in ``given`` was declared by the attack; the rest is not there.
    """

    facts: Facts
    messages: Sequence[Message]
    ciphertexts: PixelArray
    under_own_key: Callable[[UInt8Array, int], PixelArray]
    given: Mapping[Need, Any] = field(default_factory=dict)

    def _take(self, need: Need) -> Any:
        if need not in self.given:
            raise MissingKnowledgeError(
                f"the attack asks for {need.value}, which this adversary does not have",
                fix=f"declare Need.{need.name} in the attack's needs, or take another attack",
            )
        return self.given[need]

    @property
    def auxiliary(self) -> UInt8Array:
        """Plain images of other people from the same population, uint8 (n, h, w, c)."""
        return self._take(Need.AUXILIARY)

    @property
    def pairs(self) -> Pairs:
        """Known pairs under the victim's key; none of them is among ``ciphertexts``."""
        return self._take(Need.PAIRS)

    @property
    def oracle(self) -> Oracle:
        """The encryption oracle."""
        return self._take(Need.ORACLE)

    @property
    def candidates(self) -> UInt8Array:
        """Plain images, uint8 (m, h, w, c), that contain the original of every ciphertext."""
        return self._take(Need.CANDIDATES)

    @property
    def labelled(self) -> Labelled:
        """Labels of a few of the ciphertexts."""
        return self._take(Need.LABELS)

    @property
    def models(self) -> Models:
        """Weights before and after adaptation to the victim's key."""
        return self._take(Need.MODELS)


@dataclass(frozen=True, repr=False)
class Truth:
    """Sealed: what a guess is scored against.

    ``originals``: uint8 (n, h, w, c), of ``View.ciphertexts``. ``fresh``: pairs under the same key
    that the adversary never saw. ``candidate_of``: (n,), which candidate each ciphertext is of.
    ``labels``: (n,), of the originals and, ``fresh_labels``, of the fresh images. ``recognise``:
    names the class of plain images, to be tried on reconstructions; None where there is none.
    """

    facts: Facts
    originals: UInt8Array
    ids: tuple[str, ...]
    labels: IntArray
    fresh: Pairs
    key: KeyMoves | None
    candidate_of: IntArray | None = None
    fresh_labels: IntArray | None = None
    recognise: Callable[[UInt8Array], IntArray] | None = None


@dataclass(frozen=True)
class Metric:
    """What an attack is measured by.

    ``best``: the ceiling, where that is not the same attack on the identity. ``chance``: the floor,
    where it is known exactly; the same attack on noise is then only held against it.
    ``resolution``: the least distance of floor and ceiling that means anything. ``low``, ``high``:
    what it can be at all; intervals end there.
    """

    name: str
    unit: str = ""
    higher_is_worse: bool = True
    best: float | None = None
    chance: float | None = None
    resolution: float = 0.1
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Detail:
    """A further number beside the metric."""

    name: str
    value: float
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """What came out for ciphertext ``position``: uint8 (h, w, c), with the number under it."""

    position: int
    image: UInt8Array
    caption: str


@dataclass(frozen=True)
class Score:
    """What a guess is worth under one key.

    ``spent``: what was used of the budget. ``error``: standard error of the value at chance level,
    from the number of images it is computed on; controls are held against it.
    """

    value: float
    details: Sequence[Detail] = ()
    pictures: Sequence[Picture] = ()
    spent: Mapping[str, Any] = field(default_factory=dict)
    error: float = 0.0


class Attack(Protocol):
    """What a module of an ``attacks`` package hands over as ``ATTACK``, where it has a scale.

    The harness runs it under several keys and on all controls; ``metric`` on noise is its floor, on
    the identity (or ``metric.best``) its ceiling. ``limits``: what an outcome does not show. An
    attack of more than a second or two sets ``slow = True`` and is run after the others. One that
    cannot conclude in less than some seconds a key sets ``least_seconds``, or from fewer
    ciphertexts ``least_images``: under a smaller budget it is recorded as not run. One that needs
    more keys than a budget has sets ``least_keys``.
    """

    name: str
    title: str
    rung: Knowledge
    needs: frozenset[Need]
    metric: Metric
    limits: tuple[str, ...]
    source: str

    def applies(self, facts: Facts) -> str:
        """Return '' where the attack means something here, else the reason why not.

        Not asked for controls, on which every attack is run.
        """
        ...

    def run(self, view: View, budget: Budget, random: np.random.Generator) -> Any:
        """Attack; return a guess that ``score`` understands. Raises AttackFailedError."""
        ...

    def score(self, guess: Any, truth: Truth) -> Score:
        """Score a guess; ``guess`` is None where the attack gave up: then the chance level."""
        ...


class AttackFailedError(Exception):
    """The attack gave up on this target: scored as a guess of None, the reason kept."""


@dataclass(frozen=True)
class Inspected:
    """What a check looks at: a pipeline of a run, or a cipher as written.

    ``pipeline``: '' for a cipher. ``deployed``: the pipeline as fitted and deployed, None for a
    cipher. ``images``: uint8 (n, h, w, c) with ``labels``, to run the scheme on.
    """

    label: str
    pipeline: str
    deployed: Deployed | None
    scheme: Scheme
    images: UInt8Array
    labels: IntArray
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """What a check found. ``artefacts``: file name to bytes, kept in the run folder."""

    verdict: Verdict
    headline: str
    value: float | None = None
    details: Sequence[Detail] = ()
    claim: str = ""
    limits: Sequence[str] = ()
    reason: str = ""
    unreliable: Sequence[str] = ()
    spent: Mapping[str, Any] = field(default_factory=dict)
    pictures: Sequence[tuple[str, str, UInt8Array, str]] = ()
    artefacts: Mapping[str, bytes] = field(default_factory=dict)


class Check(Protocol):
    """What a module of an ``attacks`` package hands over as ``ATTACK``, where it has no scale.

    ``metric``: what ``Finding.value`` is, or None. ``pictures`` of a finding: (image id, role,
    pixels, caption), roles as in ``he_compare.common.run.records.AttackPicture``.
    """

    name: str
    title: str
    rung: Knowledge
    metric: Metric | None
    source: str

    def applies(self, inspected: Inspected) -> str:
        """Return '' where the check means something here, else the reason why not."""
        ...

    def examine(self, inspected: Inspected, budget: Budget, random: np.random.Generator) -> Finding:
        """Look, and say what was found."""
        ...
