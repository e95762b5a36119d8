"""Feature inversion: pictures from leaked DeiT features, and from the ciphertexts in their place.

The counterfactual that justifies encrypting features: a decoder learnt on other people's images
turns features into recognisable pictures; from ciphertexts the same decoder gets the mean picture.
"""

from __future__ import annotations

import numpy as np

from common.adversary import Budget, Detail, Finding, Inspected, Metric
from common.clock import Clock
from common.types import Float64Array, IntArray, Knowledge, Side, UInt8Array
from fhe_baseline.adversary.feature_inversion import (
    Inverted,
    first_bytes,
    judge,
    learn,
    small_grey,
)
from fhe_baseline.adversary.victim import (
    CKKS,
    TFHE,
    deploy,
    pipeline_obstacle,
    population_of,
    victim_of,
)

VICTIMS, SHOWN, LEAST, CIPHERTEXTS = 40, 3, 24, 40
MOST_GAIN = 0.02


class FeatureInversion:
    """Learns on part of the images, inverts the others; ciphertexts under the adversary's key."""

    name = "feature_inversion"
    title = "Pictures from features and from ciphertexts"
    rung = Knowledge.AUXILIARY_DATA
    metric = Metric("SSIM to the original, from ciphertexts", best=1.0)
    source = "Dosovitskiy and Brox, CVPR 2016 (its linear part)"

    def applies(self, inspected: Inspected) -> str:
        """Pipelines whose client extracts and encrypts features."""
        if len(inspected.images) < LEAST:
            return f"{len(inspected.images)} images are too few to learn a decoder from"
        return pipeline_obstacle(inspected, CKKS + TFHE)

    def examine(self, inspected: Inspected, budget: Budget, random: np.random.Generator) -> Finding:
        """Invert leaked features, then ciphertexts, of images the decoder never saw."""
        population = population_of(inspected)
        pictures = small_grey(population.images)
        order = random.permutation(len(pictures))
        victims, own = np.split(order, [min(VICTIMS, len(order) // 3)])
        features = population.features.astype(np.float64)
        leaked = judge(learn(features[own], pictures[own])(features[victims]), pictures[victims])
        hidden = self._from_ciphertexts(inspected, pictures, own, victims)
        mean = np.rint(pictures[own].mean(axis=0)).astype(np.uint8)
        floor = float(judge(np.stack([mean] * len(victims)), pictures[victims]).similarity.mean())
        value = float(hidden.similarity.mean())
        sound = value - floor < MOST_GAIN and hidden.found <= 3 / len(victims) + 0.05
        return Finding(
            verdict="resists within budget" if sound else "partial",
            headline=f"from ciphertexts SSIM {value:.2f} (the mean picture {floor:.2f}); had the "
            f"features leaked: SSIM {leaked.similarity.mean():.2f}, and {leaked.found:.0%} of "
            f"{len(victims)} pictures matched to their original (chance {1 / len(victims):.1%})",
            value=value,
            details=[
                Detail("SSIM of the mean picture: the floor", floor),
                Detail("SSIM from leaked features", float(leaked.similarity.mean())),
                Detail("re-identified from leaked features", leaked.found),
                Detail("re-identified from ciphertexts", hidden.found),
                Detail("images learnt from", float(len(own)), "images"),
            ],
            limits=[
                "a linear decoder and few images of the same source: a lower bound on what leaked "
                "features give away",
                f"pictures of {pictures.shape[1]} x {pictures.shape[2]} pixels, grey",
            ],
            spent={"auxiliary images": len(own), "ciphertexts": len(victims)},
            pictures=_shown(pictures[victims], leaked, hidden),
        )

    def _from_ciphertexts(
        self, inspected: Inspected, pictures: UInt8Array, own: IntArray, victims: IntArray
    ) -> Inverted:
        """Learn on ciphertexts under a key of the adversary's, invert those under the victim's."""
        adversary, victim = deploy(inspected), victim_of(inspected)
        width = 8 * victim.model.width
        own = own[:CIPHERTEXTS]
        seen: list[Float64Array] = []
        for side, positions in ((adversary, own), (victim, victims)):
            messages = side.client.protect(side.inputs[positions], Clock(Side.CLIENT))
            seen.append(first_bytes(messages, width))
        return judge(learn(seen[0], pictures[own])(seen[1]), pictures[victims])


def _shown(
    originals: UInt8Array, leaked: Inverted, hidden: Inverted
) -> list[tuple[str, str, UInt8Array, str]]:
    shown: list[tuple[str, str, UInt8Array, str]] = []
    for number in range(min(SHOWN, len(originals))):
        name = str(number)
        kinds = ((leaked, "leaked features"), (hidden, "ciphertexts"))
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


ATTACK = FeatureInversion()
