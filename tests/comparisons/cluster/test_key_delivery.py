"""The client's key goes straight to the worker: the scheduler never reads it."""

from __future__ import annotations

import secrets
import stat
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client, KilledWorker, LocalCluster, Security
from distributed.client import FutureCancelledError
from distributed.comm import tcp

from he_compare.common.errors import CellError
from he_compare.comparisons.cluster import key_delivery
from he_compare.comparisons.cluster.crew import workers_of
from he_compare.comparisons.cluster.key_delivery import give_key, has_keys
from he_compare.comparisons.progress import ProgressReporter


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[bytes]]:
    """Every byte that arrives over TLS in this process, decrypted, by the port of the reader."""
    port: ContextVar[str] = ContextVar("port")
    seen: dict[str, list[bytes]] = defaultdict(list)
    read, from_frames = tcp.TCP.read, tcp.from_frames

    async def reading(self: Any, *args: Any, **kwargs: Any) -> Any:
        port.set(self.local_address.rpartition(":")[2])
        return await read(self, *args, **kwargs)

    async def opening(frames: Any, **kwargs: Any) -> Any:
        seen[port.get()].append(b"".join(bytes(frame) for frame in frames))
        return await from_frames(frames, **kwargs)

    monkeypatch.setattr(tcp.TCP, "read", reading)
    monkeypatch.setattr(tcp, "from_frames", opening)
    return seen


@pytest.fixture
def client(arrived: dict[str, list[bytes]]) -> Iterator[Any]:
    """A cluster over TLS in this process, so that all that its scheduler reads can be seen."""
    security = Security.temporary()
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            protocol="tls://",
            security=security,
            dashboard_address=None,
        ) as cluster,
        Client(cluster, security=security) as client,
    ):
        yield client


@pytest.fixture
def read_by_scheduler(client: Any, arrived: dict[str, list[bytes]]) -> list[bytes]:
    """What the scheduler reads."""
    return arrived[client.scheduler.address.rpartition(":")[2]]


def test_the_key_arrives_and_the_scheduler_never_reads_it(
    client: Any, read_by_scheduler: list[bytes], tmp_path: Path
) -> None:
    key = secrets.token_hex(32).encode()
    (tmp_path / "client.key").write_bytes(key)
    worker = sorted(client.scheduler_info()["workers"])[1]
    there = give_key(client, worker, tmp_path / "client.key")
    assert there.read_bytes() == key and there != tmp_path / "client.key"
    assert stat.S_IMODE(there.stat().st_mode) == 0o600
    assert stat.S_IMODE(there.parent.stat().st_mode) == 0o700
    folders = client.run(lambda dask_worker: dask_worker.local_directory)
    assert there.is_relative_to(folders[worker])
    assert any(b"keep_key" in message for message in read_by_scheduler)
    assert not [message for message in read_by_scheduler if key[:16] in message]


def test_the_watch_of_this_test_sees_what_goes_through_the_scheduler(
    client: Any, read_by_scheduler: list[bytes]
) -> None:
    key = secrets.token_hex(32)
    assert client.submit(len, key).result(timeout=60) == 64
    assert [message for message in read_by_scheduler if key[:16].encode() in message]


def answer_of(worker: str) -> bytes:
    """An answer that nobody could know before, and that this process can look up."""
    ANSWERS[worker] = secrets.token_hex(32).encode()
    return ANSWERS[worker]


ANSWERS: dict[str, bytes] = {}


def test_what_workers_answer_comes_past_the_scheduler(
    client: Any, read_by_scheduler: list[bytes]
) -> None:
    address, security = client.scheduler.address, client.security
    with workers_of(address, security, ProgressReporter(quiet=True)) as crew:
        told = crew.client.submit(answer_of, "one", pure=False).result(timeout=60)
    assert told == ANSWERS["one"]
    assert not [message for message in read_by_scheduler if told[:16] in message]


def test_no_worker_keeps_the_key_in_the_memory_of_dask(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_delivery, "_private_folder", lambda: tmp_path / "worker")
    (tmp_path / "client.key").write_bytes(b"secret")
    give_key(client, min(client.scheduler_info()["workers"]), tmp_path / "client.key")
    for _ in range(200):
        held = client.run(lambda dask_worker: len(dask_worker.data))
        if not any(held.values()):
            break
    assert set(held.values()) == {0}


def lost(error: Exception) -> Any:
    """A stand-in for a call of Dask whose worker is lost."""

    def fail(*_args: object, **_named: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    "error", [TimeoutError("No valid workers found"), OSError("closed"), ValueError("no workers")]
)
def test_a_worker_lost_while_its_key_is_sent_is_named(error: Exception, tmp_path: Path) -> None:
    (tmp_path / "client.key").write_bytes(b"secret")
    client = SimpleNamespace(scatter=lost(error))
    with pytest.raises(CellError, match="worker tls://one was lost before it had") as caught:
        give_key(client, "tls://one", tmp_path / "client.key")
    assert type(error).__name__ not in str(caught.value) and caught.value.fix


@pytest.mark.parametrize(
    "error",
    [FutureCancelledError("keep_key", "lost"), KilledWorker("keep_key", "one", 1), OSError("gone")],
)
def test_a_worker_lost_while_it_keeps_its_key_is_named(error: Exception, tmp_path: Path) -> None:
    (tmp_path / "client.key").write_bytes(b"secret")
    released: list[str] = []
    sent = SimpleNamespace(release=lambda: released.append("sent"))
    kept = SimpleNamespace(release=lambda: released.append("kept"), result=lost(error))
    client = SimpleNamespace(scatter=lambda *_a, **_n: sent, submit=lambda *_a, **_n: kept)
    with pytest.raises(CellError, match="worker tls://one was lost before it had") as caught:
        give_key(client, "tls://one", tmp_path / "client.key")
    assert type(error).__name__ not in str(caught.value) and caught.value.fix
    assert released == ["kept", "sent"]


def test_a_worker_that_sees_the_run_may_lack_the_key_or_have_another(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file = tmp_path / "client.key"
    key_file.write_bytes(b"secret")
    config = SimpleNamespace(all_seeds=(0,))
    plan: Any = SimpleNamespace(config=config, key_file_of=lambda seed: key_file)
    worker = min(client.scheduler_info()["workers"])
    assert has_keys(client, worker, plan)
    elsewhere, read = threading.get_ident(), Path.read_bytes

    def another(path: Path) -> bytes:
        return read(path) if threading.get_ident() == elsewhere else b"another"

    monkeypatch.setattr(Path, "read_bytes", another)
    assert not has_keys(client, worker, plan)
