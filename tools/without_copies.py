"""Make a folder with a CSV from a published one whose test images are also among its training ones.

``python -m tools.without_copies SOURCE OUT``. SOURCE has a folder for training and one for testing,
each with a folder per class. OUT gets links to the images (copies where links cannot be made) and
``labels.csv`` with a split: test images with the bytes of a training image are left out, and a
tenth of the training images, chosen by their bytes so that copies stay together, is the validation
split. OUT is then a dataset: ``compare run --dataset folder:OUT``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TRAINING, TESTING = ("training", "train"), ("testing", "test")
SUFFIXES = (".jpg", ".jpeg", ".png")
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Image:
    """A file, its class, and the digest of its bytes."""

    path: Path
    label: str
    digest: str


def find_part(source: Path, names: tuple[str, ...]) -> Path:
    """Return the sub-folder of one of these names, in any case. Raises SystemExit."""
    found = [entry for entry in sorted(source.iterdir()) if entry.name.lower() in names]
    if len(found) != 1 or not found[0].is_dir():
        raise SystemExit(f"{source} has no single folder called {' or '.join(names)}")
    return found[0]


def images_of(part: Path) -> Iterator[Image]:
    """Yield the images of a part, class by class, in the order of their names."""
    for folder in sorted(entry for entry in part.iterdir() if entry.is_dir()):
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix.lower() in SUFFIXES:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                yield Image(path, folder.name, digest)


def in_validation(digest: str) -> bool:
    """Choose by the bytes of an image, so that copies have the same answer."""
    return int(digest[:8], 16) / 2**32 < VALIDATION_SHARE


def without_copies(source: Path, out: Path) -> Counter[str]:
    """Write the folder; return how many images each split has and how many were left out."""
    training = list(images_of(find_part(source, TRAINING)))
    testing = list(images_of(find_part(source, TESTING)))
    known = {image.digest for image in training}
    counts: Counter[str] = Counter()
    (out / "images").mkdir(parents=True)
    with (out / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "label", "split"])
        for images, part in ((training, "train"), (testing, "test")):
            for number, image in enumerate(images):
                if part == "test" and image.digest in known:
                    counts["left out"] += 1
                    continue
                split = "val" if part == "train" and in_validation(image.digest) else part
                name = f"images/{part}-{number:06d}{image.path.suffix.lower()}"
                _link(image.path, out / name)
                writer.writerow([name, image.label, split])
                counts[split] += 1
    return counts


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Leave out test images that are training images.")
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path, help="a folder that does not exist yet")
    asked = parser.parse_args()
    if asked.out.exists():
        raise SystemExit(f"{asked.out} exists already: name a new folder")
    for split, count in without_copies(asked.source, asked.out).items():
        print(f"{split}: {count:,} images")


if __name__ == "__main__":
    main()
