"""What `compare audit run` does: an audit without a run, in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

from he_compare.common.backbones.device import CPU, resolve_device
from he_compare.common.environment import tool_version
from he_compare.common.errors import IntegrityError, UsageError
from he_compare.common.files import write_atomic
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
            _begin(folder, audit)
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


def _begin(folder: RunFolder, audit: StandaloneAudit) -> None:
    """Begin an audit in an empty folder, or see that the one there is the same."""
    path = folder.path / AUDIT
    facts = {
        "command": audit.request.whole_command(),
        "data": audit.pool.fingerprint,
        "tool_version": tool_version(),
    }
    if path.is_file():
        try:
            known: Any = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise IntegrityError(
                f"{AUDIT} in {folder.path} does not parse: {error}", fix="restore the file"
            ) from None
        if [known.get(name) for name in ("command", "data")] != [facts["command"], facts["data"]]:
            raise UsageError(
                f"{folder.path} holds another audit ({known.get('command')})",
                fix="name another folder with --out",
            )
        return
    folder.require_empty("holds no audit")
    write_atomic(path, (json.dumps(facts, indent=2) + "\n").encode())
