"""JPEG sizes for scale: grey images as grey, a mean over a bounded number of images."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from he_compare.comparisons.measuring.sample_pictures import (
    JPEG_QUALITY,
    MOST_IMAGES,
    mean_jpeg_bytes,
)


def size_of(picture: Image.Image) -> int:
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=JPEG_QUALITY)
    return len(stream.getvalue())


def test_an_image_of_three_equal_channels_is_measured_as_grey() -> None:
    grey = np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8)
    images = np.repeat(grey[None, :, :, None], 3, axis=3)
    assert mean_jpeg_bytes(images) == size_of(Image.fromarray(grey))


def test_colour_stays_colour_and_the_mean_is_over_the_first_images_only() -> None:
    generator = np.random.default_rng(1)
    images = generator.integers(0, 255, (MOST_IMAGES + 5, 16, 16, 3)).astype(np.uint8)
    sizes = [size_of(Image.fromarray(image)) for image in images[:MOST_IMAGES]]
    assert mean_jpeg_bytes(images) == sum(sizes) / MOST_IMAGES
    flat = np.zeros((2, 16, 16, 3), np.uint8)
    assert mean_jpeg_bytes(flat) < mean_jpeg_bytes(images)
