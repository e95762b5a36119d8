"""Training images and the cached views of them that student and teacher both see.

A view is a crop of one image, flipped and re-lit, drawn once and resized twice: to the student's
size (multiples of 16 px) and the teacher's (multiples of 14 px), so that both cut it into the same
grid of patches. Pixels and teacher tokens are kept in memory-mapped `.npy` files and reused.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
TEACHER_PX = {112: 98, 224: 196}


@dataclass(frozen=True)
class Images:
    """Grey images uint8 (n, 224, 224), their file names and patient groups; no labels."""

    pixels: np.ndarray
    files: list[str]
    groups: list[str]

    def take(self, index: np.ndarray) -> "Images":
        """The images at these positions."""
        return Images(
            self.pixels[index], [self.files[i] for i in index], [self.groups[i] for i in index]
        )


def load_images(data_dir: Path, split: str) -> Images:
    """Images of one split of `labels.csv`; the label column is not read."""
    with (data_dir / "labels.csv").open(newline="") as handle:
        rows = [(r["file"], r["group"]) for r in csv.DictReader(handle) if r["split"] == split]
    if not rows:
        raise ValueError(f"no image of split {split!r} in {data_dir / 'labels.csv'}")
    pixels = np.stack([np.asarray(Image.open(data_dir / file).convert("L")) for file, _ in rows])
    return Images(pixels, [file for file, _ in rows], [group for _, group in rows])


def split_groups(images: Images, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions to train on and positions held out, no group in both."""
    names = sorted(set(images.groups))
    order = np.random.default_rng(seed).permutation(len(names))
    held = {names[i] for i in order[: round(share * len(names))]}
    mask = np.array([group in held for group in images.groups])
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def normalise(grey: np.ndarray) -> Tensor:
    """uint8 (n, h, w) to normalised float32 (n, 3, h, w)."""
    return (torch.from_numpy(np.array(grey)).float().div_(255)[:, None] - MEAN) / STD


def resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """Whole images uint8 (n, h, w) resized to (n, size, size), bicubic with antialiasing."""
    if pixels.shape[1:] == (size, size):
        return pixels
    side = (size, size)
    return np.stack([np.asarray(Image.fromarray(p).resize(side, Image.BICUBIC)) for p in pixels])


def _crop_box(rng: np.random.Generator, side: int, size: int) -> tuple[int, int, int, int]:
    """A third of the boxes holds nearly the whole image, the others down to native resolution."""
    least = 0.2 if size < side else 0.4
    area = rng.uniform(0.85, 1.0) if rng.random() < 0.34 else rng.uniform(least, 0.85)
    ratio = np.exp(rng.uniform(-0.25, 0.25))
    width = min(side, round(side * np.sqrt(area * ratio)))
    height = min(side, round(side * np.sqrt(area / ratio)))
    left, top = rng.integers(side - width + 1), rng.integers(side - height + 1)
    return int(left), int(top), int(left + width), int(top + height)


def _light(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Contrast, brightness and gamma of one image changed at random."""
    value = pixels.astype(np.float32) / 255
    value = (value - value.mean()) * rng.uniform(0.75, 1.3) + value.mean() + rng.uniform(-0.1, 0.1)
    value = np.clip(value, 0, 1) ** np.exp(rng.uniform(-0.25, 0.25))
    return (value * 255 + 0.5).astype(np.uint8)


def draw_view(pixels: np.ndarray, size: int, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """One view of uint8 (side, side) at the student's size and at the teacher's."""
    rng = np.random.default_rng(seed)
    box = _crop_box(rng, pixels.shape[0], size)
    lit = _light(pixels[:, ::-1] if rng.random() < 0.5 else pixels, rng)
    image = Image.fromarray(np.ascontiguousarray(lit))
    student, teacher = (
        np.asarray(image.resize((px, px), Image.BICUBIC, box)) for px in (size, TEACHER_PX[size])
    )
    return student, teacher


@torch.no_grad()
def tokens_of(model: nn.Module, grey: np.ndarray, batch: int = 64, half: bool = True) -> Tensor:
    """All normed tokens float32 (n, tokens, width) of uint8 images, in bfloat16 arithmetic."""
    out = []
    for start in range(0, len(grey), batch):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            out.append(model.forward_features(normalise(grey[start : start + batch])).float())
    return torch.cat(out)


@dataclass(frozen=True)
class ViewSet:
    """One view of every image: pixels uint8 (n, size, size), teacher tokens float16."""

    pixels: np.ndarray
    tokens: np.ndarray

    def batches(self, batch: int, seed: list[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled batches (normalised images, teacher tokens); the incomplete last one dropped."""
        order = np.random.default_rng(seed).permutation(len(self.pixels))
        for start in range(0, len(order) - batch + 1, batch):
            index = np.sort(order[start : start + batch])
            tokens = torch.from_numpy(np.asarray(self.tokens[index])).float()
            yield normalise(self.pixels[index]), tokens


class ViewCache:
    """View sets on disk, drawn when first asked for, the oldest removed."""

    def __init__(self, directory: Path, images: Images, teacher: nn.Module, seed: int, keep: int):
        self.directory, self.images, self.teacher = directory, images, teacher
        self.seed, self.keep = seed, keep
        directory.mkdir(parents=True, exist_ok=True)

    def get(self, size: int, number: int) -> ViewSet:
        """View set `number` at this student size; the same for the same seed and images."""
        paths = [self.directory / f"{size}-{number:04d}-{k}.npy" for k in ("pixels", "tokens")]
        if not all(path.exists() for path in paths):
            self._draw(size, number, paths)
            self._forget(size, number)
        return ViewSet(*(np.load(path, mmap_mode="r") for path in paths))

    def _draw(self, size: int, number: int, paths: list[Path]) -> None:
        pixels, tokens = [], []
        for start in range(0, len(self.images.pixels), 64):
            part = self.images.pixels[start : start + 64]
            seeds = ([self.seed, size, number, start + i] for i in range(len(part)))
            drawn = [draw_view(p, size, s) for p, s in zip(part, seeds, strict=True)]
            pixels.append(np.stack([student for student, _ in drawn]))
            seen = tokens_of(self.teacher, np.stack([teacher for _, teacher in drawn]))
            tokens.append(seen.half().numpy())
        for path, parts in zip(paths, (pixels, tokens), strict=True):
            partial = path.with_suffix(".partial.npy")
            np.save(partial, np.concatenate(parts))
            partial.replace(path)

    def _forget(self, size: int, newest: int) -> None:
        for path in self.directory.glob(f"{size}-*-*.npy"):
            if int(path.name.split("-")[1]) <= newest - self.keep:
                path.unlink()
