"""Sample pictures of a run: what the client has, and what the server sees of it."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.errors import IntegrityError
from he_compare.common.kept import STORAGE_LOG, Kept
from he_compare.common.run.store import PICTURES, RunFolder
from he_compare.common.run.stored_arrays import (
    MOST_PICTURE_BYTES,
    npz_bytes,
    parse_arrays,
    save_arrays,
)
from he_compare.common.types import IntArray, Phase, Pictures, UInt8Array
from he_compare.comparisons.measuring.plan import PlannedCell, RunPlan
from he_compare.comparisons.measuring.session import Session

JPEG_QUALITY = 90
# The mean over this many images is known to a few percent, and costs milliseconds.
MOST_IMAGES = 64
VIEW = "view"


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
    folder: RunFolder, plan: RunPlan, cell: PlannedCell, view: UInt8Array | None
) -> None:
    """Add one pipeline's view of the sample images to the run's pictures.

    It is kept among the artefacts as well: the pictures can be put together again from there.
    """
    if view is not None:
        folder.artefacts.store(_name_of(cell), Kept(npz_bytes({VIEW: view})))
    _write(folder, plan, {cell.planned.label: view})


def mend_sample_pictures(folder: RunFolder, plan: RunPlan, done: Collection[str]) -> None:
    """Put the run's pictures together again from what its finished cells left.

    ``done``: identities of the cells that are not run again. What was damaged is replaced where its
    view was kept, and is gone where it was not.
    """
    cells = [one for one in plan.cells() if one.phase is Phase.ACCURACY and not one.again]
    views: dict[str, UInt8Array | None] = {}
    for cell in cells:
        if cell.identity in done:
            kept = folder.artefacts.stored(_name_of(cell))
            view = None if kept is None else _parsed(kept, plan)
            if view is not None:
                views[cell.planned.label] = view
    if views:
        _write(folder, plan, views)


def _name_of(cell: PlannedCell) -> str:
    return f"view-{cell.identity}"


def _parsed(kept: Kept, plan: RunPlan) -> UInt8Array | None:
    try:
        view = parse_arrays(kept.data, VIEW, most=MOST_PICTURE_BYTES).get(VIEW)
    except IntegrityError:
        return None
    count = len(sample_positions(plan.test.labels, plan.config.pictures))
    fits = view is not None and view.dtype == np.uint8 and len(view) == count
    return np.asarray(view, np.uint8) if fits else None


def _write(folder: RunFolder, plan: RunPlan, views: Mapping[str, UInt8Array | None]) -> None:
    """Write views of pipelines, by label, into the pictures of a run; what was there stays."""
    chosen = sample_positions(plan.test.labels, plan.config.pictures)
    before, vouched = _pictures_before(folder)
    arrays: dict[str, npt.NDArray[Any]] = dict(before)
    arrays["original"] = plan.test.images[chosen]
    arrays["ids"] = np.array([plan.test.ids[i] for i in chosen])
    arrays["classes"] = np.array([plan.data.classes[plan.test.labels[i]] for i in chosen])
    labels = [str(label) for label in arrays.get("view_labels", np.array([], dtype=str))]
    for label, view in views.items():
        if view is not None:
            if label not in labels:
                labels.append(label)
            arrays[f"view_{labels.index(label)}"] = view
    arrays["view_labels"] = np.array(labels, dtype=str) if labels else np.empty(0, dtype="<U1")
    same = set(arrays) == set(before) and all(np.array_equal(arrays[n], before[n]) for n in arrays)
    if same:
        return
    if vouched:
        folder.put(PICTURES, npz_bytes(arrays))
    else:
        save_arrays(folder.path / PICTURES, arrays)


def _pictures_before(folder: RunFolder) -> tuple[dict[str, npt.NDArray[Any]], bool]:
    """Return the pictures that are there, and whether what is made of them can be vouched for.

    {} where they are not what was written, or where that is not known and the views are kept among
    the artefacts. Earlier versions kept none there: their pictures stay, and nobody vouches.
    """
    if not (folder.path / PICTURES).exists():
        return {}, True
    vouched = folder.sums.vouch_for(PICTURES)
    if not vouched:
        if folder.sums.differ_from(PICTURES):
            STORAGE_LOG.warning("%s is not what was written: it is put together again", PICTURES)
            return {}, True
        if folder.is_sealed():
            return {}, True
    try:
        return folder.pictures(), vouched
    except IntegrityError as error:
        STORAGE_LOG.warning("%s: the pictures are put together again", error.problem)
        return {}, True
