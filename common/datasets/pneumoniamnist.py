"""PneumoniaMNIST: the same radiographs cropped to small squares (MedMNIST v2, npz layout).

``pneumoniamnist`` is the 28-pixel set, ``pneumoniamnist:224`` a larger one. The npz is read from
where data is looked for, or fetched once by the ``medmnist`` package into the user cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.contracts import OpenDataset, SplitIndex
from common.datasets.cards import choose_subset
from common.datasets.images import to_square
from common.datasets.locate import ENVIRONMENT_VARIABLE, data_cache, locate
from common.datasets.npzarrays import read_npz
from common.datasets.splits import check_splits
from common.errors import DataError
from common.records import DatasetCard
from common.types import IntArray, Split, UInt8Array

CLASSES = ("normal", "pneumonia")
OFFICIAL_MD5 = {
    28: "28209eda62fecd6e6a2d98b1501bb15f",
    64: "8f4eceb4ccffa70c672198ea285246c6",
    128: "05b46931834c231683c68f40c47b2971",
    224: "d6a3c71de1b945ea11211b03746c1fe1",
}

CARD = DatasetCard(
    name="pneumoniamnist",
    title="PneumoniaMNIST: small paediatric chest X-rays, normal or pneumonia",
    description="5,856 paediatric chest radiographs, cropped at the centre and scaled to small "
    "grey squares, with the split of MedMNIST v2.",
    source="MedMNIST v2, doi:10.5281/zenodo.10519652; images of Kermany et al. 2018, "
    "doi:10.17632/rscbjbr9sj.2",
    licence="CC BY 4.0",
    citation="Yang et al.: MedMNIST v2, Scientific Data 10:41, 2023, "
    "doi:10.1038/s41597-022-01721-8; Kermany et al., Cell 172(5):1122-1131, 2018, "
    "doi:10.1016/j.cell.2018.02.010",
    caveats=[
        "Children of one to five years only: results do not carry over to adults.",
        "28 x 28 pixels keep little of what a radiologist looks at; not for clinical use.",
        "Patients are not known: every image counts as a patient of its own, so that splits may "
        "share patients and intervals may be too narrow.",
        "The test split comes from another part of the source data than train and validation.",
    ],
    classes=list(CLASSES),
    positive_class="pneumonia",
    native_size="28 x 28; 64, 128 or 224 in the larger sets",
)


@dataclass
class ArrayImages:
    """An open dataset of grey squares held in memory; ids are ``split/00012``."""

    card: DatasetCard
    subset: str
    images: dict[Split, UInt8Array]
    splits: dict[Split, SplitIndex]
    notes: list[str] = field(default_factory=list)

    def index(self, split: Split) -> SplitIndex:
        """Return ids, labels and groups of a split in the order of the file."""
        return self.splits[split]

    def read(self, split: Split, positions: IntArray, size: int) -> UInt8Array:
        """Scale images of a split: uint8 (n, size, size, 3), Pillow's bicubic filter."""
        from PIL import Image

        images = np.empty((len(positions), size, size, 3), dtype=np.uint8)
        for row, position in enumerate(positions):
            images[row] = to_square(Image.fromarray(self.images[split][int(position)]), size)
        return images

    def native(self, split: Split, positions: IntArray) -> Iterator[UInt8Array]:
        """Yield images of a split as stored, uint8 (side, side, 3) each."""
        for position in positions:
            yield np.repeat(self.images[split][int(position)][:, :, None], 3, axis=2)


class PneumoniaMnist:
    """The family: one npz file a size."""

    name = "pneumoniamnist"
    subsets = ("published",)

    def card(self) -> DatasetCard:
        """Return the card without opening any data."""
        return CARD

    def open(self, argument: str, data_dir: Path | None, subset: str, seed: int) -> OpenDataset:
        """Find or fetch the npz and validate it. ``argument``: pixels a side. Raises DataError."""
        subset = choose_subset(self.name, subset, self.subsets)
        size = _size_of(argument)
        path = find_or_fetch(size, data_dir)
        images, labels = read_splits(path, size)
        splits = {split: _index(split, labels[split]) for split in Split}
        check_splits(splits, CLASSES)
        official = _md5(path) == OFFICIAL_MD5[size]
        notes = [
            "split of MedMNIST v2",
            f"{path.name} is the official file (MD5)"
            if official
            else f"{path.name} is not byte for byte the official file: its MD5 differs",
            f"{_shared_pixels(images)} test or validation images have the pixels of an image of "
            "an earlier split",
        ]
        return ArrayImages(CARD, subset, images, splits, notes)


def _size_of(argument: str) -> int:
    if not argument:
        return 28
    if argument not in {str(size) for size in OFFICIAL_MD5}:
        raise DataError(
            f"pneumoniamnist has no size {argument!r}",
            fix="sizes: " + ", ".join(str(size) for size in OFFICIAL_MD5),
        )
    return int(argument)


