"""Frames of DICOM files as images: a row for each, with an id that tells file and frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from he_compare.common.datasets.opened.indexed import ImageRow
from he_compare.common.datasets.reading.copies import only_repeated
from he_compare.common.datasets.reading.dicom_header import DicomHeader
from he_compare.common.datasets.reading.dicom_pixels import open_dicom
from he_compare.common.datasets.reading.pseudonyms import pseudonym
from he_compare.common.errors import DataError

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class FramePlace:
    """An image: its file relative to the folder, its frame from 0 on, its name in messages."""

    file: str
    frame: int
    name: str


@dataclass(frozen=True)
class FrameOpener:
    """Opens an image by the name of its place."""

    root: Path
    places: Mapping[str, FramePlace]

    def __call__(self, path: Path, name: str) -> Image.Image:
        """Return the picture of mode L or RGB. Raises DataError."""
        place = self.places[name]
        return open_dicom(self.root / place.file, name, place.frame)

    def file_behind(self, _: Path, name: str) -> tuple[Path, str]:
        """Return the file that an image is read from, and its frame."""
        place = self.places[name]
        return self.root / place.file, f"frame {place.frame}"


def frame_rows(
    rows: Sequence[ImageRow], headers: Mapping[str, DicomHeader]
) -> tuple[list[ImageRow], dict[str, FramePlace]]:
    """Return a row for each chosen frame of each file, and where it lies by its id.

    A frame of several has its number in its id. Raises DataError where two ids would be the same.
    """
    made: list[ImageRow] = []
    places: dict[str, FramePlace] = {}
    digests: dict[str, str] = {}
    for row in rows:
        header = headers[row.id]
        for frame, digest in zip(header.chosen, header.pixels, strict=True):
            mark = f"#frame-{frame + 1:04d}" if header.frames > 1 else ""
            identity = _identity(row.id, header) + mark
            if identity in places:
                raise DataError(
                    f"{row.id}{mark} and {places[identity].name} would have the same id",
                    fix="rename one of the files",
                )
            places[identity] = FramePlace(row.id, frame, row.id + mark)
            digests[identity] = digest
            made.append(replace(row, id=identity))
    twins = only_repeated(digests)
    return [replace(row, twin=twins.get(row.id, "")) for row in made], places


def _identity(name: str, header: DicomHeader) -> str:
    """Return the path of a file, or a hash of it where the path names the patient."""
    if not header.path_names_patient:
        return name
    return pseudonym("file", name.encode())
