"""The harness: sealed truth, declared knowledge, controls, resuming, and plug-ins of one file."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from he_compare.common import plugins
from he_compare.common.adversary import Oracle, Truth, View
from he_compare.common.attack import Attack, Check, CheckFinding, Inspected
from he_compare.common.attack_requirements import BLOCKS, Requirement
from he_compare.common.attack_score import AS_IT_IS, SSIM, AttackMetric, Score
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.errors import UsageError
from he_compare.common.plugins import Plugin
from he_compare.common.run.capability_matrix import controls_failed
from he_compare.common.run.records import AttackOutcome, SecurityClaims
from he_compare.common.run.severity import gravest, verdict_of
from he_compare.common.run.store import RunFolder
from he_compare.common.scheme import KeyedScheme, Scheme
from he_compare.common.types import Knowledge, Message, NotRun, UInt8Array
from he_compare.comparisons.attacks.tools.likeness import PUBLIC_MEAN, as_picture, score_pictures
from he_compare.comparisons.auditing import matrix, suite
from he_compare.comparisons.auditing.audit import exit_code
from he_compare.comparisons.auditing.audit_cells import Setup
from he_compare.comparisons.auditing.explaining import explain_outcome
from he_compare.comparisons.auditing.harness import Harness
from he_compare.comparisons.auditing.left_over import attacks_failed, open_ends
from he_compare.comparisons.auditing.outcome_draft import SEEDED_KEYS
from he_compare.comparisons.auditing.targets import Opened, Target, cipher_target
from he_compare.comparisons.progress import ProgressReporter
from tests.support.attackpool import InventedPool

SMALL = AttackBudget("small", 2, 6, 3, 4, 20, 40, 12, 20.0)


class Probe(Attack):
    """An attack whose behaviour a test decides; names the identity by looking at the bytes."""

    name = "probe"
    title = "Probe"
    rung = Knowledge.CIPHERTEXT_ONLY
    metric = AttackMetric("share seen", best=1.0)
    limits = ("made for a test",)
    source = "tests"
    reads_pictures = False
    runs = 0

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Any:
        type(self).runs += 1
        return view.ciphertexts

    def score(self, guess: Any, truth: Truth) -> Score:
        return Score(float((guess == truth.originals).mean()))


class Inspector(Check):
    """A check that finds what a test tells it to."""

    name = "inspector"
    title = "Inspector"
    rung = Knowledge.ACTIVE
    metric = AttackMetric("bytes", "bytes")
    source = "tests"

    def applies(self, inspected: Inspected) -> str:
        return "" if inspected.scheme is not None else "no scheme"

    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        return CheckFinding(
            "broken", "found 7 bytes", 7.0, artefacts={"bytes.txt": b"seven"}, claim="none leak"
        )


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the harness find one object as the attack, whatever its name."""

    def give(attack: Any) -> None:
        monkeypatch.setattr(suite, "load", lambda name: attack)

    return give


def run(
    folder: Path,
    attack: Any,
    cipher: str | Target = "vit_block[patch=8]",
    pool: InventedPool | None = None,
    **changes: Any,
) -> list[AttackOutcome]:
    folder.mkdir(exist_ok=True)
    setup = replace(
        Setup(pool or InventedPool(), SMALL, 0, "compare audit run", control_keys=1), **changes
    )
    target = cipher_target(cipher, 32) if isinstance(cipher, str) else cipher
    with ProgressReporter(quiet=True) as progress:
        return Harness(setup, RunFolder(folder), progress).run([target], [attack.name])


def test_an_outcome_stands_between_its_controls_and_names_its_command(
    tmp_path: Path, given: Any
) -> None:
    given(Probe())
    found = run(tmp_path, Probe())
    mine, *controls = found
    assert [one.target for one in controls] == ["identity", "noise", "aes_ctr"]
    assert {one.target_kind for one in controls} == {"control"}
    assert mine.controls["identity"] == 1.0 and mine.controls["noise"] < 0.02
    assert mine.floor == mine.controls["noise"] and mine.ceiling == 1.0
    assert len(mine.per_key) == 2 and mine.advantage_interval is not None
    assert mine.verdict == "resists within budget"
    assert mine.limits[0] == "made for a test" and mine.limits[1].startswith("grey images only")
    assert mine.reproduce == ("compare audit run --attack probe --cipher 'vit_block[patch=8]'")


