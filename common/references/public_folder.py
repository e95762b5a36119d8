"""A folder that the user names as public: ``folder:PATH``, pictures in it or in its sub-folders.

Pictures are read by the rules of every dataset (``datasets.reading.decoding``), no
link out of the folder, squashed to a square. The path is never written down: a digest of the files
names the folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from he_compare.common.datasets.opened.splits import hashed_order
from he_compare.common.datasets.reading.class_folders import visible_entries
from he_compare.common.datasets.reading.decoding import (
    SUFFIXES,
    image_size,
    map_threaded,
    open_image,
    read_squares,
)
from he_compare.common.datasets.reading.inside_folder import InsideFolder
from he_compare.common.errors import DataError
from he_compare.common.identity import file_digest
from he_compare.common.references.held_images import Held, HeldImages
from he_compare.common.references.reference import LEAST_PUBLIC
from he_compare.common.types import HeldPictures, UInt8Array

# Those that are read: as many as the largest budget gives an attack, and some to choose from.
MOST_READ = 600
MOST_ENTRIES = 200_000
MOST_DEPTH = 8
# Of the size at which pictures are looked at to say whether they are in colour.
LOOK = 32
_SHOWN_DIGITS = 8


def public_folder(path: Path, seed: int) -> HeldImages:
    """Open a folder of public pictures; ``seed`` chooses where there are more than are read.

    Raises DataError on a missing folder, fewer than ``LEAST_PUBLIC`` pictures, a link that leads
    out of it or a broken picture.
    """
    root = path.expanduser()
    if not root.is_dir():
        raise DataError(
            f"the public folder {root.name!r} does not exist or is no folder",
            fix="pass --public folder:PATH with the path of a folder of pictures",
        )
    names = _pictures(root)
    if len(names) < LEAST_PUBLIC:
        raise DataError(
            f"the public folder {root.name!r} holds {len(names)} pictures, at least "
            f"{LEAST_PUBLIC} are needed",
            fix=f"add pictures ({', '.join(sorted(SUFFIXES))}), or leave out --public folder:PATH",
        )
    chosen = sorted(hashed_order(names, seed, "public folder")[:MOST_READ])
    digest = _digest(root, chosen)

    def read(size: int) -> Held:
        def opened(i: int) -> object:
            return open_image(root / chosen[i], chosen[i])

        pictures = read_squares(opened, len(chosen), size)  # type: ignore[arg-type]
        return Held(tuple(chosen), HeldPictures(pictures))

    return HeldImages(
        name=f"folder-{digest[:_SHOWN_DIGITS]}",
        provenance=f"a folder the user names as public, {len(names)} pictures",
        digest=digest,
        made_of=frozenset(),
        read=read,
        notes=_notes(root, names, chosen, read(LOOK).images[:]),
    )


def _pictures(root: Path) -> list[str]:
    """Return the pictures below ``root``, posix paths in order, hidden and system files left out.

    Raises DataError on a link that leads out of the folder and on a folder without bounds.
    """
    inside = InsideFolder(root)
    found: list[str] = []
    waiting, seen = [(root, 0)], 0
    while waiting:
        folder, depth = waiting.pop()
        try:
            entries = visible_entries(folder)
        except OSError as error:
            raise DataError(
                f"the public folder {root.name!r} cannot be read: {error.strerror}",
                fix="let your user read it",
            ) from None
        seen += len(entries)
        if seen > MOST_ENTRIES or depth > MOST_DEPTH:
            raise DataError(
                f"the public folder {root.name!r} has more than {MOST_ENTRIES:,} entries or "
                f"{MOST_DEPTH} levels",
                fix="name a folder that holds the public pictures and nothing else",
            )
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink():
                waiting.append((entry, depth + 1))
            elif entry.suffix.lower() in SUFFIXES:
                name = entry.relative_to(root).as_posix()
                found.append(inside.check(name, f"public folder {root.name!r}"))
    return sorted(found)


def _digest(root: Path, names: list[str]) -> str:
    """SHA-256 over the contents of files, whatever their names and order."""
    digests = sorted(map_threaded(lambda i: file_digest(root / names[i]), range(len(names))))
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _notes(root: Path, names: list[str], chosen: list[str], small: UInt8Array) -> tuple[str, ...]:
    """Say what was done to pictures that differ from each other."""
    notes = []
    if len(names) > len(chosen):
        notes.append(f"{len(chosen)} of {len(names)} pictures were read, chosen by the seed")
    sizes = {image_size(root / name, name) for name in chosen}
    if len(sizes) > 1:
        notes.append(f"pictures of {len(sizes)} sizes were scaled to squares, as a dataset's are")
    colour = int((small != small[..., :1]).any(axis=(1, 2, 3)).sum())
    if colour:
        notes.append(
            f"{colour} of {len(chosen)} pictures are in colour: turned into grey where the images "
            "under attack are grey"
        )
    return tuple(notes)
