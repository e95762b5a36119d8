"""Pictures of DICOM files by DCMTK 3.6.7, another reading of the same standard.

``python -m tests.support.dcmtk`` writes ``REFERENCES`` again, where DCMTK's ``dcm2pnm``,
``dcmj2pnm`` and ``dcml2pnm`` are on the path (Debian: ``apt-get install dcmtk``). What is kept of a
picture is small: its size, and the means of 8 x 8 fields of it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

from he_compare.common.datasets.reading.dicom_file import opened_dicom
from he_compare.common.datasets.reading.dicom_recipe import PIXEL_TAGS, Recipe, read_recipe
from he_compare.common.errors import DataError

REFERENCES = Path(__file__).parent / "dcmtk_pictures.json"
TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
COMMANDS = ("dcm2pnm", "dcmj2pnm", "dcml2pnm")
FIELDS = 8


def shipped_pictures() -> Iterator[tuple[str, Recipe]]:
    """Yield name and recipe of each file of pydicom's wheel that has pixels and a sound header."""
    for path in sorted(TEST_FILES.rglob("*")):
        if path.is_file():
            try:
                with opened_dicom(path, PIXEL_TAGS) as file:
                    if file.start is None:
                        continue
                    recipe = read_recipe(file.dataset, big_endian=file.big_endian)
            except DataError:
                continue
            yield path.relative_to(TEST_FILES).as_posix(), recipe


def dcmtk_options(recipe: Recipe, frame: int) -> list[str]:
    """Return the options by which DCMTK follows the rule that the product states."""
    way = recipe.way(frame)
    if way == "full range" and recipe.layout.stored == 1:
        return ["+Wm"]  # DCMTK's full range of one bit ends at half of white
    return {
        "window": ["+Wi", "1"],
        "VOI LUT": ["+Wl", "1"],
        "smallest to largest value": ["+Wm"],
    }.get(way, ["-W"])


def dcmtk_picture(path: Path, frame: int, options: list[str]) -> np.ndarray | None:
    """Return DCMTK's picture, (rows, columns) or (rows, columns, 3); None where it makes none."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "picture.png"
        for command in COMMANDS:
            call = [command, "-q", "+on", "-O", "+F", str(frame + 1), *options, str(path), str(out)]
            done = subprocess.run(call, capture_output=True, check=False, timeout=60)
            if done.returncode == 0 and out.is_file():
                return np.asarray(Image.open(out)).astype(int)
    return None


def has_dcmtk() -> bool:
    """Return whether all commands are on the path."""
    return all(shutil.which(command) for command in COMMANDS)


def fields(picture: np.ndarray) -> np.ndarray:
    """Return the means of 8 x 8 fields, (8, 8, 3), of a picture of at least 8 x 8."""
    colour = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    rows = np.array_split(np.arange(colour.shape[0]), FIELDS)
    columns = np.array_split(np.arange(colour.shape[1]), FIELDS)
    return np.array(
        [[colour[np.ix_(row, column)].mean(axis=(0, 1)) for column in columns] for row in rows]
    )


def _write() -> None:
    found = {}
    for name, recipe in shipped_pictures():
        for frame in sorted({0, recipe.layout.frames // 2}):
            picture = dcmtk_picture(TEST_FILES / name, frame, dcmtk_options(recipe, frame))
            if picture is not None:
                means = fields(picture)
                grey = bool((means == means[..., :1]).all())
                kept = means[..., :1] if grey else means
                found[f"{name}#{frame}"] = {
                    "size": list(picture.shape[:2]),
                    "fields": np.round(kept, 1).ravel().tolist(),
                }
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in found.items())
    REFERENCES.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    _write()