def file_name(size: int) -> str:
    """Return the name MedMNIST gives the file of a size."""
    return "pneumoniamnist.npz" if size == 28 else f"pneumoniamnist_{size}.npz"


def find_or_fetch(size: int, data_dir: Path | None) -> Path:
    """Return the npz from where data is looked for, else from a download into the user cache.

    With ``data_dir`` nothing is fetched. Raises DataError listing the places looked at.
    """
    name = file_name(size)

    def wanted(folder: Path) -> Path | None:
        return folder / name if (folder / name).is_file() else None

    if data_dir is not None and data_dir.is_file():
        raise DataError(f"--data-dir {data_dir} is a file", fix="name the folder that holds it")
    path, account = locate("pneumoniamnist", data_dir, wanted, name)
    if path is not None:
        return path
    if data_dir is not None:
        raise DataError(
            f"no pneumoniamnist data found; looked in {account}",
            fix=f"put {name} there, or leave --data-dir away to have it downloaded",
        )
    return fetch(size, account)


def fetch(size: int, account: str) -> Path:
    """Download the npz of a size into the user cache; it gets its name only once its MD5 holds.

    A partial or altered download is deleted. Raises DataError with the places looked at before.
    """
    target = data_cache("pneumoniamnist") / file_name(size)
    try:
        return _fetch_into(target, size)
    except (OSError, RuntimeError, ImportError) as error:
        # medmnist turns everything, Ctrl-C too, into a RuntimeError.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        reason = str(error).strip().split("\n", 1)[0]
        raise DataError(
            f"no pneumoniamnist data found; looked in {account}; the download of {target.name} "
            f"failed: {reason}",
            fix=f"fetch {target.name} from doi:10.5281/zenodo.10519652 and name its folder with "
            f"--data-dir or {ENVIRONMENT_VARIABLE}",
        ) from None


def _fetch_into(target: Path, size: int) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as partial:
        download(Path(partial), size)
        fetched = Path(partial) / target.name
        if not fetched.is_file():
            raise OSError("the download left no file")
        if _md5(fetched) != OFFICIAL_MD5[size]:
            raise OSError("its MD5 is not the official one; it was deleted and not used")
        return fetched.replace(target)


def download(folder: Path, size: int) -> None:
    """Have the medmnist package fetch the npz of a size into a folder (it checks the MD5 too)."""
    from medmnist import PneumoniaMNIST

    # What the package prints on the way is no result of the command.
    with contextlib.redirect_stdout(sys.stderr):
        PneumoniaMNIST(split="test", download=True, root=str(folder), size=size)


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def read_splits(path: Path, size: int) -> tuple[dict[Split, UInt8Array], dict[Split, IntArray]]:
    """Read and validate images uint8 (n, size, size) and labels int64 (n,) by split."""
    keys = tuple(f"{split}_{part}" for split in Split for part in ("images", "labels"))
    arrays = read_npz(path, keys)
    images: dict[Split, UInt8Array] = {}
    labels: dict[Split, IntArray] = {}
    for split in Split:
        pixels = arrays[f"{split}_images"]
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[1:] != (size, size):
            raise _wrong(path, f"{split}_images", pixels, f"uint8 (n, {size}, {size})")
        images[split] = pixels
        labels[split] = _labels(path, f"{split}_labels", arrays[f"{split}_labels"], len(pixels))
    return images, labels


def _labels(path: Path, key: str, values: npt.NDArray[Any], n: int) -> IntArray:
    if values.dtype.kind not in "ui" or values.shape not in ((n,), (n, 1)):
        raise _wrong(path, key, values, f"integers ({n}, 1)")
    flat = values.reshape(-1).astype(np.int64)
    outside = flat[(flat < 0) | (flat >= len(CLASSES))]
    if outside.size:
        raise DataError(
            f"array {key!r} of {path.name} has the label {outside[0]}, "
            f"known are 0 to {len(CLASSES) - 1}",
            fix="fetch the file again",
        )
    return flat


def _wrong(path: Path, key: str, array: npt.NDArray[Any], expected: str) -> DataError:
    return DataError(
        f"array {key!r} of {path.name} is {array.dtype} {array.shape}, expected {expected}",
        fix="use the file of that size in MedMNIST layout",
    )


def _index(split: Split, labels: IntArray) -> SplitIndex:
    ids = tuple(f"{split}/{position:05d}" for position in range(len(labels)))
    return SplitIndex(ids=ids, labels=labels, groups=ids)


def _shared_pixels(images: dict[Split, UInt8Array]) -> int:
    seen: set[bytes] = set()
    shared = 0
    for split in Split:
        digests = [hashlib.sha256(image.tobytes()).digest() for image in images[split]]
        shared += sum(digest in seen for digest in digests)
        seen.update(digests)
    return shared


DATASET = PneumoniaMnist()
