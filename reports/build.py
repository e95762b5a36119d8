"""From a run folder to one document, part by part, and from there to files on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from he_compare.common.errors import UsageError
from he_compare.common.files import write_atomic
from he_compare.common.run.spelling import moment
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import RunView, read_run
from he_compare.reports.answer.question import question_of
from he_compare.reports.banners import banners
from he_compare.reports.document.nodes import Attachment, Document, Inline, inline
from he_compare.reports.parts import sections_of
from he_compare.reports.record_index import with_record_index
from he_compare.reports.render import check_formats, rendered

REPORT_HOME = "report"


def build_document(run: RunFolder) -> Document:
    """Read a run and lay it out as a document.

    A section that cannot be made is replaced by a line that says so. Raises UsageError where there
    is no run, IntegrityError where a file of the run does not hold.
    """
    view = read_run(run)
    return Document(
        title=question_of(view),
        subtitle=_subtitle(view),
        date=view.manifest.created_at,
        banners=banners(view),
        sections=with_record_index(view, sections_of(view)),
        attachments=(_records(view),),
    )


def write_report(run_path: Path, formats: Sequence[str], out: Path | None = None) -> list[Path]:
    """Write the report of a run in each format and return the files, in the order asked for.

    ``out`` is the folder to write to, ``RUN/report`` by default: then the sums of what was written
    are written again. Raises UsageError on an unknown format, a folder that is no run or one that
    cannot be written; UnavailableError where a renderer's library is missing.
    """
    check_formats(formats)
    run = RunFolder(run_path)
    run.manifest()
    folder, home = out if out is not None else run_path / REPORT_HOME, run_path.resolve()
    if not folder.resolve().is_relative_to(home):
        return written_files(build_document(run), formats, folder)
    noted: list[str] = []

    def note(path: Path, data: bytes) -> None:
        noted.append(path.resolve().relative_to(home).as_posix())
        run.sums.note(noted[-1], data)

    with run.claimed():
        try:
            return written_files(build_document(run), formats, folder, note)
        finally:  # one format may be written and the next be refused
            if noted:
                run.add_to_sums()


def _to_nobody(path: Path, data: bytes) -> None:
    """Note nothing."""


def written_files(
    document: Document,
    formats: Sequence[str],
    folder: Path,
    note: Callable[[Path, bytes], None] = _to_nobody,
) -> list[Path]:
    """Write a document and return the files to open. ``note``: gets every file that was written.

    Raises UsageError where a file cannot be written, UnavailableError as ``rendered`` does.
    """
    paths = []
    for name in dict.fromkeys(formats):
        files = rendered(document, name)
        first, *others = files
        # The one to open is written last. What it refers to can be made again: waiting for the disk
        # after each of some hundred pictures would take longer than making them.
        for one in (*others, first):
            try:
                write_atomic(folder / one, files[one], lasting=one == first)
            except OSError as error:
                raise UsageError(
                    f"cannot write the report to {folder / one}: {error.strerror or error}",
                    fix="free some space, or name another folder with --out",
                ) from None
            note(folder / one, files[one])
        paths.append(folder / first)
    return paths


def _subtitle(view: RunView) -> Inline:
    manifest = view.manifest
    return inline(
        f"{len(view.pipelines)} pipelines, {view.n_test} test images, backbone "
        f"{manifest.backbone.name} ({manifest.backbone.weights}), he-compare "
        f"{manifest.tool_version}, started {moment(manifest.created_at)}"
    )


def _records(view: RunView) -> Attachment:
    """Everything the document was made from, but the pictures and predictions."""
    content = {
        "manifest": view.manifest.model_dump(mode="json"),
        "records": [record.model_dump(mode="json") for record in view.records],
        "attacks": [outcome.model_dump(mode="json") for outcome in view.outcomes],
        "scores": view.scores.model_dump(mode="json") if view.scores else None,
    }
    data = json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    description = "Manifest, records, outcomes of attacks and scores this report was made from"
    return Attachment("records.json", description, "application/json", data)
