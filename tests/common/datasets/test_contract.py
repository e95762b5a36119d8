"""What every dataset family must keep to, tried on the example that each family writes itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from he_compare.common.contracts import OpenDataset
from he_compare.common.dataset import DatasetFamily
from he_compare.common.datasets.opened.choice import limit, load_batch, summary
from he_compare.common.datasets.opened.contact_sheet import contact_sheet
from he_compare.common.datasets.opened.fingerprint import fingerprint
from he_compare.common.datasets.opened.inspection import check, describe
from he_compare.common.datasets.opened.invariants import check_opened
from he_compare.common.datasets.reading import download
from he_compare.common.errors import DataError, UnknownNameError
from he_compare.common.plugin_names import canonical_name
from he_compare.common.plugins import discover, load
from he_compare.common.types import Split

FAMILIES = sorted(discover("datasets"))
CASES = [(name, subset) for name in FAMILIES for subset in load("datasets", name).subsets]


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[int], OpenDataset]:
    name, subset = request.param
    family: DatasetFamily = load("datasets", name)
    argument = family.example(tmp_path)
    if argument is None:
        pytest.skip(f"the family {name} writes no example")
    return lambda seed: family.open(argument, tmp_path, subset, seed)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_card_is_had_without_data_and_discloses_itself(name: str) -> None:
    family: DatasetFamily = load("datasets", name)
    card = family.card()
    assert family.name == card.name
    assert canonical_name(family.name) == canonical_name(name)
    assert family.subsets
    assert card.title and card.description and card.source and card.licence and card.citation
    assert card.caveats
    assert not card.positive_class or card.positive_class in card.classes


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_that_ships_says_whether_its_argument_is_a_path_and_writes_an_example(
    name: str, tmp_path: Path
) -> None:
    family: DatasetFamily = load("datasets", name)
    assert family.takes_path is not None
    assert family.example(tmp_path) is not None


@pytest.mark.parametrize("name", FAMILIES)
def test_an_unknown_subset_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no-such-subset"):
        load("datasets", name).open("", tmp_path, "no-such-subset", 0)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("there", [True, False])
def test_a_missing_or_empty_folder_is_told_in_one_line_with_a_fix(
    name: str, there: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "nothing"
    if there:
        folder.mkdir()
    with pytest.raises(DataError, match="nothing") as refused:
        load("datasets", name).open("", folder, "", 0)
    assert refused.value.fix
    assert "\n" not in str(refused.value)


def test_splits_share_neither_ids_nor_groups(opener: Callable[[int], OpenDataset]) -> None:
    data = opener(0)
    check_opened(data, data.card.name)
    ids: list[str] = []
    groups: list[str] = []
    for split in Split:
        index = data.index(split)
        assert len(index.ids) == len(index.labels) == len(index.groups) > 0
        assert index.labels.dtype == np.int64
        assert set(index.labels.tolist()) <= set(range(len(data.card.classes)))
        ids += index.ids
        groups += set(index.groups)
    assert len(ids) == len(set(ids))
    assert len(groups) == len(set(groups))


def test_nothing_is_downloaded_unless_a_policy_allows_it(
    opener: Callable[[int], OpenDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "open_address", lambda *_: pytest.fail("used the network"))
    opener(0)


def test_ids_are_stable_names_without_a_machine_path(
    opener: Callable[[int], OpenDataset], tmp_path: Path
) -> None:
    first, again = opener(0), opener(0)
    for split in Split:
        assert first.index(split).ids == again.index(split).ids
        assert not any(str(tmp_path) in identity for identity in first.index(split).ids)
    told = summary(
        first, {}, fingerprint="", image_size=16, default_subset="", limits={}
    ).model_dump_json()
    assert str(tmp_path) not in told


def test_images_are_rgb_squares_and_the_same_on_every_reading(
    opener: Callable[[int], OpenDataset],
) -> None:
    data = opener(0)
    positions = np.array([1, 0])
    images = data.read(Split.TEST, positions, 20)
    assert (images.dtype, images.shape) == (np.uint8, (2, 20, 20, 3))
    assert images.std() > 0
    assert np.array_equal(images, data.read(Split.TEST, positions, 20))
    assert data.read(Split.TEST, np.array([], dtype=np.int64), 20).shape == (0, 20, 20, 3)


def test_a_run_can_choose_load_count_and_fingerprint(opener: Callable[[int], OpenDataset]) -> None:
    data = opener(0)
    chosen = {split: limit(data.index(split), 12, 0, split) for split in Split}
    batch = load_batch(data, Split.TRAIN, chosen[Split.TRAIN], 16)
    assert set(batch.labels.tolist()) == set(range(len(data.card.classes)))
    digest = fingerprint(data, chosen)
    assert digest == fingerprint(opener(0), chosen)
    default, limits = data.subset, {Split.TRAIN: 6, Split.VAL: None}
    told = summary(
        data, chosen, fingerprint=digest, image_size=16, default_subset=default, limits=limits
    )
    assert told.limits == {"train": 6} and told.subset_is_default
    assert {name: split.n for name, split in told.splits.items()} == {
        split.value: len(chosen[split]) for split in Split
    }


def test_a_check_and_a_contact_sheet_can_be_made(
    opener: Callable[[int], OpenDataset], tmp_path: Path
) -> None:
    data = opener(0)
    found = check(data)
    assert sum(split.n for split in found.splits.values()) == sum(found.sizes.values())
    assert found.shared_groups == 0
    assert data.card.licence in describe(found)
    assert str(tmp_path) not in json.dumps(found.as_json())
    contact_sheet(data, tmp_path / "sheet.png", 0, per_class=2, size=16)
    assert (tmp_path / "sheet.png").stat().st_size > 500


def test_loading_the_families_imports_nothing_heavy() -> None:
    code = (
        "import sys; from he_compare.common.plugins import discover;"
        "[plugin.load().card() for plugin in discover('datasets').values()];"
        "heavy = {'torch', 'pandas', 'sklearn', 'scipy', 'PIL', 'medmnist', 'pydicom'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
