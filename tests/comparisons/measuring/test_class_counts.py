"""Every class of a run has images to learn and to test, and every pipeline takes the classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.common import plugins
from he_compare.common.datasets.folder import DATASET
from he_compare.common.errors import DataError, UsageError
from he_compare.common.types import MAX_CLASSES, Split
from he_compare.comparisons.measuring.class_counts import (
    image_limits,
    require_all_classes,
    too_many_classes,
)
from he_compare.comparisons.measuring.config import load_config
from he_compare.comparisons.measuring.planning import make_plan, resolve_pipelines
from tests.support.imagefolders import write_tree

WIDTH = 192


def many(count: int) -> tuple[str, ...]:
    return tuple(f"class {number:03d}" for number in range(count))


def test_a_profiles_limit_is_raised_to_one_image_of_each_class_and_says_so() -> None:
    config = load_config("smoke", {})
    assert config.val_limit is not None and config.val_limit < 100
    limits = image_limits(config, 100)
    assert limits.by_split[Split.VAL] == 100
    assert any(f"limit of {config.val_limit} images was raised" in note for note in limits.notes)
    assert image_limits(config, 2).notes == []


def test_a_limit_that_is_asked_for_is_refused_with_the_number_it_needs() -> None:
    config = load_config("smoke", {"val_limit": 99})
    with pytest.raises(UsageError, match=r"--val-limit 99 is less.*pass --val-limit 100 or more"):
        image_limits(config, 100)
    assert image_limits(config, 99).by_split[Split.VAL] == 99


def test_a_class_that_a_split_lacks_is_named_with_its_number_of_images(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 4, "val": 2, "test": 2}, size=8, classes=("a", "b", "rare"))
    for file in (tmp_path / "val" / "rare").iterdir():
        file.unlink()
    (tmp_path / "val" / "rare").rmdir()
    opened = DATASET.open(str(tmp_path), None, "", 0)
    chosen = {split: np.arange(len(opened.index(split).ids)) for split in Split}
    with pytest.raises(DataError, match=r"the val split has no image of class 'rare' \(6 in all\)"):
        require_all_classes(opened, chosen)


def test_a_class_of_one_image_is_named_with_what_to_do(tmp_path: Path) -> None:
    write_tree(tmp_path, {"": 20}, size=8, classes=("a", "b"))
    write_tree(tmp_path, {"": 1}, size=8, classes=("one",), seed=1)
    write_tree(tmp_path, {"": 2}, size=8, classes=("two",), seed=2)
    with pytest.raises(DataError, match=r"a class needs 3 .*: 'one' has 1, 'two' has 2 .*together"):
        DATASET.open(str(tmp_path), None, "", 0)


def test_a_class_of_one_training_image_cannot_have_validation_cut_from_it(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train": 9, "test": 4}, size=8, classes=("a", "b"))
    write_tree(tmp_path, {"train": 1, "test": 1}, size=8, classes=("one",), seed=1)
    with pytest.raises(DataError, match=r"needs 2 .* for each of train, val: 'one' has 1"):
        DATASET.open(str(tmp_path), None, "", 0)


def test_a_plan_of_many_classes_has_an_image_of_each_in_every_split(tmp_path: Path) -> None:
    write_tree(tmp_path / "in", {"train": 3, "val": 2, "test": 2}, size=8, classes=many(64))
    changes: dict[str, Any] = {
        "pipelines": ["plaintext", "fhe-head[packing=zero-sum]", "fhe-tfhe-train"],
        "image_size": 32,
        "weights": "untrained",
    }
    config = load_config("smoke", changes)
    made = make_plan(config, f"folder:{tmp_path / 'in'}", None, tmp_path / "client.key")
    for split in made.summary.splits.values():
        assert set(split.per_class) == set(many(64)) and min(split.per_class.values()) >= 1
    assert made.summary.limits["val"] == 64
    assert dict(made.not_run) == {
        "fhe-head[zero-sum]": "it takes at most 42 classes, the dataset has 64",
        "fhe-tfhe-train": "it takes at most 2 classes, the dataset has 64",
    }


def test_a_run_without_a_pipeline_for_its_classes_is_refused() -> None:
    planned = resolve_pipelines(load_config("smoke", {"pipelines": ["fhe-tfhe-train"]}))
    assert too_many_classes(planned, 2, WIDTH) == {}
    with pytest.raises(
        UsageError, match=r"no pipeline of this run takes.*fhe-tfhe-train: it takes"
    ):
        too_many_classes(planned, 3, WIDTH)


@pytest.mark.parametrize("name", sorted(plugins.discover("pipelines")))
def test_a_pipeline_says_how_many_classes_it_takes(name: str) -> None:
    (planned,) = resolve_pipelines(load_config("smoke", {"pipelines": [name]}))
    most = planned.pipeline.most_classes(planned.parameters, WIDTH)
    assert 2 <= most <= MAX_CLASSES
    assert most == MAX_CLASSES or name == "fhe-tfhe-train"
