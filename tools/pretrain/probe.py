"""Linear probes: how much of NORMAL / PNEUMONIA a frozen model's features hold.

Standardised features, logistic regression with C = 0.01 and balanced classes. The only module here
that reads a label; nothing it returns reaches the training.
"""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from tools.pretrain.views import Images, resize, tokens_of

Readings = Callable[[Tensor], dict[str, np.ndarray]]


def labels_of(data_dir: Path, images: Images) -> np.ndarray:
    """1 for PNEUMONIA, 0 for NORMAL, in the order of the images."""
    with (data_dir / "labels.csv").open(newline="") as handle:
        known = {r["file"]: int(r["label"] == "PNEUMONIA") for r in csv.DictReader(handle)}
    return np.array([known[file] for file in images.files])


def linear_probe(
    features: np.ndarray, labels: np.ndarray, test_features: np.ndarray, test_labels: np.ndarray
) -> dict[str, float]:
    """AUC and accuracy on the test part of a probe fitted on the first; features (n, d)."""
    classifier = LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000)
    model = make_pipeline(StandardScaler(), classifier).fit(features, labels)
    score = model.predict_proba(test_features)[:, 1]
    return {
        "auc": round(float(roc_auc_score(test_labels, score)), 4),
        "accuracy": round(float(accuracy_score(test_labels, score > 0.5)), 4),
    }


def student_features(tokens: Tensor) -> dict[str, np.ndarray]:
    """Readings of DeiT tokens (n, 2 + patches, d); `head` is what timm's classifier head reads."""
    first, second, mean = tokens[:, 0], tokens[:, 1], tokens[:, 2:].mean(1)
    return {
        "head": ((first + second) / 2).numpy(),
        "class+distillation": np.concatenate([first, second], 1),
        "class+distillation+mean": np.concatenate([first, second, mean], 1),
    }


def teacher_features(tokens: Tensor) -> dict[str, np.ndarray]:
    """Class token next to the mean patch token, from teacher tokens (n, 1 + patches, d)."""
    return {"class+mean": np.concatenate([tokens[:, 0], tokens[:, 1:].mean(1)], 1)}


def pixel_features(train: Images, test: Images, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Whitened principal components (192) of the images at this size, fitted on train."""
    flat = [resize(images.pixels, size).reshape(len(images.files), -1) for images in (train, test)]
    train_rows, test_rows = (part.astype(np.float32) / 255 for part in flat)
    model = PCA(192, whiten=True, svd_solver="randomized", random_state=0).fit(train_rows)
    return model.transform(train_rows), model.transform(test_rows)


def probe_model(
    model: nn.Module,
    readings: Readings,
    px: int,
    train: Images,
    test: Images,
    labels: list[np.ndarray],
    half: bool = True,
) -> dict[str, dict[str, float]]:
    """Probe figures by reading for images of px x px; `half`: features in bfloat16 arithmetic."""
    tokens = [tokens_of(model, resize(part.pixels, px), half=half) for part in (train, test)]
    seen = [readings(part) for part in tokens]
    return {
        name: linear_probe(seen[0][name], labels[0], seen[1][name], labels[1]) for name in seen[0]
    }
