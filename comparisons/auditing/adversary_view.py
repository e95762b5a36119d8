"""One adversary before one key: what it sees, and the truth that stays sealed.

Every ciphertext the adversary gets is decoded from the bytes that the client would send.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from he_compare.common.adversary import Labelled, Need, Oracle, Pairs, Truth, View
from he_compare.common.attack import Attack
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.errors import UsageError
from he_compare.common.references.reference import COLOUR_CHANNELS, GREY_CHANNELS, Public
from he_compare.common.run.tape import Tape
from he_compare.common.scheme import (
    CLOSED_CONTROLS,
    KeyedScheme,
    Models,
    Scheme,
    encrypted,
    seen,
)
from he_compare.common.seeds import generator_for, seed_for
from he_compare.common.target_facts import Facts
from he_compare.common.types import (
    HeldPictures,
    ImageBatch,
    IntArray,
    Message,
    Pictures,
    PixelArray,
    UInt8Array,
    in_portions,
)
from he_compare.comparisons.attacks.tools.recogniser import Recogniser
from he_compare.comparisons.auditing.pool import PlainPool, is_grey, stratified
from he_compare.comparisons.auditing.targets import KEY_IN_USE

FRESH = 8
LEAST_CIPHERTEXTS = 4
# Ciphertexts beside the labelled ones, to test what was learnt from those.
UNLABELLED = 400
EMBEDDING_WIDTH = 192
# What messages that an audit made itself may take in memory, and from which time on each is kept.
MOST_SENT_BYTES, WORTH_KEEPING_SECONDS = 1 << 28, 1e-3


@dataclass(frozen=True)
class _Shares:
    """Positions in the pool, disjoint: sealed fresh images, known pairs, attacked images."""

    fresh: IntArray
    pairs: IntArray
    attacked: IntArray


class SentMessages:
    """Messages made for an audit, by target, key and image: one image is sent once under a key.

    Kept are those that took long to make, up to ``MOST_SENT_BYTES`` in all.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, int, int], Message] = {}
        self._bytes = 0

    def find(self, target: str, key: int, position: int) -> Message | None:
        """Return the message of an image of the pool, None where it is not kept."""
        return self._held.get((target, key, position))

    def keep(
        self, target: str, key: int, positions: IntArray, made: Sequence[Message], seconds: float
    ) -> None:
        """Keep messages of images; ``seconds``: what making all of them took."""
        if seconds < WORTH_KEEPING_SECONDS * len(made):
            return
        for position, message in zip(positions, made, strict=True):
            if self._bytes + len(message) > MOST_SENT_BYTES:
                return
            self._held[target, key, int(position)] = message
            self._bytes += len(message)


@dataclass(frozen=True)
class Attacked:
    """What encrypts, under one key: the target or a control.

    ``tape``: messages that crossed under this key, where they were kept: those are attacked, and
    nothing is encrypted anew that is on it. ``sent``: what was made under keys of the audit, None
    for nothing; ``name``: of target and key in it.
    """

    scheme: Scheme
    keyed: KeyedScheme
    tape: Tape | None = None
    sent: SentMessages | None = None
    name: tuple[str, int] = ("", 0)

    def messages(self, batch: ImageBatch, positions: IntArray) -> list[Message]:
        """Return the messages of images of the pool. Raises UsageError where the key is gone."""
        found = [self._known(int(p)) for p in positions]
        missing = [place for place, message in enumerate(found) if message is None]
        start = time.perf_counter()
        made = encrypted(self.keyed, batch.images[positions[missing]])
        if self.sent is not None:
            seconds = time.perf_counter() - start
            self.sent.keep(*self.name, positions[missing], made, seconds)
        for place, message in zip(missing, made, strict=True):
            found[place] = message
        return [message for message in found if message is not None]

    def _known(self, position: int) -> Message | None:
        taped = self.tape.message_of(position) if self.tape else None
        if taped is None and self.sent is not None:
            return self.sent.find(*self.name, position)
        return taped

    def encrypt(self, images: UInt8Array) -> PixelArray:
        """Encrypt chosen images, as the server sees them."""
        return seen(self.scheme, encrypted(self.keyed, images))


