"""The page on own images: every layout and table that it shows is read by its command."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from he_compare.common.datasets.folder import DATASET
from he_compare.common.reading_options import ReadingOptions
from he_compare.common.types import Split
from tests.support.commandline import parse, words_of
from tests.support.downloadedfolders import picture, table
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "how-to" / "own-images.md").read_text()
# A listing of paths, a table or none, and the command that reads them.
EXAMPLES = re.findall(
    r"```text\n(.*?)```\n\n(?:```csv\n(.*?)```\n\n)?```sh\n(compare data check .*?)\n```",
    PAGE,
    flags=re.DOTALL,
)
IMAGES = 8


def numbered(line: str) -> list[str]:
    """Return a line for each image that its 001 stands for."""
    return [line.replace("001", f"{number:03d}") for number in range(1, IMAGES + 1)]


def test_the_page_shows_layouts_and_tables() -> None:
    assert len(EXAMPLES) == PAGE.count("```text") >= 6
    assert sum(bool(rows) for _, rows, _ in EXAMPLES) == PAGE.count("```csv") >= 2


@pytest.mark.parametrize(("paths", "rows", "command"), EXAMPLES)
def test_what_the_page_shows_is_read_by_its_command(
    paths: str, rows: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in paths.split():
        for path in numbered(line):
            picture(tmp_path / path)
    if rows:
        header, *lines = rows.splitlines()
        table(Path("scans/labels.csv"), header, [row for line in lines for row in numbered(line)])
    words = words_of(command)
    parse(words)
    options = dict(zip(words[3::2], words[4::2], strict=True))
    columns = dict(one.split("=") for one in options.get("--csv-columns", "").split(",") if one)
    reading = ReadingOptions(options.get("--group-by", ""), columns)
    data = DATASET.open(words[2].removeprefix("folder:"), None, "", 0, reading)
    count = sum(len(data.index(split).ids) for split in Split)
    masks = sum("/masks/" in line for line in paths.split())
    assert count == IMAGES * (len(paths.split()) - masks)
    assert len(data.card.classes) == 2


def test_what_the_page_says_is_passed_over_is_passed_over(tmp_path: Path) -> None:
    for label in ("healthy", "ill"):
        for number in range(IMAGES):
            picture(tmp_path / label / f"{number:03d}.png")
            picture(tmp_path / label / f"{number:03d}_mask.png")
    shutil.copytree(tmp_path / "ill", tmp_path / "again" / "ill")
    shutil.copytree(tmp_path / "healthy", tmp_path / "again" / "healthy")
    named = re.search(r"Hidden and system files \((.*?)\)", PAGE)
    assert named
    for name in re.findall(r"`(.*?)`", named[1]):
        (tmp_path / "ill" / name).mkdir()
    data = DATASET.open(str(tmp_path), None, "", 0)
    assert sum(len(data.index(split).ids) for split in Split) == 2 * IMAGES
    assert data.card.classes == ["healthy", "ill"]
