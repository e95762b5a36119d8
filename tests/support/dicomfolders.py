"""Small synthetic DICOM files for tests: one image, or a folder of them with a class a sub-folder.

Every file carries what a hospital's carries: a patient's name and id, and a private tag with the
name again. Nothing of it may ever be stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from tests.support.imagefolders import CLASSES, synthetic_image

SECRET_NAME = "Mustermann^Erika"
SECRET_ID = "HOSP-4711"
SECRETS = ("Mustermann", "Erika", "4711", "confided")
PRIVATE_TEXT = "Erika Mustermann confided this"


def dicom(
    pixels: npt.NDArray[Any],
    *,
    photometric: str = "MONOCHROME2",
    bits_stored: int | None = None,
    patient: str = SECRET_ID,
    **elements: Any,
) -> FileDataset:
    """Return a secondary capture of integer pixels (rows, columns[, 3]); ``elements`` are added.

    An element given as None is left out.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = generate_uid()
    dataset.Modality = "CR"
    dataset.PatientName = SECRET_NAME
    dataset.PatientID = patient
    dataset.PatientBirthDate = "19471101"
    block = dataset.private_block(0x0009, "he-compare tests", create=True)
    block.add_new(0x01, "LO", PRIVATE_TEXT)
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else pixels.shape[2]
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = bits_stored or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def save(dataset: FileDataset, path: Path) -> Path:
    """Write a dataset as a DICOM file; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def save_big_endian(dataset: FileDataset, path: Path) -> Path:
    """Write a dataset as explicit VR big endian; bytes that it holds must be swapped already."""
    plain = Dataset()
    plain.update({element.tag: element for element in dataset})
    plain.file_meta = dataset.file_meta
    plain.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, plain, implicit_vr=False, little_endian=False, enforce_file_format=True)
    return path


def write_dicom_tree(
    folder: Path,
    counts: dict[str, int],
    size: int = 24,
    *,
    classes: tuple[str, ...] = CLASSES,
    patients: int = 5,
    **elements: Any,
) -> Path:
    """Write [SPLIT/]CLASS/pNN/imageNN.dcm, 12 bits with a window; return the folder.

    ``counts``: images a class by split name; each class and split has ``patients`` patients.
    """
    generator = np.random.default_rng(0)
    for split, count in counts.items():
        for label, name in enumerate(classes):
            for i in range(count):
                pixels = synthetic_image(label % 2, size, generator).astype(np.uint16) * 16
                patient = f"{SECRET_ID}-{split}{name}{i % patients}"
                image = dicom(
                    pixels,
                    bits_stored=12,
                    patient=patient,
                    **{"WindowCenter": 2048, "WindowWidth": 4096, **elements},
                )
                save(image, folder / split / name / f"p{i % patients:02d}" / f"image{i:03d}.dcm")
    return folder
