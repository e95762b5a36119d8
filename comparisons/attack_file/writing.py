"""What `compare audit attack-file` leaves: pictures under the ciphertexts' names, and a report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from he_compare.common.run.store import write_atomic
from he_compare.common.types import UInt8Array
from he_compare.comparisons.attacks.tools.reconstruct import Sureness
from he_compare.comparisons.auditing.artefacts import png

REPORT = "attack.json"


@dataclass
class FolderAttack:
    """What came out. ``evidence``: numbers about the images learnt from, by name.

    ``sureness``: of one key for all, or of the least sure image where each has its own; then
    ``each`` has one for every picture. ``written``: pictures, relative to ``out``. ``lines``: what
    to tell the user.
    """

    out: Path
    patch: int
    guessed: bool
    channels: int
    keys: str
    sureness: Sureness
    found: str
    evidence: Mapping[str, float]
    written: list[str] = field(default_factory=list)
    each: list[Sureness] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def write(self, names: Sequence[str], pictures: UInt8Array) -> None:
        """Write pictures (n, h, w) of the ciphertexts of these names as PNG."""
        for name, picture in zip(names, pictures, strict=True):
            written = f"{stem(name)}.png"
            (self.out / written).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.out / written, png(picture[:, :, None]))
            self.written.append(written)

    def write_report(self) -> None:
        """Write the report beside the pictures."""
        report: dict[str, Any] = {
            "patch": self.patch,
            "patch_guessed": self.guessed,
            "keys": self.keys,
            "sureness": self.sureness.value,
            "found": self.found,
            **{name: round(value, 4) for name, value in self.evidence.items()},
            "pictures": self.written,
        }
        if self.each:
            names = (one.value for one in self.each)
            report["sureness_of_each"] = dict(zip(self.written, names, strict=True))
        write_atomic(self.out / REPORT, (json.dumps(report, indent=1) + "\n").encode())


def stem(name: str) -> str:
    """Return a relative name without its ending."""
    return PurePosixPath(name).with_suffix("").as_posix()
