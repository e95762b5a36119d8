"""A scheme or a run folder that misbehaves costs its own column, and no attack mixes two keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from he_compare.common.attack_score import Picture, Score
from he_compare.common.errors import CellError, UnavailableError
from he_compare.common.run.kept_artefacts import ArtefactFolder
from he_compare.common.run.records import SecurityClaims
from he_compare.common.run.store import RunFolder
from he_compare.common.run.tape import Tape, write_tape
from he_compare.common.scheme import KeyedScheme, Scheme
from he_compare.common.types import ImageBatch, Message, NotRun, Phase, Status, UInt8Array
from he_compare.comparisons.auditing import deployments, suite
from he_compare.comparisons.auditing.audit_cells import Setup
from he_compare.comparisons.auditing.deployments import RunDeployments, deployed_cells
from he_compare.comparisons.auditing.harness import Harness
from he_compare.comparisons.auditing.targets import LostKey, Opened, Target
from he_compare.comparisons.progress import ProgressReporter
from tests.comparisons.auditing.test_deployments import SMALL, Pool, Spy, tape_of
from tests.comparisons.auditing.test_deployments import audit as audit_of
from tests.comparisons.auditing.test_deployments import target_of as pipeline_of
from tests.support.deployments import SIZE, deployed, images

SHAPE = (SIZE, SIZE, 3)


class Masked(KeyedScheme):
    """Adds a mask that is drawn from the key to every image."""

    def __init__(self, key: int, fault: str) -> None:
        self.key = key
        self.fault = fault

    def protect(self, images: UInt8Array) -> list[Message]:
        mask = np.random.default_rng(self.key).integers(0, 256, SHAPE, dtype=np.uint8)
        messages: list[Any] = [(image + mask).tobytes() for image in images]
        if self.fault == "bytearray":
            return [bytearray(message) for message in messages]  # type: ignore[misc]
        return messages[:-1] if self.fault == "few" else messages


class Faulty(Scheme):
    """A scheme of a third party that breaks the protocol in one way."""

    name = "faulty"
    shape = SHAPE

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def own_key(self) -> KeyedScheme | None:
        return None if self.fault == "names no own key" else Masked(1, self.fault)

    def new_key(self, seed: int) -> KeyedScheme:
        if self.fault == "no new key":
            raise RuntimeError("out of keys")
        return Masked(seed, self.fault)

    def read(self, messages: Sequence[Message]) -> Any:
        pictures: Any = np.stack([np.frombuffer(one, np.uint8) for one in messages])
        pictures = pictures.reshape(-1, *SHAPE)
        if self.fault == "nan":
            return np.full(pictures.shape, np.nan, np.float32)
        if self.fault == "shape":
            return pictures[:, :8]
        if self.fault == "dtype":
            return pictures.astype(np.int64)
        if self.fault == "list":
            return pictures.tolist()
        return pictures[:1] if self.fault == "count" else pictures

    def claims(self) -> SecurityClaims:
        if self.fault == "claims":
            raise RuntimeError("nothing to say")
        return SecurityClaims(scheme="faulty", protects="something", claim_type="heuristic")


def target_of(label: str, open_it: Any) -> Target:
    return Target(label, "pipeline", label, {}, SHAPE, f"--pipeline {label}", (), open_it)


def audit(folder: Path, targets: list[Target], pictures: bool = True) -> list[Any]:
    setup = Setup(Pool(), SMALL, 0, "compare", control_keys=1, pictures=pictures)
    with ProgressReporter(quiet=True) as progress:
        found = Harness(setup, RunFolder(folder), progress).run(targets, ["spy"])
    return [one for one in found if one.target_kind == "pipeline"]


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    made = Spy()
    monkeypatch.setattr(suite, "load", lambda name: made)
    return made


@pytest.mark.parametrize(
    "fault",
    ["nan", "shape", "dtype", "list", "count", "few", "bytearray", "claims", "no new key"],
)
def test_a_faulty_scheme_does_not_run_and_the_next_one_does(
    tmp_path: Path, spy: Spy, fault: str
) -> None:
    opened = [Opened(Faulty(one), "deployed again") for one in (fault, "")]
    faulty, sound = audit(
        tmp_path, [target_of("faulty", lambda: opened[0]), target_of("sound", lambda: opened[1])]
    )
    assert faulty.verdict == "not run"
    assert faulty.not_run in (NotRun.REFUSED, NotRun.ERROR)
    assert sound.verdict != "not run"
    assert RunFolder(tmp_path).outcomes()


def test_a_pipeline_that_cannot_be_opened_is_opened_once(tmp_path: Path, spy: Spy) -> None:
    tried: list[int] = []

    def broken() -> Opened:
        tried.append(1)
        raise RuntimeError("scheme() fails")

    gone, sound = audit(
        tmp_path,
        [
            target_of("gone", broken),
            target_of("sound", lambda: Opened(Faulty(), "deployed again")),
        ],
    )
    assert (gone.verdict, gone.not_run, gone.messages) == ("not run", NotRun.ERROR, "")
    assert "scheme() fails" in gone.reason
    assert sound.verdict != "not run"
    assert len(tried) == 1


def test_no_picture_is_kept_where_none_may_leave_the_dataset(
    tmp_path: Path, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = images()[0]
    monkeypatch.setattr(
        spy, "score", lambda guess, truth: Score(0.0, pictures=[Picture(0, shown, "")])
    )
    for name, kept in (("with", True), ("without", False)):
        (tmp_path / name).mkdir()
        (found,) = audit(
            tmp_path / name,
            [target_of("sound", lambda: Opened(Faulty(), "deployed again"))],
            pictures=kept,
        )
        assert bool(found.pictures) == kept
        assert any((tmp_path / name).rglob("*.png")) == kept


# Runs


def run_of(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    scheme: Scheme,
    tape: Tape,
    *,
    live: bool,
    others: Sequence[Any] = (),
    status: Status = Status.OK,
) -> Opened:
    """Open the one pipeline of an invented run."""

    planned: Any = SimpleNamespace(label="p", pipeline=None, parameters=None)
    facts = write_tape(folder, "cell", tape)
    record = SimpleNamespace(
        identity="now",
        status=status,
        reason="",
        cell=SimpleNamespace(label="p", phase=Phase.ACCURACY),
        tape=facts,
    )
    plan: Any = SimpleNamespace(
        config=SimpleNamespace(image_size=SIZE),
        test=SimpleNamespace(images=images()),
        cells=lambda: [
            SimpleNamespace(planned=planned, phase=Phase.ACCURACY, identity="now", again=False)
        ],
    )
    fit = SimpleNamespace(deployed=SimpleNamespace(scheme=lambda shape: scheme))
    monkeypatch.setattr(deployments, "fit_and_deploy", lambda *given: fit)
    measurer: Any = SimpleNamespace(tapes={"p": tape} if live else {}, fits={}, ground=None)
    kept: Any = SimpleNamespace(path=folder, records=lambda: [record, *others])
    return RunDeployments(plan, deployed_cells(plan, kept), folder, measurer).open(planned)


def tape_under(key: int, made: UInt8Array) -> Tape:
    return Tape(np.arange(len(made)), Masked(key, "").protect(made), b"")


@pytest.mark.parametrize("live", [True, False])
def test_a_scheme_that_names_no_own_key_is_not_given_another_beside_its_tape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, live: bool
) -> None:
    tape = tape_under(1, images()[:5])
    opened = run_of(monkeypatch, tmp_path, Faulty("names no own key"), tape, live=live)
    assert isinstance(target_of("p", lambda: opened).key(0, 0), LostKey)


def test_a_key_is_known_again_by_all_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = run_of(monkeypatch, tmp_path, Faulty(), tape_under(1, images()[:5]), live=False)
    assert same.lost is None
    one, other = tape_under(1, images()[:5]), tape_under(2, images()[:5])
    # As with a picture in plain grey under a cipher that moves values.
    alike = Tape(one.positions, [one.messages[0], *other.messages[1:]], b"")
    assert run_of(monkeypatch, tmp_path, Faulty(), alike, live=False).lost is not None


def test_the_tape_is_that_of_the_plan_not_of_a_later_record_under_another_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = SimpleNamespace(
        identity="other key",
        status=Status.FAILED,
        reason="a record of another key",
        cell=SimpleNamespace(label="p", phase=Phase.ACCURACY),
        tape=None,
    )
    tape = tape_under(1, images()[:5])
    opened = run_of(monkeypatch, tmp_path, Faulty(), tape, live=False, others=[later])
    assert opened.tape is not None
    assert opened.tape.digest() == tape.digest()


def test_a_check_says_that_it_encrypts_anew(tmp_path: Path) -> None:
    one = deployed("fhe-head")
    target = pipeline_of("fhe-head", one, tape_of(one))
    (found,) = audit_of(tmp_path, [target], "freshness")
    assert found.verdict == "resists within budget"
    assert found.messages == "deployed again"


@pytest.mark.parametrize(
    ("status", "kind"), [(Status.FAILED, CellError), (Status.UNAVAILABLE, UnavailableError)]
)
def test_a_cell_that_failed_is_not_called_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: Status, kind: type[Exception]
) -> None:
    tape = tape_under(1, images()[:2])
    with pytest.raises(kind):
        run_of(monkeypatch, tmp_path, Faulty(), tape, live=False, status=status)


@pytest.mark.parametrize("counts", [(30, 30), (8, 8), (2, 2), (40, 20, 20, 3)])
def test_every_class_is_trained_and_validated_on(tmp_path: Path, counts: tuple[int, ...]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    ids = tuple(map(str, range(len(labels))))
    plain = np.zeros((len(labels), 2, 2, 3), np.uint8)
    pool: Any = SimpleNamespace(
        auxiliary=lambda size: ImageBatch(ids=ids, images=plain, labels=labels, groups=ids),
        classes=tuple(map(str, range(len(counts)))),
        fingerprint="invented",
    )
    kept = ArtefactFolder(tmp_path)
    with ProgressReporter(quiet=True) as progress:
        found = deployments.ground_of_audit(pool, 2, 0, "b", "w", kept, tmp_path, progress)
    for part in (found.data.train, found.data.val):
        assert len(np.unique(part.labels)) == len(counts)
    assert len(found.data.train) + len(found.data.val) == len(labels)
