"""What ends with a run on workers that go on, and a second run on the same workers."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client, LocalCluster

from he_compare.common.errors import CellError, UsageError
from he_compare.common.temporary_folders import TemporaryFolder
from he_compare.comparisons.cluster import audit_tasks, key_delivery, scheduler_access, worker_tasks
from he_compare.comparisons.cluster.crew import workers_here, workers_of
from he_compare.comparisons.cluster.worker_tasks import Bench, leave
from he_compare.comparisons.progress import ProgressReporter


class Fitted:
    """Stands for what holds a secret key."""


@pytest.fixture
def key_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / f"{key_delivery.KEY_FOLDER}x"
    folder.mkdir()
    monkeypatch.setattr(key_delivery, "_private_folder", lambda: folder)
    return folder


@pytest.fixture
def bench(
    key_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[Bench, weakref.ref[Fitted]]]:
    """A bench in the middle of an audit, with keys of two seeds, and what watches its fit."""
    monkeypatch.setattr(worker_tasks, "_BENCHES", {})
    monkeypatch.setattr(audit_tasks, "setup_of_run", lambda plan: SimpleNamespace(pool=None))
    monkeypatch.setattr(audit_tasks, "use_threads", lambda threads: None)
    monkeypatch.setattr(audit_tasks, "CellAttacker", lambda setup, quiet: SimpleNamespace())
    first = key_delivery.keep_key(b"key")
    key_delivery.keep_key(b"key of a seed", "client-1.key", str(Path(first).parent))
    fitted = Fitted()
    measurer = SimpleNamespace(close=lambda: None, fits={"p": fitted}, tapes={"p": b"messages"})
    scratch = TemporaryFolder("worker", tmp_path)
    plan = SimpleNamespace(settings=SimpleNamespace(threads=1))
    made = Bench(None, plan, measurer, None, scratch, first)  # type: ignore[arg-type]
    siege = audit_tasks._siege_of(made, SimpleNamespace(budget="quick"))  # type: ignore[arg-type]
    siege.targets["p", ""] = fitted  # type: ignore[assignment]
    worker_tasks._BENCHES["token"] = made
    watch = weakref.ref(fitted)
    del fitted, siege, measurer  # this frame lives as long as the test
    yield made, watch
    scratch.cleanup()


def test_fits_and_keys_of_a_run_end_when_it_leaves(
    bench: tuple[Bench, weakref.ref[Fitted]], key_folder: Path
) -> None:
    _, watch = bench
    assert watch() is not None and len(list(key_folder.iterdir())) == 2
    leave()
    gc.collect()
    assert watch() is None
    assert not key_folder.exists() and not worker_tasks._BENCHES


def test_an_audit_goes_on_with_what_it_kept(bench: tuple[Bench, Any]) -> None:
    order: Any = SimpleNamespace(budget="quick")
    assert "p" in {name for name, _ in audit_tasks._siege_of(bench[0], order).targets}


def test_keys_of_a_run_that_cannot_be_made_here_are_removed(key_folder: Path) -> None:
    assert "problem" in worker_tasks.prepare_worker("no order", key_delivery.keep_key(b"key"))
    assert not key_folder.exists()


def test_no_other_file_than_a_key_is_ever_removed(tmp_path: Path) -> None:
    (tmp_path / "client.key").write_bytes(b"of the user")
    key_delivery.forget_keys(str(tmp_path / "client.key"))
    key_delivery.forget_keys("")
    assert (tmp_path / "client.key").exists()


def test_a_second_run_on_a_scheduler_is_refused_and_goes_on_when_the_first_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheduler_access, "DRIVER_GONE_SECONDS", 0.3)
    quiet = ProgressReporter(quiet=True)
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        Client(cluster),
    ):
        address = cluster.scheduler_address
        with workers_of(address, None, quiet):
            with (
                pytest.raises(UsageError, match="another run uses the scheduler") as caught,
                workers_of(address, None, quiet),
            ):
                pass
            assert "wait until it has ended" in caught.value.fix
        monkeypatch.setattr(scheduler_access, "DRIVER_GONE_SECONDS", 30.0)
        with workers_of(address, None, quiet) as crew:
            assert len(crew.addresses()) == 1


def test_a_worker_that_ends_while_it_starts_is_an_error_with_a_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import distributed

    def killed(**options: Any) -> None:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(distributed, "LocalCluster", killed)
    progress = ProgressReporter(quiet=True)
    with (
        pytest.raises(CellError, match="ended while 2 of them were started") as raised,
        workers_here(2, 1, progress, tmp_path),
    ):
        pass
    assert "--workers 1" in (raised.value.fix or "")
