"""The HTML page: whole, safe and readable; the JSON beside it; equal input, equal bytes."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from he_compare.common.run.store import RunFolder
from he_compare.reports.build import build_document
from he_compare.reports.document.nodes import (
    Document,
    FindingCard,
    Link,
    Paragraph,
    Section,
    inline,
)
from he_compare.reports.render.html import html, spans, text
from he_compare.reports.render.json import as_json
from he_compare.reports.render.markdown import markdown
from he_compare.reports.render.pdf import pdf
from he_compare.reports.render.photographs import picture
from tests.support.samplerun import FHE, PLAIN, build, ten_pipelines, three_pipelines
from tests.support.threestills import png, three_stills

EVIL = "<img src=x onerror=alert(1)> \"'& שלום\u202e\n</script>"
VOID = {"meta", "link", "br", "wbr", "img", "input", "path", "use", "rect", "image", "hr"}


def document(*blocks: object) -> Document:
    section = Section("One", 1, "one", blocks)  # type: ignore[arg-type]
    return Document("Title", inline("sub"), "2025-03-01T09:30:00Z", (), (section,))


class Page(HTMLParser):
    """Collects what a reader of the page's structure would ask for."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def of(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = ten_pipelines().write(tmp_path_factory.mktemp("run") / "run")
    return html(build_document(RunFolder(run)))


def test_elements_are_balanced_and_ids_are_unique(page: str) -> None:
    found = Page(page)
    assert found.unbalanced == []
    assert found.open == []
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_page_needs_no_network_and_fits_three_megabytes(page: str) -> None:
    assert len(page.encode()) < 3_000_000
    found = Page(page)
    for attributes in found.of("img", "script", "link", "image", "iframe", "source"):
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_the_policy_names_the_one_style_and_the_one_script(page: str) -> None:
    policy = next(one["content"] or "" for one in Page(page).of("meta") if one.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not any("style" in attributes for _, attributes in Page(page).tags)
    assert not any(name.startswith("on") for _, one in Page(page).tags for name in one)


def test_headings_are_in_order_and_landmarks_are_there(page: str) -> None:
    found = Page(page)
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for landmark in ("header", "nav", "main", "footer"):
        assert len(found.of(landmark)) == 1
    assert any(one.get("class") == "skip" and one.get("href") == "#main" for one in found.of("a"))


def test_pictures_have_words_and_tables_have_captions_and_heads(page: str) -> None:
    found = Page(page)
    assert all(one.get("alt") for one in found.of("img"))
    grids = sum(one.get("class") == "grid" for one in found.of("figure"))
    assert sum(one.get("class") == "stills" for one in found.of("figure")) == 1
    drawings = [one for one in found.of("svg") if one.get("aria-hidden") != "true"]
    assert len(drawings) >= 3
    assert all(one.get("role") == "img" and one.get("aria-label") for one in drawings)
    assert len(found.of("caption")) == len(found.of("table")) - grids > 15
    assert all(one.get("scope") for one in found.of("th"))


def test_links_inside_the_page_lead_somewhere(page: str) -> None:
    found = Page(page)
    ids = {attributes.get("id") for _, attributes in found.tags}
    targets = [(one.get("href") or "")[1:] for one in found.of("a")]
    inner = [one for one in targets if one and not one.startswith("ttp")]
    assert len([one for one in inner if one.startswith("record-")]) > 50
    assert set(inner) <= ids


def test_text_from_outside_stays_text(tmp_path: Path) -> None:
    run = build(
        (PLAIN, replace(FHE, label=EVIL, claim="heuristic", parameters=(("cipher", EVIL),))),
        classes=(EVIL, "b|c"),
        n=40,
        untrained=False,
        rounds=1,
    )
    made = html(build_document(RunFolder(run.write(tmp_path))))
    assert "<img src=x" not in made
    assert "\u202e" not in made
    assert made.count("</script>") == 1
    assert Page(made).unbalanced == []


def test_right_to_left_letters_are_isolated() -> None:
    assert text("ab שלום 12 עולם, c") == "ab <bdi>שלום 12 עולם</bdi>, c"
    assert text("<b>") == "&lt;b&gt;"
    assert text("two\nlines") == "two lines"


def test_links_that_lead_nowhere_or_run_code_are_plain_text() -> None:
    shown = spans((Link("a", "#x"), Link("b", "#y"), Link("c", "javascript:1")), frozenset({"x"}))
    assert shown == '<a href="#x">a</a>bc'


def test_large_pictures_are_compressed_and_small_ones_kept() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    assert "data:image/webp;" in picture(buffer.getvalue(), "noise")
    assert len(picture(buffer.getvalue(), "noise")) < len(buffer.getvalue())
    assert base64.b64encode(png(7)).decode() in picture(png(7), "grey")


def test_pictures_side_by_side_and_findings_are_drawn_in_every_format() -> None:
    card = FindingCard(
        "F1", "fail", inline("claim"), inline("record"), inline("limit"), "compare x"
    )
    made = document(three_stills(), card, Paragraph(inline("end")))
    page = html(made)
    assert page.count('<div class="frame">') == 3
    assert 'alt="A chest X-ray: after the attack"' in page
    assert "SSIM 0.98" in page
    assert 'class="finding fail"' in page
    words = markdown(made)
    assert "| original | encrypted | after the attack |" in words
    assert "figures/slide-3.png" in words
    assert pdf(made).startswith(b"%PDF")
    block = json.loads(as_json(made))["sections"][0]["blocks"][0]
    assert block["kind"] == "Stills"
    assert block["stills"][2]["png"]["sha256"] == hashlib.sha256(png(80)).hexdigest()


def test_pictures_side_by_side_need_words_and_two_to_four_pictures() -> None:
    with pytest.raises(ValueError, match="no alternative text"):
        replace(three_stills(), alt=" ")
    with pytest.raises(ValueError, match="1 pictures"):
        replace(three_stills(), stills=three_stills().stills[:1])


def test_json_holds_every_section_and_the_records(tmp_path: Path) -> None:
    made = build_document(RunFolder(three_pipelines().write(tmp_path)))
    content = json.loads(as_json(made))
    assert [one["anchor"] for one in content["sections"]] == [s.anchor for s in made.sections]
    assert len(content["attachments"]["records.json"]["records"]) == 12
    tables = [b for s in content["sections"] for b in s["blocks"] if b["kind"] == "Table"]
    assert tables[0]["rows"][0]["cells"][0]["plain"] == "No protection: plaintext"


def test_equal_runs_give_equal_bytes_in_html_and_json(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        built = build_document(RunFolder(three_pipelines().write(tmp_path / name)))
        made.append((html(built), as_json(built)))
    assert made[0] == made[1]
