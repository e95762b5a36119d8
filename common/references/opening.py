"""From what the user names (``--public``) to references, each with its domain at the dataset.

``natural`` and ``synthetic-chest`` ship; ``train`` is the training split of the collection under
test; ``folder:PATH`` is a folder of pictures; any other name is a dataset, whose training split is
taken. Refused are images that are copies of those under attack: the attacker would be cheating.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from he_compare.common import plugins
from he_compare.common.errors import DataError, UnknownNameError, UsageError
from he_compare.common.plugins import nearest
from he_compare.common.references.held_images import TRAIN, Held, HeldImages, TrainingSplit
from he_compare.common.references.natural import NaturalPhotographs
from he_compare.common.references.overlap import find_copy
from he_compare.common.references.public_folder import MOST_READ, public_folder
from he_compare.common.references.reference import (
    LEAST_PUBLIC,
    Domain,
    Public,
    PublicReference,
)
from he_compare.common.references.shipped import MATCHED_TO, SHIPPED_REFERENCES
from he_compare.common.run.records import DatasetCard
from he_compare.common.types import ImageBatch, Pictures, Split, in_portions

FOLDER = "folder"
# What attacks are given where nobody says otherwise: a foreign reference first.
DEFAULT = (NaturalPhotographs.name, TRAIN)


@dataclass(frozen=True)
class UnderTest:
    """The collection under test, ``size`` in pixels. Batches are read when they are asked for.

    ``attacked``: images that are attacked; ``training``: others of the same collection.
    """

    card: DatasetCard
    fingerprint: str
    size: int
    seed: int
    attacked: Callable[[int], ImageBatch]
    training: Callable[[int], ImageBatch]


def open_references(specs: Sequence[str], under_test: UnderTest) -> tuple[Public, ...]:
    """Open the references that are named; those of ``DEFAULT`` where none is.

    Raises UnknownNameError on a name that means nothing, UsageError on one that is named twice or
    whose images are under attack, DataError on what cannot be read or holds too few images.
    """
    found: list[Public] = []
    for spec in specs or DEFAULT:
        reference = _open(spec, under_test)
        public = Public(reference, _domain(reference, under_test), shown_spec(spec))
        if any(public.reference.digest == one.reference.digest for one in found):
            raise UsageError(
                f"public images {public.reference.name!r} are named twice", fix="drop one of them"
            )
        found.append(public)
    return tuple(found)


def reference_to_match(asked: Sequence[Public], card: DatasetCard) -> Public:
    """Return what patch embeddings are matched to: the first that was asked for, or ``MATCHED_TO``.

    Never the training split of the collection under test: the server would be given its images.
    """
    for public in asked:
        if not isinstance(public.reference, TrainingSplit):
            return public
    reference = SHIPPED_REFERENCES[MATCHED_TO]()
    return Public(reference, reference.domain_of(card), MATCHED_TO)


def same_kind(under_test: UnderTest) -> Public:
    """Return public images of the kind under test: what ships of it, else the training split."""
    for name, make in SHIPPED_REFERENCES.items():
        reference = make()
        if reference.domain_of(under_test.card) is Domain.IN_DOMAIN:
            return Public(reference, Domain.IN_DOMAIN, name)
    return Public(_training_split(under_test), Domain.IN_DOMAIN, TRAIN)


def shown_spec(spec: str) -> str:
    """Return a reference as it may be written into records and commands, without a path."""
    kind, mark, _ = spec.partition(":")
    return f"{kind}:PATH" if mark else spec


def require_known(specs: Sequence[str]) -> None:
    """See that every name means something before any data is read. Raises UnknownNameError."""
    for spec in specs:
        kind, mark, argument = spec.partition(":")
        if kind == FOLDER:
            if not argument:
                raise UsageError("--public folder: names no folder", fix="pass folder:PATH")
        elif mark or kind not in (*SHIPPED_REFERENCES, TRAIN):
            _family_name(spec)


def _family_name(spec: str) -> str:
    kind, mark, _ = spec.partition(":")
    families = plugins.discover("datasets")
    if kind == FOLDER or kind not in families or mark:
        names = [
            *SHIPPED_REFERENCES,
            TRAIN,
            f"{FOLDER}:PATH",
            *(one for one in families if one != FOLDER),
        ]
        raise UnknownNameError(f"unknown public images {spec!r}", fix=nearest(spec, names))
    return kind


def _open(spec: str, under_test: UnderTest) -> PublicReference:
    kind, _, argument = spec.partition(":")
    require_known([spec])
    if spec in SHIPPED_REFERENCES:
        return SHIPPED_REFERENCES[spec]()
    if kind == FOLDER:
        return public_folder(Path(argument), under_test.seed)
    if spec == TRAIN:
        return _training_split(under_test)
    return _dataset(spec, under_test.seed)


def _training_split(under_test: UnderTest) -> TrainingSplit:
    def held(size: int) -> Held:
        batch = under_test.training(size)
        return Held(batch.ids, batch.images)

    return TrainingSplit(under_test.fingerprint, held)


def _dataset(name: str, seed: int) -> HeldImages:
    """Open the training split of another dataset. Raises DataError where it is not there."""
    from he_compare.common.datasets.opened import choice
    from he_compare.common.datasets.opened.fingerprint import fingerprint

    dataset = plugins.load("datasets", _family_name(name)).open("", None, "", seed)
    positions = choice.limit(dataset.index(Split.TRAIN), MOST_READ, seed, Split.TRAIN)
    if len(positions) < LEAST_PUBLIC:
        raise DataError(
            f"the training split of {name} has {len(positions)} images, at least {LEAST_PUBLIC} "
            "are needed",
            fix="name another reference",
        )

    def held(size: int) -> Held:
        batch = choice.load_batch(dataset, Split.TRAIN, positions, size)
        return Held(batch.ids, batch.images)

    return HeldImages(
        name=name,
        provenance=f"training split of {dataset.card.title}",
        digest=fingerprint(dataset, {Split.TRAIN: positions}),
        made_of=frozenset(dataset.card.collections),
        read=held,
    )


def _domain(reference: PublicReference, under_test: UnderTest) -> Domain:
    """Say what its domain is. Raises UsageError where its images are under attack."""
    domain = reference.domain_of(under_test.card)
    if not isinstance(reference, HeldImages) or isinstance(reference, TrainingSplit):
        return domain
    held = reference.held(under_test.size)
    if not any(np.ptp(image) for image in in_portions(held.images, 1)):
        raise DataError(
            f"the public images {reference.name!r} show nothing: each has one value only",
            fix="name another reference",
        )
    attacked = under_test.attacked(under_test.size)
    copy = find_copy(held.images, attacked.images)
    if copy is not None:
        how = "is" if copy.exact else "is a changed copy of"
        raise UsageError(
            f"the public image {held.names[copy.ours]!r} {how} an image under attack "
            f"({attacked.ids[copy.theirs]!r}): the attacker would have the answer",
            fix="leave it out of the public images, with all others of the same patients",
        )
    if domain is Domain.UNKNOWN and _shares_images(held.images, under_test):
        return Domain.IN_DOMAIN
    return domain


def _shares_images(images: Pictures, under_test: UnderTest) -> bool:
    """Say whether one of the images is among those of the training split that are read."""
    return find_copy(images, under_test.training(under_test.size).images) is not None
