"""What is read from the header of a DICOM file, and what is never kept.

Only the elements named here are read: private tags, names, dates and everything else that may
identify a person are skipped. The patient id becomes a pseudonym, a truncated SHA-256,
and is not kept; nor is it written into any message. (Whoever can guess an id can compute its
pseudonym: it groups images, it does not make them anonymous.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from he_compare.common.datasets.reading.dicom_codecs import check_codec
from he_compare.common.datasets.reading.dicom_elements import (
    ElementError,
    code_string,
    element_value,
)
from he_compare.common.datasets.reading.dicom_file import DicomFile, opened_dicom
from he_compare.common.datasets.reading.dicom_frames import (
    check_compressed,
    check_stored,
    frame_digests,
)
from he_compare.common.datasets.reading.dicom_pixels import about_image
from he_compare.common.datasets.reading.dicom_recipe import PIXEL_TAGS, Recipe, read_recipe
from he_compare.common.datasets.reading.pseudonyms import pseudonym
from he_compare.common.errors import CompareError, DataError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PERSON_TAGS = ("PatientID", "IssuerOfPatientID", "PatientName", "StudyInstanceUID")
OTHER_TAGS = (
    "SOPClassUID",
    "BurnedInAnnotation",
    "Modality",
    "FloatPixelData",
    "DoubleFloatPixelData",
)
MOST_FILES_NAMED = 10
# Objects that hold pixels although their class does not call itself an image.
PIXEL_CLASSES = ("Segmentation Storage", "RT Dose Storage", "Parametric Map Storage")
FRAMES = ("first", "middle", "all")


@dataclass(frozen=True)
class DicomHeader:
    """What is kept of a file.

    ``patient`` and ``study``: pseudonyms, '' where the file has no id. ``burnt_in``: YES, NO or ''.
    ``frames``: how many it has. ``chosen``: which of them are images, from 0 on. ``reductions``:
    how the grey values of each chosen one become 8 bits; ``pixels``: SHA-256 of the stored pixels
    of each. ``inverted``: MONOCHROME1. ``no_window``: window elements that are no window.
    ``prefixed``: it has the DICM prefix. ``path_names_patient``: the file's path holds the id or a
    name of the patient.
    """

    patient: str
    study: str
    burnt_in: str
    frames: int
    chosen: tuple[int, ...]
    reductions: tuple[str, ...]
    pixels: tuple[str, ...]
    inverted: bool
    no_window: bool
    prefixed: bool
    path_names_patient: bool


def read_headers(
    root: Path, names: Sequence[str], frames: str
) -> tuple[dict[str, DicomHeader], int]:
    """Read headers; return them by file, and how many files hold no pixels by their kind.

    ``frames``: which frames of a file are images (``FRAMES``), '' where nothing was said. Raises
    DataError that names up to ``MOST_FILES_NAMED`` of the files that cannot be read and counts all.
    """
    headers: dict[str, DicomHeader] = {}
    errors: list[DataError] = []
    others = 0
    for name in names:
        try:
            header = read_header(root / name, name, frames)
        except DataError as error:
            errors.append(error)
            continue
        if header is None:
            others += 1
        else:
            headers[name] = header
    _refuse_all(errors, len(names))
    return headers, others


def _refuse_all(errors: Sequence[DataError], count: int) -> None:
    if len(errors) == 1:
        raise errors[0]
    if errors:
        fixes = {error.fix for error in errors}
        shared = next(iter(fixes)) if len(fixes) == 1 else ""
        named = "; ".join(
            error.problem if shared else str(error) for error in errors[:MOST_FILES_NAMED]
        )
        more = len(errors) - MOST_FILES_NAMED
        raise DataError(
            f"{len(errors):,} of {count:,} DICOM files cannot be read: {named}"
            + (f"; and {more:,} more" if more > 0 else ""),
            fix=shared
            or "repair these files, move them away, or name the others in a CSV of file,label",
        )


def read_header(path: Path, name: str, frames: str = "") -> DicomHeader | None:
    """Read and check the header of one file; None where its kind holds no pixels.

    Raises DataError naming the file by its path.
    """
    return _guarded(path, name, lambda file: _kept(file, name, frames))


def _guarded(
    path: Path, name: str, work: Callable[[DicomFile], DicomHeader | None]
) -> DicomHeader | None:
    try:
        with opened_dicom(path, (*PIXEL_TAGS, *PERSON_TAGS, *OTHER_TAGS)) as file:
            return work(file)
    except ElementError as error:
        raise about_image(name, error) from None
    except CompareError:
        raise
    # The text of an error may quote the file, and so a person: only its kind is reported.
    except Exception as error:
        raise DataError(
            f"image {name} cannot be read as DICOM ({type(error).__name__})",
            fix="restore the file or leave it out",
        ) from None


def _kept(file: DicomFile, name: str, frames: str) -> DicomHeader | None:
    dataset = file.dataset
    if file.start is None:
        _check_has_no_pixels(file)
        return None
    recipe = read_recipe(dataset, big_endian=file.big_endian)
    check_stored(file, recipe.layout)
    chosen = _chosen(recipe, frames)
    check_compressed(file, recipe.layout, chosen[0])
    check_codec(file.syntax, recipe.layout)
    return DicomHeader(
        patient=_patient_of(dataset),
        study=pseudonym("study", _raw(dataset, "StudyInstanceUID")),
        burnt_in=code_string(dataset, "BurnedInAnnotation"),
        frames=recipe.layout.frames,
        chosen=chosen,
        reductions=tuple(recipe.way(frame) for frame in chosen),
        pixels=tuple(frame_digests(file, recipe.layout, chosen)),
        inverted=recipe.layout.photometric == "MONOCHROME1",
        no_window=any(reduction.unusable for reduction in recipe.reductions),
        prefixed=file.prefixed,
        path_names_patient=_path_names_patient(dataset, name),
    )


def _chosen(recipe: Recipe, frames: str) -> tuple[int, ...]:
    """Return the frames that are images, from 0 on. Raises ElementError where nobody said which."""
    count = recipe.layout.frames
    if count == 1 or frames == "first":
        return (0,)
    if frames == "middle":
        return (count // 2,)
    if frames == "all":
        return tuple(range(count))
    raise ElementError(
        f"it has {count:,} frames",
        fix="say with --frames first, --frames middle or --frames all which of them are images",
    )


def _check_has_no_pixels(file: DicomFile) -> None:
    """Raise ElementError where the kind of a file without pixel data should hold some."""
    from pydicom.uid import UID

    dataset = file.dataset
    for keyword in ("FloatPixelData", "DoubleFloatPixelData"):
        if keyword in dataset:
            raise ElementError(
                "it has floating-point pixels", fix="store it with integers and a window"
            )
    kind = str(element_value(dataset, "SOPClassUID") or file.media_class)
    title = UID(kind).name
    if not kind:
        raise ElementError("it has no pixel data, and does not say what it is", fix="leave it out")
    if "Image Storage" in title or title in PIXEL_CLASSES:
        raise ElementError("it is an image without pixel data", fix="restore the file")


def _patient_of(dataset: Dataset) -> str:
    patient = _raw(dataset, "PatientID")
    issuer = _raw(dataset, "IssuerOfPatientID")
    return pseudonym("patient", patient + b"\x00" + issuer) if patient else ""


def _raw(dataset: Dataset, keyword: str) -> bytes:
    """Return the bytes of an element without padding, neither decoded nor checked."""
    element = dataset.get_item(keyword)
    value = getattr(element, "value", None)
    if isinstance(value, bytes):
        return value.strip(b" \x00")
    return str(value).strip().encode() if value else b""


def _path_names_patient(dataset: Dataset, name: str) -> bool:
    """Return whether the path holds the patient's id or one of the names (of 4 letters or more)."""
    path = name.lower()
    identity = _raw(dataset, "PatientID").decode("latin-1").lower()
    names = _raw(dataset, "PatientName").decode("latin-1").lower()
    for mark in "^=,":
        names = names.replace(mark, " ")
    parts = [identity, *names.split()]
    return any(len(part) >= 4 and part in path for part in parts)
