"""An invented run of the shape of an audited quick run: ten pipelines, attacks, disturbances.

As large as a real one where that costs time or bytes: 400 test images, pictures of 112 pixels,
fifteen attacks on six targets and three controls, four of which leave pictures.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from he_compare.common.run.records import (
    AttackOutcome,
    AttackPicture,
    Interval,
    MetricValue,
    RobustnessCurve,
    RobustnessPoint,
    RunRecord,
    Verdict,
)
from he_compare.common.types import Knowledge, Phase
from he_compare.reports.document.png import png_of
from tests.support.samplerun.kinds import FHE, LATTICE, PLAIN, TRAINED, Arrays, Kind, invented
from tests.support.samplerun.runs import SampleRun, build

SIDE = 112
CONTROLS = ("identity", "noise", "aes_ctr")
LEVELS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1)
ROLES = ("original", "server's view", "after attack")
PICTURED = 4
SCRAMBLE_COSTS = (4.0, 5.6, 150_400, 310, 22_100_000)


def audited() -> SampleRun:
    """Return the run; every cell ended ok."""
    kinds = _kinds()
    run = build(kinds, classes=("NORMAL", "PNEUMONIA"), n=400, untrained=False, rounds=3)
    rng = np.random.default_rng(11)
    outcomes, files = _attacks(kinds, rng)
    return replace(
        run,
        records=(*run.records, *_disturbed(run)),
        pictures=_pictures(run, kinds, rng),
        outcomes=outcomes,
        files=files,
    )


def _kinds() -> tuple[Kind, ...]:
    scrambles = tuple(
        replace(
            invented(f"block-scramble[cipher={options}]", 0.7 + 0.03 * i, *SCRAMBLE_COSTS),
            claim="none" if options in CONTROLS else "heuristic",
        )
        for i, options in enumerate(
            ("vit_block", "vit_block,mode=adapted", "al_amin", "identity", "noise")
        )
    )
    logistic = invented("plaintext[model=logistic]", 0.93, 3.1, 5.4, 150_000, 310, 22_000_000)
    quantised = replace(
        invented("fhe-tfhe[whiten=63]", 0.92, 9.5, 31.0, 92_000, 46_000, 2_600_000),
        claim=LATTICE,
        picture=False,
    )
    return (PLAIN, logistic, *scrambles, FHE, TRAINED, quantised)


def _radiograph(rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Smooth grey patches: they compress about as well as a radiograph does."""
    rough = rng.random((9, 9))
    place = np.linspace(0, 7.99, SIDE)
    first, rest = place.astype(int), place % 1
    rows = rough[first] * (1 - rest[:, None]) + rough[first + 1] * rest[:, None]
    smooth = rows[:, first] * (1 - rest) + rows[:, first + 1] * rest
    grain = rng.normal(0, 3, (SIDE, SIDE))
    grey = np.clip(230 * smooth + grain, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _scrambled(
    image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], rng: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    shuffled = rng.permutation(image.reshape(-1)).reshape(image.shape)
    return np.where(rng.random(image.shape) < 0.5, shuffled, 255 - shuffled).astype(np.uint8)


def _pictures(run: SampleRun, kinds: tuple[Kind, ...], rng: np.random.Generator) -> Arrays:
    original = np.stack([_radiograph(rng) for _ in range(4)])
    made: Arrays = {**run.pictures, "original": original}
    shown = [kind for kind in kinds if kind.picture]
    for number, kind in enumerate(shown):
        plain = kind.claim == "none" and "noise" not in kind.label
        made[f"view_{number}"] = (
            original if plain else np.stack([_scrambled(one, rng) for one in original])
        )
    return made


def _attacks(
    kinds: tuple[Kind, ...], rng: np.random.Generator
) -> tuple[tuple[AttackOutcome, ...], dict[str, bytes]]:
    labels = [kind.label for kind in kinds if kind.claim != "none"]
    rungs = list(Knowledge)
    outcomes, files = [], {}
    for number in range(15):
        rung = rungs[number % len(rungs)]
        for target in (*labels, *CONTROLS):
            pictures = []
            if number < PICTURED and not target.startswith("fhe"):
                original = _radiograph(rng)
                views = (original, _scrambled(original, rng), 255 - original)
                for role, pixels in zip(ROLES, views, strict=True):
                    name = f"artefacts/{number}/{target}/{role[:5]}.png"
                    files[name] = png_of(pixels)
                    words = {"file": name, "role": role, "image": "image-0000.png"}
                    pictures.append(
                        AttackPicture.model_validate(words | {"caption": "SSIM 0.91 (of three)"})
                    )
            outcomes.append(_outcome(number, rung, target, pictures))
    return tuple(outcomes), files


def _outcome(
    number: int, rung: Knowledge, target: str, pictures: list[AttackPicture]
) -> AttackOutcome:
    wins = target == "identity" or (target.startswith("block") and number % 2 == 0)
    advantage = 0.93 if wins else 0.02
    verdict: Verdict = "broken" if wins else "resists within budget"
    return AttackOutcome(
        identity=f"{number:02d}{abs(hash_of(target)):06d}",
        attack=f"attack_{number}",
        title=f"Invented attack number {number}",
        target=target,
        target_kind="control" if target in CONTROLS else "pipeline",
        rung=rung,
        knowledge=[rung],
        headline=f"{100 * advantage:.0f}% of the invented secret comes back",
        metric=MetricValue(name="share", value=advantage, interval=None, n=3),
        per_key=[advantage] * 3,
        advantage=advantage,
        advantage_interval=Interval(
            low=max(0.0, advantage - 0.03), high=advantage + 0.03, method="Student's t over 3 keys"
        ),
        controls={"identity": 1.0, "noise": 0.0, "aes_ctr": 0.0},
        budget={"name": "quick", "images": 20},
        spent={"images": 20, "seconds": 1.5},
        seconds=1.5,
        limits=["invented for the tests"],
        reproduce=f"compare audit run --dataset chestxray --attack attack_{number}",
        verdict=verdict,
        pictures=pictures,
    )


def hash_of(text: str) -> int:
    """Return six digits that are the same in every process."""
    return sum((index + 1) * ord(char) for index, char in enumerate(text)) % 1_000_000


def _disturbed(run: SampleRun) -> tuple[RunRecord, ...]:
    found = []
    for record in run.records:
        if record.cell.phase is Phase.ACCURACY and record.claims is not None:
            curves = [_curve("bit flips", LEVELS), _curve("Gaussian noise", LEVELS[:5])]
            cell = record.cell.model_copy(update={"phase": Phase.ROBUSTNESS})
            changes = {"identity": f"d{record.identity}", "cell": cell, "robustness": curves}
            found.append(record.model_copy(update=changes))
    return tuple(found)


def _curve(kind: str, levels: tuple[float, ...]) -> RobustnessCurve:
    points = [
        RobustnessPoint(
            level=level,
            n=120 if step else 40,
            draws=3 if step else 1,
            flips_expected=level * 8 * 43_000 * 120 if kind == "bit flips" else None,
            flips_drawn=round(level * 8 * 43_000 * 120) if kind == "bit flips" else None,
            correct=(34 - 4 * step) * (3 if step else 1),
            same=(36 - 4 * step) * (3 if step else 1),
            refused=3 * 2 * step,
            unreadable=0,
            garbage=0,
            wrong=3 * (6 + 2 * step) if step else 6,
            accuracy=0.85 - 0.1 * step,
            interval=Interval(low=0.75 - 0.1 * step, high=0.93 - 0.1 * step, method="Wilson"),
        )
        for step, level in enumerate(levels)
    ]
    return RobustnessCurve(
        disturbance=kind, unit="share of bits", applied_to="every byte", seed=0, points=points
    )
