"""Figures as SVG inside an HTML page: ids of their own, no style attributes, colours by theme.

A content security policy that forbids inline styles also forbids ``style="..."`` in SVG, so
matplotlib's styles become presentation attributes. Neutral colours of the figures' style are then
replaced by the page's own in its style sheet (attribute selectors), so figures follow light and
dark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from markupsafe import Markup, escape

NUMBERS = re.compile(r"-?[1-9]\d*\.\d{3,}")
# Outlines of letters, named by font and code: equal in every figure, so a page holds each once.
GLYPH = re.compile(r'<path id="(DejaVu[^"]*-[0-9a-f]+)"[^>]*/>')
GLYPH_USE = re.compile(
    r'<use\s+xlink:href="#(DejaVu[^"]*-[0-9a-f]+)"'
    r'(?:\s+transform="translate\((-?[\d.]+) 0\)")?\s*/>'
)


def letters(svgs: Iterable[bytes]) -> Markup:
    """Return the outlines of the letters of many figures, each once."""
    found: dict[str, str] = {}
    for svg in svgs:
        for one in GLYPH.finditer(svg.decode()):
            outline = " ".join(one.group().split())
            found.setdefault(
                one.group(1), outline.replace(one.group(1), _letter_id(one.group(1)), 1)
            )
    return Markup("\n".join(found[name] for name in sorted(found)))


def _letter_id(name: str) -> str:
    """Return a short id of a letter, which no anchor of a section can have."""
    return "_" + name.removeprefix("DejaVuSans").replace("-", "")


def _letter_use(found: re.Match[str]) -> str:
    """Place a letter; a hundredth of its size is finer than the eye."""
    place = f' x="{float(found.group(2)):.0f}"' if found.group(2) else ""
    return f'<use href="##{_letter_id(found.group(1))}"{place}/>'


def embedded(svg: bytes, name: str, alt: str) -> Markup:
    """Return the SVG as an element of a page that also holds its ``letters``.

    ``name`` makes its ids unique there; those nothing refers to are left out.
    """
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = GLYPH.sub("", text)
    text = GLYPH_USE.sub(_letter_use, text)
    text = re.sub(r"<defs>\s*</defs>", "", text)
    text = re.sub(r'\sstyle="([^"]*)"', _attributes, text)
    text = re.sub(r"<defs>.*?</defs>", _inheriting, text, flags=re.DOTALL)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(
        r'\sid="([^"]*)"',
        lambda found: f' id="{name}-{found.group(1)}"' if found.group(1) in used else "",
        text,
    )
    text = re.sub(r'(href="#|url\(#)(?!#)', rf"\1{name}-", text).replace('href="##', 'href="#')
    text = NUMBERS.sub(lambda found: f"{float(found.group()):.2f}", text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    return Markup(_head(text, alt))


def _attributes(found: re.Match[str]) -> str:
    """Turn the declarations of a style attribute into attributes, the last of a name winning."""
    pairs = (one.split(":", 1) for one in found.group(1).split(";") if ":" in one)
    named = {name.strip(): value.strip() for name, value in pairs}
    return "".join(f' {name}="{value}"' for name, value in named.items())


def _inheriting(found: re.Match[str]) -> str:
    """Leave the colour of a mark's line to each of its uses, where the page's style reaches it.

    Hatching has no uses: a pattern keeps its colours.
    """
    if "<pattern" in found.group():
        return found.group()
    return re.sub(r'\sstroke="[^"]*"', "", found.group())


def _head(text: str, alt: str) -> str:
    """Give the root element its role, its description and the line style of the whole drawing."""
    box = re.search(r'viewBox="[^"]*"', text)
    _, _, rest = text.partition(">")
    shape = box.group() if box else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{shape} role="img" aria-label="{escape(alt)}" stroke-linejoin="round" '
        f'stroke-linecap="butt">{rest}'
    )
