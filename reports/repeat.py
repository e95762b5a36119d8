"""How a reader repeats a run: the checkout, the install, the data, the run, the check."""

from __future__ import annotations

from he_compare.common.run.spelling import duration
from he_compare.common.run.timing import seconds_of_cells
from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import Code, CodeBlock, Paragraph, inline

AGAIN = "again"
SHOWN_OF_HASH = 12


def repeat_blocks(view: RunView) -> tuple[Paragraph | CodeBlock, ...]:
    """Return what is needed, at most six commands, and what is to be expected of them."""
    dataset, backbone = view.manifest.dataset, view.manifest.backbone
    needed = inline(
        "In a clone of he-compare, on the same images (fingerprint ",
        Code(dataset.fingerprint[:SHOWN_OF_HASH]),
        ") and weights (SHA-256 ",
        Code(backbone.weights_sha256[:SHOWN_OF_HASH]),
        "). PATH stands for the folder of the images.",
    )
    expected = (
        f"Expected: {_time(view)}; the same predictions, hence the same accuracies. Keys are drawn "
        "anew and times differ with the machine, so the numbers of attacks and costs vary."
    )
    commands = CodeBlock("\n".join(repeat_commands(view)))
    return Paragraph(needed), commands, Paragraph(inline(expected))


def repeat_commands(view: RunView) -> list[str]:
    """Return the commands that repeat a run, from checkout to check."""
    manifest = view.manifest
    return [
        *_checkout(view),
        "python -m venv .venv && . .venv/bin/activate",
        "pip install --editable .",
        "export COMPARE_DATA=PATH",
        f"{manifest.command} --out {AGAIN}",
        f"compare verify {AGAIN}",
    ]


def _checkout(view: RunView) -> list[str]:
    """Return the command that fetches the source; none where no commit was recorded."""
    commits = {one.source_commit for one in view.environments if one.source_commit}
    dirty = any(one.source_dirty for one in view.environments)
    if len(commits) != 1:
        return []
    changes = "  # and changes that were not committed" if dirty else ""
    return [f"git checkout {commits.pop()}{changes}"]


def _time(view: RunView) -> str:
    """Say how long cells and attacks took here."""
    cells = seconds_of_cells(view)
    attacks = sum(outcome.seconds for outcome in view.outcomes)
    where = ""
    if len(view.environments) == 1:
        machine = view.environments[0]
        where = f" on {machine.cpu}, {machine.logical_cores} cores"
    more = f" and {duration(attacks)} for the attacks" if attacks else ""
    return f"about {duration(cells)} for the measurements{more}{where}"
