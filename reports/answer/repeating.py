"""The commands at the foot of the first page: how the run is repeated, and how it is verified."""

from __future__ import annotations

from he_compare.common.run.timing import seconds_of_cells
from he_compare.common.run.view import RunView

SHORT_COMMIT = 12


def commands_of(view: RunView) -> str:
    """Return the lines to type, in order; the commit is given where every cell has the same."""
    commits = {one.environment.source_commit for one in view.records if one.environment}
    lines = []
    if len(commits) == 1 and (commit := commits.pop()):
        lines.append(f"git checkout {commit[:SHORT_COMMIT]}")
    lines.append(view.manifest.command)
    lines.append(f"compare verify {default_run_folder(view)}")
    return "\n".join(lines)


def default_run_folder(view: RunView) -> str:
    """Return the folder that the command writes to where it is not told another."""
    words = view.manifest.command.split()
    if "--out" in words or "--dataset" not in words[:-1]:
        return "RUN"
    name, _, argument = words[words.index("--dataset") + 1].partition(":")
    return f"runs/{name}-{view.manifest.profile}" if argument in ("", "PATH") else "RUN"


def repeat_words(view: RunView) -> str:
    """Say how long repeating takes, and what kind of machine that was on."""
    seconds = seconds_of_cells(view) + sum(one.seconds for one in view.outcomes)
    minutes = max(1, round(seconds / 60))
    dirty = any(one.environment and one.environment.source_dirty for one in view.records)
    told = f"Repeat and verify (about {minutes} min):"
    return told + (" the checkout had uncommitted changes, so the commit alone may not do." * dirty)
