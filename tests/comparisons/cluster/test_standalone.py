"""`compare audit run --workers 2`: the same outcomes as in one process, and what is lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from typer.testing import CliRunner

from he_compare.common.errors import UsageError
from he_compare.common.kept import Kept
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.store import RunFolder
from he_compare.common.software import software_here
from he_compare.comparisons.auditing import suite
from he_compare.comparisons.auditing.audit_cells import AuditCell, cells_of, control_identities
from he_compare.comparisons.auditing.audit_request import AuditRequest
from he_compare.comparisons.auditing.standalone import StandaloneAudit, open_audit
from he_compare.comparisons.cli.audit import audit_app
from he_compare.comparisons.cluster import standalone_tasks
from he_compare.comparisons.cluster.audit_order import PROBLEM, order_of, read_outcomes
from he_compare.comparisons.cluster.reply import artefacts_in
from he_compare.comparisons.cluster.standalone_tasks import StandaloneOrder, attack_alone
from he_compare.comparisons.measuring.opening_options import data_options
from he_compare.comparisons.progress import ProgressReporter
from tests.support.attackpool import pictures

TOKEN = "t" * 32
CIPHERS = ("vit_block[patch=8]", "np")
ATTACKS = ("leading_bit", "chosen_plaintext", "freshness")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of invented pictures in two classes."""
    folder = tmp_path_factory.mktemp("pictures")
    batch = pictures(120, 32, 1)
    for name, image, label in zip(batch.ids, batch.images, batch.labels, strict=True):
        place = folder / ("dark", "bright")[label]
        place.mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(place / f"{name}.png")
    return folder


def request_for(images: Path, **changes: Any) -> AuditRequest:
    facts: dict[str, Any] = {
        "dataset": f"folder:{images}",
        "data_dir": None,
        "ciphers": CIPHERS,
        "pipelines": (),
        "attacks": ATTACKS,
        "budget": "quick",
        "seed": 0,
        "image_size": 32,
        "subset": "",
        "test_limit": None,
        "out": None,
        "offline": True,
        "require_real": False,
        "quiet": True,
        "key_seed": 7,
    }
    return AuditRequest(**facts | changes)


def order_for(request: AuditRequest, folder: Path, token: str = TOKEN) -> StandaloneOrder:
    for part in ("files", "audit"):
        (folder / part).mkdir(exist_ok=True)
    return StandaloneOrder(
        token=token,
        software=software_here(),
        request=request,
        threads=1,
        files=str(folder / "files"),
        audit_folder=str(folder / "audit"),
    )


def test_an_order_comes_back_as_it_was_written(images: Path, tmp_path: Path) -> None:
    options = data_options("keep", "", "folder", "file=image,label=finding", "first")
    request = request_for(
        images, data_dir=tmp_path, out=tmp_path, test_limit=9, public=("natural",), options=options
    )
    order = order_for(request, tmp_path)
    assert StandaloneOrder.model_validate_json(order.model_dump_json()).request == request


