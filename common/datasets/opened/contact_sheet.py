"""The contact sheet of a dataset: a few images of each class and split as one PNG."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from he_compare.common.contracts import OpenDataset
from he_compare.common.datasets.opened.splits import hashed_order
from he_compare.common.errors import DataError
from he_compare.common.types import IntArray, Split

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

GAP = 4
LINE = 18
MAX_SHEET_PIXELS = 64_000_000
MAX_ROWS = 60
FONT_SIZE = 12
PAPER, INK, WARNING = (255, 255, 255), (20, 20, 20), (190, 30, 30)


def contact_sheet(
    dataset: OpenDataset, path: Path, seed: int, per_class: int = 6, size: int = 112
) -> None:
    """Write ``per_class`` images of each class and split, chosen by the seed, as a PNG.

    With more than ``MAX_ROWS`` pairs of class and split only training images are drawn. Raises
    DataError where the sheet would have more than ``MAX_SHEET_PIXELS``.
    """
    from PIL import Image, ImageDraw

    chosen = {
        (split, label): choose(dataset, split, label, seed, per_class)
        for split in _drawn_splits(len(dataset.card.classes))
        for label in range(len(dataset.card.classes))
    }
    width = GAP + per_class * (size + GAP)
    height = 2 * LINE + len(chosen) * (LINE + size + GAP) + GAP
    if width * height > MAX_SHEET_PIXELS:
        raise DataError(
            f"a contact sheet of {width} x {height} pixels is too large", fix="ask for fewer images"
        )
    sheet = Image.new("RGB", (width, height), PAPER)
    drawing = ImageDraw.Draw(sheet)
    card = dataset.card
    _write(drawing, (GAP, 2), f"{card.name}: {card.title}", width)
    parts = "" if len(_drawn_splits(len(card.classes))) > 1 else ", training images only"
    warning = "SYNTHETIC: says nothing about patients" if card.synthetic else f"seed {seed}{parts}"
    _write(drawing, (GAP, LINE), warning, width, WARNING if card.synthetic else INK)
    top = 2 * LINE
    for (split, label), positions in chosen.items():
        total = int(np.sum(dataset.index(split).labels == label))
        shown = f"{split} / {card.classes[label]}: {len(positions)} of {total:,}"
        _write(drawing, (GAP, top + 2), shown, width)
        for column, image in enumerate(dataset.read(split, positions, size)):
            sheet.paste(Image.fromarray(image), (GAP + column * (size + GAP), top + LINE))
        top += LINE + size + GAP
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG")


def _drawn_splits(classes: int) -> list[Split]:
    return [*Split] if classes * len(Split) <= MAX_ROWS else [Split.TRAIN]


def choose(dataset: OpenDataset, split: Split, label: int, seed: int, most: int) -> IntArray:
    """Return at most ``most`` positions of one class in an order that follows from the seed."""
    index = dataset.index(split)
    of_class = {index.ids[int(i)]: int(i) for i in np.flatnonzero(index.labels == label)}
    order = hashed_order(list(of_class), seed, "contact sheet", split)
    return np.array([of_class[name] for name in order[:most]], dtype=np.int64)


def _write(
    drawing: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    width: int,
    colour: tuple[int, int, int] = INK,
) -> None:
    """Write one line, cut off at the edge of the sheet."""
    kept = text
    while kept and drawing.textlength(kept, font=_font()) > width - 2 * GAP:
        kept = kept[:-1]
    drawing.text(at, kept if kept == text else f"{kept[:-3]}...", fill=colour, font=_font())


@cache
def _font() -> ImageFont.FreeTypeFont:
    """Return a font that has the letters of most languages: the one that matplotlib brings."""
    import matplotlib
    from PIL import ImageFont

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), FONT_SIZE)
