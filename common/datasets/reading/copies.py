"""Copies among image files: which have equal pixels, found as far as the number of images allows.

The rule: images of one width and height are decoded and compared as RGB pixels, while all of these
together have at most ``MAX_DECODED_PIXELS``. Beyond that files of one length and one end are
compared byte for byte, so that copies encoded again are not found, while they have at most
``MAX_READ_BYTES``. Beyond that nothing is compared. ``Twins.rule`` says which it was.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from he_compare.common.datasets.reading.decoding import as_rgb, image_size, map_threaded, open_image
from he_compare.common.errors import DataError

MAX_DECODED_PIXELS = 2_000_000_000
MAX_READ_BYTES = 8 * 1024**3
MAX_BROKEN_NAMED = 10

END_BYTES = 4096

Key = TypeVar("Key", bound=object)


@dataclass(frozen=True)
class KnownCopies:
    """``keys``: by id, equal for equal images; ``rule``: how they were compared, '' for not."""

    keys: Mapping[str, str]
    rule: str


@dataclass(frozen=True)
class Twins:
    """``keys``: SHA-256 by name of those images that have a copy; ``rule``: how it was found."""

    keys: Mapping[str, str]
    rule: str

    @property
    def copies(self) -> int:
        """Return how many images could be left out without losing pixels."""
        return len(self.keys) - len(set(self.keys.values()))

    def note(self) -> str:
        """Say how many copies there are and how they were looked for."""
        if not self.rule:
            return (
                "copies were not looked for: there are too many images; `compare data check` "
                "counts them"
            )
        return f"{self.copies} images are exact copies of another one (compared by {self.rule})"


def find_twins(root: Path, names: Sequence[str]) -> Twins:
    """Find the copies among image files below ``root``. Raises DataError naming a broken image."""
    sizes = _of_all(names, lambda name: image_size(root / name, name))
    alike = _sharing(sizes)
    pixels = sum(sizes[name][0] * sizes[name][1] for name in alike)
    if pixels <= MAX_DECODED_PIXELS:
        return Twins(_equal(root, alike, _pixel_digest), "pixels")
    keys, rule = equal_files(root, names)
    if rule:
        rule = f"{rule}, because {pixels // 1_000_000:,} megapixels are too many to decode"
    return Twins(keys, rule)


def equal_files(root: Path, names: Sequence[str]) -> tuple[dict[str, str], str]:
    """Return SHA-256 by name of the files with equal bytes, and the rule; '' for too many bytes.

    Raises DataError where a file cannot be read.
    """
    try:
        lengths = {name: (root / name).stat().st_size for name in names}
        ends = {name: (lengths[name], _end(root, name)) for name in _sharing(lengths)}
        alike = _sharing(ends)
        if sum(lengths[name] for name in alike) > MAX_READ_BYTES:
            return {}, ""
        return _equal(root, alike, _file_digest), "file bytes"
    except OSError as error:
        raise DataError(
            f"image {Path(str(error.filename)).name} cannot be read: {error.strerror}",
            fix="restore the file, and leave the folder as it is while it is read",
        ) from None


def _sharing(values: Mapping[str, Key]) -> list[str]:
    """Return the names whose value another name has too."""
    by_value: dict[Key, list[str]] = defaultdict(list)
    for name, value in values.items():
        by_value[value].append(name)
    return [name for names in by_value.values() if len(names) > 1 for name in names]


def _equal(root: Path, names: Sequence[str], digest: Callable[[Path, str], str]) -> dict[str, str]:
    return only_repeated(_of_all(names, lambda name: digest(root, name)))


def _of_all(names: Sequence[str], work: Callable[[str], Key]) -> dict[str, Key]:
    """Return ``work`` of every image by name. Raises DataError that names all broken images."""

    def tried(position: int) -> Key | DataError:
        try:
            return work(names[position])
        except DataError as error:
            return error

    found: dict[str, Key] = {}
    errors: list[DataError] = []
    for name, result in zip(names, map_threaded(tried, range(len(names))), strict=True):
        if isinstance(result, DataError):
            errors.append(result)
        else:
            found[name] = result
    if len(errors) > 1:
        named = "; ".join(error.problem for error in errors[:MAX_BROKEN_NAMED])
        more = len(errors) - MAX_BROKEN_NAMED
        raise DataError(
            f"{len(errors):,} images cannot be read: {named}"
            + (f"; and {more:,} more" if more > 0 else ""),
            fix="restore these files or leave them out",
        )
    if errors:
        raise errors[0]
    return found


def only_repeated(digests: Mapping[str, str]) -> dict[str, str]:
    """Return those entries whose value occurs more than once."""
    counts = Counter(digests.values())
    return {name: digest for name, digest in digests.items() if counts[digest] > 1}


def _pixel_digest(root: Path, name: str) -> str:
    pixels = as_rgb(open_image(root / name, name))
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def _end(root: Path, name: str) -> bytes:
    """Return the hash of the last bytes of a file."""
    with (root / name).open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - END_BYTES))
        return hashlib.sha256(stream.read()).digest()


def _file_digest(root: Path, name: str) -> str:
    with (root / name).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
