"""A run folder for one process alone: its lock, and what killed processes left in it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from he_compare.common.errors import UsageError
from he_compare.common.exclusive import HeldElsewhereError, LockFile
from he_compare.common.files import naming, sweep
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
_FIX = "wait for it to end or name another folder with --out"
# Folders that this process has claimed.
_CLAIMED: set[Path] = set()


@contextmanager
def claimed_folder(folder: Path) -> Iterator[None]:
    """Have a folder for this process alone; what killed ones left in it is removed first.

    A claim inside another one of this process is the same. A folder that is made for this and stays
    empty is removed. Raises UsageError while another process has it, or where it is no folder that
    can be written.
    """
    place = folder.absolute()
    if place in _CLAIMED:
        yield
        return
    made = not folder.exists()
    lock = _locked(folder)
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
            with contextlib.suppress(OSError):
                folder.rmdir()


def _locked(folder: Path) -> LockFile:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", fix="name another folder with --out")
    me = psutil.Process()
    note = json.dumps({"pid": me.pid, "started": me.create_time()}).encode()
    for _ in range(ATTEMPTS):
        lock = LockFile(folder / LOCK)
        try:
            with naming(folder):
                folder.mkdir(parents=True, exist_ok=True)
                lock.take(note, unless=lambda before: _living(before) is not None)
        except FileNotFoundError:  # it was empty, and whoever had made it removed it
            continue
        except HeldElsewhereError as held:
            raise _taken(folder, _process_of(held.said)) from None
        except OSError as error:
            raise UsageError(
                f"cannot write to {folder}: {error.strerror}",
                fix="name another folder with --out",
            ) from None
        return lock
    raise UsageError(f"cannot make {folder}", fix="name another folder with --out")


def _taken(folder: Path, owner: int | None) -> UsageError:
    process = "another process" if owner is None else f"process {owner}"
    return UsageError(f"{folder} is being written by {process}", fix=_FIX)


def _process_of(note: bytes) -> int | None:
    try:
        return int(json.loads(note)["pid"])
    except (ValueError, KeyError, TypeError):
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
