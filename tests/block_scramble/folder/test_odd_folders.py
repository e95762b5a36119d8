"""Folders as people have them: refused before anything is written, or finished and counted."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from he_compare.common.errors import DataError, UsageError
from he_compare.comparisons.cli import app
from tests.support.encryptedfolders import decrypt, encrypt, files, make_room, pixels, save

ARROW = np.zeros((64, 96, 3), dtype=np.uint8)
ARROW[:32, :, 0], ARROW[:, :32, 1], ARROW[32:, 48:, 2] = 200, 150, 250
PICTURE = Image.fromarray(ARROW)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    PICTURE.save(tmp_path / "in/a.png")
    return tmp_path


def nothing_is_written(room: Path) -> bool:
    return not (room / "out").exists() and not (room / "client.key").exists()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_comes_back_as_a_person_sees_it(room: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    PICTURE.save(room / "in/a.png", exif=exif)
    outcome = encrypt(room)
    decrypt(room)
    seen = {
        1: ARROW,
        2: ARROW[:, ::-1],
        3: ARROW[::-1, ::-1],
        4: ARROW[::-1],
        5: ARROW.transpose(1, 0, 2),
        6: np.rot90(ARROW, -1),
        7: ARROW[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(ARROW),
    }[orientation]
    np.testing.assert_array_equal(pixels(room / "back/a.png"), seen)
    assert any("EXIF orientation" in note for note in outcome.notes) == (orientation != 1)


def test_formats_of_every_kind_come_back_and_the_rest_is_left_out_by_name(room: Path) -> None:
    names = {"b.tif": "TIFF", "c.webp": "WEBP", "d.jfif": "JPEG", "e.gif": "GIF", "f": "PNG"}
    for name, plugin in {**names, "g.JPE": "JPEG", "h.bmp": "BMP"}.items():
        PICTURE.save(room / "in" / name, plugin)
    PICTURE.save(room / "in/i.jpg", "MPO", save_all=True, append_images=[PICTURE])
    outcome = encrypt(room)
    assert outcome.result.startswith("7 images encrypted")
    assert outcome.left_out == (
        "e.gif: a GIF file",
        "f: seems to be a PNG file, give it the ending .png",
    )
    assert any("first of several" in note for note in outcome.notes)
    decrypt(room)
    assert len(files(room / "back")) == 8
    np.testing.assert_array_equal(pixels(room / "back/b.png"), ARROW)


def test_sixteen_bit_grey_goes_through_one_window_for_the_folder(room: Path) -> None:
    for name, largest in (("x.png", 1000), ("y.tif", 4000)):
        values = np.linspace(0, largest, 32 * 32).astype(np.uint16).reshape(32, 32)
        Image.fromarray(values).save(room / "in" / name)
    assert any("0 to 4,095 become 0 to 255" in note for note in encrypt(room).notes)
    decrypt(room)
    assert pixels(room / "back/x.png").max() == round(1000 * 255 / 4095)
    assert pixels(room / "back/y.png").max() == round(4000 * 255 / 4095)


def test_opaque_alpha_is_dropped_and_real_alpha_refused(room: Path) -> None:
    PICTURE.convert("RGBA").save(room / "in/b.png")
    encrypt(room)
    decrypt(room)
    np.testing.assert_array_equal(pixels(room / "back/b.png"), ARROW)
    Image.new("RGBA", (32, 32), (1, 2, 3, 9)).save(room / "in/c.png")
    with pytest.raises(DataError, match=r"c\.png .*transparent pixels"):
        encrypt(room, target="other", key="other.key")
    assert not (room / "other").exists() and not (room / "other.key").exists()


def test_names_that_are_not_utf8_are_refused_before_anything_is_written(room: Path) -> None:
    os.rename(room / "in/a.png", os.fsencode(room / "in") + b"/r\xf6ntgen.png")  # noqa: PTH104
    PICTURE.save(room / "in/b.png")
    with pytest.raises(DataError, match=r"not UTF-8: r\\xf6ntgen\.png \(rename") as caught:
        encrypt(room)
    str(caught.value).encode("ascii")
    assert nothing_is_written(room)
    os.rename(os.fsencode(room / "in") + b"/r\xf6ntgen.png", room / "in/c.png")  # noqa: PTH104
    encrypt(room)
    decrypt(room)
    assert files(room / "back") == ["b.png", "c.png", "decrypted.json"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("a\\b.png", "a backslash"), ("x" * 245 + ".png", "more than 240 bytes")],
)
def test_names_that_cannot_be_written_are_refused_first(room: Path, name: str, said: str) -> None:
    PICTURE.save(room / "in" / name)
    with pytest.raises(DataError, match=said):
        encrypt(room)
    assert nothing_is_written(room)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("r\u00f6.png", "ro\u0308.png"),
        ("X.png", "x.png"),
        ("img.png", "img.jpg"),
        ("\u00c9.png", "e\u0301.bmp"),
    ],
)
def test_names_that_another_system_takes_for_one_are_refused(
    room: Path, one: str, two: str
) -> None:
    PICTURE.save(room / "in" / one)
    PICTURE.save(room / "in" / two)
    with pytest.raises(DataError, match="would both become"):
        encrypt(room)
    assert nothing_is_written(room)


def test_odd_names_come_back_and_are_told_on_one_line(room: Path) -> None:
    for name in ("i\n0.png", "\u80ba \u00fc e\u0301.png", "sub dir/\U0001f600.png"):
        save(room / "in" / name, (32, 32, 3))
    (room / "in/no\nte.txt").write_text("x")
    outcome = encrypt(room)
    assert outcome.left_out == (r"no\nte.txt: not an image",)
    decrypt(room)
    assert {"i\n0.png", "sub dir/\U0001f600.png"} < set(files(room / "back"))


def test_debris_is_counted_and_leaves_nothing_out(room: Path) -> None:
    for name in ("Thumbs.db", "._a.png", ".DS_Store", "@eaDir/a.png", "__MACOSX/._a.png"):
        (room / "in" / name).parent.mkdir(exist_ok=True)
        (room / "in" / name).write_bytes(b"x")
    outcome = encrypt(room)
    assert outcome.complete and outcome.result.startswith("1 image encrypted")
    assert any("passed over" in note and "@eaDir" in note for note in outcome.notes)


def test_every_broken_image_is_named_before_anything_is_written(room: Path) -> None:
    for number in range(12):
        (room / f"in/bad{number:02}.jpg").write_bytes(b"\xff\xd8\xffnothing")
    with pytest.raises(DataError, match=r"12 images cannot be read: .*bad00.*bad09.*and 2 more"):
        encrypt(room)
    assert nothing_is_written(room)


def test_a_folder_that_changes_while_it_is_read_is_told_and_resumed(room: Path) -> None:
    for number in range(5):
        save(room / f"in/b{number}.png", (32, 32, 3), number)

    def change(what: str, done: int, total: int) -> None:
        if (what, done) == ("checking images", total):
            PICTURE.save(room / "in/new.png")
            (room / "in/b3.png").unlink()

    with pytest.raises(DataError, match=r"b3\.png does not exist.*run the same command again"):
        encrypt(room, progress=change)
    save(room / "in/b3.png", (32, 32, 3), 3)
    outcome = encrypt(room)
    assert outcome.complete and "already done" in outcome.result
    decrypt(room)
    assert len(files(room / "back")) == 8


def test_images_that_come_while_others_are_encrypted_are_named(room: Path) -> None:
    def come(what: str, done: int, total: int) -> None:
        if what == "encrypting images":
            PICTURE.save(room / "in/late.png")

    assert encrypt(room, progress=come).left_out == (
        "late.png: came while the folder was read, run this again",
    )
    assert encrypt(room).complete


def test_a_target_that_cannot_be_written_is_refused_before_a_key_is_made(room: Path) -> None:
    (room / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot write into"):
        encrypt(room, target="file/out")
    assert nothing_is_written(room)


def test_left_out_files_end_in_exit_code_3_with_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    room = make_room(tmp_path)
    (room / "in/notes.txt").write_text("x")
    monkeypatch.setattr(
        sys,
        "argv",
        ["compare", "encrypt", str(room / "in"), str(room / "out"), "--cipher", "vit_block"]
        + ["--key", str(room / "k"), "--quiet"],
    )
    with pytest.raises(SystemExit) as stopped:
        app.main()
    out, err = capsys.readouterr()
    assert stopped.value.code == 3
    assert out.startswith("5 images encrypted") and out.count("\n") == 1
    assert "left out: 1 file\n  notes.txt: not an image\n" in err
