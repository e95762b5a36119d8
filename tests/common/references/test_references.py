"""Public references: what ships, how it is drawn, and whether it is of a collection by rule."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from he_compare.common.datasets.chestxray import CARD as CHEST
from he_compare.common.datasets.embedded.atlas import cohort_card
from he_compare.common.datasets.folder import make_card
from he_compare.common.datasets.medmnist_sets.known_sets import known_set
from he_compare.common.datasets.nih_cxr14 import CARD as NIH
from he_compare.common.errors import IntegrityError
from he_compare.common.references import natural
from he_compare.common.references.natural import NaturalPhotographs, picture_facts
from he_compare.common.references.reference import COLOUR_CHANNELS, GREY_CHANNELS, PublicReference
from he_compare.common.references.shipped import SHIPPED_REFERENCES
from he_compare.common.references.synthetic_chest import SyntheticChest
from tests.support.repository import ROOT

PHOTOGRAPHS = ROOT / "common" / "references" / "pictures"
MOST_BYTES = 1_500_000


@pytest.mark.parametrize(
    "reference", [one() for one in SHIPPED_REFERENCES.values()], ids=list(SHIPPED_REFERENCES)
)
def test_images_follow_the_seed_and_do_not_depend_on_how_many_are_drawn(
    reference: PublicReference,
) -> None:
    images = reference.images(6, 40, COLOUR_CHANNELS, 3)
    assert images.shape == (6, 40, 40, 3) and images.dtype == np.uint8
    assert np.array_equal(images[:4], reference.images(4, 40, COLOUR_CHANNELS, 3))
    assert not np.array_equal(images, reference.images(6, 40, COLOUR_CHANNELS, 4))
    assert len({image.tobytes() for image in images}) == 6
    grey = reference.images(6, 40, GREY_CHANNELS, 3)
    assert (grey == grey[..., :1]).all()
    assert len(reference.digest) == 64


def test_photographs_are_in_colour_where_colour_is_asked_for_at_any_size() -> None:
    images = NaturalPhotographs().images(20, 16, COLOUR_CHANNELS, 0)
    assert (images != images[..., :1]).any(axis=(1, 2, 3)).sum() >= 5
    assert NaturalPhotographs().images(2, 700, COLOUR_CHANNELS, 0).shape == (2, 700, 700, 3)


def test_every_photograph_that_ships_is_named_with_its_licence_and_is_small() -> None:
    listed = {one.file for one in picture_facts(PHOTOGRAPHS)}
    assert listed == {file.name for file in PHOTOGRAPHS.glob("*.jpg")}
    for facts in picture_facts(PHOTOGRAPHS):
        assert facts.title and facts.author and facts.source and facts.changes
        assert facts.licence.startswith(("CC0", "public domain"))
    assert sum(file.stat().st_size for file in PHOTOGRAPHS.iterdir()) < MOST_BYTES


def test_the_wheel_takes_the_photographs_along() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["he_compare.common"]
    packed = {file for pattern in patterns for file in (ROOT / "common").glob(pattern)}
    assert {file for file in PHOTOGRAPHS.iterdir() if file.is_file()} <= packed


@pytest.mark.parametrize("damage", ["byte", "missing", "card", "path"])
def test_damaged_photographs_are_refused_by_name(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / damage
    shutil.copytree(PHOTOGRAPHS, folder)
    if damage == "byte":
        data = bytearray((folder / "camera.jpg").read_bytes())
        data[2000] ^= 1
        (folder / "camera.jpg").write_bytes(data)
    elif damage == "missing":
        (folder / "camera.jpg").unlink()
    elif damage == "card":
        (folder / "pictures.json").write_text("[")
    else:
        card = json.loads((folder / "pictures.json").read_text())
        card["pictures"][0]["file"] = "../camera.jpg"
        (folder / "pictures.json").write_text(json.dumps(card))
    with pytest.raises(IntegrityError, match=r"camera\.jpg|pictures\.json"):
        natural._photographs(folder)


def test_the_domain_follows_from_the_collections_that_cards_declare() -> None:
    pneumonia, blood = (known_set(name).card("") for name in ("pneumoniamnist", "bloodmnist"))
    synthetic = SyntheticChest()
    for card in (CHEST, pneumonia, cohort_card()):
        assert synthetic.domain_of(card) == "in-domain"
        assert NaturalPhotographs().domain_of(card) == "foreign"
    for card in (NIH, known_set("chestmnist").card(""), blood):
        assert synthetic.domain_of(card) == "foreign"
    assert NIH.collections == known_set("chestmnist").card("").collections
    assert synthetic.domain_of(make_card("mine", ["a", "b"])) == "domain not known"
