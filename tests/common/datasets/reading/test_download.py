"""Downloads are whole and checked, or not there at all; and none happens unasked."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest

from he_compare.common.datasets.reading import download
from he_compare.common.datasets.reading.download import DownloadError, fetch
from he_compare.common.datasets.reading.source_policy import (
    SourcePolicy,
    current_policy,
    source_policy,
)

CONTENT = bytes(range(256)) * 9000
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
ADDRESS = "https://example.invalid/set.npz?download=1"
Transport = Callable[..., None]


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> Transport:
    """Stand in for the network: send ``content``, then raise ``error`` where given."""

    def install(content: bytes = CONTENT, promised: int | None = None, error: Any = None) -> None:
        @contextmanager
        def opened(address: str, seconds: float) -> Iterator[Any]:
            assert (address, seconds) == (ADDRESS, 3.0)
            stream = io.BytesIO(content)

            def read(size: int) -> bytes:
                part = stream.read(size)
                if not part and error is not None:
                    raise error
                return part

            length = len(content) if promised is None else promised
            yield SimpleNamespace(read=read, headers={"Content-Length": str(length)})

        monkeypatch.setattr(download, "open_address", opened)

    return install


@pytest.fixture
def online() -> Iterator[None]:
    with source_policy(SourcePolicy(download_seconds=3.0)):
        yield


def failing(target: Path, message: str, error: type[BaseException] = DownloadError) -> None:
    with pytest.raises(error, match=message):
        fetch(ADDRESS, MD5, target)
    assert not target.exists()
    assert list(target.parent.iterdir()) == []


def test_a_download_is_kept_once_its_checksum_holds(
    tmp_path: Path, transport: Transport, online: None, caplog: pytest.LogCaptureFixture
) -> None:
    transport()
    target = fetch(ADDRESS, MD5, tmp_path / "cache" / "set.npz")
    assert target.read_bytes() == CONTENT
    assert [file.name for file in target.parent.iterdir()] == ["set.npz"]
    assert caplog.messages == ["downloading set.npz from https://example.invalid/set.npz"]
    assert caplog.records[0].levelno == logging.WARNING


def test_its_progress_is_reported_in_mib(tmp_path: Path, transport: Transport) -> None:
    transport()
    told: list[tuple[str, int, int]] = []

    def progress(what: str, done: int, total: int) -> None:
        told.append((what, done, total))

    with source_policy(SourcePolicy(download_seconds=3.0, progress=progress)):
        fetch(ADDRESS, MD5, tmp_path / "set.npz")
    assert told[-1] == ("downloading set.npz (MiB)", 2, 2)
    assert len(told) == 3


def test_an_altered_download_is_deleted_and_not_used(
    tmp_path: Path, transport: Transport, online: None
) -> None:
    transport(CONTENT[:-1] + b"x")
    failing(tmp_path / "set.npz", rf"its MD5 is \w+, not {MD5}; it was deleted and not used")


def test_a_download_that_ends_early_is_never_half_used(
    tmp_path: Path, transport: Transport, online: None
) -> None:
    transport(CONTENT[:5000], promised=len(CONTENT))
    failing(tmp_path / "set.npz", "ended after 5,000 of 2,304,000 bytes; nothing was kept")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (TimeoutError("timed out"), "timed out"),
        (ConnectionResetError("reset"), "reset"),
        (URLError("no route"), "no route"),
    ],
)
def test_a_broken_connection_is_told(
    tmp_path: Path, transport: Transport, online: None, error: Exception, message: str
) -> None:
    transport(CONTENT[:5000], error=error)
    failing(tmp_path / "set.npz", message)


def test_an_interruption_stays_one_and_leaves_nothing(
    tmp_path: Path, transport: Transport, online: None
) -> None:
    transport(CONTENT[:5000], error=KeyboardInterrupt())
    failing(tmp_path / "set.npz", "^$", KeyboardInterrupt)


def test_a_download_larger_than_the_disk_is_not_begun(
    tmp_path: Path, transport: Transport, online: None
) -> None:
    transport(promised=1 << 60)
    failing(tmp_path / "set.npz", "more than the disk has free")


def test_what_a_killed_download_left_is_removed_after_a_day(
    tmp_path: Path, transport: Transport, online: None
) -> None:
    transport()
    for name, age in (("old", 2 * 86400), ("new", 60)):
        left = tmp_path / f"{download.PARTIAL_PREFIX}{name}"
        left.mkdir()
        os.utime(left, (time.time() - age,) * 2)
    fetch(ADDRESS, MD5, tmp_path / "set.npz")
    assert {file.name for file in tmp_path.iterdir()} == {"set.npz", ".download-new"}


def test_only_https_is_used(tmp_path: Path, online: None) -> None:
    with pytest.raises(DownloadError, match=r"http://x\.invalid/a is not an https address"):
        fetch("http://x.invalid/a", MD5, tmp_path / "a")


def test_without_a_policy_or_offline_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "open_address", lambda *_: pytest.fail("used the network"))
    failing(tmp_path / "set.npz", "downloads are off")
    with source_policy(SourcePolicy(offline=True)):
        failing(tmp_path / "set.npz", "downloads are off")


def test_a_policy_ends_with_its_block_even_by_an_error() -> None:
    before = current_policy()
    with pytest.raises(RuntimeError), source_policy(SourcePolicy(require_real=True)):
        assert current_policy().require_real
        raise RuntimeError
    assert current_policy() == before
    assert before.offline
