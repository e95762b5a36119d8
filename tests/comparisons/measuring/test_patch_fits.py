"""A size of images is refused where no pipeline of the run could take it, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_compare.common.errors import UsageError
from he_compare.comparisons.measuring.config import load_config
from he_compare.comparisons.measuring.planning import make_plan
from tests.support.imagefolders import write_chestxray_like


def plan_at(size: int, folder: Path, *pipelines: str) -> list[str]:
    """Plan a run on images of so many pixels; return the labels of its pipelines."""
    write_chestxray_like(folder / "chestxray", per_class_train=12, per_class_test=8, size=32)
    config = load_config("smoke", {"image_size": size, "pipelines": list(pipelines)})
    plan = make_plan(
        config,
        "chestxray",
        data_dir=folder,
        key_file=folder / "client.key",
        cache_dir=folder / "cache",
    )
    return [one.label for one in plan.pipelines]


def test_a_size_that_nothing_fits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="patch 16 does not divide the image size 28"):
        plan_at(28, tmp_path, "plaintext")


def test_one_patch_that_fits_is_enough(tmp_path: Path) -> None:
    scrambled = "block-scramble[mode=adapted,patch=14]"
    assert len(plan_at(28, tmp_path, "plaintext", scrambled)) == 2


def test_a_convolutional_network_takes_any_size(tmp_path: Path) -> None:
    assert plan_at(28, tmp_path, "convnet[stem=small]") == ["convnet[small]"]
