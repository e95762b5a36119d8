"""Gives the client's key to a worker on another machine: from this process to that one.

The client half of a keyed pipeline encrypts on the worker, so it has to have the key. The bytes go
over a connection of their own, which is TLS where the scheduler is (docs/adr/0019); the scheduler
learns that something was sent and how long it is. The worker keeps it in a private file until the
run leaves it, or its process ends.
"""

from __future__ import annotations

import atexit
import hashlib
import hmac
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

from he_compare.common.errors import CellError
from he_compare.common.files import write_atomic
from he_compare.comparisons.measuring.plan import RunPlan, key_file_of_seed

KEY_NAME = "client.key"
KEY_FOLDER = "compare-key-"
PRIVATE = 0o600
ANSWER_SECONDS = 60.0


def give_keys(client: Any, worker: str, plan: RunPlan) -> Path:
    """Send the keys of all seeds that have a file to one worker; return where the first lies.

    Those of further seeds lie beside it, where the plan on the worker looks for them. Raises
    CellError where the worker was lost before it had them.
    """
    first = give_key(client, worker, plan.key_file)
    for seed in plan.config.all_seeds[1:]:
        key_file = plan.key_file_of(seed)
        if key_file.is_file():
            beside = key_file_of_seed(Path(KEY_NAME), seed).name
            give_key(client, worker, key_file, beside, str(first.parent))
    return first


def has_keys(client: Any, worker: str, plan: RunPlan) -> bool:
    """Say whether a worker finds the keys of all seeds where this process has them.

    A home that machines share may hold the run and not the keys. Raises CellError where the worker
    was lost before it told.
    """
    salt = secrets.token_hex(16)
    files = [one for one in map(plan.key_file_of, plan.config.all_seeds) if one.is_file()]
    asked = client.submit(
        fingerprints_of_keys,
        [str(one.resolve()) for one in files],
        salt,
        workers=[worker],
        allow_other_workers=False,
        pure=False,
    )
    try:
        told = asked.result(timeout=ANSWER_SECONDS)
    except _losses() as error:
        raise _lost(worker, error) from None
    finally:
        asked.release()
    return bool(told == fingerprints_of_keys([str(one) for one in files], salt))


def fingerprints_of_keys(files: list[str], salt: str) -> list[str]:
    """Return a salted hash of each file, '' where this process reads none. Runs in a worker."""
    return [_fingerprint(Path(one), salt) for one in files]


def _fingerprint(file: Path, salt: str) -> str:
    try:
        return hmac.new(salt.encode(), file.read_bytes(), hashlib.sha256).hexdigest()
    except OSError:
        return ""


def _losses() -> tuple[type[Exception], ...]:
    """Return what Dask raises where a worker is gone: it is no family of errors."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError, FuturesCancelledError

    return KilledWorker, FutureCancelledError, FuturesCancelledError, OSError, ValueError


def _lost(worker: str, error: Exception) -> CellError:
    from distributed import KilledWorker

    # The words of Dask's own errors are of tasks and classes, and those of some cannot be read.
    words = "it left, or what it was sent was dropped"
    if isinstance(error, TimeoutError):
        words = f"nothing came from it in {ANSWER_SECONDS:g} s"
    elif isinstance(error, KilledWorker):
        words = "its process ended"
    elif isinstance(error, OSError):
        words = (error.strerror or "the connection was closed").lower()
    return CellError(
        f"worker {worker} was lost before it had the client's key: {words}",
        fix="run the same command again: finished cells are kept",
    )


def give_key(
    client: Any, worker: str, key_file: Path, name: str = KEY_NAME, folder: str = ""
) -> Path:
    """Send a key file to one worker of a Dask client; return where it lies there.

    ``folder``: where another key of the run lies on the worker; '' for a new one.

    Raises CellError where the worker was lost before it had the key.
    """
    content, futures = key_file.read_bytes(), []
    try:
        # Without a hash of its own, for the name of what is sent is known to the scheduler.
        sent = client.scatter(content, workers=[worker], direct=True, hash=False)
        futures.append(sent)
        kept = client.submit(
            keep_key, sent, name, folder, workers=[worker], allow_other_workers=False, pure=False
        )
        futures.append(kept)
        return Path(kept.result(timeout=ANSWER_SECONDS))
    except _losses() as error:
        raise _lost(worker, error) from None
    finally:
        for future in reversed(futures):
            future.release()


def keep_key(content: bytes, name: str = KEY_NAME, folder: str = "") -> str:
    """Write a key into a private file of this process; return its path. Runs in a worker."""
    path = (Path(folder) if folder else _private_folder()) / name
    write_atomic(path, content, mode=PRIVATE)
    return str(path)


def forget_keys(key_file: str) -> None:
    """Remove the keys of a run from this worker: ``key_file`` and those beside it, '' for none."""
    folder = Path(key_file).parent
    if key_file and folder.name.startswith(KEY_FOLDER):
        shutil.rmtree(folder, ignore_errors=True)


def _private_folder() -> Path:
    """Make a folder that only this user can enter; it is removed when the process ends.

    It lies in the worker's own folder: of a worker that was killed, Dask removes that folder when
    the next worker starts there.
    """
    from distributed import get_worker

    folder = Path(tempfile.mkdtemp(prefix=KEY_FOLDER, dir=get_worker().local_directory))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
