"""The images of NIH ChestX-ray14 below a folder, by name, in whatever sub-folders they were put."""

from __future__ import annotations

import filecmp
import os
from pathlib import Path, PurePosixPath

from he_compare.common.datasets.reading.class_folders import is_debris
from he_compare.common.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
DEPTH = 5


def list_images(root: Path, notes: list[str]) -> dict[str, str]:
    """Return the path below ``root`` of every image by its name without ending.

    A file that is there twice with equal bytes is taken once and counted in ``notes``. Raises
    DataError where two different files have one name.
    """
    images: dict[str, str] = {}
    twice = 0
    for parent, folders, names in os.walk(root):
        depth = len(Path(parent).relative_to(root).parts)
        folders[:] = sorted(one for one in folders if not is_debris(one)) if depth < DEPTH else []
        for name in sorted(names):
            pure = PurePosixPath(name)
            if pure.suffix.lower() not in SUFFIXES or is_debris(name):
                continue
            path = (Path(parent) / name).relative_to(root).as_posix()
            first = images.setdefault(pure.stem, path)
            if first == path:
                continue
            if not filecmp.cmp(root / first, root / path, shallow=False):
                raise DataError(
                    f"image {pure.stem!r} is there twice with different content: {first} and "
                    f"{path}",
                    fix="remove one of them",
                )
            twice += 1
    if twice:
        notes.append(f"{twice:,} images are there twice with equal bytes and are taken once")
    return images


def image_stem(name: str) -> str:
    """Return the name of an image as tables and lists have it, without folders and ending."""
    return PurePosixPath(name.replace("\\", "/")).stem