def test_outcomes_are_kept_and_not_run_again(tmp_path: Path, given: Any) -> None:
    given(Probe())
    run(tmp_path, Probe())
    before = Probe.runs
    kept = run(tmp_path, Probe())
    assert Probe.runs == before
    assert [one.target for one in kept] == ["vit_block[patch=8]"]
    run(tmp_path, Probe(), seed=1)
    assert Probe.runs > before


def test_nothing_of_the_key_stands_in_the_records(tmp_path: Path) -> None:
    plugin = plugins.load("attacks", "chosen_plaintext")
    run(tmp_path, plugin)
    text = (tmp_path / "attacks.jsonl").read_text()
    assert "index" not in json.loads(text.splitlines()[0])
    assert len(text) < 40_000


def test_knowledge_that_was_not_declared_is_refused_in_a_clear_line(
    tmp_path: Path, given: Any
) -> None:
    class Curious(Probe):
        def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Any:
            return view.pairs.plain

    given(Curious())
    found = run(tmp_path, Curious())[0]
    assert (found.verdict, found.not_run) == ("not run", NotRun.REFUSED)
    assert "asks for known pairs, which this adversary does not have" in found.reason
    assert "declare Need.PAIRS" in found.reason
    assert exit_code([found]) == 3


def test_the_oracle_counts_and_ends() -> None:
    oracle = Oracle(lambda images: images, limit=2)
    image = np.zeros((1, 4, 4, 3), np.uint8)
    oracle(image)
    oracle(image)
    with pytest.raises(UsageError, match="3 chosen plaintexts asked for, the budget has 2"):
        oracle(image)


def test_a_control_that_misbehaves_makes_the_verdict_unreliable_and_the_exit_code_says_so(
    tmp_path: Path, given: Any
) -> None:
    class Cheat(Probe):
        """Claims to win everywhere but on noise."""

        def score(self, guess: Any, truth: Truth) -> Score:
            return Score(0.0 if self.on_noise(guess) else 1.0)

        def on_noise(self, guess: Any) -> bool:
            type(self).runs += 1
            return type(self).runs == 6

    Cheat.runs = 0
    given(Cheat())
    found = run(tmp_path, Cheat())
    assert found[0].verdict == "unreliable"
    assert found[0].reason.startswith("control ")
    assert found[0].controls_failed == ["identity"] and found[0] in controls_failed(found)
    assert exit_code(found) == 3
    assert "! Probe on vit_block[patch=8]: control " in matrix.render(found)


def test_an_attack_with_a_bug_does_not_take_the_others_with_it(
    tmp_path: Path, given: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Probe):
        def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Any:
            raise ZeroDivisionError("one over none")

    given(Broken())
    found = run(tmp_path, Broken())
    assert [one.verdict for one in found] == ["not run"]
    assert found[0].reason == "'probe' failed: ZeroDivisionError: one over none"
    assert found[0].not_run is NotRun.ERROR
    assert "one over none" in capsys.readouterr().err


