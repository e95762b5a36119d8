"""The how-tos on attacks and checks of one's own: their files and their commands, as printed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from tests.support.attackpool import pictures
from tests.support.repository import ROOT

HOWTOS = ROOT / "docs" / "how-to"


@pytest.mark.slow
def test_an_attack_and_a_cipher_to_try_it_on(tmp_path: Path) -> None:
    told = _followed("own-attack.md", tmp_path)
    assert len(told) == 5
    assert "rotated" in told[0] and "mean_level" in told[1]
    assert "Mean level" in told[2] and "BROKEN" in told[2]
    assert told[3].startswith("Mean level on rotated: broken")
    assert "Chosen plaintext" in told[4] and "strongest attack" in told[4]


def _followed(howto: str, folder: Path) -> list[str]:
    """Write the files of a how-to, install them and run its commands; return what they print."""
    text = (HOWTOS / howto).read_text(encoding="utf-8")
    package = folder / "package"
    package.mkdir()
    for name, content in re.findall(r"`([\w.]+)`:.*?```\w+\n(.*?)```", text, flags=re.DOTALL):
        (package / name).write_text(content, encoding="utf-8")
    _install(package)
    _write_images(folder / "pictures")
    commands = re.findall(r"^(compare .*)$", text, flags=re.MULTILINE)
    return [_run(command, folder, package) for command in commands]


def _install(package: Path) -> None:
    """Stand in for pip: the metadata that an installed package leaves, without the network."""
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = package / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    facts = f"Name: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\n{facts}")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in entries.items())
        for group, entries in project["entry-points"].items()
    ]
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
