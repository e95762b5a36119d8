"""Photographs in a document: a few side by side, a grid of many, each with its own pixels.

Renderers lay them out as pages do, with titles as text; nothing is drawn or scaled beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Still:
    """One of some pictures side by side: a title above it, a number or a remark under it."""

    title: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class Stills:
    """Pictures of one thing in order, side by side: for instance original, encrypted, rebuilt.

    All of them are seen at once in every format: nothing has to be moved to see what was won.
    """

    name: str
    caption: str
    alt: str
    stills: tuple[Still, ...]

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError(f"pictures {self.name!r} have no alternative text")
        if not 2 <= len(self.stills) <= 4:
            raise ValueError(f"{self.name!r}: {len(self.stills)} pictures, not 2 to 4")

    def files(self) -> dict[str, bytes]:
        """Return the pictures by the names of files they can be written to."""
        return {f"{self.name}-{i}.png": one.png for i, one in enumerate(self.stills, start=1)}


@dataclass(frozen=True)
class ColumnHead:
    """What stands above a column of a grid: a title and a remark under it."""

    title: str
    remark: str = ""


@dataclass(frozen=True)
class Tile:
    """One picture of a grid; ``caption`` stands under it."""

    png: bytes
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class GridRow:
    """Pictures beside each other, one a column; ``title`` stands before them."""

    title: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Grid:
    """Pictures in rows and columns. Never more columns than a page is wide for."""

    name: str
    caption: str
    alt: str
    heads: tuple[ColumnHead, ...]
    rows: tuple[GridRow, ...]

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError(f"grid {self.name!r} has no alternative text")
        for row in self.rows:
            if len(row.tiles) != len(self.heads):
                raise ValueError(
                    f"grid {self.name!r}: a row of {len(row.tiles)} pictures "
                    f"under {len(self.heads)} heads"
                )

    def files(self) -> dict[str, bytes]:
        """Return the pictures by the names of files they can be written to."""
        return {
            self.file(r, c): tile.png
            for r, row in enumerate(self.rows)
            for c, tile in enumerate(row.tiles)
        }

    def file(self, row: int, column: int) -> str:
        """Return the name of the file of a picture; rows and columns count from 0."""
        return f"{self.name}-{row + 1}-{column + 1}.png"
