"""The how-to on ciphers and attacks of one's own: its files and its commands, as printed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.attackpool import pictures
from tests.support.repository import ROOT

HOWTO = ROOT / "docs" / "how-to" / "own-attack.md"


@pytest.mark.slow
def test_the_files_and_commands_of_the_howto_work(tmp_path: Path) -> None:
    text = HOWTO.read_text(encoding="utf-8")
    package = tmp_path / "my-audit"
    package.mkdir()
    for name, content in re.findall(r"`([\w.]+)`:.*?```\w+\n(.*?)```", text, flags=re.DOTALL):
        (package / name).write_text(content, encoding="utf-8")
    _install(package)
    _write_images(tmp_path / "pictures")
    commands = re.findall(r"^(compare .*)$", text, flags=re.MULTILINE)
    assert len(commands) == 5
    told = [_run(command, tmp_path, package) for command in commands]
    assert "rotated" in told[0] and "mean_level" in told[1]
    assert "Mean level" in told[2] and "BROKEN 1.00" in told[2]
    assert told[3].startswith("Mean level on rotated: broken")
    assert "Chosen plaintext" in told[4] and "strongest attack" in told[4]


def _install(package: Path) -> None:
    """Stand in for pip: the metadata that an installed package leaves, without the network."""
    entries = re.findall(
        r'\[project\.entry-points\."(he_compare\.\w+)"\]\n(\w+ = "\w+")',
        (package / "pyproject.toml").read_text(encoding="utf-8"),
    )
    assert len(entries) == 2
    info = package / "my_audit-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-audit\nVersion: 0.1\n")
    lines = [f"[{group}]\n{entry.replace(chr(34), '')}\n" for group, entry in entries]
    (info / "entry_points.txt").write_text("\n".join(lines))


def _write_images(folder: Path) -> None:
    batch = pictures(120, 32, 1)
    for name, image, label in zip(batch.ids, batch.images, batch.labels, strict=True):
        place = folder / ("dark", "bright")[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(place / f"{name}.png")


def _run(command: str, cwd: Path, package: Path) -> str:
    words = shlex.split(command.replace("--dataset chestxray", "--dataset folder:pictures"))[1:]
    if "run" in words:
        words += ["--image-size", "32"]
    paths = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "comparisons", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert done.returncode in (0, 3), done.stderr
    return done.stdout
