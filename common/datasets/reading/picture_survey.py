"""What reading does to the pictures of a dataset, counted over all of them, and said once.

A broken picture is passed over here: it is refused by name where it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from he_compare.common.datasets.reading.decoding import (
    header_facts,
    largest_value,
    map_threaded,
    open_image,
)
from he_compare.common.datasets.reading.grey_window import least_depth, stated_window
from he_compare.common.datasets.reading.picture_header import HeaderFacts
from he_compare.common.errors import DataError

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class PictureSurvey:
    """How many pictures were ``oriented``, the ``first_of_several`` in a file, or ``deep``.

    ``depth``: bits of the window of all deep pictures; None where there are none.
    """

    oriented: int
    first_of_several: int
    deep: int
    depth: int | None

    def notes(self) -> list[str]:
        """Say what is done to pictures; nothing where they are read as they are stored."""
        told = []
        if self.oriented:
            told.append(
                f"{_pictures(self.oriented)} turned or mirrored as the EXIF orientation says"
            )
        if self.first_of_several:
            told.append(
                f"{_pictures(self.first_of_several)} first of several in one file (MPO, TIFF); "
                "the others are not read"
            )
        if self.depth is not None:
            told.append(
                f"{_pictures(self.deep)} 16-bit grey, read through one window: "
                f"{stated_window(self.depth)}"
            )
        return told

    def open_image(self, path: Path, name: str) -> Image.Image:
        """Decode an image through the window of all of them. Raises DataError naming the image."""
        return open_image(path, name, self.depth)

    def file_behind(self, path: Path, _: str) -> tuple[Path, str]:
        """Return the file that ``open_image`` reads, and how."""
        return path, f"depth {self.depth}"


def _pictures(number: int) -> str:
    return f"{number:,} picture is" if number == 1 else f"{number:,} pictures are"


def survey_pictures(root: Path, names: Sequence[str]) -> PictureSurvey:
    """Look at the headers of pictures below ``root``, and at the pixels of those of 16 bits."""

    def facts(position: int) -> HeaderFacts | None:
        try:
            return header_facts(root / names[position], names[position])
        except DataError:
            return None

    found = list(map_threaded(facts, range(len(names))))
    deep = [name for name, fact in zip(names, found, strict=True) if fact and fact.deep]

    def largest(position: int) -> int:
        try:
            return largest_value(root / deep[position], deep[position])
        except DataError:
            return 0

    values = list(map_threaded(largest, range(len(deep))))
    return PictureSurvey(
        oriented=sum(fact.oriented for fact in found if fact),
        first_of_several=sum(fact.first_of_several for fact in found if fact),
        deep=len(deep),
        depth=least_depth(max(values)) if values else None,
    )


def conversion_notes(root: Path, names: Sequence[str]) -> list[str]:
    """Return what reading does to these pictures, a sentence for each kind that there is."""
    return survey_pictures(root, names).notes()