def test_an_attack_that_lacks_memory_says_so_in_a_line(
    tmp_path: Path, given: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    class Large(Probe):
        def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Any:
            np.empty((1 << 40, 1 << 10))

    given(Large())
    found = run(tmp_path, Large())
    assert found[0].not_run is NotRun.ERROR
    assert found[0].reason.startswith("memory was too small for 'probe'")
    assert "Traceback" not in capsys.readouterr().err


def test_a_full_disk_ends_an_audit_and_leaves_what_was_done(tmp_path: Path, given: Any) -> None:
    class Writing(Probe):
        def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Any:
            raise OSError(errno.ENOSPC, "No space left on device", "/disk/file")

    given(Probe())
    done = run(tmp_path, Probe())
    given(Writing())
    with pytest.raises(OSError, match="/disk/file"):
        run(tmp_path, Writing(), cipher="vit_block[patch=16]")
    assert RunFolder(tmp_path).outcomes() == done


def test_what_a_run_leaves_to_attack_is_one_line_and_only_errors_are_a_failure(
    tmp_path: Path, given: Any
) -> None:
    given(Probe())
    good, *_ = run(tmp_path, Probe())
    late = good.model_copy(update={"verdict": "not run", "not_run": NotRun.AUDIT_TIME})
    small = late.model_copy(update={"not_run": NotRun.BUDGET})
    failed = late.model_copy(update={"not_run": NotRun.ERROR})
    assert open_ends([good, small]) == ""
    assert open_ends([good, late, late]) == (
        "of the attacks, 2 were not begun in its 300 s; run the same command again to go on with "
        "them"
    )
    assert "1 failed with an error and 1 was not begun" in open_ends([failed, late])
    assert not attacks_failed([good, late, small])
    assert attacks_failed([good, failed])


def test_an_attack_over_its_time_is_not_run_and_no_pass(tmp_path: Path, given: Any) -> None:
    class Slow(Probe):
        def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Any:
            while True:
                np.linalg.svd(random.normal(size=(50, 50)))

    given(Slow())
    found = run(tmp_path, Slow(), budget=replace(SMALL, seconds=0.2))
    assert [one.verdict for one in found] == ["not run"]
    assert found[0].not_run is NotRun.TIME_LIMIT and "over its limit of 0.2 s" in found[0].reason


def test_what_is_left_when_the_time_of_the_audit_is_used_up_is_said(
    tmp_path: Path, given: Any
) -> None:
    given(Probe())
    found = run(tmp_path, Probe(), seconds=0.0)
    assert found[0].not_run is NotRun.AUDIT_TIME and "used up" in found[0].reason


def test_too_few_images_are_refused_in_a_clear_line(tmp_path: Path, given: Any) -> None:
    given(Probe())
    found = run(tmp_path, Probe(), pool=InventedPool(count=6))[0]
    assert found.verdict == "not run"
    assert found.reason.startswith("6 test images are too few: 12 are needed")


SEALED_BYTES = 4000


class Sealed(Scheme):
    """Messages that are bytes to everybody: no ``read`` of its own."""

    name = "sealed"
    shape = (32, 32, 3)

    def new_key(self, seed: int) -> KeyedScheme:
        return SealedKey()

    def claims(self) -> SecurityClaims:
        return SecurityClaims(
            scheme="sealed", protects="everything", claim_type="heuristic", deterministic=False
        )


class SealedKey(KeyedScheme):
    def protect(self, images: UInt8Array) -> list[Message]:
        return [os.urandom(SEALED_BYTES) for _ in images]


def sealed_target() -> Target:
    return Target(
        label="far-head",
        kind="pipeline",
        pipeline="far-head",
        parameters={},
        shape=Sealed.shape,
        argument="--pipeline 'far-head'",
        modules=(__name__,),
        open_it=lambda: Opened(Sealed(), "deployed for the audit"),
    )


def test_messages_that_an_attack_cannot_read_are_neither_a_pass_nor_not_applicable(
    tmp_path: Path, given: Any
) -> None:
    class OnBlocks(Probe):
        requires = (BLOCKS,)
        reads_pictures = True

    given(OnBlocks())
    found = run(tmp_path / "a", OnBlocks(), sealed_target())
    assert [one.verdict for one in found] == ["unreadable"]
    assert (found[0].target_kind, found[0].scheme) == ("pipeline", "sealed")
    assert "the attack cannot read such messages, nothing is known" in matrix.render(found)
    assert (exit_code(found), exit_code(found, ["probe"])) == (0, 3)
    blockless = run(tmp_path / "b", OnBlocks(), "pixel_np")
    assert [(one.verdict, one.reason) for one in blockless] == [("not applicable", BLOCKS.obstacle)]
    assert [one.scheme for one in blockless] == ["pixel_np"]
    assert exit_code(blockless, ["probe"]) == 0


def test_an_attack_that_reads_no_pictures_takes_any_bytes(tmp_path: Path, given: Any) -> None:
    given(Probe())
    assert run(tmp_path, Probe(), sealed_target())[0].verdict == "resists within budget"


def test_a_check_is_recorded_with_what_it_found(tmp_path: Path, given: Any) -> None:
    given(Inspector())
    found = run(tmp_path, Inspector())[0]
    assert (found.verdict, found.headline, found.claim) == ("broken", "found 7 bytes", "none leak")
    assert found.metric is not None and found.metric.value == 7.0
    assert (tmp_path / found.artefacts[0]).read_bytes() == b"seven"
    told = explain_outcome(found)
    assert "claim      none leak" in told and "reproduce  compare audit run" in told


def test_pictures_show_original_view_and_outcome(tmp_path: Path) -> None:
    found = run(tmp_path, plugins.load("attacks", "chosen_plaintext"))[0]
    roles = [picture.role for picture in found.pictures[:3]]
    assert roles == ["original", "server's view", "after attack"]
    assert all((tmp_path / picture.file).is_file() for picture in found.pictures)
    assert "perceptual hiding, not confidentiality" in found.pictures[1].caption
    first, last = (tmp_path / found.pictures[i].file for i in (0, 2))
    assert first.read_bytes() == last.read_bytes()


CIPHER = '''
"""A cipher from somebody else: every value gets a number of its own added."""
import numpy as np
from he_compare.block_scramble.cipher import Cipher, CipherTraits
from he_compare.common.contracts import Parameters


class Options(Parameters):
    """None."""


class Keyed:
    def __init__(self, shape, stream):
        self.shape, self.pad = shape, stream.uint8(tuple(shape))

    def encrypt(self, images):
        return images + self.pad

    def decrypt(self, ciphertexts):
        return ciphertexts - self.pad


class Added(Cipher):
    name = "added"
    parameters = Options
    traits = CipherTraits(operations="addition", protects="values", source="tests",
                          claim_type="heuristic", deterministic=True, keyed=True)

    def keyed(self, keys, parameters, shape):
        return Keyed(shape, keys.stream("pads"))

    def key_bits(self, parameters, shape):
        return 8.0 * np.prod(shape)

    def preserves(self, parameters):
        return ("differences",)

    def obstacle(self, parameters):
        return "not looked into"


CIPHER = Added()
'''


def test_a_third_partys_cipher_of_one_file_is_audited_like_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "added_cipher.py").write_text(CIPHER)
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin = Plugin("ciphers", "added", "added_cipher", "", "tests")
    known = plugins.Survey(plugins.discover("ciphers") | {"added": plugin}, ())
    before = plugins.survey
    monkeypatch.setattr(
        plugins, "survey", lambda kind: known if kind == "ciphers" else before(kind)
    )
    names = ["key_space", "chosen_plaintext", "leading_bit", "reidentification"]
    setup = Setup(InventedPool(), SMALL, 0, "compare audit run", control_keys=1)
    with ProgressReporter(quiet=True) as progress:
        found = Harness(setup, RunFolder(tmp_path), progress).run(
            [cipher_target("added", 32)], names
        )
    verdicts = {one.attack: one.verdict for one in found if one.target == "added"}
    assert set(verdicts) == set(names)
    assert verdicts["chosen_plaintext"] == "unreadable"


