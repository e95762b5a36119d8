"""Build the atlas of the embedded synthetic cohort from the train split of the chest X-rays.

Mean image, principal components (randomised SVD, Halko et al. 2011, arXiv:0909.4061) and, for each
class, a Gaussian in their space, shrunk towards the covariance of all images (Ledoit and Wolf 2004,
doi:10.1016/S0047-259X(03)00096-4). Then samples are measured against real images; the JSON card
beside the atlas holds the figures. Takes some four minutes on two cores:

    python -m tools.build_atlas --data-dir DIR --out FILE

where FILE is common/datasets/embedded/chestxray_atlas.safetensors.

Fitted in double precision and then quantised, so that the same images give the same bytes. Test
images are read by the checks alone. Nothing is written if a sample or component is nearer to a
training image than the limits allow.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from sklearn.covariance import ledoit_wolf

from he_compare.common.datasets.chestxray import CARD, read_labels
from he_compare.common.datasets.embedded.atlas import MAX_ATLAS_BYTES, Atlas, parse_atlas
from he_compare.common.datasets.opened.splits import hashed_order
from he_compare.common.datasets.reading.decoding import open_image, to_square
from he_compare.common.service.wire import pack
from he_compare.common.types import Split
from he_compare.tools.films import Films
from tools import atlas_checks

SIDE = 112
COMPONENTS = 200
SEED = 0
LICENCE = (
    "CC BY 4.0. Derived from: Kermany, Zhang, Goldbaum (2018), Labeled Optical Coherence "
    "Tomography (OCT) and Chest X-Ray Images for Classification, Mendeley Data V2, "
    "doi:10.17632/rscbjbr9sj.2. Changes: resized to 112 x 112 grey, reduced to a mean image, "
    "principal components and class Gaussians."
)


def load_films(root: Path, split: Split) -> Films:
    """Images of a published split, exact copies left out."""
    rows = [row for row in read_labels(root, "labels.csv") if row.split is split]
    rows = list({row.twin or row.id: row for row in reversed(rows)}.values())[::-1]
    pixels = np.empty((len(rows), SIDE, SIDE), dtype=np.uint8)
    for i, row in enumerate(rows):
        pixels[i] = to_square(open_image(root / row.id, row.id), SIDE)[:, :, 1]
    return Films(
        pixels.reshape(len(rows), -1).astype(np.float32),
        np.array([row.label for row in rows]),
        np.array([row.group for row in rows]),
    )


def principal_components(centred: np.ndarray, k: int) -> np.ndarray:
    """The first k right singular vectors (k, pixels), each with its largest entry positive."""
    start = np.random.Generator(np.random.PCG64(SEED)).random((centred.shape[1], k + 30))
    basis = np.linalg.qr(centred @ (start - 0.5))[0]
    for _ in range(5):
        basis = np.linalg.qr(centred @ np.linalg.qr(centred.T @ basis)[0])[0]
    vectors = np.linalg.svd(basis.T @ centred, full_matrices=False)[2][:k]
    largest = np.abs(vectors).argmax(axis=1)
    return vectors * np.sign(vectors[np.arange(k), largest])[:, None]


def fit(films: Films, k: int) -> tuple[bytes, dict]:
    """Fit and quantise an atlas; its packed bytes and what the card says about the fit."""
    mean = films.pixels.mean(axis=0, dtype=np.float64)
    centred = films.pixels - mean
    vectors = principal_components(centred, k)
    step = np.abs(vectors).max(axis=1) / 127
    coordinates = centred @ vectors.T
    spread = coordinates.std(axis=0)
    means, factors, shrinkage = [], [], {}
    for label, name in enumerate(CARD.classes):
        whitened = coordinates[films.labels == label] / spread
        covariance, shrinkage[name] = ledoit_wolf(whitened)
        means.append(whitened.mean(axis=0) * spread * step)
        factors.append(np.linalg.cholesky(covariance) * (spread * step)[:, None])
    arrays = {
        "mean": mean.astype(np.float32).reshape(SIDE, SIDE),
        "components": np.rint(vectors / step[:, None]).astype(np.int8).reshape(k, SIDE, SIDE),
        "class_means": np.stack(means).astype(np.float16),
        "class_factors": np.stack(factors).astype(np.float16),
    }
    explained = float((coordinates**2).sum() / (centred**2).sum())
    facts = {
        "images": len(films.labels),
        "images_per_class": {
            name: int((films.labels == i).sum()) for i, name in enumerate(CARD.classes)
        },
        "groups": len(set(films.groups)),
        "pixels_a_side": SIDE,
        "components": k,
        "variance_explained": round(explained, 4),
        "shrinkage_towards_all_images": {n: round(float(v), 4) for n, v in shrinkage.items()},
    }
    return pack(arrays, {"licence": LICENCE}), facts


def fit_halves(films: Films, k: int) -> list[tuple[Atlas, Films, Films]]:
    """Fit the same recipe on either half of the patient groups: atlas, that half, the other."""
    order = hashed_order([str(group) for group in films.groups], SEED, "atlas halves")
    inside = np.isin(films.groups, order[: len(order) // 2])
    first, second = films.take(np.flatnonzero(inside)), films.take(np.flatnonzero(~inside))
    return [
        (parse_atlas(fit(fitted, k)[0], "half"), fitted, other)
        for fitted, other in ((first, second), (second, first))
    ]


def describe(data: bytes, facts: dict, privacy: dict, probes: dict) -> dict:
    """The JSON card: provenance, fit, checks, and the dataset card of the cohort."""
    figures = atlas_checks.one_sentence(privacy)
    return {
        "format": "he_compare.common.datasets.embedded.atlas",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "licence": "CC BY 4.0",
        "attribution": LICENCE,
        "fitted_on": "train split of Kermany et al. 2018 without exact copies; no test image",
        "collections": CARD.collections,
        "fit": facts,
        "built_by": "python -m tools.build_atlas",
        "privacy_check": privacy,
        "linear_probes": probes,
        "dataset": {
            "name": CARD.name,
            "title": "Synthetic chest X-rays drawn from a statistical atlas: normal or pneumonia",
            "description": "Artificial radiographs: no patient has them. Drawn from a mean image, "
            f"{facts['components']} principal components and a Gaussian for each class, fitted on "
            f"{facts['images']} paediatric chest films.",
            "source": f"tools/build_atlas.py, from the train split of: {CARD.source}",
            "licence": "CC BY 4.0 (the atlas and images drawn from it)",
            "citation": CARD.citation,
            "caveats": [
                "synthetic cohort: says nothing about patients",
                "Softer than real films: detail finer than the components is missing.",
                "Traces of burnt-in markers ('R') remain and differ between the classes, as in the "
                "real films; a model can learn them.",
                "Train and test images come from one distribution: no shift between them.",
                "Labels are those of the Gaussian an image was drawn from; no radiologist saw it.",
                figures,
            ],
            "classes": CARD.classes,
            "positive_class": CARD.positive_class,
            "synthetic": True,
            "native_size": f"{SIDE} x {SIDE}, enlarged to the size asked for",
            "collections": CARD.collections,
        },
    }


def main() -> None:
    """Fit, check, and write the atlas and its card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="folder with labels.csv")
    parser.add_argument("--out", type=Path, required=True, help="atlas; the card goes beside it")
    parser.add_argument("--components", type=int, default=COMPONENTS)
    options = parser.parse_args()
    train = load_films(options.data_dir, Split.TRAIN)
    data, facts = fit(train, options.components)
    if len(data) > MAX_ATLAS_BYTES:
        parser.error(f"{len(data):,} bytes exceed {MAX_ATLAS_BYTES:,}: ask for fewer --components")
    atlas = parse_atlas(data, options.out.name)
    test = load_films(options.data_dir, Split.TEST)
    privacy = atlas_checks.privacy(atlas, train, test, fit_halves(train, options.components))
    probes = atlas_checks.linear_probes(atlas, train, test)
    card = describe(data, facts, privacy, probes)
    print(json.dumps({"fit": facts, "privacy_check": privacy, "linear_probes": probes}, indent=1))
    atlas_checks.refuse_copies(privacy)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(data)
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    options.out.with_suffix(".json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
