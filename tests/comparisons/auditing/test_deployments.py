"""The audit attacks what a run deployed: its messages, its key, its fitted head, its model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters
from he_compare.common import plugins
from he_compare.common.attack import Attack
from he_compare.common.attack_score import AttackMetric, Picture, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.contracts import Deployed
from he_compare.common.errors import UnavailableError
from he_compare.common.run.store import RunFolder
from he_compare.common.run.tape import Tape
from he_compare.common.scheme import CONTROLS, KeyedScheme
from he_compare.common.service.wire import unpack
from he_compare.common.types import ImageBatch, Knowledge, Message
from he_compare.comparisons.auditing import suite
from he_compare.comparisons.auditing.adversary_view import positions_read
from he_compare.comparisons.auditing.audit_cells import Setup
from he_compare.comparisons.auditing.deployments import _every_fourth_of_a_class
from he_compare.comparisons.auditing.harness import Harness
from he_compare.comparisons.auditing.targets import (
    KEY_IN_USE,
    LostKey,
    Opened,
    Target,
    control_modules,
    pipeline_target,
)
from he_compare.comparisons.measuring.pipeline_spec import PipelineSpec
from he_compare.comparisons.progress import ProgressReporter
from he_compare.fhe_baseline.pipelines.fhe_head import FheHeadParameters
from tests.support.deployments import CLASSES, SIZE, batch, deployed, images

SMALL = AttackBudget("small", 2, 8, 3, 8, 20, 60, 8, 20.0)


@dataclass(frozen=True)
class Pool:
    """The images that were deployed on."""

    fingerprint: str = "invented"
    classes: tuple[str, ...] = CLASSES

    def attacked(self, size: int) -> ImageBatch:
        return batch()

    def auxiliary(self, size: int) -> ImageBatch:
        return batch()


@dataclass
class Spy(Attack):
    """Keeps what it is shown."""

    name = "spy"
    title = "Spy"
    rung = Knowledge.CIPHERTEXT_ONLY
    reads_pictures = False
    metric = AttackMetric("nothing", best=1.0, chance=0.0)
    reads_pictures = False
    shown: list[list[Message]] = field(default_factory=list)

    def run(self, view: Any, budget: AttackBudget, random: np.random.Generator) -> float:
        self.shown.append(list(view.messages))
        return 0.0

    def score(self, guess: Any, truth: Any) -> Score:
        return Score(guess)


def tape_of(one: Deployed) -> Tape:
    """What a run keeps: every message that any attack of this budget reads."""
    from he_compare.common.clock import Clock
    from he_compare.common.types import Side

    wanted = positions_read(batch().labels, SMALL, 0)
    messages = one.deployment.client.protect(images()[wanted], Clock(Side.CLIENT))
    return Tape(wanted, messages, one.deployment.public_material)


def target_of(
    name: str, one: Deployed, tape: Tape | None, lost: bool = False, **parameters: Any
) -> Target:
    opened = Opened(
        one.scheme((SIZE, SIZE, 3)),
        "crossed in the run" if tape else "deployed again",
        one,
        tape,
        LostKey() if lost else None,
    )
    pipeline = plugins.load("pipelines", name)
    return pipeline_target(
        PipelineSpec(name, parameters),
        pipeline,
        pipeline.parameters(),
        SIZE,
        lambda: opened,
        tape.digest() if tape else "",
    )


def audit(folder: Path, targets: list[Target], attack: str, budget: AttackBudget = SMALL) -> Any:
    folder.mkdir(exist_ok=True)
    setup = Setup(Pool(), budget, 0, "compare audit run", control_keys=1)
    with ProgressReporter(quiet=True) as progress:
        found = Harness(setup, RunFolder(folder), progress).run(targets, [attack])
    return [one for one in found if one.target_kind == "pipeline"]


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    made = Spy()
    real = suite.load
    monkeypatch.setattr(suite, "load", lambda name: made if name == "spy" else real(name))
    return made


SCRAMBLED = BlockScrambleParameters(mode="adapted")


def test_the_messages_that_crossed_are_attacked_under_the_key_of_the_run(
    tmp_path: Path, spy: Spy
) -> None:
    one = deployed("fhe-head")
    tape = tape_of(one)
    (found,) = audit(tmp_path, [target_of("fhe-head", one, tape)], "spy")
    # The controls are shown first, then the target: key by key.
    own, fresh = spy.shown[-SMALL.keys :]
    assert len(own) == SMALL.images
    assert set(own) <= set(tape.messages)
    assert not set(fresh) & set(tape.messages)
    assert found.messages == "crossed in the run"


def test_fresh_keys_encrypt_for_the_same_fitted_head() -> None:
    one = deployed("fhe-head")
    scheme = one.scheme((SIZE, SIZE, 3))
    before = one.fitted.claims()
    first, second = scheme.new_key(1), scheme.new_key(2)
    assert first.protect(images()[:1]) != second.protect(images()[:1])
    assert one.fitted.claims() == before


def test_three_set_ups_of_one_cipher_under_one_key_are_attacked_once(
    tmp_path: Path, spy: Spy
) -> None:
    one = deployed("block-scramble", SCRAMBLED)
    tape = tape_of(one)
    targets = [target_of("block-scramble", one, tape, mode=mode) for mode in ("a", "b", "c")]
    found = audit(tmp_path, targets, "spy")
    controls = 3
    assert len(found) == 3
    assert len(spy.shown) == SMALL.keys + controls
    assert {one.target for one in found} == {target.label for target in targets}


def test_equal_schemes_with_other_messages_are_attacked_each(tmp_path: Path, spy: Spy) -> None:
    one = deployed("block-scramble", SCRAMBLED)
    tape = tape_of(one)
    other = Tape(tape.positions, tape.messages[::-1], tape.public_material)
    targets = [
        target_of("block-scramble", one, tape, mode="a"),
        target_of("block-scramble", one, other, mode="b"),
    ]
    audit(tmp_path, targets, "spy")
    assert len(spy.shown) == 2 * SMALL.keys + 3


def test_an_outcome_is_named_by_the_tape_it_came_from(tmp_path: Path, spy: Spy) -> None:
    one = deployed("fhe-head")
    first, second = (
        audit(tmp_path / name, [target_of("fhe-head", one, tape_of(one))], "spy")[0]
        for name in ("a", "b")
    )
    assert first.identity != second.identity


def test_the_adapted_model_that_was_deployed_gives_the_key_of_the_run_away(tmp_path: Path) -> None:
    one = deployed("block-scramble", SCRAMBLED)
    target = target_of("block-scramble", one, tape_of(one))
    (found,) = audit(tmp_path, [target], "model_to_key")
    assert found.verdict == "broken"
    models = target.key(KEY_IN_USE, 0).models()
    fresh = target.key(1, 0).models()
    assert models is not None and fresh is not None
    np.testing.assert_array_equal(models.plain_rows, fresh.plain_rows)
    assert not np.array_equal(models.deployed_rows, fresh.deployed_rows)


def test_a_model_in_the_server_s_hands_is_read_not_made_again() -> None:
    one = deployed("block-scramble", SCRAMBLED)
    own = one.scheme((SIZE, SIZE, 3)).own_key()
    assert own is not None
    models, made = own.models(), None
    assert models is not None
    made = own.adapted(models.plain_rows, models.plain_positions)
    np.testing.assert_allclose(models.deployed_rows, made.deployed_rows, atol=1e-6)
    np.testing.assert_allclose(models.deployed_positions, made.deployed_positions, atol=1e-6)


def test_without_an_adapted_model_there_is_nothing_to_read_the_key_off(tmp_path: Path) -> None:
    trained = BlockScrambleParameters(embedding="fresh")
    one = deployed("block-scramble", trained)
    (found,) = audit(tmp_path, [target_of("block-scramble", one, None)], "model_to_key")
    assert found.verdict == "not applicable"
    assert "trained one on ciphertexts" in found.reason


def test_a_lost_key_is_attacked_by_its_messages_and_asked_for_nothing_more(
    tmp_path: Path, spy: Spy
) -> None:
    one = deployed("block-scramble", SCRAMBLED)
    tape = tape_of(one)
    target = target_of("block-scramble", one, tape, lost=True)
    audit(tmp_path / "a", [target], "spy")
    assert set(spy.shown[-SMALL.keys]) <= set(tape.messages)
    (asked,) = audit(tmp_path / "b", [target], "chosen_plaintext")
    assert asked.verdict == "not run"
    assert "ended with the process that made it" in asked.reason


def test_what_was_not_deployed_is_not_run_and_the_others_are(tmp_path: Path, spy: Spy) -> None:
    def broken() -> Opened:
        raise UnavailableError("no such library", fix="install it")

    pipeline = plugins.load("pipelines", "fhe-tfhe")
    spec = PipelineSpec("fhe-tfhe", {})
    gone = pipeline_target(spec, pipeline, pipeline.parameters(), SIZE, broken)
    one = deployed("fhe-head")
    lost, found = audit(tmp_path, [gone, target_of("fhe-head", one, None)], "spy")
    assert (lost.verdict, lost.messages) == ("not run", "")
    assert "no such library" in lost.reason
    assert found.messages == "deployed again"


def test_the_tape_holds_no_more_than_the_budget_reads() -> None:
    labels = np.arange(2000) % 2
    read = positions_read(labels, AttackBudget("b", 3, 20, 3, 16, 60, 624, 60, 20.0), 0)
    assert 460 <= len(read) < 600
    assert (np.diff(read) > 0).all()
    few = positions_read(labels[:9], AttackBudget("b", 3, 20, 3, 16, 60, 624, 60, 20.0), 0)
    assert len(few) == 0


def test_every_client_of_two_has_a_fresh_key_as_in_the_run() -> None:
    two = BlockScrambleParameters(clients=2, embedding="fresh")
    scheme = deployed("block-scramble", two).scheme((SIZE, SIZE, 3))
    own, fresh = scheme.own_key(), scheme.new_key(1)
    assert own is not None

    def clients(key: KeyedScheme) -> set[str]:
        return {unpack(one)[1]["client"] for one in key.protect(images())}

    assert clients(own) == clients(fresh) == {"0", "1"}
    assert not set(own.protect(images())) & set(fresh.protect(images()))


def test_the_code_of_the_controls_keys_every_outcome() -> None:
    named = set(control_modules())
    assert {f"he_compare.block_scramble.ciphers.{name}" for name in CONTROLS} <= named
    assert "he_compare.block_scramble.deployment.scheme" in named


@pytest.mark.parametrize("labels", [[0, 1] * 30, [0] * 30 + [1] * 30, [0, 0, 1] * 8])
def test_a_pipeline_is_fitted_for_an_audit_alone_on_every_class(labels: list[int]) -> None:
    held_out = _every_fourth_of_a_class(np.array(labels))
    kept = np.array(labels)
    assert set(kept[held_out]) == set(kept[~held_out]) == {0, 1}
    assert held_out.sum() == sum(len(range(1, labels.count(label), 4)) for label in (0, 1))


@dataclass
class PictureSpy(Spy):
    """Leaves a picture under every key."""

    def score(self, guess: Any, truth: Any) -> Score:
        return Score(0.0, pictures=[Picture(0, truth.originals[0], "")])


@pytest.mark.parametrize("wanted", [True, False])
def test_where_no_pictures_are_wanted_the_audit_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    monkeypatch.setattr(suite, "load", lambda name: PictureSpy())
    setup = Setup(Pool(), SMALL, 0, "compare audit run", control_keys=1, pictures=wanted)
    target = target_of("fhe-head", deployed("fhe-head"), None)
    with ProgressReporter(quiet=True) as progress:
        outcomes = Harness(setup, RunFolder(tmp_path), progress).run([target], ["spy"])
    assert bool(list(tmp_path.rglob("*.png"))) is wanted
    assert any(one.pictures for one in outcomes) is wanted


def test_a_model_under_a_wrong_key_gives_away_the_key_it_was_adapted_to() -> None:
    """Images are encrypted under another key than the model's, under fresh keys as in the run."""
    wrong = BlockScrambleParameters(mode="adapted", wrong_key=True)
    scheme = deployed("block-scramble", wrong).scheme((SIZE, SIZE, 3))
    own, fresh = scheme.own_key(), scheme.new_key(1)
    assert own is not None
    for key in (own, fresh):
        models = key.models()
        assert models is not None
        again = key.adapted(models.plain_rows, models.plain_positions)
        np.testing.assert_allclose(models.deployed_rows, again.deployed_rows, atol=1e-6)


def test_a_packing_of_batches_is_attacked_image_by_image(tmp_path: Path, spy: Spy) -> None:
    one = deployed("fhe-head", FheHeadParameters(packing="batched"))
    assert one.scheme((SIZE, SIZE, 3)).in_batches
    (found,) = audit(tmp_path, [target_of("fhe-head", one, None)], "spy")
    own, fresh = spy.shown[-SMALL.keys :]
    assert min(len(message) for message in (*own, *fresh)) > 10_000
    assert any("one at a time" in limit for limit in found.limits)
