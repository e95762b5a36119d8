"""The finished runs that edits are made in: one given, or a fresh and an audited one made here."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from he_compare.common.run.store import MANIFEST
from tools.soak.invented import SMALL, invented_images
from tools.soak.ledger import Stopped
from tools.soak.room import Room

GIVEN = "given"
_PIPELINES = (
    *("--pipeline", "plaintext[model=logistic]"),
    *("--pipeline", "block-scramble[cipher=vit_block,mode=adapted]"),
)
# Attacks of the quick budget on a scrambler: some minutes. With a report in every format, a tape,
# artefacts, pictures and predictions of validation images there is every kind of file.
_WORDS: Mapping[str, tuple[str, ...]] = {
    "fresh": ("--no-audit", "--format", "md", *_PIPELINES),
    "audited": ("--audit", "--format", "md,html,pdf", *_PIPELINES),
}
_OF_ANY = ("SHA256SUMS", "manifest.json", "records.jsonl", "scores.json", "predictions/", "report/")
_KINDS: Mapping[str, tuple[str, ...]] = {
    "fresh": _OF_ANY,
    "audited": (*_OF_ANY, "attacks.jsonl", "attacks/", "artefacts/"),
    GIVEN: (),
}
RUN_SECONDS = 3600.0


def finished_runs(folder: Path, given: Path | None) -> dict[str, Path]:
    """Return runs in ``folder`` by what they are: a copy of the given one, or some made there.

    Raises Stopped where one cannot be made, or lacks a kind of file that is to be edited.
    """
    if given is not None:
        runs = {GIVEN: _copied(folder, given)}
    else:
        runs = {name: _made(folder, name) for name in _WORDS}
    for name, run in runs.items():
        lacking = set(_KINDS[name]) - {kind_of_file(run, one) for one in files_of(run)}
        if lacking:
            raise Stopped(f"the {name} run that is to be edited lacks {', '.join(sorted(lacking))}")
    return runs


def _copied(folder: Path, given: Path) -> Path:
    run = folder / GIVEN
    if not (given / MANIFEST).is_file():
        raise Stopped(f"{given} holds no run: pass the folder of a finished one to --run")
    if not run.exists():
        beside = folder / "copying"
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(given, beside)
        beside.rename(run)
    return run


def _made(folder: Path, name: str) -> Path:
    run = folder / name
    room = Room(folder / "room", folder / "cache")
    images = invented_images(folder / "images")
    words = ["run", *SMALL, "--workers", "1", *_WORDS[name], *images]
    words += ["--out", str(run), "--key", str(room.folder / "client.key")]
    done = room.run(words, RUN_SECONDS)
    if done.returncode not in (0, 3):  # 3: a control of the audit failed, the run is whole
        said = (done.stderr.strip().splitlines() or ["no words"])[-1]
        raise Stopped(f"the {name} run that is to be edited ended with {done.returncode}: {said}")
    return run


def files_of(run: Path) -> list[Path]:
    """Return the files of a run in a fixed order."""
    return sorted(path for path in run.rglob("*") if path.is_file())


def kind_of_file(run: Path, path: Path) -> str:
    """Return the folder of a run that a file lies in, or its name."""
    first, *rest = path.relative_to(run).parts
    return f"{first}/" if rest else first