def test_every_attack_that_ships_fulfils_the_contract() -> None:
    for name in suite.names():
        attack = suite.load(name)
        assert attack.name == name and attack.title and attack.source
        assert isinstance(attack.rung, Knowledge)
        if isinstance(attack, Attack):
            typed: Attack = attack
            assert typed.limits and typed.metric.name and isinstance(typed.needs, frozenset)


def test_an_attack_may_ask_for_more_keys_than_the_budget_has(tmp_path: Path, given: Any) -> None:
    class Many(Probe):
        name = "many"
        least_keys = 4

    given(Many())
    mine, *controls = run(tmp_path, Many())
    assert len(mine.per_key) == 4 and mine.spent["keys"] == 4
    assert all(len(one.per_key) == 1 for one in controls)


def test_a_known_chance_level_is_the_floor_whatever_noise_gave(tmp_path: Path, given: Any) -> None:
    class Coin(Probe):
        name = "coin"
        metric = AttackMetric("share seen", best=1.0, chance=0.004)

    given(Coin())
    mine = run(tmp_path, Coin())[0]
    assert mine.floor == 0.004 and mine.controls["noise"] != 0.004
    assert "by chance" in mine.headline


class Shapes(Inspector):
    """Says what shape of images it was handed, having run the scheme on them."""

    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        messages = inspected.scheme.new_key(0).protect(inspected.images[:2])
        assert inspected.scheme.read(messages).shape == inspected.images[:2].shape
        return CheckFinding("broken", str(inspected.images.shape[1:]))


