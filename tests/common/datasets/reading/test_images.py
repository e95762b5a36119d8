"""Images that nobody vouches for: decoded to RGB by stated rules, or refused by name."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from he_compare.common.datasets.reading.decoding import (
    as_rgb,
    image_size,
    map_threaded,
    open_image,
    read_squares,
    to_square,
)
from he_compare.common.errors import DataError

GREY = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30).astype(np.uint8)


def save(folder: Path, picture: Image.Image, name: str = "picture.png") -> Path:
    picture.save(folder / name)
    return folder / name


def decode(path: Path) -> np.ndarray:
    return as_rgb(open_image(path, path.name))


def squares(folder: Path, names: list[str], size: int) -> np.ndarray:
    return read_squares(lambda i: open_image(folder / names[i], names[i]), len(names), size)


def test_the_size_is_told_by_the_header(tmp_path: Path) -> None:
    path = save(tmp_path, Image.fromarray(GREY))
    assert image_size(path, path.name) == (30, 20)
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"picture\.png is a file of another kind, not a PNG"):
        image_size(path, path.name)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    pixels = decode(save(tmp_path, Image.fromarray(GREY)))
    assert pixels.shape == (20, 30, 3)
    assert all(np.array_equal(pixels[:, :, channel], GREY) for channel in range(3))


def test_palette_becomes_the_colours_it_stands_for(tmp_path: Path) -> None:
    picture = Image.new("P", (16, 16), 1)
    picture.putpalette([0, 0, 0, 10, 200, 30])
    assert decode(save(tmp_path, picture))[3, 3].tolist() == [10, 200, 30]


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    assert np.unique(decode(save(tmp_path, Image.new("1", (16, 16), 1)))).tolist() == [255]


def test_opaque_alpha_is_dropped(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (16, 16), (1, 2, 3, 255))
    assert decode(save(tmp_path, picture))[0, 0].tolist() == [1, 2, 3]


def test_transparent_pixels_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path, Image.new("RGBA", (16, 16), (1, 2, 3, 254)))
    with pytest.raises(DataError, match=r"picture\.png.*RGBA.*transparent.*flatten"):
        decode(path)


def test_cmyk_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, Image.new("CMYK", (16, 16)), "picture.jpg")
    with pytest.raises(DataError, match="CMYK"):
        decode(path)


def test_other_formats_are_refused_even_under_a_png_name(tmp_path: Path) -> None:
    Image.new("L", (16, 16)).save(tmp_path / "picture.png", format="GIF")
    with pytest.raises(DataError, match=r"picture\.png is a GIF file.*convert it"):
        decode(tmp_path / "picture.png")


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("name", ["picture.png", "picture.jpg"])
def test_truncated_files_are_refused_by_name(tmp_path: Path, name: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = save(tmp_path, Image.fromarray(noise), name)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        decode(path)


def test_an_empty_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty\.png"):
        decode(tmp_path / "empty.png")


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png does not exist"):
        decode(tmp_path / "gone.png")


def test_a_decompression_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 9000, 9000, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(DataError, match=r"bomb\.png has 9000 x 9000 pixels"):
        decode(tmp_path / "bomb.png")


def test_a_tiny_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="4 x 20 pixels, fewer than 8"):
        decode(save(tmp_path, Image.new("L", (4, 20))))


def test_resizing_squashes_with_pillows_bicubic_filter() -> None:
    picture = Image.fromarray(GREY)
    expected = np.asarray(picture.resize((12, 12), Image.Resampling.BICUBIC))
    assert np.array_equal(to_square(picture, 12)[:, :, 0], expected)


def test_grey_and_its_rgb_copy_resize_to_the_same_pixels() -> None:
    picture = Image.fromarray(GREY)
    assert np.array_equal(to_square(picture, 16), to_square(picture.convert("RGB"), 16))


def test_files_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    names = [f"{value:03d}.png" for value in range(40)]
    for value, name in enumerate(names):
        save(tmp_path, Image.new("L", (16, 16), value), name)
    images = squares(tmp_path, names[::-1], 16)
    assert images.dtype == np.uint8
    assert images[:, 0, 0, 0].tolist() == list(range(39, -1, -1))


def test_one_bad_file_among_many_is_named(tmp_path: Path) -> None:
    names = [f"{value:03d}.png" for value in range(40)]
    for name in names:
        save(tmp_path, Image.new("L", (16, 16)), name)
    (tmp_path / "023.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"023\.png"):
        squares(tmp_path, names, 16)


def test_threads_keep_the_order_of_their_items() -> None:
    assert list(map_threaded(lambda item: item * item, range(300))) == [i * i for i in range(300)]


def test_sixteen_bit_colour_is_refused_though_pillow_would_narrow_it(tmp_path: Path) -> None:

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + bytes(16 * 6) for _ in range(16))
    header = struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    png += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(png)
    with pytest.raises(DataError, match=r"deep\.png .*more than 8 bits"):
        open_image(tmp_path / "deep.png", "deep.png")
