"""How large the images are that are protected: what an expansion factor is taken against."""

from __future__ import annotations

import io

from common.types import UInt8Array

JPEG_QUALITY = 90
# The mean over this many images is known to a few percent, and costs milliseconds.
MOST_IMAGES = 64


def mean_jpeg_bytes(images: UInt8Array) -> float:
    """Return the mean size in bytes of images, uint8 (n, size, size, 3), as JPEG.

    Images of one colour channel three times over are stored as grey, as a hospital would.
    """
    from PIL import Image

    chosen = images[:MOST_IMAGES]
    total = 0
    for image in chosen:
        grey = (image == image[..., :1]).all()
        stream = io.BytesIO()
        Image.fromarray(image[..., 0] if grey else image).save(
            stream, format="JPEG", quality=JPEG_QUALITY
        )
        total += stream.tell()
    return total / len(chosen)
