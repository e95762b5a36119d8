"""An attack with public images runs once for each reference, and every outcome names its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from he_compare.common.adversary import Need
from he_compare.common.datasets.chestxray import CARD
from he_compare.common.errors import UsageError
from he_compare.common.references.opening import UnderTest, open_references
from he_compare.common.run.capability_matrix import controls_failed
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.store import RunFolder
from he_compare.common.types import NotRun
from he_compare.comparisons.auditing import matrix, suite
from he_compare.comparisons.auditing.audit_cells import Setup
from he_compare.comparisons.auditing.explaining import explain_outcome, find_cell
from he_compare.comparisons.auditing.harness import Harness
from he_compare.comparisons.auditing.targets import cipher_target
from he_compare.comparisons.progress import ProgressReporter
from tests.support.attackpool import InventedPool
from tests.support.oneattack import SMALL

POOL = InventedPool()
BUDGET = replace(SMALL, images=40)
ATTACK = "moment_matching"


def setup(**changes: object) -> Setup:
    under = UnderTest(CARD, POOL.fingerprint, 32, 0, POOL.attacked, POOL.auxiliary)
    references = open_references((), under)
    made = Setup(POOL, BUDGET, 0, "compare audit run", control_keys=1, references=references)
    return replace(made, **changes)  # type: ignore[arg-type]


def run(folder: Path, given: Setup, *attacks: str) -> list[AttackOutcome]:
    folder.mkdir(exist_ok=True)
    target = cipher_target("vit_block[patch=8]", 32)
    with ProgressReporter(quiet=True) as progress:
        return Harness(given, RunFolder(folder), progress).run([target], attacks or [ATTACK])


def test_both_references_have_a_row_with_name_domain_digest_and_number(tmp_path: Path) -> None:
    outcomes = run(tmp_path, setup())
    mine = [one for one in outcomes if one.target_kind == "cipher"]
    assert [one.row for one in mine] == [f"{ATTACK}@natural", f"{ATTACK}@train"]
    assert [one.title for one in mine] == [
        "Moment matching, public images: natural (foreign)",
        "Moment matching, public images: train (in-domain)",
    ]
    assert len({one.identity for one in outcomes}) == len(outcomes) == 8
    natural, train = (one.reference for one in mine)
    assert natural and train and (natural.domain, train.domain) == ("foreign", "in-domain")
    assert natural.images == train.images == BUDGET.auxiliary
    assert natural.digest != train.digest
    assert any(limit.startswith("in-domain reference") for limit in mine[1].limits)
    assert "--public train" in mine[1].reproduce and "--public natural" in mine[0].reproduce
    files = [set(one.artefacts) for one in mine]
    assert all(files) and not files[0] & files[1]
    again = run(tmp_path, setup())
    assert [one.identity for one in again] == [one.identity for one in mine]

    text = matrix.render(outcomes)
    assert "public images: natural (foreign)" in text
    assert "in-domain reference: Moment matching, public images: train" in text
    assert matrix.OTHER_FLOORS in text
    assert natural.name != train.name and mine[0].floors != mine[1].floors
    assert matrix.OTHER_FLOORS not in matrix.render(mine[:1])
    cell = find_cell(outcomes, f"vit_block[patch=8]/{ATTACK}@train")
    assert "train (in-domain reference): 20 images" in explain_outcome(cell)
    with pytest.raises(UsageError, match="no cell"):
        find_cell(outcomes, f"vit_block[patch=8]/{ATTACK}")


def test_an_attack_that_needs_no_public_images_has_one_row_without_a_reference(
    tmp_path: Path,
) -> None:
    found = run(tmp_path, setup(), "leading_bit")
    assert {one.row for one in found} == {"leading_bit"}
    assert all(one.reference is None for one in found)


def test_without_references_the_training_images_are_called_in_domain(tmp_path: Path) -> None:
    found = run(tmp_path, setup(references=()))[0]
    assert found.reference and found.reference.domain == "in-domain"


def test_the_attack_gets_the_images_of_its_reference_in_grey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    attack = suite.load(ATTACK)
    monkeypatch.setattr(type(attack), "run", lambda self, view, *_: seen.append(view) or 1 / 0)
    assert attack.needs == {Need.AUXILIARY}
    run(tmp_path, setup())
    shown = [view.auxiliary for view in seen]
    assert len(shown) == 2 and shown[0].tobytes() != shown[1].tobytes()
    assert all((images == images[..., :1]).all() for images in shown)


def test_where_time_is_over_further_references_are_left_out_of_the_budget(tmp_path: Path) -> None:
    found = run(tmp_path, setup(seconds=0.0))
    assert [one.not_run for one in found] == [NotRun.AUDIT_TIME, NotRun.BUDGET]


def test_an_attack_that_works_with_other_images_is_no_failed_control(tmp_path: Path) -> None:
    one = run(tmp_path, setup())[0]
    sound = one.model_copy(update={"controls_failed": [], "verdict": "broken"})
    failed = one.model_copy(update={"controls_failed": ["identity"]})
    assert controls_failed([failed]) == [failed]
    assert controls_failed([failed, sound]) == []
