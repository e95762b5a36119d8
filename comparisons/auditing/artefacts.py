"""What attacks leave in the run folder: pictures and files, under ``attacks/``."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from he_compare.common.adversary import Truth
from he_compare.common.attack_score import Picture
from he_compare.common.run.records import AttackPicture
from he_compare.common.run.store import ATTACK_FILES, RunFolder, write_atomic
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


def store_attack_pictures(
    folder: RunFolder,
    target: str,
    attack: str,
    pictures: Sequence[Picture],
    truth: Truth,
    ciphertexts: PixelArray,
) -> list[AttackPicture]:
    """Write original, server's view and outcome of a few images as PNG; return their records."""
    place = folder_of(target, attack)
    stored = []
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
            write_atomic(folder.path / name, png(pixels))
            image = truth.ids[picture.position]
            stored.append(AttackPicture(file=name, role=role, image=image, caption=caption))
    return stored


def store_findings(
    folder: RunFolder,
    target: str,
    attack: str,
    files: Mapping[str, bytes],
) -> list[str]:
    """Write the files of a check; return their names relative to the run folder."""
    place = folder_of(target, attack)
    for name, data in files.items():
        write_atomic(folder.path / place / name, data)
    return [f"{place}/{name}" for name in files]


def store_finding_pictures(
    folder: RunFolder,
    target: str,
    attack: str,
    pictures: Sequence[tuple[str, str, UInt8Array, str]],
) -> list[AttackPicture]:
    """Write the pictures of a check, (image id, role, pixels, caption), as PNG."""
    place = folder_of(target, attack)
    stored = []
    for number, (image, role, pixels, caption) in enumerate(pictures):
        name = f"{place}/{number}-{slug(role)}.png"
        write_atomic(folder.path / name, png(pixels))
        stored.append(
            AttackPicture.model_validate(
                {"file": name, "role": role, "image": image, "caption": caption}
            )
        )
    return stored


def png(pixels: UInt8Array) -> bytes:
    """Encode uint8 (h, w, 3), (h, w, 1) or (h, w) as PNG."""
    buffer = io.BytesIO()
    shown = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    Image.fromarray(np.ascontiguousarray(shown)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
