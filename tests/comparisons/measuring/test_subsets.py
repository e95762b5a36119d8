"""A profile wishes for a subset; what a person asks for has to exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_compare.common import plugins
from he_compare.common.errors import UnknownNameError
from he_compare.comparisons.measuring.config import load_config
from he_compare.comparisons.measuring.dataset_opening import open_dataset
from he_compare.comparisons.measuring.planning import make_plan


def test_the_subset_of_a_profile_is_left_out_where_a_dataset_has_none(tmp_path: Path) -> None:
    argument = plugins.load("datasets", "folder").example(tmp_path)
    config = load_config(
        "smoke", {"pipelines": ["plaintext"], "image_size": 32, "weights": "untrained"}
    )
    assert config.subset == "balanced"
    made = make_plan(config, f"folder:{argument}", tmp_path, tmp_path / "client.key")
    assert made.summary.subset == "all" and made.summary.subset_is_default
    assert made.summary.limits == {
        split: most
        for split, most in (
            ("train", config.train_limit),
            ("val", config.val_limit),
            ("test", config.test_limit),
        )
        if most is not None
    }


@pytest.mark.parametrize("subset", ["balanced", "balancd"])
def test_a_subset_that_is_asked_for_has_to_exist(tmp_path: Path, subset: str) -> None:
    with pytest.raises(UnknownNameError, match=f"'folder' has no subset '{subset}'"):
        open_dataset(f"folder:{tmp_path}", None, subset, 0)
