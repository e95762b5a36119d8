"""Your own DICOM images: one sub-folder per class, or a CSV of file,label[,split][,group].

``dicom:PATH`` names the folder or the CSV, as with ``folder:PATH``; below a class folder files may
lie in folders of any depth (patient, study, series). Images are grouped by the
hashed patient id of the header, or by the hashed study UID where there is none; ids are never
stored. Of a file with several frames ``--frames`` says which are images: these have ids like
``path#frame-0007`` and the group of their patient. Reports, documents and other objects without
pixels are passed over and counted. How values become 8 bits is stated in ``dicom_pixels``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from he_compare.common.contracts import OpenDataset
from he_compare.common.dataset import DataRequest, DatasetFamily
from he_compare.common.datasets.embedded.example_dicom import write_example_dicom
from he_compare.common.datasets.opened.frame_rows import FrameOpener, frame_rows
from he_compare.common.datasets.opened.indexed import ImageRow, IndexedImages
from he_compare.common.datasets.opened.labelled_files import OwnImages, read_own
from he_compare.common.datasets.opened.row_splits import complete_splits
from he_compare.common.datasets.opened.splits import join_twins
from he_compare.common.datasets.reading.class_folders import is_debris
from he_compare.common.datasets.reading.dicom_file import is_dicom
from he_compare.common.datasets.reading.dicom_header import FRAMES, DicomHeader, read_headers
from he_compare.common.datasets.reading.dicom_pixels import RULE
from he_compare.common.datasets.reading.inside_folder import InsideFolder
from he_compare.common.datasets.reading.pseudonyms import pseudonym
from he_compare.common.errors import DataError, UsageError
from he_compare.common.run.records import DatasetCard

SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})


def make_card(classes: Sequence[str]) -> DatasetCard:
    """Return the card; the folder's name is not in it, because it may name a person."""
    return DatasetCard(
        name="dicom",
        title="DICOM images, one sub-folder per class",
        description=f"DICOM images supplied by the user. Grey values are {RULE}.",
        source="supplied by the user",
        licence="not stated; see the owner of the images",
        citation="none",
        caveats=[
            "Origin, licence and population of these images are not known to the tool.",
            "Reducing to 8 bits by a window hides what lies outside of it; overlays and "
            "presentation states are not applied.",
            "Patient ids are replaced by hashes: pseudonyms that group images, no anonymisation. "
            "Text burnt into pixels is not removed.",
        ],
        classes=list(classes),
        native_size="varies",
    )


class Dicom(DatasetFamily):
    """The family of user-supplied DICOM folders and tables."""

    name = "dicom"
    takes_path = True
    understands = frozenset({"frames", "csv_columns"})

    def card(self) -> DatasetCard:
        """Return the card of unnamed images."""
        return make_card(())

    def open_subset(self, request: DataRequest) -> OpenDataset:
        """Read the folder or CSV named by ``argument``, relative to ``data_dir`` where given.

        Without an argument ``data_dir`` itself is read. Raises DataError.
        """
        reading = request.reading.frames
        if reading not in ("", *FRAMES):
            raise UsageError(
                f"--frames {reading!r} is none of {', '.join(FRAMES)}", fix="name one of these"
            )
        own = read_own(self.name, request.argument, request.data_dir, class_files, request.reading)
        headers, others = read_headers(own.root, [row.id for row in own.rows], reading)
        own = replace(own, rows=[row for row in own.rows if row.id in headers])
        notes = [*own.notes, *header_notes(list(headers.values()))]
        if others:
            notes.append(
                f"{others:,} DICOM objects without pixels (reports, documents, presentation "
                "states, ...) were left out"
            )
        _check_classes_left(own)
        rows, places = frame_rows(patients(own, headers, notes), headers)
        rows = complete_splits(rows, own.given, request.seed, notes, own.classes)
        keys = [row.twin for row in rows if row.twin]
        notes.append(
            f"{len(keys) - len(set(keys))} images are exact copies of another one "
            "(compared by stored pixel data)"
        )
        card = make_card(own.classes)
        data = IndexedImages.from_rows(
            card, request.subset, own.root, rows, notes, "stored pixel data"
        )
        data.files = {identity: place.name for identity, place in places.items()}
        data.opener = FrameOpener(own.root, {place.name: place for place in places.values()})
        return data

    def example(self, folder: Path) -> str:
        """Write a folder for each of two classes, with images of a few patients."""
        for label, name in enumerate(("negative", "positive")):
            for number in range(20):
                patient = f"{name} {number // 4}"
                write_example_dicom(folder / name / f"{number:02d}.dcm", label, number, patient)
        return ""


