"""Every how-to on a plug-in of one's own: its code blocks as they stand, in one run and report.

Each ``docs/how-to/own-*.md`` that shows a package becomes one outside the repository, with the
entry point that its ``pyproject.toml`` names. Then one run uses them all.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from he_compare.common.plugin_kinds import KINDS
from he_compare.common.plugins import discover
from he_compare.common.run.store import RunFolder
from tests.support.attackpool import pictures
from tests.support.repository import ROOT

HOWTOS = sorted(
    page
    for page in (ROOT / "docs" / "how-to").glob("own-*.md")
    if "entry-points" in page.read_text()
)
FENCE = re.compile(r"^```(?:toml|python)\n(.*?)^```", re.DOTALL | re.M)
FILE_NAME = re.compile(r"^`(\w+\.(?:py|toml))`", re.M)
ENTRY = re.compile(
    r'^\[project\.entry-points\."(he_compare\.\w+)"\]\n((?:\w+ = "[\w:]+"\n)+)', re.M
)


@dataclass(frozen=True)
class Package:
    """A how-to's package. ``entries``: (kind, name) of its plug-ins."""

    path: Path
    entries: list[tuple[str, str]]


def unpack_howto(page: Path, folder: Path) -> Package:
    """Write the files that a how-to shows, and the metadata that pip would leave."""
    package = folder / page.stem
    package.mkdir(parents=True)
    page_text = page.read_text(encoding="utf-8")
    files = {
        FILE_NAME.findall(page_text[: fence.start()])[-1]: fence[1]
        for fence in FENCE.finditer(page_text)
    }
    for name, content in files.items():
        (package / name).write_text(content, encoding="utf-8")
    entries, text = [], ""
    for group, lines in ENTRY.findall(files["pyproject.toml"]):
        text += f"[{group}]\n{lines.replace(chr(34), '')}\n"
        names = re.findall(r"^(\w+) =", lines, re.M)
        entries += [(group.removeprefix("he_compare."), name) for name in names]
    info = package / f"{page.stem.replace('-', '_')}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {page.stem}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(text)
    return Package(package, entries)


