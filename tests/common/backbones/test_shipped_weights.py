"""The weights that ship: small, whole, half precision, and what their card says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from he_compare.common.backbones.weights import (
    SHIPPED_FOLDER,
    locate_weights,
    pretraining_of,
)
from he_compare.common.errors import IntegrityError
from he_compare.common.identity import file_digest

NAME = "deit_tiny_distilled_patch16_224"
FILE = SHIPPED_FOLDER / f"{NAME}.safetensors"


@pytest.fixture
def card() -> Any:
    return json.loads((SHIPPED_FOLDER / f"{NAME}.json").read_text())


def test_the_file_is_the_one_of_the_card_and_small(card: Any) -> None:
    assert file_digest(FILE) == card["sha256"]
    assert FILE.stat().st_size == card["bytes"] <= 12 * 2**20


def test_all_values_are_finite_halves() -> None:
    for name, values in load_file(FILE).items():
        assert values.dtype == np.float16, name
        assert np.isfinite(values).all(), name


def test_the_card_says_where_they_come_from(card: Any) -> None:
    assert card["training"]["labels"] == "none"
    assert card["training"]["images"] + card["training"]["held_out_images"] == 5216
    assert card["licence"]["weights"] == "Apache-2.0" and "CC BY 4.0" in card["licence"]["data"]
    assert len(card["teacher"]["sha256"]) == 64


@pytest.mark.parametrize("size", ["112px", "224px"])
def test_the_card_puts_the_student_beside_teacher_untrained_and_pixels(
    card: Any, size: str
) -> None:
    table = card["comparison"][size]
    assert set(table) == {"student", "teacher", "untrained", "whitened pixels"}
    assert table["student"]["auc"] >= 0.94
    # Two routes to the same figure: the tool that exported the file, and the benchmark.
    assert table["student"]["auc"] == pytest.approx(
        card["probe"]["student"][size]["head"]["auc"], abs=5e-4
    )


def test_the_card_declares_what_the_weights_were_trained_on(tmp_path: Path) -> None:
    source = locate_weights("deit_tiny_distilled_patch16_224", "shipped")
    assert source.pretrained_on == ("kermany-chest-2018",)
    assert "without labels on the train split" in source.provenance
    assert "170 patient-like ids" in source.provenance
    weights = tmp_path / "weights.safetensors"
    for card in ("[", "{}", '{"pretraining": {"collections": [], "how": ""}}'):
        weights.with_suffix(".json").write_text(card)
        with pytest.raises(IntegrityError, match="does not declare"):
            pretraining_of(weights)
