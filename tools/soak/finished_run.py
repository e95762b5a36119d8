"""The finished run that edits are made in: given, or made with all that a run can hold."""

from __future__ import annotations

import shutil
from pathlib import Path

from he_compare.common.run.store import MANIFEST
from tools.soak.campaign import Stopped
from tools.soak.invented import SMALL, invented_images
from tools.soak.room import Room

# Attacks of the quick budget on a scrambler: some minutes. With a report in every format, a tape,
# artefacts, pictures and predictions of validation images there is every kind of file.
RUN = (
    *("run", *SMALL, "--audit", "--format", "md,html,pdf", "--workers", "1"),
    *("--pipeline", "plaintext[model=logistic]"),
    *("--pipeline", "block-scramble[cipher=vit_block,mode=adapted]"),
)
RUN_SECONDS = 3600.0


def finished_run(folder: Path, given: Path | None) -> Path:
    """Return a copy of the given run in ``folder``, or a run made there; once.

    Raises Stopped where none can be made.
    """
    run = folder / "run"
    if given is not None:
        if not (given / MANIFEST).is_file():
            raise Stopped(f"{given} holds no run: pass the folder of a finished one to --run")
        if not run.exists():
            beside = folder / "copying"
            shutil.rmtree(beside, ignore_errors=True)
            shutil.copytree(given, beside)
            beside.rename(run)
        return run
    room = Room(folder / "room", folder / "cache")
    key = room.folder / "client.key"
    images = invented_images(folder / "images")
    done = room.run([*RUN, *images, "--out", str(run), "--key", str(key)], RUN_SECONDS)
    if done.returncode not in (0, 3):  # 3: a control of the audit failed, the run is whole
        words = (done.stderr.strip().splitlines() or ["no words"])[-1]
        raise Stopped(f"the run to be edited ended with {done.returncode}: {words}")
    return run


def files_of(run: Path) -> list[Path]:
    """Return the files of a run in a fixed order."""
    return sorted(path for path in run.rglob("*") if path.is_file())
