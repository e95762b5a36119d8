"""Feature inversion: pictures from leaked DeiT features, and from the ciphertexts in their place.

The counterfactual that justifies encrypting features: decoders learnt on other people's images
turn features into pictures that name their originals; from ciphertexts the same decoders get the
mean picture. The control is a decoder learnt from features that were shuffled between images. It
may find a picture that is more like all of them than their mean is, so that the better of the two
is the floor; it must name nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from he_compare.common.attack import CheckFinding, Inspected
from he_compare.common.attack_score import AttackMetric, Detail
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.backbones.device import memory_spent
from he_compare.common.clock import Clock
from he_compare.common.run.records import Verdict
from he_compare.common.similarity import luminance, ssim
from he_compare.common.types import Aim, Float64Array, IntArray, Knowledge, Side, UInt8Array
from he_compare.fhe_baseline.checks.tools.encryption_check import EncryptionCheck
from he_compare.fhe_baseline.checks.tools.picture_decoder import (
    learn_convolutional,
    learn_convolutional_once,
    learn_linear,
)
from he_compare.fhe_baseline.checks.tools.victim import (
    MOST_INSPECTED,
    deploy,
    fitted_of,
    population_of,
    victim_of,
)

SIDE = 112

Decoder = Callable[[Float64Array], UInt8Array]


def small_grey(images: UInt8Array) -> UInt8Array:
    """Return grey pictures of at most SIDE x SIDE pixels of images (n, h, w, 3)."""
    side = min(SIDE, images.shape[1])
    grey = np.rint(luminance(images)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((side, side))) for one in grey])


@dataclass(frozen=True)
class Inverted:
    """What came out. ``similarity``: SSIM to the original, (n,). ``found``: share of pictures whose
    original is the nearest of all n."""

    pictures: UInt8Array
    similarity: Float64Array
    found: float


def judge(pictures: UInt8Array, originals: UInt8Array) -> Inverted:
    """Score pictures (n, SIDE, SIDE) against their originals."""
    return Inverted(pictures, ssim(pictures, originals), _top_one(pictures, originals))


def _top_one(pictures: UInt8Array, originals: UInt8Array) -> float:
    """Re-identify by the correlation of what differs from the mean picture."""
    centre = originals.reshape(len(originals), -1).mean(axis=0)
    one, two = (_unit(x.reshape(len(x), -1) - centre) for x in (pictures, originals))
    return float(((one @ two.T).argmax(axis=1) == np.arange(len(one))).mean())


def _unit(rows: Float64Array) -> Float64Array:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1))


def first_bytes(messages: list[bytes], count: int) -> Float64Array:
    """Return ``count`` bytes from the middle of each message as numbers (n, count)."""
    rows = []
    for message in messages:
        start = max(0, (len(message) - count) // 2)
        rows.append(np.resize(np.frombuffer(message[start : start + count], np.uint8), count))
    return np.array(rows, dtype=np.float64)


VICTIMS, SHOWN, LEAST, CIPHERTEXTS = 40, 3, 24, 40
MOST_GAIN = 0.02
# Of the budget's seconds: share that each decoder may learn for, steps a second, images a second.
SHARE, STEPS, IMAGES = 0.4, 4, 4


@dataclass(frozen=True)
class Leaked:
    """What two decoders get from features; ``shuffled``: learnt from those of other images.

    ``alike``: share of pictures to which the run's own model gives the class of their original.
    """

    linear: Inverted
    convolutional: Inverted
    shuffled: Inverted
    alike: float
    learnt_from: int
    steps: int
    at_once: int | None


class FeatureInversion(EncryptionCheck):
    """Learns on part of the images, inverts the others; ciphertexts under the adversary's key."""

    name = "feature_inversion"
    title = "Pictures from features and from ciphertexts"
    rung = Knowledge.AUXILIARY_DATA
    slow = True
    aim = Aim.IMAGE
    metric = AttackMetric("SSIM to the original, from ciphertexts", best=1.0)
    source = "Dosovitskiy and Brox, CVPR 2016"

    def applies(self, inspected: Inspected) -> str:
        """Pipelines whose client extracts and encrypts features."""
        if len(inspected.images) < LEAST:
            return f"{len(inspected.images)} images are too few to learn a decoder from"
        return super().applies(inspected)

    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        """Invert leaked features, then ciphertexts, of images the decoders never saw."""
        population = population_of(inspected)
        pictures = small_grey(population.images)
        order = random.permutation(len(pictures))
        victims, own = np.split(order, [min(VICTIMS, len(order) // 3)])
        originals = pictures[victims]
        leaked = _from_features(inspected, victims, own, budget, random)
        tried = _from_ciphertexts(inspected, pictures, own, victims, budget, random)
        hidden = max(tried, key=_mean)
        mean = np.rint(pictures[own].mean(axis=0)).astype(np.uint8)
        of_mean = _mean(judge(np.stack([mean] * len(victims)), originals))
        floor = max(of_mean, _mean(leaked.shuffled))
        most_found = 3 / len(victims) + 0.05

        def at_chance(one: Inverted) -> bool:
            return one.similarity.mean() - floor < MOST_GAIN and one.found <= most_found

        value = float(hidden.similarity.mean())
        blind = leaked.shuffled.found <= most_found
        control = "" if blind else "shuffled features name originals as well"
        sound = all(map(at_chance, tried))
        verdict: Verdict = "resists within budget" if sound else "partial"
        best = leaked.convolutional
        return CheckFinding(
            verdict="unreliable" if control else verdict,
            reason=control,
            unreliable=[control] if control else [],
            headline=f"SSIM from ciphertexts {value:.2f} (without any {floor:.2f}); if the "
            f"features leaked: SSIM {best.similarity.mean():.2f}, and {best.found:.0%} of "
            f"{len(victims)} pictures matched to their original (chance {1 / len(victims):.1%})",
            value=value,
            details=[
                Detail("SSIM of the mean picture", of_mean),
                Detail("SSIM learnt from shuffled features", _mean(leaked.shuffled)),
                Detail("re-identified from shuffled features", leaked.shuffled.found),
                Detail("SSIM from leaked features", float(best.similarity.mean())),
                Detail("re-identified from leaked features", best.found),
                Detail("SSIM, linear decoder", float(leaked.linear.similarity.mean())),
                Detail("re-identified, linear decoder", leaked.linear.found),
                Detail("class of the original, by the run's own model", leaked.alike),
                Detail("re-identified from ciphertexts", hidden.found),
                Detail("images learnt from", float(leaked.learnt_from), "images"),
                Detail("training steps", float(leaked.steps)),
            ],
            limits=[
                "small decoders and few images of the same source: a lower bound on what leaked "
                f"features reveal; more of both by the full budget, this is {budget.name}",
                "other images of the same people may be among those learnt from",
                f"pictures of {pictures.shape[1]} x {pictures.shape[2]} pixels, grey",
            ],
            spent={"auxiliary images": leaked.learnt_from, "ciphertexts": len(victims)}
            | memory_spent(leaked.at_once),
            pictures=_shown(originals, leaked, hidden),
        )


def _mean(inverted: Inverted) -> float:
    return float(inverted.similarity.mean())


def _from_features(
    inspected: Inspected,
    victims: IntArray,
    own: IntArray,
    budget: AttackBudget,
    random: np.random.Generator,
) -> Leaked:
    """Learn on images of the adversary's own, as many as the budget allows, and invert features."""
    population = population_of(inspected)
    others = population_of(inspected, max(MOST_INSPECTED, int(IMAGES * budget.seconds)))
    images = population.images[victims]
    mine = ~_among(others.images, images)
    known, pictures = others.features[mine].astype(np.float64), small_grey(others.images[mine])
    originals = small_grey(images)
    features = population.features[victims].astype(np.float64)
    steps, seconds = int(STEPS * budget.seconds), SHARE * budget.seconds
    linear = learn_linear(known, pictures)
    decoder = learn_convolutional_once(known, pictures, seconds, steps, random, budget.device)
    found = judge(decoder(features), originals)
    shuffled = random.permutation(known)
    blind = learn_convolutional_once(shuffled, pictures, seconds, steps, random, budget.device)
    return Leaked(
        judge(linear(features), originals),
        found,
        judge(blind(features), originals),
        _alike(inspected, found.pictures, images),
        len(known),
        decoder.steps,
        decoder.at_once,
    )


def _among(images: UInt8Array, some: UInt8Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Say which images are among some, pixel by pixel: (n,)."""
    known = {image.tobytes() for image in some}
    return np.array([image.tobytes() in known for image in images])


def _alike(inspected: Inspected, pictures: UInt8Array, images: UInt8Array) -> float:
    """Return the share of pictures to which the run's own model gives their original's class."""
    fitted = fitted_of(inspected)
    assert fitted is not None
    size = images.shape[2], images.shape[1]
    shown = [np.asarray(Image.fromarray(one).resize(size)) for one in pictures]
    again = np.repeat(np.stack(shown)[..., None], images.shape[3], axis=3)
    classes = [fitted.model.scores(fitted.inputs(one)).argmax(axis=1) for one in (again, images)]
    return float((classes[0] == classes[1]).mean())


def _from_ciphertexts(
    inspected: Inspected,
    pictures: UInt8Array,
    own: IntArray,
    victims: IntArray,
    budget: AttackBudget,
    random: np.random.Generator,
) -> list[Inverted]:
    """Learn on ciphertexts under the adversary's own key, invert those under the victim's.

    By both decoders; the better one on the victims counts, to the adversary's favour.
    """
    adversary, victim = deploy(inspected), victim_of(inspected)
    width = 8 * victim.model.width
    own = own[:CIPHERTEXTS]
    seen: list[Float64Array] = []
    for side, positions in ((adversary, own), (victim, victims)):
        messages = side.client.protect(side.inputs[positions], Clock(Side.CLIENT))
        seen.append(first_bytes(messages, width))
    steps, seconds = int(STEPS * budget.seconds) // 4, SHARE * budget.seconds / 4
    decoders: list[Decoder] = [
        learn_linear(seen[0], pictures[own]),
        learn_convolutional(seen[0], pictures[own], seconds, steps, random, budget.device),
    ]
    return [judge(decoder(seen[1]), pictures[victims]) for decoder in decoders]


def _shown(
    originals: UInt8Array, leaked: Leaked, hidden: Inverted
) -> list[tuple[str, str, UInt8Array, str]]:
    shown: list[tuple[str, str, UInt8Array, str]] = []
    kinds = (
        (leaked.linear, "leaked features, linear"),
        (leaked.convolutional, "leaked features"),
        (hidden, "ciphertexts"),
    )
    for number in range(min(SHOWN, len(originals))):
        name = str(number)
        shown.append((name, "original", _coloured(originals[number]), ""))
        shown += [
            (
                name,
                "after attack",
                _coloured(one.pictures[number]),
                f"from {what}: SSIM {one.similarity[number]:.2f}",
            )
            for one, what in kinds
        ]
    return shown


def _coloured(picture: UInt8Array) -> UInt8Array:
    return np.repeat(picture[:, :, None], 3, axis=2)


CHECK = FeatureInversion()
