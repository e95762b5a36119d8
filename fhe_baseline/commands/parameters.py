"""Audit lattice parameters: of every named set, or of what the pipelines of a run used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from he_compare.common.errors import UsageError

if TYPE_CHECKING:
    from he_compare.fhe_baseline.parameter_table import AuditRow


class ParametersCommand:
    """What `compare audit parameters` runs."""

    name = "parameters"

    def run(self, run: Path | None = None, *, as_json: bool = False, with_tfhe: bool = True) -> str:
        """Return the audit as text or JSON; without a run, of the named sets.

        ``with_tfhe``: compile a reference circuit for TFHE's row, where Concrete ML is there.
        Raises UsageError where a run has no pipeline that rests on a lattice.
        """
        from he_compare.fhe_baseline.parameter_table import describe

        rows, without = self._named(with_tfhe) if run is None else self._of(run)
        if as_json:
            return json.dumps([_row(row) for row in rows], indent=2)
        return describe(rows, without)

    def _named(self, with_tfhe: bool) -> tuple[list[AuditRow], list[str]]:
        from he_compare.fhe_baseline.parameter_table import named_rows, reference_circuit
        from he_compare.fhe_baseline.tfhe.library import availability

        wanted = with_tfhe and availability().available
        return named_rows(reference_circuit() if wanted else None), []

    def _of(self, run: Path) -> tuple[list[AuditRow], list[str]]:
        from he_compare.common.run.store import RunFolder
        from he_compare.fhe_baseline.parameter_table import run_rows

        folder = RunFolder(run)
        folder.manifest()
        rows, without = run_rows(folder.records())
        if not rows:
            raise UsageError(
                f"no record of {run} holds lattice parameters",
                fix="run a homomorphic pipeline, for instance --pipeline fhe-head",
            )
        return rows, without


def _row(row: AuditRow) -> dict[str, Any]:
    return {"user": row.user, **row.facts.model_dump(mode="json"), "measured": list(row.measured)}


COMMAND = ParametersCommand()
