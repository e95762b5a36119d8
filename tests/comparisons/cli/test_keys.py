"""`compare key` tells what a key file is and rotates it, and never shows the key."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import pytest

from he_compare.block_scramble.keys import key_files
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.comparisons.cli import app


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run `compare key` in this process; return exit code, stdout and stderr."""
    sys.argv = ["compare", "key", *map(str, arguments)]
    with pytest.raises(SystemExit) as stopped:
        app.main()
    out, err = capsys.readouterr()
    return int(str(stopped.value.code)), out, err


@pytest.fixture(autouse=True)
def arguments_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)


def test_a_key_is_named_by_its_fingerprint_and_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = key_files.create(tmp_path / "client.key", "ward 7")
    code, out, err = run(capsys, "show", tmp_path / "client.key")
    assert (code, err) == (0, "")
    assert f"fingerprint: {key.fingerprint}\n" in out and "note: ward 7\n" in out
    secret = key.secret_bytes()
    shown = (secret.hex(), base64.b64encode(secret).decode())
    assert not any(text in out for text in shown)


def test_a_rotated_key_stays_beside_the_new_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "client.key"
    old = key_files.create(path)
    code, out, _ = run(capsys, "rotate", path, "--note", "after May")
    new = key_files.load(path)
    retired = key_files.retired_path(path, old.fingerprint)
    assert code == 0 and new.fingerprint in out and str(retired) in out
    assert key_files.load(retired).secret_bytes() == old.secret_bytes() != new.secret_bytes()
    assert {file.stat().st_mode & 0o777 for file in (path, retired)} == {0o600}
    _, out, _ = run(capsys, "show", path)
    assert "generation: 2\n" in out and f"retired: {old.fingerprint}\n" in out


def test_a_seeded_key_is_shown_as_insecure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key_files.save(tmp_path / "weak.key", ClientKey.from_seed(1))
    assert (
        "insecure: the key is made from a 32-bit seed"
        in run(capsys, "show", tmp_path / "weak.key")[1]
    )


@pytest.mark.parametrize("verb", ["show", "rotate"])
def test_what_is_no_key_file_is_refused_in_one_line(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign.key"
    foreign.write_text(json.dumps({"format": "something else"}))
    foreign.chmod(0o600)
    for path, reason in ((foreign, "its format is"), (tmp_path / "none.key", "cannot read")):
        code, out, err = run(capsys, verb, path)
        assert (code, out, err.count("\n")) == (2, "", 1) and reason in err
    assert [file.name for file in tmp_path.iterdir()] == ["foreign.key"]
