"""The audit that `compare run` ends with, and what every audit has in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from he_compare.common.audit_budget import BUDGETS, AttackBudget
from he_compare.common.errors import EXIT_CELLS_FAILED, EXIT_OK, UnknownNameError, UsageError
from he_compare.common.numeric_threads import use_threads
from he_compare.common.plugins import nearest
from he_compare.common.run.capability_matrix import controls_failed
from he_compare.common.run.known_files import ATTACKS
from he_compare.common.run.records import AttackOutcome
from he_compare.common.run.store import RunFolder
from he_compare.common.types import IntArray, NotRun
from he_compare.comparisons.auditing import suite
from he_compare.comparisons.auditing.adversary_view import positions_read
from he_compare.comparisons.auditing.audit_cells import Setup
from he_compare.comparisons.auditing.deployments import RunDeployments, deployed_cells
from he_compare.comparisons.auditing.harness import Harness
from he_compare.comparisons.auditing.lanes import LaneSource
from he_compare.comparisons.auditing.pool import RunPool
from he_compare.comparisons.measuring.measurer import CellMeasurer
from he_compare.comparisons.measuring.opening_options import option_words
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.progress import ProgressReporter

# What the audit at the end of a run may take.
QUICK_SECONDS = 300.0


def messages_to_keep(plan: RunPlan) -> IntArray | None:
    """Return the test images whose messages the audit of a run reads; None without an audit."""
    if plan.config.audit == "none":
        return None
    budget, seed = find_budget(plan.config.audit), plan.config.seed
    return positions_read(plan.test.labels, budget, seed, suite.images_wanted())


def audit_run(
    plan: RunPlan,
    folder: RunFolder,
    measurer: CellMeasurer,
    progress: ProgressReporter,
    lanes: LaneSource | None = None,
) -> list[AttackOutcome]:
    """Attack every pipeline of a run as it was deployed, into the run's folder.

    ``lanes``: the workers of the run, where it has some. The quick audit ends after five minutes;
    what was left is recorded as not run.
    """
    setup = setup_of_run(plan)
    beside = f" on {lanes.count} workers" if lanes is not None else ""
    progress.line(f"audit with the {setup.budget.name} budget{beside}")
    records = deployed_cells(plan, folder)
    deployments = RunDeployments(plan, records, folder.path, measurer)
    use_threads(plan.settings.threads)  # latency may have been measured last, with others
    targets = [deployments.target(planned) for planned in plan.pipelines]
    return Harness(setup, folder, progress, lanes).run(targets, attack_names(()))


def setup_of_run(plan: RunPlan) -> Setup:
    """Return what all attacks on a run share: the same in every process that has its plan."""
    budget = replace(find_budget(plan.config.audit), device=plan.settings.device)
    config = plan.config
    command = ["compare audit run", f"--dataset {plan.dataset_spec}"]
    if config.subset:
        command.append(f"--subset {config.subset}")
    command += option_words(config.data_options())
    if config.test_limit is not None:
        command.append(f"--test-limit {config.test_limit}")
    command.append(f"--image-size {config.image_size} --budget {budget.name} --seed {config.seed}")
    return Setup(
        pool=RunPool(plan.summary.fingerprint, plan.data.classes, plan.test, plan.data.train),
        budget=budget,
        seed=config.seed,
        command=" ".join(command),
        run={"backbone": config.backbone, "weights": plan.backbone.weights_sha256},
        pictures=config.pictures > 0,
        seconds=QUICK_SECONDS if budget.name == "quick" else None,
        references=plan.public,
    )


def exit_code(outcomes: Sequence[AttackOutcome], asked: Sequence[str] = ()) -> int:
    """Return 3 where a control misbehaves or an attack did not run, else 0.

    That the budget is too small for an attack, or that it cannot read the messages, is no failure,
    unless it was asked for by name. That it does not apply, or won what nobody promised, is none.
    """
    open_ends = any(
        outcome.not_run not in (None, NotRun.BUDGET)
        or (outcome.attack in asked and outcome.verdict in ("not run", "unreadable"))
        for outcome in outcomes
    )
    return EXIT_CELLS_FAILED if open_ends or controls_failed(outcomes) else EXIT_OK


def find_budget(name: str) -> AttackBudget:
    """Return a budget by name. Raises UnknownNameError."""
    if name not in BUDGETS:
        raise UnknownNameError(f"unknown budget {name!r}", fix=nearest(name, list(BUDGETS)))
    return BUDGETS[name]


def attack_names(asked: Sequence[str]) -> list[str]:
    """Return the attacks and checks asked for, or all there are.

    Raises UnknownNameError, BrokenPluginError where one that is asked for cannot be used.
    """
    found = [suite.find(name) for name in asked]
    for plugin in found:
        plugin.load()
    return [plugin.name for plugin in found] or suite.names()


def audited(path: Path) -> list[AttackOutcome]:
    """Read the outcomes of a run or an audit. Raises UsageError where there are none."""
    outcomes = RunFolder(path).outcomes()
    if not outcomes:
        raise UsageError(
            f"{path} holds no outcome of an attack (no {ATTACKS})",
            fix="pass the folder of `compare audit run`, or of `compare run` without --no-audit",
        )
    return outcomes
