"""Photographs inside an HTML page: each is held once, however often it is shown.

The attacks of a run show the same originals and ciphertexts again and again. A page holds them in
one drawing without a size; a grid refers to them there.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
from collections.abc import Iterable

from markupsafe import Markup
from PIL import Image

from he_compare.common.visible_text import visible

# Pictures above this many bytes are shown as WebP of quality 80; Markdown and PDF keep the PNG.
LARGEST_PNG = 4_000
WEBP_QUALITY = 80


def picture(png: bytes, alt: str) -> Markup:
    """Return a picture as an element that holds its own bytes and size."""
    source, width, height = _source(png)
    return Markup('<img src="{}" width="{}" height="{}" alt="{}">').format(
        source, width, height, visible(alt)
    )


def shown(png: bytes, alt: str) -> Markup:
    """Return a picture that refers to the page's ``held`` ones."""
    _, width, height = _source(png)
    return Markup(
        '<svg class="tile" viewBox="0 0 {} {}" role="img" aria-label="{}"><use href="#{}"/></svg>'
    ).format(width, height, visible(alt), _name(png))


def held(pngs: Iterable[bytes]) -> Markup:
    """Return each of the pictures once, for ``shown`` to refer to."""
    images = []
    for png in dict.fromkeys(pngs):
        source, width, height = _source(png)
        images.append(
            Markup('<image id="{}" width="{}" height="{}" href="{}"/>').format(
                _name(png), width, height, source
            )
        )
    return Markup("\n").join(images)


def _name(png: bytes) -> str:
    return f"picture-{hashlib.sha256(png).hexdigest()[:16]}"


@functools.lru_cache(maxsize=256)
def _source(png: bytes) -> tuple[str, int, int]:
    """Return the address that holds a picture, and its size in pixels."""
    image = Image.open(io.BytesIO(png))
    data, media = png, "image/png"
    if len(png) > LARGEST_PNG:
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "WEBP", quality=WEBP_QUALITY, method=4)
        data, media = buffer.getvalue(), "image/webp"
    return f"data:{media};base64,{base64.b64encode(data).decode()}", image.width, image.height
