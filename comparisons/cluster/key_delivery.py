"""Gives the client's key to a worker on another machine: from this process to that one.

The client half of a keyed pipeline encrypts on the worker, so it has to have the key. The bytes go
over a connection of their own, which is TLS where the scheduler is (docs/adr/0019); the scheduler
learns that something was sent and how long it is. The worker keeps it in a private file until the
run leaves it, or its process ends.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any

from he_compare.common.errors import CellError
from he_compare.common.run.store import write_atomic
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


def give_key(
    client: Any, worker: str, key_file: Path, name: str = KEY_NAME, folder: str = ""
) -> Path:
    """Send a key file to one worker of a Dask client; return where it lies there.

    ``folder``: where another key of the run lies on the worker; '' for a new one.

    Raises CellError where the worker was lost before it had the key.
    """
    from distributed import KilledWorker

    # Without a hash of its own, for the name of what is sent is known to the scheduler.
    sent = client.scatter(key_file.read_bytes(), workers=[worker], direct=True, hash=False)
    kept = client.submit(
        keep_key, sent, name, folder, workers=[worker], allow_other_workers=False, pure=False
    )
    try:
        return Path(kept.result(timeout=ANSWER_SECONDS))
    except (KilledWorker, OSError) as error:
        raise CellError(
            f"worker {worker} was lost before it had the client's key: {type(error).__name__}"
        ) from None
    finally:
        for future in (kept, sent):
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