def class_files(root: Path, folder: str, notes: list[str]) -> list[str]:
    """Return the DICOM files at any depth below ``root/folder`` as posix paths below ``root``.

    A file is DICOM by its prefix, whatever its name. Others are left out and counted in ``notes``,
    unless their ending says DICOM: then ``read_header`` refuses them by name. Raises DataError on
    an empty class or a link that leads to a folder or out of ``root``.
    """
    inside = InsideFolder(root)
    found: list[str] = []
    others = 0
    for parent, folders, names in os.walk(root / folder, onerror=_cannot_list):
        here = Path(parent).relative_to(root).as_posix()
        folders[:] = sorted(name for name in folders if not _hidden(name))
        for name in folders:
            if (Path(parent) / name).is_symlink():
                raise DataError(
                    f"folder {here}/{name} is a link", fix="put the folder itself there"
                )
        for name in sorted(name for name in names if not _hidden(name)):
            file = inside.check(f"{here}/{name}", f"folder {root.name!r}")
            suffix = PurePosixPath(name).suffix.lower()
            if name.upper() != "DICOMDIR" and (suffix in SUFFIXES or is_dicom(root / file)):
                found.append(file)
            else:
                others += 1
    if not found:
        raise DataError(
            f"class folder {folder!r} has no DICOM files", fix="add images or remove the folder"
        )
    # Not even the ending is named: without one it would be the whole name.
    if others:
        notes.append(f"{others} files in {folder} that are not DICOM images were left out")
    return found


def _hidden(name: str) -> bool:
    return is_debris(name)


def _cannot_list(error: OSError) -> None:
    raise DataError(f"cannot read {error.filename}: {error.strerror}", fix="check its permissions")


def patients(own: OwnImages, headers: dict[str, DicomHeader], notes: list[str]) -> list[ImageRow]:
    """Group rows by what the table says and by patient, else study; images of one stay together."""
    known_by: Counter[str] = Counter()
    groups: list[str] = []
    known: list[str] = []
    for row in own.rows:
        header = headers[row.id]
        source = "patient" if header.patient else "study" if header.study else "image"
        known_by[source] += 1
        of_header = header.patient or header.study or pseudonym("image", row.id.encode())
        groups.append(pseudonym("group", row.group.encode()) if own.grouped else of_header)
        known.append(of_header)
    joined = join_twins(groups, known) if own.grouped else groups
    count = len(set(joined))
    notes.append(
        f"{count} groups of images: {known_by['patient']} images by patient id (hashed, not "
        f"stored), {known_by['study']} without one by study, {known_by['image']} without either on "
        "their own" + ("; joined with the groups of the table" if own.grouped else "")
    )
    return [replace(row, group=group) for row, group in zip(own.rows, joined, strict=True)]


def header_notes(headers: Sequence[DicomHeader]) -> list[str]:
    """Say how bits were reduced, what was inverted and what the files say of burnt-in text."""
    ways = Counter(way for header in headers for way in header.reductions)
    reduced = ", ".join(f"{count} by {way}" for way, count in sorted(ways.items()))
    burnt = Counter(header.burnt_in for header in headers)
    unsaid = len(headers) - burnt["YES"] - burnt["NO"]
    inverted = sum(len(header.chosen) for header in headers if header.inverted)
    notes = [
        f"reduced to 8 bits: {reduced}; {inverted} MONOCHROME1 images inverted",
        f"burnt-in annotation: {burnt['YES']} images say yes, {burnt['NO']} no, {unsaid} say "
        "nothing; such text may name a patient and is not removed",
    ]
    several = [header for header in headers if header.frames > 1]
    if several:
        notes.append(
            f"{len(several)} files have more than one frame: {sum(len(h.chosen) for h in several)} "
            f"of {sum(h.frames for h in several)} frames are images of their patient"
        )
    for count, what in (
        (
            sum(header.no_window for header in headers),
            "files have a window that is none (no width, or not a number): reduced as without",
        ),
        (
            sum(not header.prefixed for header in headers),
            "files lack the DICM prefix and were read by their first bytes",
        ),
    ):
        if count:
            notes.append(f"{count} {what}")
    hidden = sum(header.path_names_patient for header in headers)
    if hidden:
        notes.append(
            f"{hidden} file names contain a patient's id or name and are replaced by hashes"
        )
    return notes


def _check_classes_left(own: OwnImages) -> None:
    """Raise DataError where a class has lost every file because none of them holds pixels."""
    left = {row.label for row in own.rows}
    empty = [name for label, name in enumerate(own.classes) if label not in left]
    if empty:
        raise DataError(
            f"class {empty[0]!r} has no DICOM images, only objects without pixels",
            fix="add images or remove the folder",
        )


DATASET = Dicom()