def test_a_check_gets_images_of_the_shape_that_the_scheme_takes(tmp_path: Path, given: Any) -> None:
    given(Shapes())
    assert run(tmp_path, Shapes(), "vit_block[patch=7]")[0].headline == "(28, 28, 3)"


# What cannot flatter ------------------------------------------------------------------------------


class Recorder(Probe):
    """Remembers how many ciphertexts it saw, and their bytes."""

    name = "recorder"
    seen: ClassVar[list[bytes]] = []
    counts: ClassVar[list[int]] = []

    def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Any:
        type(self).seen.append(view.ciphertexts.tobytes())
        type(self).counts.append(len(view.ciphertexts))
        assert budget.images == max(SMALL.images, self.wants_images)
        return view.ciphertexts


def ciphertexts_of(folder: Path, **changes: Any) -> list[bytes]:
    Recorder.seen = []
    run(folder, Recorder(), "vit_block[patch=8]", **changes)
    return Recorder.seen[3:]


def test_no_seed_of_the_audit_gives_away_the_keys_that_are_attacked(
    tmp_path: Path, given: Any
) -> None:
    given(Recorder())
    first, second = (ciphertexts_of(tmp_path / name) for name in ("a", "b"))
    assert len(first) == len(second) == SMALL.keys
    assert not set(first) & set(second)
    seeded = [ciphertexts_of(tmp_path / name, key_seed=5) for name in ("c", "d")]
    assert seeded[0] == seeded[1]
    other = ciphertexts_of(tmp_path / "e", key_seed=6)
    assert other != seeded[0]


def test_a_record_says_where_attacked_keys_come_from(tmp_path: Path, given: Any) -> None:
    given(Probe())
    mine = run(tmp_path / "a", Probe())[0]
    assert mine.keys == "operating system"
    assert "scores differ within the interval" in explain_outcome(mine)
    debugged = run(tmp_path / "b", Probe(), key_seed=1)[0]
    assert debugged.keys == "seeded" and SEEDED_KEYS in debugged.limits
    assert debugged.identity != mine.identity


def test_an_attack_gets_more_ciphertexts_than_the_budget_has(tmp_path: Path, given: Any) -> None:
    class Hungry(Recorder):
        name = "hungry"
        wants_images = 11
        least_images = 10

    given(Hungry())
    Recorder.counts = []
    mine = run(tmp_path, Hungry())[0]
    assert set(Hungry.counts) == {11}
    assert mine.budget["images"] == 11 and mine.verdict != "not run"


def test_the_floor_is_named_and_is_what_is_had_without_the_attack(
    tmp_path: Path, given: Any
) -> None:
    class Copy(Probe):
        """Shows ciphertexts as pictures."""

        name = "copy"
        metric = SSIM

        def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Any:
            return np.stack([as_picture(one) for one in view.ciphertexts])

        def score(self, guess: Any, truth: Truth) -> Score:
            return score_pictures(guess, truth)

    given(Copy())
    mine, identity, *_ = run(tmp_path / "a", Copy(), key_seed=0)
    assert set(mine.floors) == {"noise", AS_IT_IS, PUBLIC_MEAN}
    assert mine.floor == max(mine.floors.values()) == mine.floors[PUBLIC_MEAN]
    assert mine.floor_from == PUBLIC_MEAN and mine.advantage == 0.0
    assert f"floor      {mine.floor:.3g}: {PUBLIC_MEAN} (and noise" in explain_outcome(mine)
    assert f"({mine.floor:.2f} from {PUBLIC_MEAN}, 1.00 without protection)" in mine.headline
    # Of what is not encrypted, everything is had without an attack: it is broken all the same.
    assert identity.verdict == "broken" and identity.advantage == 1.0
    assert mine.advantage_interval is not None
    assert mine.advantage_interval.method.startswith("bootstrap of keys and patients")


