"""Your own images: one sub-folder per class, or a CSV of file,label[,split][,group].

``folder:PATH`` names the folder or the CSV; ``docs/how-to/own-images.md`` shows every layout that
is read. Where no split is given, 70 / 10 / 20 percent are cut by patient group and class from the
seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from he_compare.common.contracts import OpenDataset
from he_compare.common.dataset import DataRequest, DatasetFamily
from he_compare.common.datasets.embedded.example_pictures import write_example_picture
from he_compare.common.datasets.opened.indexed import IndexedImages
from he_compare.common.datasets.opened.labelled_files import NO_GROUPS, read_own
from he_compare.common.datasets.opened.row_splits import complete_splits
from he_compare.common.datasets.reading.class_folders import class_images, images_by_patient
from he_compare.common.datasets.reading.copies import find_twins
from he_compare.common.datasets.reading.decoding import SUFFIXES
from he_compare.common.datasets.reading.picture_survey import survey_pictures
from he_compare.common.run.records import DatasetCard


def make_card(name: str, classes: Sequence[str]) -> DatasetCard:
    """Return the card of a folder, which says that origin and licence are unknown."""
    return DatasetCard(
        name=f"folder:{name}" if name else "folder",
        title=f"Images of {name}" if name else "A folder of images, one sub-folder per class",
        description="Images supplied by the user; nothing is known of them but the files.",
        source="supplied by the user",
        licence="not stated; see the owner of the images",
        citation="none",
        caveats=["Origin, licence and population of these images are not known to the tool."],
        classes=list(classes),
        native_size="varies",
    )


class Folder(DatasetFamily):
    """The family of user-supplied folders and CSV tables."""

    name = "folder"
    takes_path = True
    understands = frozenset({"group_by", "csv_columns"})

    def card(self) -> DatasetCard:
        """Return the card of an unnamed folder."""
        return make_card("", ())

    def open_subset(self, request: DataRequest) -> OpenDataset:
        """Read the folder or CSV named by ``argument``, relative to ``data_dir`` where given.

        Without an argument ``data_dir`` itself is read. Raises DataError.
        """
        reading = request.reading
        list_class = images_by_patient if reading.group_by else class_images
        own = read_own(self.name, request.argument, request.data_dir, list_class, reading, SUFFIXES)
        notes = own.notes if own.grouped else [*own.notes, NO_GROUPS]
        names = [row.id for row in own.rows]
        twins = find_twins(own.root, names)
        rows = [replace(row, twin=twins.keys.get(row.id, "")) for row in own.rows]
        rows = complete_splits(rows, own.given, request.seed, notes, own.classes)
        notes.append(twins.note())
        card = make_card(_shown_name(request.argument, request.data_dir), own.classes)
        survey = survey_pictures(own.root, names)
        notes.extend(survey.notes())
        opened = IndexedImages.from_rows(card, request.subset, own.root, rows, notes, twins.rule)
        return replace(opened, opener=survey.open_image)

    def example(self, folder: Path) -> str:
        """Write a folder for each of two classes."""
        for label, name in enumerate(("negative", "positive")):
            for number in range(20):
                write_example_picture(folder / name / f"{number:02d}.png", label, number)
        return ""


def _shown_name(argument: str, data_dir: Path | None) -> str:
    return (data_dir or Path()).joinpath(argument).expanduser().resolve().name


DATASET = Folder()
