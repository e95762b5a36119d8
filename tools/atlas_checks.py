"""Is anything in the atlas a near-copy of a training image? And does it carry the class difference?

Distances to the nearest training image are compared between samples and real images that were not
fitted (the published test split; training images against other patient groups). The same recipe
fitted on half of the groups shows whether samples lean towards what was fitted.
"""

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from he_compare.common.datasets.embedded.atlas import Atlas

if TYPE_CHECKING:
    from tools.build_atlas import Films

SAMPLES = 2000
PROBE_IMAGES = 1500
PROBE_COMPONENTS = 64
LEAST_RATIO = 0.9
LARGEST_CORRELATION = 0.9
SHOWS = (
    "None of these samples and no component is a near-copy of a training image at 112 px: samples "
    "are about as far from training images as other real films are, or farther. It is a check of "
    "copies, by distance. It is not a proof of privacy: no differential privacy is claimed, and "
    "whether a known film was among those fitted may be inferable from the mean, the components or "
    "the covariances."
)


class Spaces:
    """The spaces distances are measured in: grey levels, shape alone, component coordinates."""

    def __init__(self, atlas: Atlas, train: np.ndarray) -> None:
        self._mean = atlas.mean.astype(np.float32)
        self._back = np.linalg.qr(atlas.components.T)[0].astype(np.float32)
        self._whiten = np.linalg.pinv(atlas.components).astype(np.float32)
        self._spread = ((train - self._mean) @ self._whiten).std(axis=0)

    def views(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Coordinates by space.

        Euclidean distances are root mean squares, of grey levels or of standard deviations; for
        normalised images, whatever their brightness and contrast, sqrt(2 - 2 correlation).
        """
        centred = pixels - self._mean
        side2, k = self._back.shape
        return {
            "pixels": centred / np.float32(side2**0.5),
            "pixels within the span of the components": centred @ self._back / side2**0.5,
            "pixels, each image normalised": normalised(pixels),
            "components, each divided by its spread": centred
            @ self._whiten
            / self._spread
            / k**0.5,
        }


def nearest(
    queries: np.ndarray, base: np.ndarray, groups: tuple[np.ndarray, np.ndarray] | None = None
) -> np.ndarray:
    """Distance of each query to the nearest row of ``base`` (of another group where given)."""
    squares = (base**2).sum(axis=1)
    found = []
    for i in range(0, len(queries), 500):
        part = queries[i : i + 500]
        distances = (part**2).sum(axis=1)[:, None] + squares - 2 * part @ base.T
        if groups is not None:
            distances[groups[0][i : i + 500, None] == groups[1][None]] = np.inf
        found.append(np.sqrt(np.maximum(distances.min(axis=1), 0)))
    return np.concatenate(found)


def draw(atlas: Atlas, n: int, prevalence: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic pixels float32 (n, side^2) and labels."""
    labels = (np.random.default_rng(seed).random(n) < prevalence).astype(np.int64)
    images = atlas.draw(seed, np.arange(n, dtype=np.int64), labels)
    return images.reshape(n, -1).astype(np.float32), labels


def privacy(
    atlas: Atlas, train: "Films", test: "Films", halves: list[tuple[Atlas, "Films", "Films"]]
) -> dict:
    """The figures of the check, with what they show and do not."""
    spaces = Spaces(atlas, train.pixels)
    samples = spaces.views(draw(atlas, SAMPLES, train.labels.mean(), seed=1)[0])
    base, held = spaces.views(train.pixels), spaces.views(test.pixels)
    some = np.random.default_rng(0).permutation(len(train.labels))[:SAMPLES]
    own = (train.groups[some], train.groups)
    distances = {}
    for space, known in base.items():
        found = {
            "samples": nearest(samples[space], known),
            "held-out test images": nearest(held[space], known),
            "training images, to other groups": nearest(known[some], known, own),
        }
        distances[space] = compare(found)
    return {
        "samples": SAMPLES,
        "held_out": len(test.labels),
        "distance_to_nearest_training_image": distances,
        "component_correlation": component_correlation(atlas, train, test),
        "half_fit": lean_towards_fitted(halves),
        "limits": f"samples' 1st percentile and minimum at least {LEAST_RATIO} of the held-out "
        f"ones, no component correlated with a training image beyond {LARGEST_CORRELATION}",
        "what_it_shows": SHOWS,
    }


def compare(found: dict[str, np.ndarray]) -> dict:
    """Median, 1st percentile and minimum of each, and samples divided by held-out images."""
    table = {
        name: {
            "median": float(np.median(values)),
            "1st percentile": float(np.percentile(values, 1)),
            "minimum": float(values.min()),
        }
        for name, values in found.items()
    }
    samples, held = table["samples"], table["held-out test images"]
    table["ratio samples / held-out"] = {key: samples[key] / held[key] for key in samples}
    return {
        name: {key: round(value, 3) for key, value in row.items()} for name, row in table.items()
    }


def component_correlation(atlas: Atlas, train: "Films", test: "Films") -> dict:
    """Largest |correlation| of each component with any centred image, trained on or held out."""
    components = normalised(atlas.components.astype(np.float32))
    mean = atlas.mean.astype(np.float32)
    equal = np.random.default_rng(0).permutation(len(train.labels))[: len(test.labels)]
    seen = np.abs(components @ normalised(train.pixels - mean).T)
    held = np.abs(components @ normalised(test.pixels - mean).T).max(axis=1)
    as_many = seen[:, equal].max(axis=1)
    rows = {
        "all training images": seen.max(axis=1),
        "as many training images as held out": as_many,
        "held-out test images": held,
    }
    return {
        "what": "largest |Pearson correlation| of a component with any image less the mean image",
        **{
            name: {
                "maximum over components": round(float(row.max()), 3),
                "median over components": round(float(np.median(row)), 3),
                "maximum over components 11 and later": round(float(row[10:].max()), 3),
            }
            for name, row in rows.items()
        },
    }


def normalised(rows: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and length 1."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def lean_towards_fitted(halves: list[tuple[Atlas, "Films", "Films"]]) -> dict:
    """Share of samples whose nearest real image is of the fitted half; 0.5 where none leans.

    Averaged over fits on either half, so that it does not matter which half is the denser one.
    """
    shares = [nearer_to_fitted(*half) for half in halves]
    return {
        "what": "same recipe fitted on either half of the patient groups: share of samples nearer "
        "to an image of that half than to one of the other, averaged (0.5: no leaning; below "
        "it in component space, where images that were not fitted lie nearer to the centre)",
        "standard error": round(0.5 / (len(halves) * SAMPLES) ** 0.5, 3),
        "share": {
            space: round(sum(share[space] for share in shares) / len(shares), 3)
            for space in shares[0]
        },
    }


def nearer_to_fitted(atlas: Atlas, fitted: "Films", other: "Films") -> dict[str, float]:
    """Share by space, with equally many images of either half."""
    n = min(len(fitted.labels), len(other.labels))
    order = np.random.default_rng(0)
    spaces = Spaces(atlas, fitted.pixels)
    inside, outside = (
        spaces.views(half.pixels[order.permutation(len(half.labels))[:n]])
        for half in (fitted, other)
    )
    samples = spaces.views(draw(atlas, SAMPLES, fitted.labels.mean(), seed=2)[0])
    return {
        space: float((nearest(view, inside[space]) < nearest(view, outside[space])).mean())
        for space, view in samples.items()
    }


def refuse_copies(figures: dict) -> None:
    """Stop the build where samples or components come too near to training images."""
    for space, table in figures["distance_to_nearest_training_image"].items():
        ratio = table["ratio samples / held-out"]
        if min(ratio["1st percentile"], ratio["minimum"]) < LEAST_RATIO:
            raise SystemExit(f"samples are too near to training images in {space}: {ratio}")
    found = figures["component_correlation"]["all training images"]["maximum over components"]
    if found > LARGEST_CORRELATION:
        raise SystemExit(f"a component is too near to a training image: correlation {found}")


def one_sentence(figures: dict) -> str:
    """The figures a reader of the dataset card needs."""
    table = figures["distance_to_nearest_training_image"]["pixels"]
    samples, held = table["samples"], table["held-out test images"]
    return (
        f"None of {figures['samples']} samples is a near-copy of a real film: the nearest "
        f"training image is at {samples['median']:.1f} grey levels RMS (median; minimum "
        f"{samples['minimum']:.1f}), against {held['median']:.1f} (minimum {held['minimum']:.1f}) "
        "for real films that were not fitted. No differential privacy is claimed."
    )


def linear_probes(atlas: Atlas, train: "Films", test: "Films") -> dict:
    """AUC of logistic regression on whitened principal components of 112-px pixels."""
    drawn = draw(atlas, PROBE_IMAGES, 0.5, seed=3)
    fresh = draw(atlas, PROBE_IMAGES, 0.5, seed=4)
    some = np.random.default_rng(0).permutation(len(train.labels))[:PROBE_IMAGES]
    real = (train.pixels[some], train.labels[some])
    held = (test.pixels, test.labels)
    return {
        "what": f"{PROBE_COMPONENTS} whitened components of 112-px pixels, logistic regression, "
        f"C = 0.01, class-balanced, {PROBE_IMAGES} training images; AUC",
        "synthetic to synthetic": probe_auc(*drawn, *fresh),
        "synthetic to real test": probe_auc(*drawn, *held),
        "real train to real test": probe_auc(*real, *held),
        "real train to synthetic": probe_auc(*real, *fresh),
    }


def probe_auc(
    pixels: np.ndarray, labels: np.ndarray, others: np.ndarray, truth: np.ndarray
) -> float:
    """Train on the first images, score the others; 4 decimals."""
    mean = pixels.mean(axis=0)
    axes = np.linalg.svd(pixels - mean, full_matrices=False)[2][:PROBE_COMPONENTS]
    spread = ((pixels - mean) @ axes.T).std(axis=0)
    model = LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000)
    model.fit((pixels - mean) @ axes.T / spread, labels)
    scores = model.decision_function((others - mean) @ axes.T / spread)
    return round(float(roc_auc_score(truth, scores)), 4)