@pytest.fixture
def opened(images: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[StandaloneAudit, AuditCell]:
    monkeypatch.setattr(standalone_tasks, "_KEPT", {})
    audit = open_audit(request_for(images), ProgressReporter(quiet=True))
    return audit, cells_of(audit.setup, audit.ciphers, [suite.load("chosen_plaintext")])[0]


def test_a_worker_attacks_the_cell_that_was_meant(
    opened: tuple[StandaloneAudit, AuditCell], tmp_path: Path
) -> None:
    audit, cell = opened
    text = order_for(audit.request, tmp_path).model_dump_json()
    asked = order_of(cell, audit.setup.budget.name, "", True, None)
    answer = attack_alone(text, asked.model_dump_json(), [])
    first, *beside = read_outcomes(answer, cell, control_identities(audit.setup, cell))
    assert first.outcome.verdict == "broken" and first.outcome.target == CIPHERS[0]
    assert first.outcome.keys == "seeded" and len(beside) == 3
    # What was made for a deployment is handed to the driver, which alone writes the folder.
    (bench,) = standalone_tasks._KEPT.values()
    bench.artefacts.begin([], {})
    bench.artefacts.make("head-0123", lambda: b"fitted")
    packed = standalone_tasks.pack_artefacts(bench.artefacts.to_hand_over())
    assert {k: v.data for k, v in artefacts_in(packed).items()} == {"head-0123": b"fitted"}
    assert not (tmp_path / "audit" / "artefacts").exists()
    RunFolder(tmp_path / "audit").artefacts.store("head-4567", Kept(b"of the folder", None))
    bench.artefacts.begin(["head-4567"], {})
    kept = bench.artefacts.stored("head-4567")
    assert kept is not None and kept.data == b"of the folder"
    assert bench.artefacts.to_hand_over() == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"identity": "0" * 16}, "is another attack on this worker"),
        ({"target": "vit_block"}, "'vit_block' is no target here"),
        ({"turn": 99}, "is no target here"),
        ({"attack": "jigsaww"}, "jigsaw"),
        ({"place": 0}, "no order of an attack"),
    ],
)
def test_another_cell_than_the_worker_has_is_refused_in_words(
    opened: tuple[StandaloneAudit, AuditCell], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    audit, cell = opened
    text = order_for(audit.request, tmp_path).model_dump_json()
    asked = order_of(cell, audit.setup.budget.name, "", True, None)
    answer = attack_alone(text, asked.model_copy(update=changes).model_dump_json(), [])
    assert said in answer[PROBLEM].decode()
    assert b"not valid here" in attack_alone("{}", asked.model_dump_json(), [])[PROBLEM]


@pytest.mark.parametrize("count", ["0", "-1", "2000"])
def test_a_number_of_workers_that_is_none_is_refused_before_anything_is_read(
    tmp_path: Path, count: str
) -> None:
    words = ["--dataset", f"folder:{tmp_path / 'gone'}", "--out", str(tmp_path / "audit")]
    result = CliRunner().invoke(audit_app, ["run", *words, "--workers", count])
    assert isinstance(result.exception, UsageError)
    assert f"--workers {count} is not 1 to" in str(result.exception)
    assert not (tmp_path / "audit").exists()


def audited_by(workers: int, images: Path, out: Path, *extra: str) -> RunFolder:
    words = ["--dataset", f"folder:{images}", "--image-size", "32", "--key-seed", "7"]
    words += [part for one in CIPHERS for part in ("--cipher", one)]
    words += [part for one in ATTACKS for part in ("--attack", one)]
    words += ["--quiet", "--out", str(out), "--workers", str(workers), *extra]
    result = CliRunner().invoke(audit_app, ["run", *words])
    assert result.exit_code in (0, 3), (result.output, result.exception)
    return RunFolder(out)


def told(folder: RunFolder) -> dict[str, Any]:
    """What is not drawn from the operating system, nor a time, by identity."""
    return {
        one.identity: (
            *(one.place, one.row, one.target, one.beside, one.verdict, one.messages, one.not_run),
            None if one.target_kind == "pipeline" or one.target == "aes_ctr" else one.per_key,
        )
        for one in folder.outcomes()
    }


def kill_one(out: Path, done: threading.Event) -> None:
    """Kill a worker once the first outcome is written."""
    while not done.is_set():
        attacks = out / "attacks.jsonl"
        if attacks.is_file() and attacks.stat().st_size:
            spawned = [one for one in children() if "spawn_main" in one]
            os.kill(int(spawned[0].split()[0]), signal.SIGKILL)
            return
        time.sleep(0.01)


def children() -> list[str]:
    found = psutil.Process().children(recursive=True)
    return [" ".join([str(one.pid), *one.cmdline()]) for one in found]


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed_attack_what_one_process_attacks(
    images: Path, echo: str, tmp_path: Path
) -> None:
    """A pipeline as well, which one worker deploys and attacks alone."""
    extra = ("--pipeline", echo)
    serial = audited_by(1, images, tmp_path / "serial", *extra)
    done = threading.Event()
    killer = threading.Thread(target=kill_one, args=(tmp_path / "workers", done))
    killer.start()
    try:
        workers = audited_by(2, images, tmp_path / "workers", *extra)
    finally:
        done.set()
        killer.join()
    assert told(workers) == told(serial)
    assert {one.target for one in workers.outcomes()} >= {*CIPHERS, echo}
    lines = (workers.path / "attacks.jsonl").read_text().splitlines()
    written = Counter(AttackOutcome.model_validate_json(line).identity for line in lines)
    assert set(written.values()) == {1}
    assert workers.check_sums().problems == []
    assert not (workers.path / ".workers").exists()
    left = [line for line in children() if "spawn_main" in line or "common.service." in line]
    assert left == []
    # What is done is done, for any number of workers, and none is started for nothing.
    again = audited_by(1, images, tmp_path / "workers", *extra)
    assert (again.path / "attacks.jsonl").read_text().splitlines() == lines
