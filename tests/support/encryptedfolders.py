"""Folders of small images for the tests of encryption, and both directions on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from he_compare.block_scramble.folder.decrypt import decrypt_folder
from he_compare.block_scramble.folder.encrypt import encrypt_folder
from he_compare.block_scramble.folder.work import FolderOutcome
from he_compare.common.types import UInt8Array


def pixels(path: Path) -> UInt8Array:
    with Image.open(path) as image:
        return np.asarray(image)


def save(path: Path, shape: tuple[int, ...], seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(values).save(path)


def make_room(tmp_path: Path) -> Path:
    """Return a folder whose ``in`` holds five images: grey and colour, of five sizes."""
    for number, (name, shape) in enumerate(
        {
            "a.png": (32, 32, 3),
            "b.bmp": (20, 37, 3),
            "grey/c.png": (33, 18),
            "grey/deep/c.jpg": (40, 24),
            "grey/deep/patient 7.first.JPEG": (24, 40, 3),
        }.items()
    ):
        save(tmp_path / "in" / name, shape, number)
    return tmp_path


def encrypt(
    room: Path, cipher: str = "vit_block", target: str = "out", **changes: Any
) -> FolderOutcome:
    size, source = changes.pop("size", None), changes.pop("source", "in")
    key_file = room / changes.pop("key", "client.key")
    progress = changes.pop("progress", lambda what, done, total: None)
    return encrypt_folder(
        room / source,
        room / target,
        cipher=cipher,
        options=changes,
        key_file=key_file,
        size=size,
        progress=progress,
    )


def decrypt(
    room: Path, source: str = "out", target: str = "back", key: str = "client.key"
) -> FolderOutcome:
    return decrypt_folder(
        room / source,
        room / target,
        key_file=room / key,
        progress=lambda what, done, total: None,
    )


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def assert_same_pixels(source: Path, back: Path) -> None:
    names = files(source)
    for name in names:
        restored = back / Path(name).with_suffix(".png")
        np.testing.assert_array_equal(pixels(restored), pixels(source / name), err_msg=name)
    assert len(files(back)) == len(names) + 1
