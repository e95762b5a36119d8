"""What one adversary sees of one key, and the truth that stays sealed.

``View`` holds the server's view and, besides it, only what an attack declares in ``needs``; asking
for more raises ``MissingKnowledgeError``. By Kerckhoffs the algorithm and its parameters are known:
``View.under_own_key`` runs it under keys of the adversary's own. ``Truth`` (originals, key) is held
by the harness alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from he_compare.common.errors import UsageError
from he_compare.common.scheme import KeyMoves, Models
from he_compare.common.target_facts import Facts
from he_compare.common.types import IntArray, Message, PixelArray, UInt8Array


class MissingKnowledgeError(UsageError):
    """An attack asks for something that this adversary does not have."""


class Need(StrEnum):
    """What an attack may ask for besides ciphertexts and the algorithm."""

    AUXILIARY = "auxiliary images"
    PAIRS = "known pairs"
    ORACLE = "encryption oracle"
    CANDIDATES = "candidate images"
    LABELS = "labels of a few"
    MODELS = "plain and deployed model"


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
        """Public images, uint8 (n, h, w, c): of the reference that the outcome names."""
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
    ``fresh_ids``: of the fresh images. ``groups``: the patient that an image is of, by id.
    ``candidates``: how many there are. ``public_mean``: uint8 (h, w, c), the mean of public images.
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
    fresh_ids: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    candidates: int = 0
    public_mean: UInt8Array | None = None
