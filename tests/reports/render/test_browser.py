"""The HTML page in a real browser: no console errors, sorting, stills, cards, contrast.

Needs a `chromium` on the path (Debian: `apt install chromium`); skipped without it. The probe below
is added to a copy of the page whose policy also allows it; it writes what it finds into the title.
"""

from __future__ import annotations

import html as markup
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from he_compare.common.run.store import RunFolder
from he_compare.reports.build import build_document
from he_compare.reports.document.nodes import Section
from he_compare.reports.render.html import html
from tests.support.samplerun import ten_pipelines
from tests.support.threestills import three_stills

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path: apt install chromium"),
]
# Contrast: WCAG 2.2, 1.4.3; relative luminance as defined there.
PROBE = (Path(__file__).parent / "browser_probe.js").read_text()


def _browse(page: Path, folder: Path, *options: str) -> tuple[str, str]:
    """Open a page without a window; return its final markup and what the browser logged."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM,
        *("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"),
        f"--user-data-dir={folder}",
        *options,
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    document = build_document(RunFolder(ten_pipelines().write(folder / "run")))
    shown = Section("Pictures side by side", 1, "slide", (three_stills(),))
    path = folder / "report.html"
    path.write_text(html(replace(document, sections=(shown, *document.sections))))
    return path


def _probed(page: Path, folder: Path, *options: str) -> dict[str, Any]:
    text = page.read_text()
    allowed = "script-src &#39;unsafe-inline&#39;"
    text, changed = re.subn(r"script-src &#39;sha256-[^&]*&#39;", allowed, text, count=1)
    assert changed == 1
    probed = folder / "probed.html"
    probed.write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"))
    dom, _ = _browse(probed, folder / "profile", *options)
    (found,) = re.findall(r'<pre id="probe">(.*?)</pre>', dom, flags=re.DOTALL)
    result: dict[str, Any] = json.loads(markup.unescape(found))
    return result


def test_the_page_opens_without_a_console_message(page: Path, tmp_path: Path) -> None:
    dom, log = _browse(page, tmp_path)
    assert '<button type="button">' in dom  # the script ran under the page's own policy
    assert [line for line in log.splitlines() if "CONSOLE" in line] == []


def test_sorting_pictures_and_contrast_in_light(page: Path, tmp_path: Path) -> None:
    found = _probed(page, tmp_path)
    assert found["contrast"]["ratio"] >= 4.5, found["contrast"]
    numbers = [value for value in found["ascending"] if value is not None]
    assert len(numbers) >= 5
    assert numbers == sorted(numbers)
    assert found["sorted"] == "ascending"
    down = [value for value in found["descending"] if value is not None]
    assert down == sorted(numbers, reverse=True)
    assert found["descending"][-1] is None  # rows without a number stay last
    assert found["remarks"].count("remark") == 2
    assert found["remarks"][0] != "remark"
    assert_all_are_seen_at_once(found)
    assert found["requests"] == 0


def assert_all_are_seen_at_once(found: dict[str, Any]) -> None:
    """Three pictures stand beside each other, none of them too small to look at."""
    assert len(found["tops"]) == 3 and len(set(found["tops"])) == 1
    assert min(found["widths"]) >= 90


def test_contrast_in_dark_and_nothing_wider_than_a_phone(page: Path, tmp_path: Path) -> None:
    dark = ("--blink-settings=preferredColorScheme=0", "--window-size=400,900")
    found = _probed(page, tmp_path, *dark)
    assert found["dark"] is True
    assert found["contrast"]["ratio"] >= 4.5, found["contrast"]
    assert found["wide"] <= 0
    assert len(found["shown"]) > 5 and max(found["shown"]) <= 0  # a card shows every column
    assert found["titles"] not in ("", "none", "normal")
    assert found["legends"] and max(found["legends"]) <= 0  # a drawing is shown whole
    assert_all_are_seen_at_once(found)
