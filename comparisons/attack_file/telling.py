"""What `compare audit attack-file` tells the user: what was found, how sure, and what it is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from he_compare.common.block_solving.reconstruct import SEAMLESS, Sureness
from he_compare.comparisons.attack_file.readers import NOT_LOOKED_FOR, WHOLE_PICTURES
from he_compare.comparisons.attack_file.reading_cases import Attempt
from he_compare.comparisons.attack_file.writing import FolderAttack, State
from he_compare.comparisons.attacks.tools.block_size import (
    LARGEST,
    SMALLEST,
    Guess,
    candidates,
)

NO_EVIDENCE = (
    "this is no evidence that the images are safe: it only says that these readers found nothing"
)
MIXED_COLOURS = (
    "values inside blocks may have been mixed across colours, which these readers separate only "
    "where the colours differ enough; that is no sign of strength"
)
LOSSY = (
    "the files are JPEG: compression changed the scrambled values, so that pictures come back with "
    "errors or not at all; ask for the files before compression"
)
OVERLAP = (
    "whether public pictures are copies of the hidden ones cannot be seen here: leave out pictures "
    "of the same patients, or this shows more than an attacker gets"
)
RIGHT_WAY_UP = "the right way up, as far as the public pictures are of the same kind"
OPEN = "up to the 8 symmetries of the square and a global negative"


@dataclass(frozen=True)
class Told:
    """What the lines are made of: (height, width), number of images, the side that was given."""

    size: Sequence[int]
    count: int
    given: int | None
    guess: Guess
    attempts: Sequence[Attempt]


def tell(attack: FolderAttack, told: Told) -> list[str]:
    """Return the lines to print."""
    state = attack.state
    lines = {
        State.READ: _read,
        State.PARTLY: _read,
        State.NOT_SCRAMBLED: _not_scrambled,
        State.UNKNOWN: _unknown,
    }[state](attack, told)
    lines += _public(attack)
    if attack.jpegs and state is not State.NOT_SCRAMBLED:
        lines.append(LOSSY)
    return lines


def _read(attack: FolderAttack, told: Told) -> list[str]:
    blocks = f", blocks of {attack.patch} pixels ({_how(told)})" if attack.patch else ""
    first = f"{attack.sureness.value}: {told.count} images{blocks}, keys {attack.keys}: "
    lines = [first + attack.found + pictures_counted(attack)]
    lines += _evidence(attack)
    lines += _other_side(attack, told)
    return [*lines, f"pictures: {attack.out}, {RIGHT_WAY_UP if attack.upright else OPEN}"]


def pictures_counted(attack: FolderAttack) -> str:
    """Return how many pictures are how sure, in brackets; nothing where all are sure alike."""
    each = Counter(attack.each)
    parts = [
        f"{each[one]} {'show nothing' if one is Sureness.NOTHING else one.value}"
        for one in Sureness
        if each[one]
    ]
    if attack.unscrambled and attack.scrambled:
        parts.append(f"{attack.unscrambled} of them show no scrambling")
    return f" ({', '.join(parts)})" if len(parts) > 1 or Sureness.NOTHING in each else ""


def _public(attack: FolderAttack) -> list[str]:
    if attack.public is None:
        return []
    used = "used" if attack.upright else "given, but they added nothing"
    said = [f"public pictures: {len(attack.public.images)}, {used}", *attack.public.notes]
    return ["; ".join(said), OVERLAP]


def _evidence(attack: FolderAttack) -> list[str]:
    found = attack.evidence
    if attack.upright:
        return [
            f"pictures found from two halves of the images agree by "
            f"{found['agreement_of_halves']:.2f} beyond what all have in common (chance 0); steps "
            f"at block borders are {found['seams_held_out']:.1f} times those inside blocks"
        ]
    if "seams" not in found:
        return []
    neighbours, seams = found["neighbour_correlation_held_out"], found["seams"]
    wrong = ", unlike any picture: the blocks have another size" if seams > SEAMLESS else ""
    return [
        f"correlation of neighbours inside blocks, held out: {neighbours:.2f} (chance 0); two "
        f"halves of the evidence agree on {found['joint_agreement_of_halves']:.0%} of the joints; "
        f"steps at block borders are {seams:.1f} times those inside blocks{wrong}"
    ]


def _not_scrambled(attack: FolderAttack, told: Told) -> list[str]:
    seen = told.guess.patch
    if seen is None:
        blocks = f"no blocks of {SMALLEST} to {LARGEST} pixels show"
    else:
        jpeg = " (maybe those of JPEG)" if told.guess.on_jpeg_grid else ""
        blocks = f"blocks of {seen} pixels{jpeg} show, but lie in place"
    lines = [
        f"no scrambling that this command looks for was found: {told.count} images; neighbouring "
        f"pixels fit where they are, and {blocks}",
        f"not looked for: {WHOLE_PICTURES}",
    ]
    return [*lines, f"pictures: {attack.out}, in grey"]


def _unknown(attack: FolderAttack, told: Told) -> list[str]:
    if attack.patch is None:
        fitting = candidates(told.size[0], told.size[1])
        lines = [f"unknown: {told.count} images; the size of their blocks could not be guessed"]
        if told.guess.untiled is not None:
            lines.append(
                f"blocks look like {told.guess.untiled} pixels, which do not tile images of "
                f"{told.size[0]} x {told.size[1]}: cut the images to whole blocks"
            )
        elif fitting:
            sides = ", ".join(map(str, fitting))
            lines.append(f"try --patch N (sizes that divide the images: {sides}), or add images")
        else:
            lines.append(
                f"no block of {SMALLEST} to {LARGEST} pixels divides images of {told.size[0]} x "
                f"{told.size[1]}: cut the images to whole blocks, or pass --patch"
            )
    else:
        lines = [
            f"{Sureness.NOTHING.value}: {told.count} images, blocks of {attack.patch} pixels "
            f"({_how(told)}); whether they can be read is unknown"
        ]
        lines += _other_side(attack, told)
        if attack.channels > 1:
            lines.append(MIXED_COLOURS)
    tried = "; ".join(one.reader.what for one in told.attempts if not one.asked)
    missing = [f"{one.reader.what} (needs {one.asked})" for one in told.attempts if one.asked]
    return [
        *lines,
        NO_EVIDENCE,
        f"looked for: {tried}",
        "not looked for: " + "; ".join([*missing, *NOT_LOOKED_FOR]),
    ]


def _how(told: Told) -> str:
    guess = told.guess
    if told.given is not None:
        return "given"
    if guess.on_jpeg_grid:
        return "guessed; they may be the blocks of JPEG"
    trace = {
        "places": "what places inside blocks have in common",
        "borders": "the borders of blocks",
    }[guess.trace]
    return f"guessed from {trace}, {'sure' if guess.sure else 'not sure'}"


def _other_side(attack: FolderAttack, told: Told) -> list[str]:
    """Name the side that the images show where another was given."""
    seen = told.guess.patch
    if told.given is None or seen in (None, told.given) or attack.sureness is Sureness.SURE:
        return []
    return [f"blocks look like {seen} pixels: try --patch {seen}"]
