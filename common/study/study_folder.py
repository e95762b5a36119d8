"""The study folder: what was asked, and one ordinary run folder per data set.

Layout::

    study.json          what was asked, and how far each row is (atomic write)
    study.toml          the study file as it was last accepted
    runs/NAME/          the run of a data set: an ordinary run folder
    earlier/NAME-N/     a run as it was before a changed study file was accepted
    report/*            the report of the study, which leads to those of the runs
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from pydantic import ValidationError

from he_compare.common.errors import IntegrityError, UsageError
from he_compare.common.files import write_atomic
from he_compare.common.run.folder_claim import claimed_folder
from he_compare.common.run.record_lines import first_problem
from he_compare.common.run.store import RunFolder
from he_compare.common.study.study_records import StudyRecord

STUDY, STUDY_FILE = "study.json", "study.toml"
RUNS, EARLIER_RUNS = "runs", "earlier"
# Of ``study.json``: a study of some hundred pipelines takes less than a tenth of it.
MOST_STUDY_BYTES = 1 << 26


class StudyFolder:
    """One study on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Say whether the folder holds a study."""
        return (self.path / STUDY).is_file()

    def claimed(self) -> AbstractContextManager[None]:
        """Have the folder for this process alone, to run or report the study in it.

        Raises UsageError while another process has it, and, before anything is touched, where the
        folder holds something else.
        """
        if not self.exists():
            RunFolder(self.path).require_empty("holds no study")
        return claimed_folder(self.path)

    def run(self, name: str) -> RunFolder:
        """Return the run of a row."""
        return RunFolder(self.path / RUNS / name)

    def record(self) -> StudyRecord:
        """Read what was asked. Raises UsageError where there is no study, IntegrityError."""
        path = self.path / STUDY
        if not path.is_file():
            raise UsageError(
                f"{self.path} holds no study (no {STUDY})",
                fix="pass the folder that was given to `compare study run --out`",
            )
        fix = "restore the file, or start a new study with another --out"
        if path.stat().st_size > MOST_STUDY_BYTES:
            raise IntegrityError(f"{STUDY} in {self.path} is too large", fix=fix)
        try:
            return StudyRecord.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise IntegrityError(
                f"{STUDY} in {self.path} is not valid: {first_problem(error)}", fix=fix
            ) from None

    def write(self, record: StudyRecord) -> None:
        """Write what was asked, atomically."""
        text = record.model_dump_json(indent=1) + "\n"
        write_atomic(self.path / STUDY, text.encode())

    def keep_file(self, text: str) -> None:
        """Keep the study file that was accepted, atomically."""
        write_atomic(self.path / STUDY_FILE, text.encode())
