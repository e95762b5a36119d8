"""What `compare audit run` does: an audit without a run, in a folder of its own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias

from he_compare.common.backbones.device import CPU, resolve_device
from he_compare.common.environment import tool_version
from he_compare.common.errors import IntegrityError, UsageError
from he_compare.common.run.device_words import device_shown
from he_compare.common.run.store import AUDIT, RunFolder
from he_compare.common.temporary_folders import swept_folder
from he_compare.comparisons.auditing import matrix
from he_compare.comparisons.auditing.audit import attack_names, exit_code
from he_compare.comparisons.auditing.audit_request import AuditRequest
from he_compare.comparisons.auditing.harness import Harness
from he_compare.comparisons.auditing.lanes import LaneSource
from he_compare.comparisons.auditing.standalone import StandaloneAudit, open_audit
from he_compare.comparisons.progress import ProgressReporter
from he_compare.comparisons.terminal import terminal_columns

# Makes the lanes of an audit; None for this process alone.
MakeLanes: TypeAlias = Callable[
    [StandaloneAudit, RunFolder, ProgressReporter], AbstractContextManager[LaneSource | None]
]


def _here(*_: object) -> AbstractContextManager[None]:
    return nullcontext()


def audit_command(request: AuditRequest, make_lanes: MakeLanes = _here) -> int:
    """Attack, print the matrix, return the exit code: 3 where a control or an attack failed."""
    device = resolve_device(request.device)
    attacks = attack_names(request.attacks)
    with ProgressReporter(quiet=request.quiet) as progress:
        audit = open_audit(request, progress)
        folder = RunFolder(request.folder())
        if device.name != CPU:
            progress.line(f"learned attacks and training run on {device_shown(device.facts())}")
        with folder.claimed("holds no audit"):
            begun = _begin(folder, audit)
            for words in filter(None, (folder.sums.damage_words(), begun)):
                progress.say(f"note: {words}")
            for line in folder.recover():
                progress.say(f"note: {line}: set aside, its attack runs again")
            folder.remove_orphans()
            # Nothing is deployed until an attack asks for it.
            with swept_folder("audit") as private, make_lanes(audit, folder, progress) as lanes:
                targets = audit.targets(folder.artefacts, private, progress)
                outcomes = Harness(audit.setup, folder, progress, lanes).run(targets, attacks)
            folder.write_sums()
    print(matrix.render(outcomes, terminal_columns()))
    print()
    print(f"audit: {folder.path}")
    return exit_code(outcomes, attacks if request.attacks else ())


def _begin(folder: RunFolder, audit: StandaloneAudit) -> str:
    """Begin an audit in an empty folder, or see that the one there is the same.

    Return what was done about a damaged file that says which audit it is, '' for nothing.
    """
    path = folder.path / AUDIT
    facts = {
        "command": audit.request.whole_command(),
        "data": audit.pool.fingerprint,
        "tool_version": tool_version(),
        "sums_cover_all": True,
    }
    if not path.is_file():
        folder.require_empty("holds no audit")
        _write_facts(folder, facts)
        return ""
    known = _facts_in(path)
    if [known.get(name) for name in ("command", "data")] != [facts["command"], facts["data"]]:
        raise UsageError(
            f"{folder.path} holds another audit ({known.get('command')})",
            fix="name another folder with --out",
        )
    if not folder.sums.differ_from(AUDIT):
        return ""
    _write_facts(folder, facts | {"sums_cover_all": folder.is_sealed()})
    return f"{AUDIT} is not what was written: it is written again"


def _facts_in(path: Path) -> dict[str, Any]:
    """Return what says which audit a folder holds. Raises IntegrityError."""
    try:
        known = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        reason = str(error)
    else:
        if isinstance(known, dict):
            return known
        reason = "it is no object"
    raise IntegrityError(
        f"{AUDIT} in {path.parent} does not parse: {reason}",
        fix="restore the file, or name another folder with --out",
    )


def _write_facts(folder: RunFolder, facts: dict[str, Any]) -> None:
    folder.put(AUDIT, (json.dumps(facts, indent=2) + "\n").encode())
    with contextlib.suppress(IntegrityError):  # damaged sums are written when the audit ends
        folder.sums.enter()
