"""The commands that are killed before their file operations: what they start from, and judges.

A state is a folder with images, a key, and whatever the commands before have made there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from he_compare.block_scramble.keys import key_files
from he_compare.common.errors import CompareError
from he_compare.common.run.store import RunFolder
from he_compare.comparisons.judging.verify import verify_run
from tools.soak.aftermath import finished_lines

IMAGES, SHARED, BACK, KEY, RUN = "images", "shared", "back", "client.key", "run"
A_CLASS, SIDE = 10, 32

_RUN = (
    f"run --dataset folder:{IMAGES} --profile smoke --out {RUN} --key {KEY} --pipeline local "
    f"--pipeline block-scramble[mode=adapted] --image-size {SIDE} --train-limit 8 --val-limit 4 "
    "--test-limit 4 --infer-batch 4 --latency-images 2 --latency-rounds 1 --pictures 2 --no-audit "
    "--workers 1 --threads 1 --offline --format md --quiet"
)


Judge: TypeAlias = Callable[[Path, Callable[[str], str]], list[str]]


@dataclass(frozen=True)
class Crashing:
    """One command: its words, and the commands that make the state that it starts from.

    ``judge``: says what is wrong in a state after the command was killed, run again and ended; it
    gets what runs a further command there and returns its last words, '' where that ended well.
    """

    words: str
    before: tuple[str, ...]
    judge: Judge


def _run_problems(state: Path, run: Callable[[str], str]) -> list[str]:
    folder = RunFolder(state / RUN)
    told = [f"lost: {line}" for line in verify_run(folder)]
    counts = finished_lines(state / RUN)
    return told + [f"doubled: cell {one}" for one, count in counts.items() if count > 1]


def _report_problems(state: Path, run: Callable[[str], str]) -> list[str]:
    found = state / RUN / "report" / "report.md"
    missing = [] if found.is_file() else ["lost: the report"]
    return missing + [f"lost: {line}" for line in verify_run(RunFolder(state / RUN))]


def _encrypt_problems(state: Path, run: Callable[[str], str]) -> list[str]:
    wrong = run(f"decrypt {SHARED} {BACK} --key {KEY} --quiet")
    if wrong:
        return [f"lost: the folder does not decrypt: {wrong}"]
    return _decrypt_problems(state, run)


def _decrypt_problems(state: Path, run: Callable[[str], str]) -> list[str]:
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


def _rotate_problems(state: Path, run: Callable[[str], str]) -> list[str]:
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
CRASHING: Mapping[str, Crashing] = {
    "run": Crashing(_RUN, (), _run_problems),
    "encrypt": Crashing(_ENCRYPT, (), _encrypt_problems),
    "decrypt": Crashing(
        f"decrypt {SHARED} {BACK} --key {KEY} --quiet", (_ENCRYPT,), _decrypt_problems
    ),
    "rotate": Crashing(f"key rotate {KEY}", (), _rotate_problems),
    "report": Crashing(f"report {RUN} --format md,json", (_RUN,), _report_problems),
    "score": Crashing(f"score {RUN}", (_RUN,), _run_problems),
}
COMMANDS: tuple[str, ...] = tuple(CRASHING)


def invent(state: Path) -> None:
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