def write_images(folder: Path) -> None:
    """Write 120 pictures of 32 pixels as the dataset of the how-to wants them."""
    batch = pictures(120, 32, 1)
    lines = ["file,label,split,patient"]
    folder.mkdir()
    for i, (image, label) in enumerate(zip(batch.images, batch.labels, strict=True)):
        split = ("train", "train", "val", "test")[i // 2 % 4]
        Image.fromarray(image[..., 0]).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{('healthy', 'ill')[label]},{split},{split}{i}")
    (folder / "images.csv").write_text("\n".join(lines) + "\n")


@dataclass(frozen=True)
class Outside:
    """A folder outside the repository with every how-to's package installed."""

    folder: Path
    packages: list[Package]

    def compare(self, *words: str) -> str:
        """Run the command there; return what it prints."""
        paths = [str(package.path) for package in self.packages]
        done = subprocess.run(
            [sys.executable, "-m", "comparisons", *words],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")]),
                **{
                    name: str(self.folder / "home")
                    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
                },
            },
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Outside:
    folder = tmp_path_factory.mktemp("outside")
    write_images(folder / "lungs")
    packages = [unpack_howto(page, folder / "packages") for page in HOWTOS]
    made = Outside(folder, packages)
    made.compare(
        *(
            "run",
            "--dataset",
            f"lungs:{folder / 'lungs'}",
            "--profile",
            "smoke",
            "--audit",
        ),
        *("--image-size", "32", "--weights", "untrained", "--backbone", "deit_tiny_patch16_224"),
        *("--epochs", "1", "--latency-rounds", "1", "--latency-images", "2", "--offline"),
        *("--pipeline", "plaintext[model=logistic]", "--pipeline", "thumbnail[side=4]"),
        *("--pipeline", "brightness"),
        *("--pipeline", "block-scramble[cipher=row_shift,patch=8,shared_steps=false]"),
        *("--pipeline", "fhe-head[packing=interleaved]", "--out", "run", "--quiet"),
    )
    return made


def test_there_is_a_howto_for_every_kind_of_plug_in_but_metrics() -> None:
    shown = {
        kind for page in HOWTOS for kind in re.findall(r'"he_compare\.(\w+)"', page.read_text())
    }
    assert shown == set(KINDS) - {"metrics"}


@pytest.mark.slow
def test_everything_is_listed(outside: Outside) -> None:
    listed = json.loads(outside.compare("list", "--json"))
    for package in outside.packages:
        for kind, name in package.entries:
            rows = {row["name"].replace("-", "_"): row for row in listed[kind]}
            assert rows[name]["summary"], (kind, name)
            assert not rows[name].get("broken"), rows[name]


@pytest.mark.slow
def test_the_pipelines_are_measured(outside: Outside) -> None:
    shown = json.loads(outside.compare("show", "run", "--json"))
    records = [one for one in shown["records"] if one["cell"]["phase"] == "accuracy"]
    (alone,) = [one for one in records if one["cell"]["label"] == "brightness"]
    assert alone["status"] == "ok" and alone["no_server"] and alone["tape"] is None
    assert alone["traffic"]["n_images"] > 0 and not alone["traffic"]["upload_bytes"]
    records.remove(alone)
    assert {one["cell"]["label"] for one in records} == {
        "plaintext[logistic]",
        "thumbnail[side=4]",
        "block-scramble[row_shift,patch=8,shared_steps=false]",
        "fhe-head[interleaved]",
    }
    assert {one["status"] for one in records} == {"ok"}
    assert all(one["server_pid_separate"] for one in records)
    assert all(one["tape"]["messages"] > 0 for one in records)


@pytest.mark.slow
def test_the_pipeline_is_audited_by_every_attack_that_applies(outside: Outside) -> None:
    told = json.loads(outside.compare("audit", "matrix", "run", "--json"))
    assert "thumbnail[side=4]" in told["targets"]
    outcomes = {
        one.attack: one
        for one in RunFolder(outside.folder / "run").outcomes()
        if one.target == "thumbnail[side=4]"
    }
    assert set(outcomes) >= {*discover("attacks"), *discover("checks")}
    attacks = [outcomes[name] for name in (*discover("attacks"), "mean_level")]
    assert {one.messages for one in attacks} == {"", "crossed in the run"}
    assert outcomes["message_size"].messages == "deployed again"
    silent = ("not run", "not applicable", "unreadable")
    ran = {name for name, one in outcomes.items() if one.verdict not in silent}
    assert {"mean_level", "message_size", "reidentification", "learned_linear"} <= ran
    assert outcomes["message_size"].verdict == "resists within budget"
    assert outcomes["mean_level"].verdict in ("broken", "partial")
    # Thumbnails are pictures to whoever reads them: what is unreadable, one solver cannot undo.
    unreadable = [one.reason for one in outcomes.values() if one.verdict == "unreadable"]
    assert not [reason for reason in unreadable if "no pictures" in reason]


@pytest.mark.slow
def test_no_attack_applies_to_the_pipeline_without_a_server(outside: Outside) -> None:
    mine = [
        one for one in RunFolder(outside.folder / "run").outcomes() if one.target == "brightness"
    ]
    assert {one.attack for one in mine} >= {*discover("attacks"), "mean_level"}
    assert {one.verdict for one in mine} == {"not applicable"}


@pytest.mark.slow
def test_it_stands_in_the_report_with_the_section_of_ones_own(outside: Outside) -> None:
    outside.compare("report", "run", "--format", "md")
    text = (outside.folder / "run" / "report" / "report.md").read_text()
    assert "thumbnail\\[side=4\\]" in text
    assert "Longest wait" in text
    assert "Hospital alone" in text
    assert "Size of messages" in text and "Mean level" in text
    assert str(outside.folder) not in text


@pytest.mark.slow
def test_the_run_verifies(outside: Outside) -> None:
    assert "ok" in outside.compare("verify", "run")
    assert np.load(next((outside.folder / "run" / "predictions").glob("*.npz")))["labels"].size
