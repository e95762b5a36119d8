"""A run folder for one process alone: its lock, and what killed processes left in it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from he_compare.common.errors import UsageError
from he_compare.common.exclusive import HeldElsewhereError, LockFile, LockUnusableError
from he_compare.common.files import EARLIER, PRIVATE_FOLDER, TEMPORARY, sweep
from he_compare.common.temporary_folders import sweep_folders

LOCK = ".lock"
# What a run shares with its workers, images among it. It goes when they end, or is swept.
SHARED_FILES = ".workers"
# Files of a run after which earlier versions named temporary ones.
_OF_A_RUN = re.compile(
    r"(manifest|scores|audit)\.json|copies\.csv|(records|attacks)\.(jsonl|torn)|SHA256SUMS"
    r"|pictures\.npz|[0-9a-f]{16}\.(npz|tape)|[0-9a-f]{32}\.public|report\.(md|html|pdf)"
    r"|[a-z0-9_-]+-[0-9a-f]{16}(\.sha256)?|\.lock"
)
# How often a folder may vanish between its making and its locking.
ATTEMPTS = 100
MOST_NOTE_BYTES = 4096
_OTHER_FOLDER = "name another folder with --out"
# Folders that this process has claimed.
_CLAIMED: set[Path] = set()


@contextmanager
def claimed_folder(folder: Path) -> Iterator[None]:
    """Have a folder for this process alone; what killed ones left in it is removed first.

    A claim inside another one of this process is the same. A folder that is made for this and stays
    empty is removed; it is for its owner alone, and one that is there keeps its mode. Raises
    UsageError while another process has it, or where it is no folder that can be written.
    """
    place = folder.absolute()
    if place in _CLAIMED:
        yield
        return
    made = not folder.exists()
    try:
        lock = _locked(folder)
    except UsageError:
        if made:
            _remove_if_empty(folder)
        raise
    _CLAIMED.add(place)
    try:
        sweep(folder, deep=True, earlier=lambda name: bool(_OF_A_RUN.fullmatch(name)))
        sweep_folders()
        shutil.rmtree(folder / SHARED_FILES, ignore_errors=True)
        yield
    finally:
        _CLAIMED.discard(place)
        lock.release()
        if made:
            _remove_if_empty(folder)


@dataclass(frozen=True)
class Owner:
    """Who wrote the lock of a folder. ``lives``: as far as can be told from here.

    ``is_lock``: what is there is a lock that this program wrote.
    """

    is_lock: bool
    lives: bool
    words: str = ""


def owner_of(folder: Path) -> Owner:
    """Say who has a folder, from the note in its lock: nothing is locked or touched."""
    try:
        note = _note_in(folder / LOCK)
    except OSError:
        return Owner(is_lock=False, lives=False)
    if folder.absolute() in _CLAIMED:
        return Owner(is_lock=True, lives=True, words="this process")
    pid = _process_of(note)
    if pid is None:
        half_written = not note.strip(b"\x00") or note.startswith(b'{"pid"')
        return Owner(is_lock=half_written, lives=False)
    if _node_of(note) not in ("", _node()):
        return Owner(
            is_lock=True, lives=True, words=f"process {pid} of another machine, if it lives,"
        )
    return Owner(is_lock=True, lives=_living(note) is not None, words=f"process {pid}")


def is_left_over(name: str) -> bool:
    """Say whether a file is called as only what a killed command leaves in a run is."""
    last = name.rpartition("/")[2]
    named = EARLIER.fullmatch(last)
    return bool(TEMPORARY.fullmatch(last) or (named and _OF_A_RUN.fullmatch(named[1])))


def _note_in(path: Path) -> bytes:
    """Return what a lock says. Raises OSError where it is no small regular file."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags)
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > MOST_NOTE_BYTES:
            raise OSError("no lock")
        return os.read(handle, MOST_NOTE_BYTES)
    finally:
        os.close(handle)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _locked(folder: Path) -> LockFile:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", fix=_OTHER_FOLDER)
    me = psutil.Process()
    facts = {"pid": me.pid, "started": me.create_time(), "node": _node()}
    note = json.dumps(facts).encode()
    for _ in range(ATTEMPTS):
        lock = LockFile(folder / LOCK)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
            lock.take(note, unless=lambda before: _living(before) is not None)
        except FileNotFoundError:  # it was empty, and whoever had made it removed it
            continue
        except HeldElsewhereError as held:
            raise _taken(folder, held.said) from None
        except LockUnusableError as error:
            raise error.told(_OTHER_FOLDER) from None
        except OSError as error:
            raise UsageError(
                f"cannot write to {folder}: {error.strerror}", fix=_OTHER_FOLDER
            ) from None
        return lock
    raise UsageError(f"cannot make {folder}", fix=_OTHER_FOLDER)


def _taken(folder: Path, note: bytes) -> UsageError:
    owner = _process_of(note)
    process = "another process" if owner is None else f"process {owner}"
    if _node_of(note) not in ("", _node()):
        process += " of another machine"
    return UsageError(
        f"{folder} is being written by {process}", fix=f"wait for it to end or {_OTHER_FOLDER}"
    )


def _node() -> str:
    """Return what stands for this machine in a lock, and does not tell its name."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _node_of(note: bytes) -> str:
    """Return the machine in a note; '' in those of earlier versions."""
    try:
        return str(json.loads(note).get("node", ""))
    except (ValueError, AttributeError):
        return ""


def _process_of(note: bytes) -> int | None:
    try:
        return int(json.loads(note)["pid"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _living(note: bytes) -> int | None:
    """Return the process that left a note in a lock and lives, None for none.

    The lock itself goes with its process: this asks after earlier versions, which held none.
    """
    try:
        content = json.loads(note)
        process = psutil.Process(int(content["pid"]))
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if process.pid != os.getpid() and abs(process.create_time() - content["started"]) < 1:
            return process.pid
    except (ValueError, KeyError, TypeError, OverflowError, psutil.Error):
        return None
    return None
