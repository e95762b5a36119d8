"""Commands that are killed before each of their file operations, and what the same command heals.

``count_points`` runs a command once and says how many file operations it has; ``crash_before``
kills it before one of them, runs the same command again until it ends, and says what is not as if
nothing had happened. Everything lies below the folder that is passed, caches and keys included.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from he_compare.block_scramble.keys import key_files
from he_compare.common.errors import CompareError
from he_compare.common.files import EARLIER, TEMPORARY
from he_compare.common.run.folder_claim import LOCK, SHARED_FILES
from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RECORDS, RunFolder
from he_compare.common.temporary_folders import FOLDERS
from he_compare.common.types import Status
from he_compare.comparisons.judging.verify import verify_run
from tools.soak.file_operations import command_of

ROOT = Path(__file__).resolve().parents[2]
IMAGES, SHARED, BACK, KEY, RUN = "images", "shared", "back", "client.key", "run"
A_CLASS, SIDE = 10, 32
SECONDS = 600.0
# How often the same command may be needed until it ends.
TRIES = 2

_RUN = (
    f"run --dataset folder:{IMAGES} --profile smoke --out {RUN} --key {KEY} --pipeline local "
    f"--pipeline block-scramble[mode=adapted] --image-size {SIDE} --train-limit 8 --val-limit 4 "
    "--test-limit 4 --infer-batch 4 --latency-images 2 --latency-rounds 1 --pictures 2 --no-audit "
    "--workers 1 --threads 1 --offline --format md --quiet"
)


@dataclass(frozen=True)
class Crashing:
    """One command: its words, and the commands that make the state that it starts from.

    ``judge``: says what is wrong in a state after the command was killed, run again and ended.
    """

    words: str
    before: tuple[str, ...]
    judge: Callable[[Path], list[str]]


def _run_problems(state: Path) -> list[str]:
    folder = RunFolder(state / RUN)
    told = [f"lost: {line}" for line in verify_run(folder)]
    counts = Counter(one.identity for one in _ok_lines(state / RUN / RECORDS))
    return told + [f"doubled: cell {one}" for one, count in counts.items() if count > 1]


def _report_problems(state: Path) -> list[str]:
    found = state / RUN / "report" / "report.md"
    missing = [] if found.is_file() else ["lost: the report"]
    return missing + [f"lost: {line}" for line in verify_run(RunFolder(state / RUN))]


def _encrypt_problems(state: Path) -> list[str]:
    words = f"decrypt {SHARED} {BACK} --key {KEY} --quiet".split()
    ended = subprocess.run(
        command_of(words, [state]), cwd=state, env=_environment(state), **_QUIET, check=False
    )
    if ended.returncode:
        return [f"lost: the folder does not decrypt: {_last_words(ended.stderr)}"]
    return _decrypt_problems(state)


def _decrypt_problems(state: Path) -> list[str]:
    told = []
    for original in sorted((state / IMAGES).rglob("*.png")):
        name = original.relative_to(state / IMAGES)
        back = state / BACK / name
        if not back.is_file():
            told.append(f"lost: {name} is not there")
        elif not np.array_equal(_pixels(back), _pixels(original)):
            told.append(f"lost: {name} has other pixels")
    return told


def _pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image)


def _rotate_problems(state: Path) -> list[str]:
    path = state / KEY
    try:
        info = key_files.describe(path)
        kept = [key_files.retired_path(path, one) for one in info.previous]
        retired = {key_files.load(one).fingerprint for one in kept}
    except CompareError as error:
        return [f"lost: {error}"]
    first = (state / "first").read_text()
    told = [] if first in {*info.previous, info.fingerprint} else [f"lost: the key {first}"]
    return told + [f"lost: the key {one}" for one in set(info.previous) - retired]


_ENCRYPT = f"encrypt {IMAGES} {SHARED} --cipher shf --key {KEY} --quiet"
_CRASHING: Mapping[str, Crashing] = {
    "run": Crashing(_RUN, (), _run_problems),
    "encrypt": Crashing(_ENCRYPT, (), _encrypt_problems),
    "decrypt": Crashing(
        f"decrypt {SHARED} {BACK} --key {KEY} --quiet", (_ENCRYPT,), _decrypt_problems
    ),
    "rotate": Crashing(f"key rotate {KEY}", (), _rotate_problems),
    "report": Crashing(f"report {RUN} --format md,json", (_RUN,), _report_problems),
    "score": Crashing(f"score {RUN}", (_RUN,), _run_problems),
}
COMMANDS: tuple[str, ...] = tuple(_CRASHING)
_QUIET = {"capture_output": True, "timeout": SECONDS}


def count_points(command: str, folder: Path) -> int:
    """Return how many file operations a command has that is not disturbed.

    Raises RuntimeError where it does not end well.
    """
    state, log = _fresh(command, folder), folder / f"{command}.operations"
    log.unlink(missing_ok=True)
    code, words = _try(command, state, log=log)
    if code:
        raise RuntimeError(f"compare {_CRASHING[command].words}: exit code {code}: {words}")
    shutil.rmtree(state)
    return len(log.read_text().splitlines())


def crash_before(command: str, point: int, folder: Path) -> tuple[str, ...]:
    """Kill a command before an operation, run it again until it ends; return what is wrong then.

    Each line begins with "lost: ", "redone: ", "doubled: ", "left: " or "blocked: ".
    """
    state = _fresh(command, folder)
    _try(command, state, at=point)
    kept = {one.identity for one in _ok_lines(state / RUN / RECORDS)}
    for _ in range(TRIES):
        code, words = _try(command, state)
        if code == 0:
            break
    else:
        return (f"blocked: {command} killed at {point}: exit code {code}: {words}",)
    told = _CRASHING[command].judge(state)
    counts = Counter(one.identity for one in _ok_lines(state / RUN / RECORDS))
    told += [f"lost: cell {one}" for one in sorted(kept - set(counts))]
    told += [f"redone: cell {one}" for one in sorted(kept) if counts[one] > 1]
    told += [f"left: {one}" for one in _left(state)]
    shutil.rmtree(state)
    return tuple(f"{line} ({command} killed at {point})" for line in told)


def _fresh(command: str, folder: Path) -> Path:
    """Return a copy of the state that a command starts from; the state itself is made once."""
    start = folder / f"start-{command}"
    if not start.is_dir():
        making = folder / f"making-{command}"
        shutil.rmtree(making, ignore_errors=True)
        _invent(making)
        for words in _CRASHING[command].before:
            ended = subprocess.run(
                command_of(words.split(), [making]),
                cwd=making,
                env=_environment(making),
                **_QUIET,
                check=False,
            )
            if ended.returncode:
                raise RuntimeError(f"compare {words}: {_last_words(ended.stderr)}")
        making.rename(start)
    state = folder / f"state-{command}"
    shutil.rmtree(state, ignore_errors=True)
    shutil.copytree(start, state)
    return state


def _invent(state: Path) -> None:
    """Write images of two classes and a key."""
    random = np.random.default_rng(1)
    for number in range(2 * A_CLASS):
        label = ("bright", "dark")[number % 2]
        pixels = random.integers(0, 128, (SIDE, SIDE), np.uint8) + (128 if label == "bright" else 0)
        path = state / IMAGES / label / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    (state / "temporary").mkdir()
    (state / "first").write_text(key_files.create(state / KEY).fingerprint)


def _try(command: str, state: Path, *, at: int = 0, log: Path | None = None) -> tuple[int, str]:
    """Run a command; return its exit code and its last words."""
    words = command_of(_CRASHING[command].words.split(), [state], at=at, log=log)
    ended = subprocess.run(words, cwd=state, env=_environment(state), **_QUIET, check=False)
    return ended.returncode, _last_words(ended.stderr)


def _environment(state: Path) -> dict[str, str]:
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(state / "cache"),
        "XDG_CONFIG_HOME": str(state / "config"),
        "TMPDIR": str(state / "temporary"),
    }


def _last_words(error: bytes) -> str:
    lines = error.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "no words"


def _ok_lines(path: Path) -> list[RunRecord]:
    """Return every whole record that says ok, repeated ones too."""
    found = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            found.append(RunRecord.model_validate_json(line))
        except ValueError:
            continue
    return [one for one in found if one.status is Status.OK]


def _left(state: Path) -> list[str]:
    """Name what a killed command left and the next one did not remove."""
    found = []
    for path in state.rglob("*"):
        name = path.name
        ours = TEMPORARY.fullmatch(name) or EARLIER.fullmatch(name) or name.startswith(FOLDERS)
        locks = name in (LOCK, SHARED_FILES) or (name.startswith(".") and name.endswith("lock"))
        if ours or (locks and "images" not in path.parent.name):
            found.append(path.relative_to(state).as_posix())
    return sorted(found)


if __name__ == "__main__":
    place = Path(sys.argv[2])
    place.mkdir(parents=True, exist_ok=True)
    total = count_points(sys.argv[1], place)
    print(f"{sys.argv[1]}: {total} file operations")
    for number in range(1, total + 1, int(sys.argv[3]) if len(sys.argv) > 3 else 1):
        for line in crash_before(sys.argv[1], number, place):
            print(line, flush=True)