def test_controls_of_a_key_for_each_image_are_paired_with_the_target(tmp_path: Path) -> None:
    """Unprotected images are attacked under as many keys, so that the same patients are drawn."""
    attack = plugins.load("attacks", "minimum_difference")
    cipher = "pixel_np[key_policy=per_image]"
    mine, identity, *_ = run(tmp_path / "a", attack, cipher, key_seed=0)
    assert mine.spent["keys"] == identity.spent["keys"] == SMALL.keys > 1
    assert mine.metric and mine.metric.interval and mine.advantage_interval
    assert mine.metric.interval.method.startswith("bootstrap of patients (")
    assert "each encrypted by itself" in mine.advantage_interval.method
    assert "Student" not in mine.advantage_interval.method
    assert (mine.rung, mine.knowledge) == (Knowledge.CIPHERTEXT_ONLY, [Knowledge.CIPHERTEXT_ONLY])
    assert "adversary  ciphertext only" in explain_outcome(mine)
    together, other, *_ = run(tmp_path / "b", attack, "pixel_np", key_seed=0)
    assert together.rung is Knowledge.MANY_CIPHERTEXTS and other.spent["keys"] == 1
    assert together.advantage_interval is not None
    assert together.advantage_interval.method.startswith("bootstrap of keys and patients")


def test_half_of_the_values_left_alone_are_no_merit_of_known_plaintext(tmp_path: Path) -> None:
    attack = plugins.load("attacks", "known_plaintext")
    mine = run(tmp_path / "a", attack, "np", key_seed=0)[0]
    assert mine.floor_from == AS_IT_IS and mine.floors[AS_IT_IS] == pytest.approx(0.5, abs=0.1)
    assert mine.floor == pytest.approx(mine.floors[AS_IT_IS]) and mine.verdict == "broken"
    each = run(tmp_path / "b", attack, "np[key_policy=per_image]", key_seed=0)[0]
    assert each.verdict == "unreadable" and each.advantage is None


class SealedByLattices(Sealed):
    """The same bytes, resting on a hardness assumption."""

    def claims(self) -> SecurityClaims:
        known = super().claims()
        return known.model_copy(update={"claim_type": "reduction to a hardness assumption"})


def test_an_attack_on_pictures_that_finds_noise_in_encrypted_messages_is_a_control(
    tmp_path: Path, given: Any
) -> None:
    given(Probe())
    target = replace(
        sealed_target(), open_it=lambda: Opened(SealedByLattices(), "deployed for the audit")
    )
    mine = run(tmp_path / "a", Probe(), target)[0]
    assert (mine.verdict, mine.counts_as) == ("resists within budget", "control")
    assert gravest([mine]) is None and verdict_of(mine) == "as noise"
    text = matrix.render([mine])
    assert "as noise" in text and "not counted as an attack resisted" in text

    class Winner(Probe):
        """Wins wherever there are no pictures."""

        def run(self, view: View, budget: AttackBudget, random: np.random.Generator) -> Any:
            return len(view.messages[0])

        def score(self, guess: Any, truth: Truth) -> Score:
            return Score(float(guess == SEALED_BYTES))

    given(Winner())
    won = run(tmp_path / "b", Winner(), target)[0]
    assert (won.verdict, won.counts_as) == ("broken", "evidence")
    assert gravest([won]) == won


def test_an_obstacle_of_the_solver_is_unknown_and_one_of_the_cipher_is_not_applicable(
    tmp_path: Path, given: Any
) -> None:
    class Either(Probe):
        requires = (
            Requirement("this solver is slow", lambda facts: False),
            Requirement(
                "nothing is moved", lambda facts: not facts.keeps_places, by_construction=True
            ),
        )

    given(Either())
    unknown = run(tmp_path / "a", Either())[0]
    assert (unknown.verdict, unknown.reason) == ("unreadable", "this solver is slow")
    absent = run(tmp_path / "b", Either(), "pixel_np")[0]
    assert (absent.verdict, absent.reason) == ("not applicable", "nothing is moved")


def test_pictures_are_scored_with_the_floors_of_pictures() -> None:
    """An attack that compares pictures under another metric would have noise as its only floor."""
    for name in suite.names():
        attack = suite.load(name)
        if isinstance(attack, Attack) and attack.metric.name.startswith("SSIM"):
            assert attack.metric.of_pictures, name
