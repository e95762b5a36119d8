"""Files found by the names of a table: one file or none, and every way counted."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from he_compare.common.datasets.reading.named_files import NamedFiles
from he_compare.common.errors import DataError

SUFFIXES = frozenset({".png", ".jpg"})


def folder(root: Path, *names: str) -> NamedFiles:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return NamedFiles(root, SUFFIXES)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("images/a.png", ""),
        ("./images//a.png", ""),
        ("images\\a.png", ""),
        ("a.png", "in sub-folders (1 in images)"),
        ("a", "in sub-folders (1 in images)"),
        ("images/a", "without their ending"),
        ("images/A.PNG", "by upper and lower case taken as one"),
        ("Images/a.png", "by upper and lower case taken as one"),
        ("images/a.jpg", "under another ending"),
        ("/kaggle/input/x/images/a.png", ""),
        ("C:\\Users\\Anna\\images\\a.png", ""),
        ("set/images/a.png", ""),
    ],
)
def test_the_file_that_is_meant_is_found(tmp_path: Path, name: str, way: str) -> None:
    files = folder(tmp_path, "images/a.png", "images/b.png", "images/a.txt")
    assert files.find(name, "t.csv line 2") == "images/a.png"
    notes = files.notes("t.csv", 1)
    assert "1 images of the folder are not in t.csv" in notes
    assert not way or f"1 files of t.csv were found {way}" in notes


def test_an_absolute_path_inside_the_folder_is_read(tmp_path: Path) -> None:
    files = folder(tmp_path, "images/a.png")
    assert files.find(str(tmp_path / "images" / "a.png"), "") == "images/a.png"
    assert files.notes("t.csv", 1) == []


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_another_unicode_form_is_found(tmp_path: Path, form: str) -> None:
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    name = unicodedata.normalize(form, "Lünge/é 1.png")
    files = folder(tmp_path, unicodedata.normalize(other, name))
    if files.find(name, "") == name:
        pytest.skip("this file system takes both forms as one")
    assert files.find(name, "") == unicodedata.normalize(other, name)
    assert "2 files of t.csv were found in another Unicode form" in files.notes("t.csv", 1)


def test_both_unicode_forms_on_disk_are_told_apart(tmp_path: Path) -> None:
    files = folder(tmp_path, "\u00e9.png", "e\u0301.png")
    if len(files) < 2:
        pytest.skip("this file system takes both forms as one")
    assert files.find("\u00e9.png", "") == "\u00e9.png"
    assert files.find("e\u0301.png", "") == "e\u0301.png"
    with pytest.raises(DataError, match="can mean 2 files"):
        files.find("\u00e9", "t.csv line 2")


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (("images/a.png", "masks/a.png"), "a"),
        (("images/a.png", "masks/a.png"), "a.png"),
        (("images/a.png", "images/a.jpg"), "images/a"),
        (("A.png", "a.png"), "a"),
    ],
)
def test_two_candidates_are_refused_by_name(
    tmp_path: Path, names: tuple[str, str], asked: str
) -> None:
    files = folder(tmp_path, *names)
    with pytest.raises(DataError, match=f"line 2: '{asked}' can mean 2 files") as refused:
        files.find(asked, "t.csv line 2")
    assert all(repr(name) in str(refused.value) for name in names)


def test_the_place_that_is_named_goes_before_another(tmp_path: Path) -> None:
    files = folder(tmp_path, "images/a.png", "masks/a.png", "a.png", "x/images/a.png")
    assert files.find("masks/a", "") == "masks/a.png"
    assert files.find("images/a", "") == "images/a.png"
    assert files.find("a", "") == "a.png"


@pytest.mark.parametrize("name", ["gone.png", "other/a.png", "images/c", "images", "b/images"])
def test_a_file_that_is_not_there_is_not_guessed(tmp_path: Path, name: str) -> None:
    assert folder(tmp_path, "images/a.png", "images/b.png").find(name, "") is None


def test_names_below_two_other_folders_are_not_taken_as_one(tmp_path: Path) -> None:
    files = folder(tmp_path, "images/a.png", "images/b.png")
    assert files.find("/one/images/a.png", "") == "images/a.png"
    assert files.find("/two/images/b.png", "") is None
    assert files.find("images/b.png", "") is None


@pytest.mark.parametrize("name", ["../a.png", "images/../../a.png", "..\\a.png", "/x/../a.png"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    files = folder(tmp_path / "in", "images/a.png")
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"line 2: .* leads out of the folder 'in'"):
        files.find(name, "t.csv line 2")


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").symlink_to(tmp_path / "secret.png")
    files = NamedFiles(tmp_path / "in", SUFFIXES)
    for name in ("a.png", "a", "A.png"):
        with pytest.raises(DataError, match="leads out of the folder 'in'"):
            files.find(name, "t.csv line 2")
