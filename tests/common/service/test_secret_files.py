"""Tokens in files: made so that nobody else reads them, refused where somebody does."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from he_compare.common.errors import UsageError
from he_compare.common.service.secret_files import (
    LONGEST_TOKEN,
    SHORTEST_TOKEN,
    make_token_file,
    read_token_file,
)

TOKEN = "0123456789abcdef" * (SHORTEST_TOKEN // 16)


def token_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "token"
    path.touch(mode=0o600)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_new_token_is_random_long_and_private(tmp_path: Path) -> None:
    made = [tmp_path / "one", tmp_path / "two"]
    for path in made:
        make_token_file(path)
        assert os.name != "posix" or stat.S_IMODE(path.stat().st_mode) == 0o600
    tokens = [read_token_file(path) for path in made]
    assert tokens[0] != tokens[1]
    assert all(len(one) >= 43 for one in tokens), "256 bits"


def test_a_token_is_never_overwritten(tmp_path: Path) -> None:
    path = token_file(tmp_path, TOKEN.encode())
    with pytest.raises(UsageError, match="never overwritten"):
        make_token_file(path)
    assert path.read_text() == TOKEN
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError):
        make_token_file(link)
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        make_token_file(tmp_path / "no" / "token")


@pytest.mark.skipif(os.name != "posix", reason="modes of files are of POSIX")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602])
def test_a_token_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = token_file(tmp_path, TOKEN.encode(), mode)
    with pytest.raises(UsageError, match=f"mode {mode:03o}") as caught:
        read_token_file(path)
    assert caught.value.fix == f"chmod 600 {path}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 characters"),
        (b"\n", "0 characters"),
        (b"short\n", "5 characters"),
        (b"a" * (LONGEST_TOKEN + 1), f"{LONGEST_TOKEN + 1} characters"),
        (b"two words " * 9, "more than one word"),
        (b"one\ntwo\n" * 9, "more than one word"),
        (b"\x00" * 64, "more than one word"),
        (b"\xff" * 64, "no line of text"),
        (b"t" * SHORTEST_TOKEN, "1 different characters"),
        (b"token" * 20, "5 different characters"),
    ],
)
def test_what_is_no_token_is_refused_without_showing_it(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = token_file(tmp_path, content)
    with pytest.raises(UsageError, match=words) as caught:
        read_token_file(path)
    assert str(path) in caught.value.problem and "--make-token" in caught.value.fix
    assert "two" not in str(caught.value) and "short" not in str(caught.value)


def test_a_token_that_is_not_there_is_named_with_its_option(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--token-file .*nothing does not exist"):
        read_token_file(tmp_path / "nothing")
    with pytest.raises(UsageError, match="is no file"):
        read_token_file(tmp_path)


def test_white_space_around_a_token_does_not_count(tmp_path: Path) -> None:
    assert read_token_file(token_file(tmp_path, f"  {TOKEN}\r\n".encode())) == TOKEN
