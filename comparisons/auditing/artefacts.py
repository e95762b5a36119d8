"""What attacks leave: pictures and files, as bytes under their names in the run folder."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from he_compare.common.adversary import Truth
from he_compare.common.attack_score import Picture
from he_compare.common.errors import CellError, IntegrityError
from he_compare.common.identity import file_digest
from he_compare.common.run.records import AttackOutcome, AttackPicture
from he_compare.common.run.store import ATTACK_FILES, RunFolder, inside
from he_compare.common.similarity import ssim
from he_compare.common.types import PixelArray, UInt8Array
from he_compare.comparisons.attacks.tools.likeness import as_picture

Role: TypeAlias = Literal["original", "server's view", "after attack"]

MOST_PICTURES = 3
VIEW_NOTE = "perceptual hiding, not confidentiality"


def folder_of(target: str, attack: str) -> str:
    """Return the folder of one cell of the matrix, relative to the run folder."""
    return f"{ATTACK_FILES}/{slug(target)}/{slug(attack)}"


def slug(text: str) -> str:
    """Return a label as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def attack_pictures(
    target: str,
    row: str,
    pictures: Sequence[Picture],
    truth: Truth,
    ciphertexts: PixelArray,
) -> tuple[list[AttackPicture], dict[str, bytes]]:
    """Draw original, server's view and outcome of a few images: their records, and PNG by name."""
    place = folder_of(target, row)
    records, files = [], {}
    for picture in pictures[:MOST_PICTURES]:
        original = truth.originals[picture.position]
        view = as_picture(ciphertexts[picture.position])
        seen = float(ssim(original[None], view[None])[0])
        shown: list[tuple[Role, UInt8Array, str]] = [
            ("original", original, ""),
            ("server's view", view, f"SSIM {seen:.2f} ({VIEW_NOTE})"),
            ("after attack", picture.image, picture.caption),
        ]
        for role, pixels, caption in shown:
            name = f"{place}/{picture.position}-{slug(role)}.png"
            files[name] = png(pixels)
            image = truth.ids[picture.position]
            records.append(AttackPicture(file=name, role=role, image=image, caption=caption))
    return records, files


def finding_files(target: str, check: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of a check under their names in the run folder.

    Raises TypeError for what is no bytes, CellError for a name outside the folder of the cell.
    """
    place = folder_of(target, check)
    for name, data in files.items():
        if not isinstance(data, bytes):
            raise TypeError(f"the file {name!r} of {check!r} is {type(data).__name__}, not bytes")
        if ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise CellError(f"{check!r} leaves a file {name!r}, outside the folder of its cell")
    return {f"{place}/{name}": data for name, data in files.items()}


def finding_pictures(
    target: str,
    check: str,
    pictures: Sequence[tuple[str, str, UInt8Array, str]],
) -> tuple[list[AttackPicture], dict[str, bytes]]:
    """Draw the pictures of a check, (image id, role, pixels, caption), in the same way."""
    place = folder_of(target, check)
    records, files = [], {}
    for number, (image, role, pixels, caption) in enumerate(pictures):
        name = f"{place}/{number}-{slug(role)}.png"
        files[name] = png(pixels)
        facts = {"file": name, "role": role, "image": image, "caption": caption}
        records.append(AttackPicture.model_validate(facts))
    return records, files


def keep_files(folder: RunFolder, files: Mapping[str, bytes]) -> dict[str, str]:
    """Write files under their names in a run folder; return their SHA-256 by name.

    Raises IntegrityError, before any is written, where one would not lie under ``attacks/``.
    """
    for name in files:
        inside(folder.path / ATTACK_FILES, _below(name))
    return {name: folder.put(name, data) for name, data in files.items()}


def damaged(folder: RunFolder, outcome: AttackOutcome, known: Mapping[str, str]) -> str:
    """Name a file of an outcome that is missing or not what was written; '' if all hold.

    ``known``: digests by name, for outcomes of earlier versions: they name their files only.
    """
    for name in dict.fromkeys((*outcome.artefacts, *(one.file for one in outcome.pictures))):
        try:
            found = file_digest(inside(folder.path, name))
        except (OSError, IntegrityError):
            return name
        if found != (outcome.files_sha256.get(name) or known.get(name, found)):
            return name
    return ""


def _below(name: str) -> str:
    head, _, rest = name.partition("/")
    if head != ATTACK_FILES or not rest:
        raise IntegrityError(f"a cell of an audit leaves {name!r}, which is not in {ATTACK_FILES}/")
    return rest


def png(pixels: UInt8Array) -> bytes:
    """Encode uint8 (h, w, 3), (h, w, 1) or (h, w) as PNG."""
    buffer = io.BytesIO()
    shown = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    Image.fromarray(np.ascontiguousarray(shown)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
