"""The store of decoded images: what it gives, when it is used again, and when it is made anew."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from he_compare.common.contracts import OpenDataset
from he_compare.common.datasets.opened.equal_images import find_equal
from he_compare.common.datasets.opened.fingerprint import fingerprint, fingerprint_of
from he_compare.common.datasets.opened.looks import bits_of, frequencies_of
from he_compare.common.datasets.stored import image_store, nameless, picture_writer
from he_compare.common.datasets.stored.forgetting import forget_images, kept_files
from he_compare.common.datasets.stored.image_store import (
    DecodedImages,
    StoreWish,
    decoded_images,
)
from he_compare.common.datasets.stored.picture_file import PIXELS_AT, StoredPictures
from he_compare.common.errors import DataError
from he_compare.common.types import HeldPictures, IntArray, Split

Opened = Callable[[], OpenDataset]
SIZE = 24


def _all(dataset: OpenDataset) -> dict[Split, IntArray]:
    return {split: np.arange(len(dataset.index(split).ids)) for split in Split}


def _decoded(dataset: OpenDataset, cache: Path, *, looks: bool = True) -> DecodedImages:
    return decoded_images(dataset, _all(dataset), StoreWish(cache, SIZE), looks=looks)


def _train(dataset: OpenDataset, decoded: DecodedImages) -> StoredPictures:
    return decoded.pictures(dataset, Split.TRAIN, _all(dataset)[Split.TRAIN])


def _file(cache: Path) -> Path:
    (found,) = (cache / "images").glob("*.pictures")
    return found


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_the_store_gives_what_the_dataset_reads(opened: Opened, cache: Path) -> None:
    dataset = opened()
    decoded = _decoded(dataset, cache)
    chosen = _all(dataset)
    for split in Split:
        read = dataset.read(split, chosen[split], SIZE)
        stored = decoded.pictures(dataset, split, chosen[split])
        assert np.array_equal(stored[:], read) and stored.shape == read.shape
        assert stored.digest() == HeldPictures(read).digest()
        natives = list(dataset.native(split, chosen[split]))  # type: ignore[attr-defined]
        found_look = decoded.looks(split, chosen[split])[2]
        assert np.allclose(found_look, frequencies_of(natives[2]), atol=1e-2)
        assert np.array_equal(bits_of(found_look[None]), bits_of(frequencies_of(natives[2])[None]))
    found = {split: decoded.natives(split, chosen[split]) for split in Split}
    assert fingerprint_of(dataset, chosen, found) == fingerprint(dataset, chosen)
    assert decoded.file.header.channels == 1  # all pictures are grey


def test_any_index_reads_what_it_names(opened: Opened, cache: Path) -> None:
    dataset = opened()
    held = dataset.read(Split.TRAIN, _all(dataset)[Split.TRAIN], SIZE)
    stored = _train(dataset, _decoded(dataset, cache))
    for index in (0, -1, slice(3, 9), slice(None, None, -2), np.array([7, 2, 2]), slice(5, 5)):
        found = stored[index]
        assert type(found) is np.ndarray and np.array_equal(found, held[index])
    assert np.array_equal(np.asarray(stored), held)
    some = stored.select(np.array([9, 1]))
    assert np.array_equal(some[:], held[[9, 1]])
    assert some.digests() == (stored.digests()[9], stored.digests()[1])
    assert some.digest() == HeldPictures(held[[9, 1]]).digest() != stored.digest()
    with pytest.raises(IndexError):
        stored[len(held)]


@pytest.mark.parametrize("position", [0, 3, 19])
def test_one_picture_in_colour_gives_all_three_channels(
    opened: Opened, pictures: Path, cache: Path, position: int
) -> None:
    colours = np.random.default_rng(1).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    for label in ("ill", "well"):
        Image.fromarray(colours).save(pictures / label / f"{position:02d}.png")
    dataset = opened()
    decoded = _decoded(dataset, cache)
    assert decoded.file.header.channels == 3
    for split, chosen in _all(dataset).items():
        assert np.array_equal(
            decoded.pictures(dataset, split, chosen)[:], dataset.read(split, chosen, SIZE)
        )
    assert _decoded(dataset, cache).reused


def test_unchanged_images_are_not_decoded_again(
    opened: Opened, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _decoded(opened(), cache)
    dataset = opened()
    monkeypatch.setattr(image_store, "look_through", _refuse)
    again = _decoded(dataset, cache)
    assert (first.reused, again.reused) == (False, True)
    assert _train(dataset, again).digest() == _train(dataset, first).digest()


def _refuse(*_: Any) -> Any:
    raise AssertionError("decoded again")


def test_a_changed_image_of_equal_length_and_time_is_decoded_again(
    opened: Opened, pictures: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A length and a time are no proof: the bytes are asked."""
    one = pictures / "ill" / "03.bmp"
    (pictures / "ill" / "03.png").unlink()
    Image.fromarray(np.zeros((30, 30), dtype=np.uint8)).save(one)
    before, first = one.stat(), _decoded(opened(), cache)
    content = bytearray(one.read_bytes())
    content[-500] ^= 255
    one.write_bytes(content)
    os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (one.stat().st_size, one.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    dataset = opened()
    with caplog.at_level(logging.WARNING):
        again = _decoded(dataset, cache)
    assert not again.reused and "images changed" in caplog.text
    assert set(again.file.facts.digests) ^ set(first.file.facts.digests)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[PIXELS_AT + 5000] ^= 1
    path.write_bytes(content)


def _shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _damage_facts(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _foreign(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def _claim(old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = path.read_bytes()
        assert content.count(old) == 1
        head = content.replace(old, new)
        length = int.from_bytes(content[8:12], "little") + len(new) - len(old)
        path.write_bytes(head[:8] + length.to_bytes(4, "little") + head[12:])

    return change


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_flip, "is damaged"),
        (_shorten, "bytes instead of"),
        (_damage_facts, "facts are damaged"),
        (_empty, "too short"),
        (_foreign, "no file of images"),
        (_claim(b'"count":40', b'"count":1099511627776'), "bytes instead of"),
        (_claim(b'"count":40', b'"count":-1'), "does not read"),
        (_claim(b'"side":24', b'"side":1e9'), "does not read"),
        (_claim(b'"channels":1', b'"channels":2'), "bytes instead of"),
        (_claim(b'"looks":true', b'"looks":{}'), "does not read"),
    ],
)
def test_a_damaged_store_is_said_and_made_anew(
    opened: Opened,
    cache: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
    said: str,
) -> None:
    whole = _decoded(opened(), cache)
    damage(_file(cache))
    dataset = opened()
    with caplog.at_level(logging.WARNING):
        again = _decoded(dataset, cache)
    assert not again.reused
    assert said in caplog.text and "decoded again" in caplog.text
    assert again.file.facts.digests == whole.file.facts.digests
    assert _decoded(dataset, cache).reused


def test_a_store_of_another_reader_is_made_anew(
    opened: Opened,
    cache: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as older:
        older.setattr(image_store, "reader_version", lambda _: "0" * 64)
        _decoded(opened(), cache)
    with caplog.at_level(logging.WARNING):
        assert not _decoded(opened(), cache).reused
    assert "another version of the reader" in caplog.text
    assert _decoded(opened(), cache).reused


def test_a_full_disk_is_said_before_with_both_figures(
    opened: Opened, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        picture_writer.shutil, "disk_usage", lambda _: SimpleNamespace(free=100 << 20)
    )
    monkeypatch.setattr(nameless, "MEMORY_SHARE", 0.0)
    monkeypatch.setattr(image_store, "look_through", _refuse)
    with pytest.raises(DataError, match=r"need 0 MiB .* 256 MiB left over.* 100 MiB free") as error:
        _decoded(opened(), cache)
    assert "--image-size" in error.value.fix
    assert list((cache / "images").glob("*.pictures")) == []


def test_a_disk_that_fills_leaves_nothing(
    opened: Opened, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = picture_writer.PictureWriter.add

    def full(self: Any, *facts: Any) -> None:
        if self._written == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        add(self, *facts)

    monkeypatch.setattr(picture_writer.PictureWriter, "add", full)
    with pytest.raises(DataError, match="the disk has"):
        _decoded(opened(), cache)
    assert [p.suffix for p in (cache / "images").iterdir()] == [".lock"]
    monkeypatch.undo()
    assert not _decoded(opened(), cache).reused


@pytest.mark.parametrize("place", ["a temporary file", "memory"])
def test_where_the_cache_cannot_be_written_images_lie_in_a_file_without_a_name(
    opened: Opened,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: str,
) -> None:
    wanted = _train(opened(), _decoded(opened(), cache))[:]
    blocked = cache.parent / "file"
    blocked.write_text("in the way")
    if place == "memory":
        if not hasattr(os, "memfd_create"):
            pytest.skip("no files in memory on this system")
        monkeypatch.setattr(nameless, "MARGIN_BYTES", 1 << 62)
    dataset = opened()
    decoded = _decoded(dataset, blocked / "cache")
    images = _train(dataset, decoded)
    assert not decoded.reused and not images.has_name
    assert np.array_equal(images[:], wanted)
    assert f"not kept in the cache (Not a directory): they lie in {place}" in caplog.text


BUILDER = """
import sys, time
from pathlib import Path
import numpy as np
from he_compare.common.datasets.folder import DATASET
from he_compare.common.datasets.stored import image_store, picture_writer
from he_compare.common.datasets.stored.forgetting import forget_images, kept_files
from he_compare.common.types import Split
add = picture_writer.PictureWriter.add
def slow(self, *facts):
    add(self, *facts)
    print("one", flush=True)
    time.sleep(float(sys.argv[3]))
picture_writer.PictureWriter.add = slow
dataset = DATASET.open(sys.argv[1], None, "", 0)
chosen = {split: np.arange(len(dataset.index(split).ids)) for split in Split}
wish = image_store.StoreWish(Path(sys.argv[2]), 24)
print("reused", image_store.decoded_images(dataset, chosen, wish, looks=True).reused)
"""


def _builder(pictures: Path, cache: Path, seconds: float) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", BUILDER, str(pictures), str(cache), str(seconds)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on this system")
def test_what_a_killed_builder_left_is_removed(opened: Opened, pictures: Path, cache: Path) -> None:
    builder = _builder(pictures, cache, 60)
    assert builder.stdout is not None and builder.stdout.readline() == "one\n"
    builder.kill()
    builder.communicate()
    # Of a file without a name nothing stays; earlier versions left such ones.
    (lock,) = (cache / "images").iterdir()
    (cache / "images" / f".{lock.stem}.0011aabb.part").write_bytes(b"half")
    assert not _decoded(opened(), cache).reused
    assert sorted(p.suffix for p in (cache / "images").iterdir()) == [".lock", ".pictures"]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on this system")
def test_nothing_is_forgotten_while_images_are_decoded(pictures: Path, cache: Path) -> None:
    builder = _builder(pictures, cache, 60)
    assert builder.stdout is not None and builder.stdout.readline() == "one\n"
    unfinished = cache / "images" / f".{'0' * 40}.part"
    unfinished.write_bytes(b"half")
    with pytest.raises(DataError, match="being decoded"):
        forget_images(cache)
    assert kept_files(cache)[0].path == unfinished
    builder.kill()
    builder.communicate()
    assert [one.path for one in forget_images(cache)] == [unfinished]
    assert kept_files(cache) == []


def test_a_run_that_reads_forgotten_images_goes_on_and_the_next_decodes(
    opened: Opened, cache: Path
) -> None:
    dataset = opened()
    decoded = _decoded(dataset, cache)
    images = _train(dataset, decoded)
    (kept,) = kept_files(cache)
    assert (kept.images, kept.side, kept.path) == (40, SIZE, _file(cache))
    assert kept.bytes == _file(cache).stat().st_size
    if os.name == "posix":
        forget_images(cache)
        assert not list((cache / "images").glob("*.pictures"))
        assert HeldPictures(images[:]).digest() == images.digest()
        assert not _decoded(dataset, cache).reused


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_nobody_else_can_open_decoded_images(opened: Opened, cache: Path) -> None:
    (cache / "images").mkdir(parents=True)
    (cache / "images").chmod(0o755)
    before = os.umask(0o022)
    try:
        _decoded(opened(), cache)
    finally:
        os.umask(before)
    assert (cache / "images").stat().st_mode & 0o777 == 0o700
    assert {one.stat().st_mode & 0o777 for one in (cache / "images").iterdir()} == {0o600}


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on this system")
def test_of_two_builders_one_decodes_and_both_have_the_images(pictures: Path, cache: Path) -> None:
    builders = [_builder(pictures, cache, 0.02) for _ in range(2)]
    said = [one.communicate(timeout=120)[0].splitlines() for one in builders]
    assert [one.returncode for one in builders] == [0, 0]
    assert sorted(lines[-1] for lines in said) == ["reused False", "reused True"]
    assert sorted(len(lines) for lines in said) == [1, 41]


def test_an_image_that_cannot_be_decoded_is_named_where_it_is_asked(
    opened: Opened, pictures: Path, cache: Path
) -> None:
    dataset = opened()
    broken = dataset.index(Split.TRAIN).ids[4]
    content = (pictures / broken).read_bytes()
    (pictures / broken).write_bytes(content[: len(content) // 2])
    decoded = _decoded(dataset, cache)
    assert decoded.natives(Split.TRAIN, np.arange(6))[4] == ""
    assert len(decoded.pictures(dataset, Split.TRAIN, np.arange(4))) == 4
    with pytest.raises(DataError, match=broken):
        _train(dataset, decoded)
    assert _decoded(dataset, cache).reused


def test_a_file_that_is_deleted_or_shortened_while_it_is_used(opened: Opened, cache: Path) -> None:
    from he_compare.common.errors import IntegrityError

    dataset = opened()
    images = _train(dataset, _decoded(dataset, cache))
    whole = images[:]
    copy = _file(cache).with_suffix(".copy")
    shutil.copy(_file(cache), copy)
    copy.replace(_file(cache))
    assert np.array_equal(images[:], whole)
    other = _train(dataset, _decoded(dataset, cache))
    os.truncate(_file(cache), PIXELS_AT)
    with pytest.raises(IntegrityError, match="shorter"):
        other[0]


def test_a_long_decoding_says_before_it_how_many_images_how_large_and_why(
    opened: Opened,
    cache: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_store, "SAID_BYTES", 1)
    count = sum(len(positions) for positions in _all(opened()).values())
    with caplog.at_level(logging.WARNING):
        find_equal(opened(), wish=StoreWish(cache, SIZE))
    size = next((cache / "images").glob("*.pictures")).stat().st_size
    assert f"decoding {count:,} images into the cache, about {size / 1e3:.1f} kB" in caplog.text
    assert "compared with each other to find copies" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        find_equal(opened(), wish=StoreWish(cache, SIZE))
    assert "decoding" not in caplog.text
