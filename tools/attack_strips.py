"""The strips of docs/explanation/why-scrambling-breaks.md, out of an audit of synthetic pictures.

``python -m tools.attack_strips AUDIT OUT`` writes for every cipher of an audit the pictures of the
attack that got most: original, ciphertext, recovered, side by side. It prints a table of them: what
was known, how many ciphertexts it took, SSIM over keys, seconds per key.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.store import RunFolder, inside
from he_compare.common.types import Knowledge
from he_compare.comparisons.auditing.artefacts import slug

ROLES = ("original", "server's view", "after attack")
SIDE, GAP, SHOWN = 168, 6, 2
WHITE = 255
WITHOUT_PAIRS = (
    Knowledge.CIPHERTEXT_ONLY,
    Knowledge.MANY_CIPHERTEXTS,
    Knowledge.AUXILIARY_DATA,
)


def strongest(outcomes: Sequence[AttackOutcome]) -> dict[str, AttackOutcome]:
    """Return for each target the outcome with the highest SSIM among those that left pictures.

    Known pairs and chosen plaintexts are left out: with them every cipher of moves falls.
    """
    found: dict[str, AttackOutcome] = {}
    for one in outcomes:
        if one.target_kind != "cipher" or not one.pictures or one.metric is None:
            continue
        if one.rung not in WITHOUT_PAIRS:
            continue
        known = found.get(one.target)
        if known is None or _ssim(one) > _ssim(known):
            found[one.target] = one
    return found


def _ssim(outcome: AttackOutcome) -> float:
    """SSIM of the pictures: the metric where it is that, else the detail of that name."""
    assert outcome.metric is not None
    named = [outcome.metric, *outcome.details]
    values = [m.value for m in named if m.name.startswith("SSIM") and m.value is not None]
    return values[0] if values else -1.0


def strip(folder: Path, outcome: AttackOutcome) -> Image.Image:
    """Lay the pictures of a few images side by side: one row each, in the order of ``ROLES``."""
    images = list(dict.fromkeys(one.image for one in outcome.pictures))[:SHOWN]
    rows = []
    for image in images:
        files = {one.role: one.file for one in outcome.pictures if one.image == image}
        rows.append([_tile(inside(folder, files[role])) for role in ROLES])  # type: ignore[index]
    line = [np.concatenate(_spaced(row, axis=1), axis=1) for row in rows]
    return Image.fromarray(np.concatenate(_spaced(line, axis=1), axis=1))


def _tile(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path, formats=("PNG",)) as image:
        return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST))


def _spaced(
    parts: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]], axis: int
) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    gap = np.full((parts[0].shape[0], GAP, 3), WHITE, np.uint8)
    spaced = [part for one in parts for part in (one, gap)]
    return spaced[:-1]


def row(outcome: AttackOutcome) -> str:
    """Return the line of the table."""
    keys = max(1, len(outcome.per_key))
    used = outcome.spent.get("ciphertexts", "")
    return (
        f"| `{outcome.target}` | {outcome.title} | {outcome.rung.value} | {used} | "
        f"{_ssim(outcome):.2f} | {outcome.seconds / keys:.1f} |"
    )


def main() -> None:
    """Write the strips and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("audit", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print("| cipher | attack | knowledge | ciphertexts | SSIM | seconds per key |")
    print("|---|---|---|---|---|---|")
    found = strongest(RunFolder(arguments.audit).outcomes())
    for target, outcome in sorted(found.items()):
        picture = strip(arguments.audit, outcome).quantize(128)
        picture.save(arguments.out / f"{slug(target)}.png", optimize=True)
        print(row(outcome))


if __name__ == "__main__":
    main()
