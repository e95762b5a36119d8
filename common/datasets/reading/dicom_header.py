"""What is read from the header of a DICOM file, and what is never kept.

Only the elements named here are read: private tags, names, dates and everything else that may
identify a person are skipped. The patient id becomes a pseudonym, a truncated SHA-256,
and is not kept; nor is it written into any message. (Whoever can guess an id can compute its
pseudonym: it groups images, it does not make them anonymous.)
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from he_compare.common.datasets.reading.decoding import MAX_PIXELS, MIN_SIDE
from he_compare.common.datasets.reading.dicom_pixels import (
    PIXEL_TAGS,
    known_photometric,
    reduction_of,
)
from he_compare.common.datasets.reading.pseudonyms import pseudonym
from he_compare.common.errors import CompareError, DataError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_FILE_BYTES = 1024**3
PERSON_TAGS = ("PatientID", "IssuerOfPatientID", "PatientName", "StudyInstanceUID")
OTHER_TAGS = ("BurnedInAnnotation", "Modality", "FloatPixelData", "DoubleFloatPixelData")
DEFLATED = "1.2.840.10008.1.2.1.99"
CODECS = {
    "1.2.840.10008.1.2.4.80": "pip install pyjpegls",
    "1.2.840.10008.1.2.4.81": "pip install pyjpegls",
    "1.2.840.10008.1.2.4.90": "pip install pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.91": "pip install pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.201": "pip install pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.202": "pip install pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.203": "pip install pylibjpeg pylibjpeg-openjpeg",
}
OTHER_CODEC = "pip install pylibjpeg pylibjpeg-libjpeg (GPL)"


@dataclass(frozen=True)
class DicomHeader:
    """What is kept of a file.

    ``patient`` and ``study``: pseudonyms, '' where the file has no id. ``burnt_in``: YES, NO or ''.
    ``reduction``: how its grey values become 8 bits. ``inverted``: MONOCHROME1. ``pixels``: SHA-256
    of the stored pixels. ``path_names_patient``: the file's path holds the id or a name of the
    patient.
    """

    patient: str
    study: str
    burnt_in: str
    reduction: str
    inverted: bool
    pixels: str
    path_names_patient: bool


def is_dicom(path: Path) -> bool:
    """Return whether a file has the DICM prefix of PS3.10 section 7.1."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def read_header(path: Path, name: str) -> DicomHeader:
    """Read and check the header of one image. Raises DataError naming the file by its path."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = _read(path, name)
            _check_is_image(dataset, name)
            _check_size(dataset, name)
            _check_codec(dataset, name)
            return _kept(dataset, name)
    except CompareError:
        raise
    # The text of an error may quote the file, and so a person: only its kind is reported.
    except Exception as error:
        raise DataError(
            f"image {name} cannot be read as DICOM ({type(error).__name__})",
            fix="restore the file or leave it out",
        ) from None


def _kept(dataset: Dataset, name: str) -> DicomHeader:
    return DicomHeader(
        patient=_patient_of(dataset),
        study=pseudonym("study", _raw(dataset, "StudyInstanceUID")),
        burnt_in=str(dataset.get("BurnedInAnnotation") or "").strip().upper(),
        reduction=reduction_of(dataset),
        inverted=str(dataset.PhotometricInterpretation) == "MONOCHROME1",
        pixels=_pixel_digest(dataset),
        path_names_patient=_path_names_patient(dataset, name),
    )


def _read(path: Path, name: str) -> Dataset:
    from pydicom import dcmread
    from pydicom.filereader import read_file_meta_info

    if path.stat().st_size > MAX_FILE_BYTES:
        raise DataError(f"image {name} has more than {MAX_FILE_BYTES:,} bytes", fix="leave it out")
    if not is_dicom(path):
        raise DataError(f"image {name} is not a DICOM file", fix="leave it out")
    # Deflated files are inflated as a whole before anything can be checked.
    if str(read_file_meta_info(path).get("TransferSyntaxUID")) == DEFLATED:
        raise DataError(
            f"image {name} is stored deflated, which cannot be bounded before it is read",
            fix="store it uncompressed (for instance with dcmconv)",
        )
    return dcmread(path, specific_tags=[*PIXEL_TAGS, *PERSON_TAGS, *OTHER_TAGS])


def _check_is_image(dataset: Dataset, name: str) -> None:
    if "PixelData" not in dataset:
        what = str(dataset.get("Modality") or "unknown")
        if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
            raise DataError(
                f"image {name} has floating-point pixels", fix="store it with integers and a window"
            )
        raise DataError(
            f"file {name} has no pixel data (modality {what[:16]!r}): it is not an image",
            fix="leave it out",
        )
    for tag in ("Rows", "Columns", "PhotometricInterpretation", "BitsAllocated", "BitsStored"):
        if dataset.get(tag) in (None, ""):
            raise DataError(f"image {name} has no {tag}", fix="leave it out")
    photometric = str(dataset.PhotometricInterpretation)
    if not known_photometric(photometric):
        raise DataError(
            f"image {name} has the photometric interpretation {photometric[:16]!r}",
            fix="convert it to MONOCHROME2 or RGB",
        )


def _check_size(dataset: Dataset, name: str) -> None:
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise DataError(
            f"image {name} has {frames} frames", fix="store the frame that is meant on its own"
        )
    if rows * columns * samples > MAX_PIXELS:
        raise DataError(
            f"image {name} claims {columns} x {rows} pixels of {samples} samples, more than "
            f"{MAX_PIXELS:,}",
            fix="scale it down",
        )
    if min(rows, columns) < MIN_SIDE:
        raise DataError(
            f"image {name} has {columns} x {rows} pixels, fewer than {MIN_SIDE} per side",
            fix="leave it out",
        )
    expected = (rows * columns * samples * int(dataset.BitsAllocated) + 7) // 8
    if str(dataset.PhotometricInterpretation) == "YBR_FULL_422":
        expected = expected * 2 // 3
    if not dataset.file_meta.TransferSyntaxUID.is_compressed:
        stored = len(dataset.PixelData)
        if stored < expected:
            raise DataError(
                f"image {name} is truncated: {stored:,} of {expected:,} bytes of pixels",
                fix="restore the file or leave it out",
            )


def _check_codec(dataset: Dataset, name: str) -> None:
    from pydicom.pixels.decoders.base import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise DataError(
            f"image {name} is stored as {syntax.name}, which cannot be decoded here",
            fix="convert it to an uncompressed image (for instance with dcmdjpeg or gdcmconv)",
        ) from None
    # Pillow decodes JPEG Extended of 8 bits only.
    deep = syntax == "1.2.840.10008.1.2.4.51" and int(dataset.BitsAllocated) > 8
    if not decoder.is_available or (deep and set(decoder.available_plugins) == {"pillow"}):
        raise DataError(
            f"image {name} is stored as {syntax.name}, and no codec for it is installed",
            fix=CODECS.get(str(syntax), OTHER_CODEC),
        )


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


def _pixel_digest(dataset: Dataset) -> str:
    about = (dataset.file_meta.TransferSyntaxUID, dataset.Rows, dataset.Columns)
    return hashlib.sha256(f"{about}".encode() + bytes(dataset.PixelData)).hexdigest()
