"""What `compare audit attack-file` leaves: pictures under the ciphertexts' names, and a report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from he_compare.common.block_solving.reconstruct import Sureness
from he_compare.common.files import write_atomic
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attack_file.public_pictures import PublicPictures
from he_compare.comparisons.attacks.tools.block_size import Guess
from he_compare.comparisons.auditing.artefacts import png

REPORT = "attack.json"


class State(StrEnum):
    """What is known of a folder in the end. ``UNKNOWN`` says nothing about safety."""

    READ = "read"
    PARTLY = "partly read"
    NOT_SCRAMBLED = "not scrambled"
    UNKNOWN = "unknown"


@dataclass
class FolderAttack:
    """What came out. ``evidence``: numbers about the images learnt from, by name.

    ``patch``: side of the blocks, None where it could not be guessed; ``guess``: how it was guessed
    (None for arrays of numbers). ``sureness``: sure only where every picture is; ``each`` has one
    for every picture. ``scrambled``: None where unknown; ``unscrambled``: number of images that are
    not, where each was looked at by itself.
    ``upright``: public pictures say which way up pictures are; ``public``: those that were given.
    ``tried``: what was looked for and with what result. ``jpegs``: number of JPEG files.
    ``written``: pictures, relative to ``out``. ``lines``: what to tell the user.
    """

    out: Path
    patch: int | None
    guessed: bool
    channels: int
    keys: str
    sureness: Sureness
    found: str
    evidence: Mapping[str, float]
    guess: Guess | None = None
    scrambled: bool | None = None
    unscrambled: int = 0
    upright: bool = False
    public: PublicPictures | None = None
    jpegs: int = 0
    tried: list[dict[str, str]] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    each: list[Sureness] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def state(self) -> State:
        """What is known of the folder."""
        if self.sureness is Sureness.NOTHING:
            return State.UNKNOWN
        if self.sureness is not Sureness.SURE:
            return State.PARTLY
        return State.NOT_SCRAMBLED if self.scrambled is False else State.READ

    def write(self, names: Sequence[str], pictures: UInt8Array) -> None:
        """Write pictures (n, h, w) of the ciphertexts of these names as PNG."""
        for name, picture in zip(names, pictures, strict=True):
            written = f"{stem(name)}.png"
            (self.out / written).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.out / written, png(picture[:, :, None]))
            self.written.append(written)

    def report(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        report: dict[str, Any] = {
            "state": self.state.value,
            "patch": self.patch,
            "patch_guessed": self.guessed,
            "keys": self.keys,
            "sureness": self.sureness.value,
            "found": self.found,
            **{name: round(value, 4) for name, value in self.evidence.items()},
            "jpeg_files": self.jpegs,
            "tried": self.tried,
            "told": self.lines,
            "out": str(self.out),
            "pictures": self.written,
        }
        if self.public is not None:
            report["public_pictures"] = {
                "images": len(self.public.images),
                "digest": self.public.digest,
                "notes": list(self.public.notes),
                "used": self.upright,
                "copies_of_the_originals": "not looked for: there are no originals",
            }
        if self.guess is not None:
            report["patch_guess"] = _as_json(self.guess)
        if self.each:
            names = (one.value for one in self.each)
            report["sureness_of_each"] = dict(zip(self.written, names, strict=True))
        return report

    def write_report(self) -> None:
        """Write the report beside the pictures."""
        self.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**self.report(), "out": "."}, indent=1)
        write_atomic(self.out / REPORT, (text + "\n").encode())


def _as_json(guess: Guess) -> dict[str, Any]:
    return {
        "patch": guess.patch,
        "from": guess.trace,
        "sure": guess.sure,
        "may_be_the_grid_of_jpeg": guess.on_jpeg_grid,
        "side_that_does_not_tile": guess.untiled,
        "scores": [
            {name: round(value, 4) for name, value in asdict(score).items()}
            for score in guess.scores
        ],
    }


def stem(name: str) -> str:
    """Return a relative name without its ending."""
    return PurePosixPath(name).with_suffix("").as_posix()