def positions_read(
    labels: IntArray, budget: AttackBudget, seed: int, wanted: Iterable[int] = ()
) -> IntArray:
    """Return the test images whose messages under the run's own key any attack reads, sorted.

    ``wanted``: ciphertexts that some attacks take where the budget has fewer.
    """
    read: set[int] = set()
    needs = (frozenset[Need](), {Need.PAIRS}, {Need.LABELS}, {Need.PAIRS, Need.LABELS})
    for some, images in product(needs, {0, *wanted}):
        random = generator_for(seed, "audit images", KEY_IN_USE)
        try:
            shares = _share(labels, frozenset(some), budget.with_images(images), random)
        except UsageError:  # the attack will say so
            continue
        read |= {int(p) for p in (*shares.fresh, *shares.pairs, *shares.attacked)}
    return np.array(sorted(read), dtype=np.int64)


def set_up(
    attack: Attack,
    target: Scheme,
    facts: Facts,
    attacked: Attacked,
    pool: PlainPool,
    budget: AttackBudget,
    seed: int,
    key: int,
    recognise: Recogniser | None = None,
    public: Public | None = None,
    public_mean: UInt8Array | None = None,
) -> tuple[View, Truth]:
    """Return what the attack may see of images of the pool under key number ``key``.

    ``facts``: of the target; before a control the adversary believes to attack the target, so that
    it does there what it does here. ``public``: the images that an attack with ``Need.AUXILIARY``
    gets, in grey where those of the pool are; it is then compared with their mean, others with
    ``public_mean``. Raises UsageError where the pool is too small.
    """
    scheme, keyed, encrypt = attacked.scheme, attacked.keyed, attacked.encrypt
    size = scheme.shape[0]
    batch = pool.attacked(size)
    random = generator_for(seed, "audit images", key)
    shares = _share(batch.labels, attack.needs, budget, random)

    def pairs(positions: IntArray) -> Pairs:
        return Pairs(batch.images[positions], seen(scheme, attacked.messages(batch, positions)))

    originals = batch.take(shares.attacked)
    messages = attacked.messages(batch, shares.attacked)
    candidate_of: IntArray | None = None
    given: dict[Need, Any] = {}
    if Need.AUXILIARY in attack.needs and public is not None:
        channels = GREY_CHANNELS if _is_grey_pool(batch.images) else COLOUR_CHANNELS
        drawn = seed_for(seed, "public images", key)
        images = public.reference.images(budget.auxiliary, size, channels, drawn)
        given[Need.AUXILIARY] = images
        public_mean = mean_of_pictures(HeldPictures(images))
    if Need.PAIRS in attack.needs:
        given[Need.PAIRS] = pairs(shares.pairs)
    if Need.ORACLE in attack.needs:
        given[Need.ORACLE] = Oracle(encrypt, budget.queries)
    if Need.CANDIDATES in attack.needs:
        chosen, candidate_of = _candidates(
            batch.images.digests(), shares.attacked, budget.candidates, random
        )
        given[Need.CANDIDATES] = batch.images[chosen]
    if Need.LABELS in attack.needs:
        known = np.arange(min(budget.labels, len(originals) // 2))
        given[Need.LABELS] = Labelled(known, originals.labels[known], pool.classes)
    if Need.MODELS in attack.needs:
        given[Need.MODELS] = _models(keyed, scheme, facts, random)
    view = View(
        facts=facts,
        messages=messages,
        ciphertexts=seen(scheme, messages),
        under_own_key=_own_keys(target),
        given=given,
    )
    truth = Truth(
        facts=facts,
        originals=originals.images[:],
        ids=originals.ids,
        labels=originals.labels,
        fresh=pairs(shares.fresh),
        key=keyed.moves(),
        candidate_of=candidate_of,
        fresh_labels=batch.labels[shares.fresh],
        recognise=recognise,
        fresh_ids=batch.take(shares.fresh).ids,
        groups=dict(zip(batch.ids, batch.groups, strict=True)),
        candidates=len(given.get(Need.CANDIDATES, ())),
        public_mean=public_mean,
    )
    return view, truth


_grey_pools: dict[str, bool] = {}


def _is_grey_pool(images: Pictures) -> bool:
    """Look once at the images of a pool, which every attack with public images asks for."""
    digest = images.digest()
    if digest not in _grey_pools:
        _grey_pools[digest] = is_grey(images)
    return _grey_pools[digest]


def mean_of_pictures(images: Pictures) -> UInt8Array | None:
    """Return the mean of images (n, h, w, c), uint8 (h, w, c); None where there are none."""
    if not len(images):
        return None
    total = np.zeros(images.shape[1:], np.int64)
    for part in in_portions(images):
        total += part.sum(axis=0, dtype=np.int64)
    return np.rint(total / len(images)).astype(np.uint8)


def _share(
    labels: IntArray, needs: frozenset[Need], budget: AttackBudget, random: np.random.Generator
) -> _Shares:
    pairs = budget.pairs if Need.PAIRS in needs else 0
    wanted = budget.labels + UNLABELLED if Need.LABELS in needs else budget.images
    order = random.permutation(len(labels))
    if Need.LABELS in needs:
        order = stratified(labels, order)
    left = len(labels) - FRESH - pairs
    if left < LEAST_CIPHERTEXTS:
        raise UsageError(
            f"{len(labels)} test images are too few: {FRESH + pairs + LEAST_CIPHERTEXTS} are "
            f"needed ({FRESH} sealed, {pairs} known pairs, {LEAST_CIPHERTEXTS} attacked)",
            fix="raise --test-limit or take a dataset with more images",
        )
    taken = order[: min(wanted, left)]
    rest = order[len(taken) :]
    return _Shares(rest[:FRESH], rest[FRESH : FRESH + pairs], taken)


def _candidates(
    digests: Sequence[bytes], attacked: IntArray, most: int, random: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Choose candidates that hold every attacked image, and say where each of them is.

    Copies of one image, of equal ``digests``, are one candidate: nothing could distinguish them.
    """
    first: dict[bytes, int] = {}
    for position in attacked:
        first.setdefault(digests[position], int(position))
    needed = len(first)
    for position in random.permutation(len(digests)):
        first.setdefault(digests[position], int(position))
    chosen = random.permutation(list(first.values())[: max(most, needed)])
    place = {int(image): i for i, image in enumerate(chosen)}
    found = [place[first[digests[position]]] for position in attacked]
    return chosen, np.array(found, dtype=np.int64)


def _own_keys(scheme: Scheme) -> Callable[[UInt8Array, int], PixelArray]:
    def encrypt(images: UInt8Array, key: int) -> PixelArray:
        keyed = scheme.new_key(seed_for(key, "the adversary's own key"))
        return seen(scheme, encrypted(keyed, images))

    return encrypt


def _models(
    keyed: KeyedScheme, scheme: Scheme, facts: Facts, random: np.random.Generator
) -> Models:
    """The deployed patch embedding beside the plain one.

    For a control a patch embedding is drawn at random, with the statistics of a trained one; where
    no model can absorb the control, its "deployed" one is unrelated to the plain one.
    """
    deployed = keyed.models()
    if deployed is not None:
        return deployed
    height, width, channels = facts.shape
    side = facts.patch or height
    values = side * side * channels
    blocks = (height // side) * (width // side)
    rows = random.normal(0.0, 0.02, (values, EMBEDDING_WIDTH))
    positions = random.normal(0.0, 0.02, (blocks, EMBEDDING_WIDTH))
    if scheme.name in CLOSED_CONTROLS:
        other = random.normal(0.0, 0.02, rows.shape).astype(np.float32)
        return Models(rows, other[None], positions, random.permutation(positions), False)
    return keyed.adapted(rows, positions)
