"""Folders whose names are classes: what lies in them, without hidden and system files."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from he_compare.common.datasets.reading.decoding import SUFFIXES
from he_compare.common.datasets.reading.inside_folder import InsideFolder
from he_compare.common.datasets.reading.table_text import is_plain
from he_compare.common.errors import DataError

MAX_FILES = 2_000_000
MAX_DEPTH = 24
MOST_FOLDERS_NAMED = 5
INNER_NAMES = frozenset({"images", "image", "imgs", "img"})
MASK = re.compile(
    r"(?:(.+?)[ _-](?:mask|segmentation|seg|annotation|gt)(?:[ _-]?\d+)?"
    r"|(?:mask|segmentation|seg|annotation|gt)[ _-](.+))",
    re.IGNORECASE | re.DOTALL,
)
MASK_NAMES = frozenset({"masks", "mask", "annotations", "segmentations", "segmentation"})

# What systems and archives leave behind, in lower case; names that begin with a dot are hidden.
IGNORED = frozenset(
    {
        "__macosx",
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "icon\r",
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "__pycache__",
    }
)


def is_debris(name: str) -> bool:
    """Say whether a file or folder is hidden or left behind by a system, an archive or an editor.

    Such entries are passed over wherever files are listed; ``debris_note`` counts them.
    """
    return name.startswith((".", "~$")) or name.lower() in IGNORED


def debris_note(root: Path) -> str:
    """Return a sentence that counts what is passed over at any depth below ``root``, or ''.

    A folder counts as one entry. Names that are not known from systems are not repeated.
    """
    found: Counter[str] = Counter()
    for _, folders, files in os.walk(root):
        found.update(_kind_of_debris(name) for name in (*folders, *files) if is_debris(name))
        folders[:] = [name for name in folders if not is_debris(name)]
    if not found:
        return ""
    kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(found.items()))
    return f"hidden and system files and folders were passed over: {kinds}"


def _kind_of_debris(name: str) -> str:
    if name.startswith("._"):
        return "._*"
    if name.lower() in IGNORED or name in (".DS_Store", ".ipynb_checkpoints", ".git"):
        return name.strip()
    return "~$*" if name.startswith("~$") else "other hidden"


def visible_entries(folder: Path) -> list[Path]:
    """Return the entries of a folder in order of name, without hidden and system entries.

    Raises DataError where the folder cannot be listed.
    """
    try:
        return sorted(entry for entry in folder.iterdir() if not is_debris(entry.name))
    except OSError as error:
        raise _cannot_list(folder, error) from None


def subfolders(folder: Path) -> list[str]:
    """Return the names of the visible sub-folders."""
    return [entry.name for entry in visible_entries(folder) if entry.is_dir()]


def files_below(root: Path) -> list[str]:
    """Return the posix paths of all visible files below a folder; it follows no link to a folder.

    Raises DataError on a folder that cannot be listed, on too many files and too deep folders.
    """
    found: list[str] = []
    for parent, folders, names in os.walk(root, onerror=_refuse_folder):
        here = Path(parent).relative_to(root)
        if len(here.parts) > MAX_DEPTH:
            raise DataError(
                f"folder {root.name!r} has folders more than {MAX_DEPTH} deep",
                fix="name the folder of the images themselves",
            )
        folders[:] = sorted(name for name in folders if not is_debris(name))
        found += [(here / name).as_posix() for name in sorted(names) if not is_debris(name)]
        if len(found) > MAX_FILES:
            raise DataError(
                f"folder {root.name!r} has more than {MAX_FILES:,} files",
                fix="name a folder with fewer",
            )
    return found


def refuse_linked_folders(root: Path) -> None:
    """Refuse links to folders at any depth: they are not followed. Raises DataError by name."""
    for parent, folders, _ in os.walk(root, onerror=_refuse_folder):
        folders[:] = sorted(name for name in folders if not is_debris(name))
        for name in folders:
            path = Path(parent) / name
            if path.is_symlink():
                raise DataError(
                    f"folder {path.relative_to(root).as_posix()!r} is a link",
                    fix="put the folder itself there, or name the folder that it leads to",
                )


def _refuse_folder(error: OSError) -> None:
    raise _cannot_list(Path(error.filename), error)


def _cannot_list(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot list folder {folder.name!r}: {error.strerror}",
        fix="check that it is there and may be read, and that nothing changes it meanwhile",
    )


def class_images(root: Path, folder: str, notes: list[str]) -> list[str]:
    """Return the image files of the class in ``root/folder`` as posix paths relative to ``root``.

    They lie directly in it, or all in a sub-folder ``images``. Files with other endings are left
    out and counted in ``notes``. Raises DataError on an empty class, other folders inside it, or a
    link that leads out of ``root``.
    """
    folder = _inner_images(root, folder, notes)
    entries = visible_entries(root / folder)
    below = [entry.name for entry in entries if entry.is_dir()]
    if below:
        raise DataError(
            f"class folder {folder!r} contains {_counted_folders(below)}",
            fix="if each of these is one patient, pass --group-by folder; if they are the classes, "
            "list the images in a CSV of file,label,group; else put images directly into the class "
            "folders",
        )
    names = [f"{folder}/{entry.name}" for entry in entries]
    return _only_images(root, folder, names, notes)


def images_by_patient(root: Path, folder: str, notes: list[str]) -> list[str]:
    """Return the image files below the sub-folders of ``root/folder``, one folder per patient.

    As ``class_images``; raises DataError where images lie directly in the class folder too.
    """
    folder = _inner_images(root, folder, notes)
    loose = [
        entry.name
        for entry in visible_entries(root / folder)
        if not entry.is_dir() and entry.suffix.lower() in SUFFIXES
    ]
    if loose:
        raise DataError(
            f"class folder {folder!r} has {len(loose):,} images that lie in no sub-folder, for "
            f"instance {loose[0]!r}: --group-by folder cannot tell their patients",
            fix="put each patient's images into a folder, or leave --group-by out",
        )
    refuse_linked_folders(root / folder)
    names = [f"{folder}/{name}" for name in files_below(root / folder)]
    return _only_images(root, folder, names, notes)


def _inner_images(root: Path, folder: str, notes: list[str]) -> str:
    """Return the sub-folder ``images`` of a class where its images are there, else the class.

    Beside it there may be folders of masks, which are told.
    """
    entries = visible_entries(root / folder)
    below = [entry.name for entry in entries if entry.is_dir()]
    inner = [name for name in below if name.lower() in INNER_NAMES]
    rest = [name for name in below if name not in inner]
    if len(inner) != 1 or any(name.lower() not in MASK_NAMES for name in rest):
        return folder
    if any(entry.suffix.lower() in SUFFIXES for entry in entries if not entry.is_dir()):
        return folder
    for name in rest:
        notes.append(f"{folder}/{name} was passed over: images of {folder} are in {inner[0]}")
    return f"{folder}/{inner[0]}"


def _only_images(root: Path, folder: str, names: Sequence[str], notes: list[str]) -> list[str]:
    """Keep what has the ending of an image; count the rest. Raises DataError on none."""
    inside = InsideFolder(root)
    images: list[str] = []
    others: Counter[str] = Counter()
    for name in names:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in SUFFIXES:
            images.append(inside.check(name, f"folder {root.name!r}"))
        else:
            others[suffix if is_plain(suffix) and suffix else "without ending"] += 1
    endings = ", ".join(f"{count} x {ending}" for ending, count in sorted(others.items()))
    if not images:
        is_dicom = others[".dcm"] or others[".dicom"]
        raise DataError(
            f"class folder {folder!r} has no {', '.join(sorted(SUFFIXES))} images"
            + (f", only {endings}" if others else ""),
            fix="read DICOM files with --dataset dicom:PATH"
            if is_dicom
            else "add images or remove the folder",
        )
    if others:
        notes.append(f"other files in {folder} were left out: {endings}")
    return _without_masks(folder, images, notes)


def _without_masks(folder: str, images: list[str], notes: list[str]) -> list[str]:
    """Leave out images that are masks of others by their names, as "x (1)_mask.png" of "x (1)"."""
    stems = {name.rpartition(".")[0] for name in images}
    masks = {name for name in images if _masked(name.rpartition(".")[0]) & stems}
    if masks:
        notes.append(
            f"{len(masks):,} images in {folder} are masks of others by their names and were left "
            f"out, for instance {min(masks).rpartition('/')[2]!r}"
        )
    return [name for name in images if name not in masks]


def _masked(stem: str) -> set[str]:
    """Return the paths without ending of which this one would be the mask."""
    folder, slash, name = stem.rpartition("/")
    found = MASK.fullmatch(name)
    return {f"{folder}{slash}{of}" for of in found.groups() if of} if found else set()


def _counted_folders(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:MOST_FOLDERS_NAMED]))
    if len(names) == 1:
        return f"the folder {shown}"
    return f"{len(names):,} folders ({shown}{', ...' if len(names) > MOST_FOLDERS_NAMED else ''})"
