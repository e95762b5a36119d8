"""One run from start to end: plan, measure, score, attack, report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from he_compare.common.errors import EXIT_CELLS_FAILED, EXIT_OK, UsageError
from he_compare.common.run.device_words import announced
from he_compare.common.run.records import AttackOutcome, RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.run.view import read_run
from he_compare.common.types import Status
from he_compare.comparisons.cluster.who_runs import Staff, WhoRuns, executor_of, staffed
from he_compare.comparisons.judging import scoring, show
from he_compare.comparisons.measuring.config import RunConfig, load_config
from he_compare.comparisons.measuring.dataset_spec import default_folder_name
from he_compare.comparisons.measuring.host_asked import HostAsked
from he_compare.comparisons.progress import ProgressReporter
from he_compare.comparisons.terminal import terminal_columns
from he_compare.comparisons.user_folders import default_cache_dir, default_key_file

# Prices are those of a probe of this machine.
NO_FORECAST = "the estimate is for servers on this machine, not on the host, and without network"


@dataclass(frozen=True)
class DataAsked:
    """Which images a run is to have, and how they may be looked for."""

    dataset: str
    data_dir: Path | None
    offline: bool
    require_real: bool


@dataclass(frozen=True)
class RunEnded:
    """How a run ended: its attacks, its reports, and whether anything of it failed."""

    attacks: list[AttackOutcome]
    reports: list[Path]
    failed: bool

    @property
    def exit_code(self) -> int:
        """3 where a cell or an attack failed, else 0."""
        return EXIT_CELLS_FAILED if self.failed else EXIT_OK


def run_command(
    *,
    dataset: str,
    data_dir: Path | None,
    profile: str,
    overrides: dict[str, Any],
    out: Path | None,
    key: Path | None,
    offline: bool,
    require_real: bool,
    render: Callable[[Path], list[Path]],
    explain: bool,
    estimate: bool,
    as_json: bool,
    quiet: bool,
    who: WhoRuns | None = None,
    host: HostAsked | None = None,
) -> int:
    """Plan, run, score and render. Return the exit code.

    ``who``: who runs the cells, None for this process alone. ``host``: where server halves run,
    None for this machine.
    """
    who, asked = who or WhoRuns(), host or HostAsked()
    who.check()
    asked.check()
    if asked.address:
        who = who.beside_host()
    if as_json and not estimate:
        raise UsageError(
            "--json is given without --estimate", fix="add --estimate, or leave it out"
        )
    config = load_config(profile, overrides)
    folder = RunFolder(out or Path("runs") / f"{default_folder_name(dataset, data_dir)}-{profile}")
    with ProgressReporter(quiet=quiet) as progress, ExitStack() as stack:
        if not (explain or estimate):
            stack.enter_context(folder.claimed())
        progress.line(f"planning {dataset}, profile {profile}")
        from he_compare.comparisons.estimating.announcing import estimate_run
        from he_compare.comparisons.measuring import resuming
        from he_compare.comparisons.measuring.data_access import data_policy
        from he_compare.comparisons.measuring.planning import make_plan

        config = settled_weights(config, offline, progress)
        known = folder.manifest().settings if folder.exists() else None
        there = stack.enter_context(
            asked.greeted(folder.path, config.pipelines, config.call_seconds, progress.line)
        )
        staff = stack.enter_context(staffed(who, config, known, progress))
        with data_policy(offline, require_real, progress):
            plan = make_plan(
                config,
                dataset,
                data_dir,
                key or default_key_file(),
                threads=staff.threads,
                host=there,
            )
        if explain or estimate:
            if not estimate:
                print(resuming.explain_cells(plan, folder))
                print()
            if there is not None:
                progress.line(f"note: {NO_FORECAST}")
            place = (folder, default_cache_dir())
            print(estimate_run(plan, *place, progress, staff.lanes, as_json=as_json))
            return EXIT_OK
        asked_data = DataAsked(dataset, data_dir, offline, require_real)
        ended = carried_out(plan, folder, staff, asked_data, render, progress)
    print(show.table(read_run(folder), terminal_columns()))
    print()
    if ended.attacks:
        print(_matrix(ended.attacks))
        print()
        if line := _open_ends(ended.attacks):
            print(f"audit:  {line}")
    print(f"run:    {folder.path}")
    for path in ended.reports:
        print(f"report: {path}")
    return ended.exit_code


def carried_out(
    plan: Any,
    folder: RunFolder,
    staff: Staff,
    asked: DataAsked,
    render: Callable[[Path], list[Path]],
    progress: ProgressReporter,
    told: Callable[[RunRecord], None] | None = None,
) -> RunEnded:
    """Carry out a plan in a folder that this process has claimed: measure, score, attack, render.

    ``told``: is given the record of every cell that ends.
    """
    from he_compare.comparisons.estimating.announcing import announce_estimate

    _announce(plan, progress)
    _begin(folder, plan, progress)
    if plan.host is None:
        announce_estimate(plan, folder, default_cache_dir(), progress, staff.lanes)
    measurer = _measurer(plan, folder, progress)
    make_executor = partial(
        executor_of,
        *(staff, plan, folder),
        dataset=asked.dataset,
        data_dir=asked.data_dir,
        offline=asked.offline,
        require_real=asked.require_real,
        cache_dir=default_cache_dir(),
        taped=measurer.taped,
        progress=progress,
    )
    with _executor(staff, make_executor, plan, folder) as executor:
        counts = _execute(executor, measurer, plan, folder, progress, told)
        scoring.score_run(folder)
        attacks = _audit(executor, plan, folder, measurer, progress)
    # The report adds its own: what was measured is complete without it.
    folder.write_sums()
    progress.line("writing the report")
    paths = render(folder.path)
    failed = bool(_is_unfinished(plan, folder) or counts.failed or _attacks_failed(attacks))
    return RunEnded(attacks, paths, failed)


def _is_unfinished(plan: Any, folder: RunFolder) -> bool:
    """Say whether a cell of the plan did not end well, or has no record.

    Records of cells that the plan has no more, of code or keys that changed since, do not count.
    """
    ended = {one.identity: one.status for one in folder.records()}
    states = [ended.get(cell.identity) for cell in plan.cells()]
    return any(state not in (Status.OK, Status.UNAVAILABLE) for state in states)


def _begin(folder: RunFolder, plan: Any, progress: ProgressReporter) -> None:
    """Begin a run in a new folder, or make one that was begun ready to go on.

    Raises UsageError where the folder holds another run, or something else.
    """
    from he_compare.comparisons.measuring import resuming
    from he_compare.comparisons.measuring.plan_manifest import manifest_of
    from he_compare.comparisons.measuring.sample_pictures import mend_sample_pictures

    if not folder.exists():
        folder.create(manifest_of(plan))
    resuming.require_same_plan(folder, plan)
    aside = folder.recover()
    mended = resuming.mend_manifest(folder, plan)
    resuming.add_seeds(folder, plan)
    folder.keep_copies(plan.copies)
    for line in filter(None, (folder.sums.damage_words(), mended, *aside)):
        progress.say(f"note: {line}")
    folder.remove_orphans()
    if plan.config.pictures:
        mend_sample_pictures(folder, plan, resuming.kept_cells(folder).done)


def settled_weights(config: RunConfig, offline: bool, progress: ProgressReporter) -> RunConfig:
    """Decide which weights are used, so that every cell of the run has the same."""
    from he_compare.common.backbones.weights import settle_weights

    weights, why = settle_weights(config.backbone, config.weights, offline=offline)
    if why:
        progress.say(f"note: {why}")
    return config.model_copy(update={"weights": weights})


def _measurer(plan: Any, folder: RunFolder, progress: ProgressReporter) -> Any:
    from he_compare.comparisons.auditing.audit import messages_to_keep
    from he_compare.comparisons.measuring.measurer import CellMeasurer

    ground = plan.ground(folder.artefacts, default_cache_dir(), progress)
    return CellMeasurer(plan, ground, messages_to_keep(plan))


def _executor(
    staff: Staff,
    make_executor: Callable[[], AbstractContextManager[Any]],
    plan: Any,
    folder: RunFolder,
) -> AbstractContextManager[Any]:
    """Start what runs cells and attacks on workers; None where this process does all there is."""
    from he_compare.comparisons.measuring.resuming import kept_cells

    done = kept_cells(folder).done
    left = [cell for cell in plan.cells() if cell.identity not in done]
    if staff.alone or not (left or plan.config.audit != "none"):
        return nullcontext()
    return make_executor()


def _execute(
    executor: Any,
    measurer: Any,
    plan: Any,
    folder: RunFolder,
    progress: ProgressReporter,
    told: Callable[[RunRecord], None] | None,
) -> Any:
    """Run the cells here or on workers. Servers of this process are stopped on every way out."""
    from he_compare.comparisons.measuring.runner import CellLog, HereExecutor

    for line in announced(*plan.device_facts()):
        progress.line(line)
    log = CellLog(plan, folder, progress, told)
    try:
        (executor or HereExecutor(measurer)).run(log.to_do(), log)
    finally:
        measurer.close()
    return log.counts


def _audit(
    executor: Any, plan: Any, folder: RunFolder, measurer: Any, progress: ProgressReporter
) -> list[AttackOutcome]:
    """Attack the run's own pipelines, unless the configuration says not to."""
    if plan.config.audit == "none":
        return []
    from he_compare.comparisons.auditing.audit import audit_run
    from he_compare.comparisons.cluster.audit_lanes import CrewLanes

    lanes = CrewLanes(executor, plan, folder) if executor is not None else None
    return audit_run(plan, folder, measurer, progress, lanes)


def _matrix(outcomes: list[AttackOutcome]) -> str:
    from he_compare.comparisons.auditing import matrix

    return matrix.render(outcomes, terminal_columns())


def _open_ends(outcomes: list[AttackOutcome]) -> str:
    from he_compare.comparisons.auditing.left_over import open_ends

    return open_ends(outcomes)


def _attacks_failed(outcomes: list[AttackOutcome]) -> bool:
    from he_compare.comparisons.auditing.left_over import attacks_failed

    return attacks_failed(outcomes)


def _announce(plan: Any, progress: ProgressReporter) -> None:
    counts = ", ".join(f"{split.n} {name}" for name, split in plan.summary.splits.items())
    progress.line(
        f"{plan.summary.card.title}: {counts}; fingerprint {plan.summary.fingerprint[:12]}"
    )
    for label, reason in plan.not_run.items():
        progress.line(f"note: {label} is not run: {reason}")
    if plan.backbone.untrained:
        progress.line(
            "note: the backbone is untrained (random weights), as every page of the report says"
        )
    if plan.summary.card.synthetic:
        progress.line("note: these images are synthetic: results say nothing about patients")
