"""Sample pictures of a run: what the client has, and what the server sees of it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.run.store import PICTURES, RunFolder, save_arrays
from he_compare.common.types import IntArray, Pictures, UInt8Array
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.measuring.session import Session

JPEG_QUALITY = 90
# The mean over this many images is known to a few percent, and costs milliseconds.
MOST_IMAGES = 64


def mean_jpeg_bytes(images: Pictures) -> float:
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


def sample_positions(labels: IntArray, count: int) -> IntArray:
    """Choose test images to show, classes in turn: int64 (count,)."""
    by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    turns = [members[turn] for turn in range(count) for members in by_class if turn < len(members)]
    return np.array(turns[:count], dtype=np.int64)


def sample_view(plan: RunPlan, session: Session) -> UInt8Array | None:
    """Return what the server sees of the sample images of a run; None where it has no picture."""
    if not plan.config.pictures:
        return None
    chosen = sample_positions(plan.test.labels, plan.config.pictures)
    return session.fitted.protected_picture(plan.test.images[chosen])


def store_sample_view(
    folder: RunFolder, plan: RunPlan, label: str, view: UInt8Array | None
) -> None:
    """Add one pipeline's view of the sample images to the run's pictures."""
    chosen = sample_positions(plan.test.labels, plan.config.pictures)
    arrays: dict[str, npt.NDArray[Any]] = folder.pictures()
    arrays["original"] = plan.test.images[chosen]
    arrays["ids"] = np.array([plan.test.ids[i] for i in chosen])
    arrays["classes"] = np.array([plan.data.classes[plan.test.labels[i]] for i in chosen])
    labels = [str(label) for label in arrays.get("view_labels", np.array([], dtype=str))]
    if view is not None:
        if label not in labels:
            labels.append(label)
        arrays[f"view_{labels.index(label)}"] = view
    arrays["view_labels"] = np.array(labels, dtype=str) if labels else np.empty(0, dtype="<U1")
    save_arrays(folder.path / PICTURES, arrays)
