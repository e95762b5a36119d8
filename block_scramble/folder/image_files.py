"""Plain images and ciphertexts as files: which ones a folder has, decoding and encoding them.

Plain images are decoded by the rules of ``datasets.reading.decoding``. Ciphertexts are PNG where
their values are bytes and npz otherwise, never pickled.
"""

from __future__ import annotations

import hashlib
import io
import os
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keyed_cipher import CiphertextArray
from he_compare.common.datasets.reading.class_folders import is_debris
from he_compare.common.datasets.reading.decoding import MIN_SIDE, open_image
from he_compare.common.datasets.reading.file_names import is_utf8_name, shown_name, shown_names
from he_compare.common.errors import DataError, IntegrityError, UsageError
from he_compare.common.types import UInt8Array

SUFFIX_OF = {"uint8": ".png", "float32": ".npz"}
CIPHERTEXT_SUFFIXES = frozenset(SUFFIX_OF.values())
ARRAY = "ciphertext"
# A file is written beside its place first, under a name that is a little longer.
MAX_NAME_BYTES = 240
# Ciphertexts hardly compress: the fastest level costs no bytes worth having.
COMPRESS_LEVEL = 1


@dataclass(frozen=True)
class Listing:
    """``images``: relative posix paths in order of name. ``others``: files that are no images."""

    images: tuple[str, ...]
    others: tuple[str, ...]


def list_files(root: Path, suffixes: frozenset[str]) -> Listing:
    """List files of a folder and its sub-folders by ending; hidden and system files are left out.

    Raises DataError on symbolic links that lead out of the folder or to a folder, and on a folder
    that cannot be read.
    """
    images: list[str] = []
    others: list[str] = []
    for path in _walk(root):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            _check_link(root, path, name)
        (images if path.suffix.lower() in suffixes else others).append(name)
    return Listing(tuple(sorted(images)), tuple(sorted(others)))


def _walk(root: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise DataError(
            f"cannot list {shown_name(str(error.filename))}: {error.strerror}",
            fix="make it readable",
        )

    for folder, subfolders, files in os.walk(root, onerror=refuse):
        subfolders[:] = sorted(filter(_is_visible, subfolders))
        here = Path(folder)
        yield from (here / name for name in subfolders if (here / name).is_symlink())
        yield from (here / name for name in files if _is_visible(name))


def _is_visible(name: str) -> bool:
    return not is_debris(name)


def _check_link(root: Path, path: Path, name: str) -> None:
    target = path.resolve()
    if not target.is_relative_to(root.resolve()) or not target.is_file():
        raise DataError(
            f"{shown_name(name)} is a link that leads out of {root}, to a folder or to nothing",
            fix="put the file itself into the folder",
        )


def stems_of(names: tuple[str, ...]) -> dict[str, str]:
    """Map each name to its path without ending.

    Raises DataError where two files would get the same name, upper and lower case taken as one.
    """
    taken: dict[str, str] = {}
    stems = {}
    for name in names:
        stem = PurePosixPath(name).with_suffix("").as_posix()
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())
        other = taken.setdefault(folded, name)
        if other != name:
            raise DataError(
                f"{shown_name(other)} and {shown_name(name)} would both become "
                f"{shown_name(stem)}: case, ending and Unicode form do not tell files apart",
                fix="rename one of them",
            )
        stems[name] = stem
    return stems


def check_names(names: tuple[str, ...]) -> None:
    """Raise DataError naming the images whose names a manifest cannot hold."""
    for unfit, problem in (
        ([name for name in names if not is_utf8_name(name)], "bytes that are not UTF-8"),
        ([name for name in names if "\\" in name], "a backslash, which parts folders elsewhere"),
        ([name for name in names if _is_long(name)], f"parts of more than {MAX_NAME_BYTES} bytes"),
    ):
        if unfit:
            raise DataError(
                f"the names of {counted(len(unfit))} have {problem}: {shown_names(unfit)}",
                fix="rename them",
            )


def _is_long(name: str) -> bool:
    return any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in PurePosixPath(name).parts)


def counted(number: int) -> str:
    """Say how many images."""
    return f"{number:,} image" if number == 1 else f"{number:,} images"


def read_plain(path: Path, name: str, size: int | None, depth: int | None = None) -> UInt8Array:
    """Decode an image to uint8 (h, w, 1 or 3), squashed to a square of ``size`` where given.

    ``depth``: of the window of 16-bit grey. Raises DataError.
    """
    from PIL import Image

    image = open_image(path, name, depth)
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    pixels: UInt8Array = np.asarray(image, dtype=np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def check_size(size: int | None) -> None:
    """Raise UsageError where the side of squared images is out of range."""
    if size is not None and not MIN_SIDE <= size <= 4096:
        raise UsageError(f"size {size} is out of range", fix=f"pass {MIN_SIDE} to 4096")


def png_bytes(pixels: UInt8Array) -> bytes:
    """Encode uint8 (h, w, 1 or 3) as PNG: grey or RGB, without loss."""
    from PIL import Image

    buffer = io.BytesIO()
    flat = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    Image.fromarray(np.ascontiguousarray(flat)).save(
        buffer, format="PNG", compress_level=COMPRESS_LEVEL
    )
    return buffer.getvalue()


def ciphertext_bytes(ciphertext: CiphertextArray) -> bytes:
    """Encode a ciphertext (h, w, c): PNG for uint8, npz for anything else."""
    if ciphertext.dtype == np.uint8:
        return png_bytes(ciphertext)
    buffer = io.BytesIO()
    np.savez(buffer, **{ARRAY: ciphertext})
    return buffer.getvalue()


def read_ciphertext(data: bytes, name: str, shape: ImageShape, dtype: str) -> CiphertextArray:
    """Decode what ``ciphertext_bytes`` wrote. Raises IntegrityError where it is something else."""
    try:
        array = _png_array(data) if dtype == "uint8" else _npz_array(data)
    # Pillow's and NumPy's parsers raise anything from struct.error to KeyError on foreign bytes.
    except Exception as error:
        raise IntegrityError(f"ciphertext {name} does not parse: {error}") from None
    if array.shape != tuple(shape) or array.dtype != np.dtype(dtype):
        raise IntegrityError(
            f"ciphertext {name} is {array.dtype} {array.shape}, "
            f"the manifest says {dtype} {tuple(shape)}"
        )
    return array


def _png_array(data: bytes) -> CiphertextArray:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _npz_array(data: bytes) -> CiphertextArray:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise ValueError("no npz")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        array: CiphertextArray = archive[ARRAY]
    return array


def sha256_of(data: bytes) -> str:
    """Return the hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()
