"""Locks: one process at a time, none blocked by what a killed one left."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from he_compare.common import exclusive
from he_compare.common.exclusive import (
    HeldElsewhereError,
    LockFile,
    locked_now,
    one_at_a_time,
)

HOLDER = """
import sys, time
from pathlib import Path
from he_compare.common.exclusive import LockFile
LockFile(Path(sys.argv[1])).take(b"note of the holder")
print("held", flush=True)
time.sleep(60)
"""


def _holder(path: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HOLDER, str(path)]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    return holder


def test_a_lock_is_refused_while_it_is_held_and_free_when_its_process_is_killed(
    tmp_path: Path,
) -> None:
    path = tmp_path / ".lock"
    holder = _holder(path)
    try:
        with pytest.raises(HeldElsewhereError) as caught:
            LockFile(path).take(b"")
        assert caught.value.said == b"note of the holder"
    finally:
        holder.kill()
        holder.communicate()
    lock, notes = LockFile(path), list[bytes]()
    lock.take(b"mine", unless=lambda note: bool(notes.append(note)))
    assert notes == [b"note of the holder"]
    assert path.read_bytes() == b"mine"
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_a_note_says_is_held_stays_as_it_is(tmp_path: Path) -> None:
    """Earlier versions held no lock: only the note tells that their process lives."""
    path = tmp_path / ".lock"
    path.write_bytes(b"of a living process")
    for _ in range(2):
        with pytest.raises(HeldElsewhereError) as caught:
            LockFile(path).take(b"mine", unless=lambda note: b"living" in note)
        assert caught.value.said == path.read_bytes() == b"of a living process"


def test_a_lock_is_no_way_to_another_file(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("work of years")
    (tmp_path / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match=r"it is a link, and no lock"):
        LockFile(tmp_path / ".lock").take(b"mine")
    assert (tmp_path / "precious").read_text() == "work of years"


@pytest.mark.parametrize("left", [b"", b"{", b'{"pid": ', b"\xff" * 5000])
def test_half_written_files_of_killed_processes_block_nobody(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / ".lock"
    path.write_bytes(left)
    lock = LockFile(path)
    lock.take(b"mine")
    assert path.read_bytes() == b"mine"
    lock.release()


def test_two_never_hold_a_lock_that_is_removed_each_time(tmp_path: Path) -> None:
    """Holders come and go in eight threads: a lock on a file that was removed is no lock."""
    path, inside, most, taken = tmp_path / ".lock", [0], [0], [0]

    def work(_: int) -> None:
        for _ in range(60):
            lock = LockFile(path)
            try:
                lock.take(b"")
            except HeldElsewhereError:
                continue
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            taken[0] += 1
            inside[0] -= 1
            lock.release()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert most == [1] and taken[0] > 0
    assert not path.exists()


def test_who_waits_gets_the_lock_and_who_does_not_is_told(tmp_path: Path) -> None:
    path = tmp_path / "below" / "lock"
    with one_at_a_time(path, "does this") as waited:
        assert waited >= 0
        with pytest.raises(HeldElsewhereError), locked_now(path):
            raise AssertionError("held twice")
    with locked_now(path):
        pass


@pytest.mark.parametrize(("untold", "said"), [(0.05, 1), (30.0, 0)])
def test_a_long_wait_is_said_once_with_what_it_is_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    untold: float,
    said: int,
) -> None:
    monkeypatch.setattr(exclusive, "UNTOLD_SECONDS", untold)
    path, held, free = tmp_path / "x.lock", threading.Event(), threading.Event()

    def hold() -> None:
        with one_at_a_time(path, "holds it"):
            held.set()
            free.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(20)
        threading.Timer(0.3, free.set).start()
        with caplog.at_level(logging.WARNING), one_at_a_time(path, "decodes images") as waited:
            assert waited >= 0.2
    finally:
        free.set()
        holder.join()
    told = [one.getMessage() for one in caplog.records]
    assert told == [f"waiting for another process that decodes images (it holds {path})"] * said
