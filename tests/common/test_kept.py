"""Kept results: used only where their digest holds, made again where it does not."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from he_compare.common.errors import IntegrityError
from he_compare.common.kept import KEPT_MAGIC, Kept, KeptResults, sealed, unsealed


def test_a_result_comes_back_with_what_it_cost(tmp_path: Path) -> None:
    kept = KeptResults(tmp_path / "cache")
    assert kept.find("a") is None
    for name, one in {"a": Kept(b"payload", 1.5), "b": Kept(b"", None)}.items():
        assert kept.keep(name, one)
        assert kept.find(name) == one
    assert kept.names() == ["a", "b"]


@pytest.mark.parametrize(
    "file",
    [
        b"",
        KEPT_MAGIC,
        KEPT_MAGIC + bytes(32),
        b"\x93NUMPY" + bytes(60),
        *(
            KEPT_MAGIC + hashlib.sha256(content).digest() + content
            for content in (
                b"",
                b"\xff\xff\xff\xff",
                b"\x04\x00\x00\x00null",
                b'\x0c\x00\x00\x00{"name":"a"}',
                b'\x1b\x00\x00\x00{"name":"a","seconds":"one"}',
                (10**6).to_bytes(4, "little") + b"{" * 10**6,
            )
        ),
    ],
)
def test_what_is_no_kept_result_is_refused_whatever_it_says_of_itself(file: bytes) -> None:
    with pytest.raises(IntegrityError):
        unsealed("a", file)


def test_a_result_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="another result"):
        unsealed("a", sealed("b", Kept(b"payload", None)))


def test_damage_is_named_once_and_the_file_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = KeptResults(tmp_path)
    kept.keep("a", Kept(b"payload"))
    path = kept.place("a")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert kept.find("a", remove=False) is None and path.exists()
    caplog.clear()
    assert kept.find("a") is None and not path.exists()
    assert kept.find("a") is None
    assert caplog.messages == [f"{path} is not used, its digest does not hold: it is made again"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_is_read_only_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o500)
    assert not any(KeptResults(folder).keep(name, Kept(b"x")) for name in ("a", "b"))
    (line,) = caplog.messages
    assert "nothing is kept" in line and "Permission denied" in line


def test_a_folder_that_cannot_be_made_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    for name in ("a", "b"):
        assert not KeptResults(tmp_path / "file" / "cache").keep(name, Kept(b"x"))
        assert KeptResults(tmp_path / "file" / "cache").find(name) is None
    assert sum("nothing is kept" in line for line in caplog.messages) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_private_results_are_closed_to_other_users(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        new = KeptResults(tmp_path / "cache" / "features", private=True)
        new.keep("a", Kept(b"x"))
        old = KeptResults(tmp_path / "old", private=True)
        old.folder.mkdir(mode=0o755)
        old.keep("a", Kept(b"x"))
    finally:
        os.umask(before)
    folders = (new.folder, new.folder.parent, old.folder)
    assert {stat.S_IMODE(one.stat().st_mode) for one in folders} == {0o700}
    assert stat.S_IMODE(new.place("a").stat().st_mode) == 0o600
