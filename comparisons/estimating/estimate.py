"""``compare run --estimate``: what a plan will take, before anything of it starts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from he_compare.common.costs import Costs, RunSizes
from he_compare.common.datasets.stored.picture_file import StoredPictures
from he_compare.common.environment import fingerprint_environment, thread_environment
from he_compare.common.errors import CellError
from he_compare.common.identity import key_of, source_digest
from he_compare.common.kept import Kept, KeptResults
from he_compare.common.memory_limits import free_memory
from he_compare.common.run.spelling import size
from he_compare.common.run.store import RunFolder
from he_compare.common.sources import FORECASTS
from he_compare.common.types import HeldPictures, Phase, Status
from he_compare.comparisons.estimating.forecast import (
    CellForecast,
    CellWork,
    Forecaster,
    RunScale,
    in_parallel,
)
from he_compare.comparisons.estimating.price_list import Prices
from he_compare.comparisons.measuring.threads import Lanes

if TYPE_CHECKING:
    from he_compare.comparisons.measuring.plan import RunPlan

PROBE_SECONDS = 900.0
# The report as three documents: processor time for a finished quick run of eleven pipelines.
REPORT_SECONDS = 8.0
# Report, attacks' artefacts, records and the sums of a finished quick run.
REPORT_BYTES = 25_000_000
FEATURE_BYTES = 4
# What scoring and the report load in a driver with workers: one of 10,000 images of 224 px had 0.85
# GB at its peak.
SCORING_BYTES = 150_000_000
# Where a folder does not exist yet, its nearest parent says how much room there is.
PROBES = "probes"
PROBE = "he_compare.comparisons.estimating.probing"


@dataclass(frozen=True)
class RunForecast:
    """What a run will take from now on. Times are of the whole budget; bytes are counted once.

    What is finished takes nothing. ``measuring_seconds``: cells and report, by ``lanes``.
    ``audit_seconds``: what the attacks may take at most; None where their budget has no limit for
    all of them together. Memory is an upper value: ``driver_bytes``, of the driver, which measures
    by itself where it has no workers; ``workers_bytes``, of all workers together;
    ``servers_bytes``, of all servers at once, as they stay for the latency rounds, and of those
    that train beside each other. ``store_bytes``: decoded images, which lie in the cache already.
    ``run_bytes``: what is still written into the run folder. ``not_known``: by label, why there is
    no estimate. ``notes``: what is computed, not measured.
    """

    cells: tuple[CellForecast, ...]
    lanes: Lanes
    measuring_seconds: float
    audit_seconds: float | None
    driver_bytes: int
    workers_bytes: int
    servers_bytes: int
    sent_bytes: int
    store_bytes: int
    run_bytes: int
    not_known: dict[str, str]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    prices: Prices

    @property
    def memory_bytes(self) -> int:
        """Driver, workers and servers together."""
        return self.driver_bytes + self.workers_bytes + self.servers_bytes

    @property
    def disk_bytes(self) -> int:
        """What is still to be written: the images were decoded when the run was planned."""
        return self.run_bytes

    @property
    def finished(self) -> bool:
        """Whether nothing of the run is left to be done."""
        return not (self.measuring_seconds or self.audit_seconds or self.run_bytes)


def sizes_of(plan: RunPlan) -> RunSizes:
    """Return the sizes of a plan."""
    settings = plan.settings
    return RunSizes(
        train=len(plan.data.train),
        val=len(plan.data.val),
        test=len(plan.test),
        classes=len(plan.data.classes),
        width=plan.backbone.feature_width,
        image_size=settings.image_size,
        backbone=settings.backbone,
        weights=settings.weights,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        infer_batch=settings.infer_batch,
        threads=settings.threads,
        device=settings.device,
        measured_on=plan.measured_on,
    )


def costs_of(plan: RunPlan, sizes: RunSizes) -> dict[str, Costs | None]:
    """Ask every pipeline that the plan runs, by label."""
    return {
        one.label: one.pipeline.costs(one.parameters, sizes)
        for one in plan.pipelines
        if one.label not in plan.not_run
    }


def shared_work(plan: RunPlan) -> dict[str, list[tuple[str, bool]]]:
    """Return what each pipeline shares with others, by label, and whether each seed has its own.

    A pipeline that does not say what it takes shares nothing that is known.
    """
    return {
        label: [(step.shared, step.of_seed) for step in costs.fit if step.shared]
        for label, costs in costs_of(plan, sizes_of(plan)).items()
        if costs is not None
    }


def forecast(
    plan: RunPlan,
    folder: RunFolder,
    cache_dir: Path,
    *,
    lanes: Lanes = Lanes(),
    before_probe: Callable[[], None] = lambda: None,
) -> RunForecast:
    """Return what a plan will take; cells that a folder holds finished are counted as done.

    Prices of an earlier probe are used again; where there are none, ``before_probe`` is called.
    Raises CellError where the probe fails.
    """
    sizes = sizes_of(plan)
    prices = kept_prices(plan, sizes, cache_dir)
    if prices is None:
        before_probe()
        prices = measure_prices(plan, sizes, costs_of(plan, sizes))
        name = name_of_prices(plan, sizes)
        kept = Kept(prices.model_dump_json(indent=1).encode())
        KeptResults(cache_dir / PROBES, private=True).keep(name, kept)
    return _priced(plan, folder, sizes, prices, lanes)


def forecast_by_kept_prices(
    plan: RunPlan, folder: RunFolder, cache_dir: Path, *, lanes: Lanes = Lanes()
) -> RunForecast | None:
    """Return what a plan will take, without a probe; None where no earlier one measured it."""
    sizes = sizes_of(plan)
    prices = kept_prices(plan, sizes, cache_dir)
    return None if prices is None else _priced(plan, folder, sizes, prices, lanes)


def _priced(
    plan: RunPlan, folder: RunFolder, sizes: RunSizes, prices: Prices, lanes: Lanes
) -> RunForecast:
    from he_compare.comparisons.auditing.audit import messages_to_keep

    costs = costs_of(plan, sizes)
    taped = messages_to_keep(plan)
    scale = RunScale(
        sizes,
        plan.config.latency_images,
        plan.config.robustness_images,
        0 if taped is None else len(taped),
        held_bytes=_held_bytes(plan),
    )
    forecaster = Forecaster(scale, costs, prices)
    cells = tuple(forecaster.cell(work) for work in works(plan, folder))
    return _sum(plan, folder, cells, costs, forecaster, prices, lanes)


def _held_bytes(plan: RunPlan) -> int:
    """Return what a process holds of the images: of those in a store only what is told of them."""
    batches = (plan.data.train, plan.data.val, plan.test)
    held = [one.images.array for one in batches if isinstance(one.images, HeldPictures)]
    told = {one.path: one.facts_bytes for one in _stored(plan)}
    return sum(array.nbytes for array in held) + sum(told.values())


def works(plan: RunPlan, folder: RunFolder) -> list[CellWork]:
    """Return the cells of a plan in their order, with what is finished of them."""
    records = folder.records() if folder.exists() else []
    done = {one.identity: one.seconds for one in records if one.status is Status.OK}
    return [
        CellWork(
            cell.planned.label,
            cell.seed,
            cell.phase,
            cell.round,
            done.get(cell.identity),
            again=cell.again,
        )
        for cell in plan.cells()
        if cell.planned.label not in plan.not_run
    ]


def _sum(
    plan: RunPlan,
    folder: RunFolder,
    cells: Sequence[CellForecast],
    costs: dict[str, Costs | None],
    forecaster: Forecaster,
    prices: Prices,
    lanes: Lanes,
) -> RunForecast:
    known = [one for one in cells if one.seconds is not None]
    left = [one for one in cells if one.work.kept is None]
    attacks = attacks_left(plan, folder, measured=not left)
    reported = not left and attacks == 0 and folder.sums.exist()
    driver, workers = _processes(left, forecaster, lanes)
    servers = _servers(left, lanes)
    written = sum(one.disk_bytes for one in known) + _features(plan, cells, costs)
    written += 0 if reported else REPORT_BYTES
    notes = dict.fromkeys(note for one in costs.values() if one for note in one.notes)
    here = driver + (0 if lanes.elsewhere else workers + servers)
    return RunForecast(
        cells=tuple(cells),
        lanes=lanes,
        measuring_seconds=_wall(known, lanes.at_once) + (0.0 if reported else REPORT_SECONDS),
        audit_seconds=attacks,
        driver_bytes=driver,
        workers_bytes=workers,
        servers_bytes=servers,
        sent_bytes=sum(one.sent_bytes for one in known),
        store_bytes=_stored_bytes(plan),
        run_bytes=written,
        not_known={label: reason for label in costs if (reason := forecaster.unknown(label))},
        notes=tuple(notes),
        warnings=warnings_of(here, written, folder),
        prices=prices,
    )


def _stored_bytes(plan: RunPlan) -> int:
    """Return the bytes of the files in which the decoded images lie, those not chosen included."""
    return sum({one.path: one.file_bytes for one in _stored(plan)}.values())


def _stored(plan: RunPlan) -> list[StoredPictures]:
    batches = (plan.data.train, plan.data.val, plan.test)
    return [one.images for one in batches if isinstance(one.images, StoredPictures)]


def _features(
    plan: RunPlan, cells: Sequence[CellForecast], costs: Mapping[str, Costs | None]
) -> int:
    """Return the bytes of the features that are still to be kept: once per run, by the first."""
    takes = {
        label for label, one in costs.items() if one and any(not step.of_seed for step in one.fit)
    }
    fits = [one for one in cells if one.work.phase is Phase.ACCURACY and one.work.label in takes]
    if not fits or any(one.work.kept is not None for one in fits):
        return 0
    sizes = sizes_of(plan)
    return (sizes.train + sizes.val) * sizes.width * FEATURE_BYTES


def _processes(
    left: Sequence[CellForecast], forecaster: Forecaster, lanes: Lanes
) -> tuple[int, int]:
    """Return the memory of the driver, and of all workers together.

    Every worker has a cell at a time; what stays of a cell stays in one of them.
    """
    priced = [one for one in left if one.seconds is not None]
    if lanes.alone:
        return max((one.driver_bytes for one in priced), default=0), 0
    if not priced:
        return 0, 0
    peaks = _by_task(priced, lambda one: one.worker_bytes)
    largest = sorted(peaks, reverse=True)[: lanes.workers]
    idle = (lanes.workers - len(largest)) * forecaster.idle_bytes
    stays = sum(one.stays_bytes for one in priced)
    return forecaster.idle_bytes + SCORING_BYTES, sum(largest) + idle + stays


def _servers(left: Sequence[CellForecast], lanes: Lanes) -> int:
    """Return the memory of all servers at once: those that stay, and one more per process."""
    priced = [one for one in left if one.seconds is not None]
    stay: dict[str, int] = {}
    for one in priced:
        if not one.work.again:
            stay[one.work.label] = max(stay.get(one.work.label, 0), one.server_bytes)
    passing = _by_task(
        priced, lambda one: max(one.trainer_bytes, one.server_bytes if one.work.again else 0)
    )
    return sum(stay.values()) + sum(sorted(passing, reverse=True)[: lanes.workers])


def _by_task(cells: Sequence[CellForecast], bytes_of: Callable[[CellForecast], int]) -> list[int]:
    """Return the largest value of each pipeline and seed: what one worker measures in turn."""
    found: dict[tuple[str, int], int] = {}
    for one in cells:
        key = one.work.label, one.work.seed
        found[key] = max(found.get(key, 0), bytes_of(one))
    return list(found.values())


def _wall(cells: Sequence[CellForecast], at_once: int) -> float:
    """Return the wall time: latency alone, all else of a pipeline and seed one after another.

    ``at_once``: how many pipelines go on at the price of one, which was measured alone.
    """
    tasks: dict[tuple[str, int], float] = {}
    alone = 0.0
    for one in cells:
        assert one.seconds is not None
        if one.work.phase is Phase.LATENCY:
            alone += one.seconds
        else:
            key = (one.work.label, one.work.seed)
            tasks[key] = tasks.get(key, 0.0) + one.seconds
    return in_parallel(list(tasks.values()), at_once) + alone


def audit_seconds(plan: RunPlan) -> float | None:
    """Return what the attacks of a run take at most; None where nothing bounds all of them."""
    from he_compare.comparisons.auditing.audit import QUICK_SECONDS

    return {"none": 0.0, "quick": QUICK_SECONDS}.get(plan.config.audit)


def attacks_left(plan: RunPlan, folder: RunFolder, *, measured: bool) -> float | None:
    """Return what the attacks that are left take at most; None where nothing bounds them.

    ``measured``: whether every cell is finished. Attacks that did not run are tried once more.
    """
    if measured and folder.exists() and folder.sums.exist():
        found = folder.outcomes()
        if found and all(one.verdict != "not run" for one in found):
            return 0.0
    return audit_seconds(plan)


def warnings_of(memory: int, disk: int, folder: RunFolder) -> tuple[str, ...]:
    """Say where this machine has less than the run will take."""
    told = []
    available = free_memory()
    if memory > available.bytes:
        told.append(
            f"memory: the run takes about {size(memory)}, {size(available.bytes)} are free "
            f"{available.bound}: pass fewer --workers or pipelines"
        )
    place = folder.path.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if disk > free:
        told.append(f"disk: the run takes about {size(disk)}, {size(free)} are free")
    return tuple(told)


def kept_prices(plan: RunPlan, sizes: RunSizes, cache_dir: Path) -> Prices | None:
    """Return the prices of an earlier probe of the same pipelines on this machine, or None."""
    kept = KeptResults(cache_dir / PROBES).find(name_of_prices(plan, sizes))
    try:
        return None if kept is None else Prices.model_validate_json(kept.data)
    except ValidationError:
        return None  # by another version: measured anew


def name_of_prices(plan: RunPlan, sizes: RunSizes) -> str:
    """Name a probe by all that prices depend on; how many images is none of it."""
    environment = fingerprint_environment(sizes.threads)
    shape = {
        name: value
        for name, value in asdict(sizes).items()
        if name not in ("train", "val", "test", "epochs")
    }
    return key_of(
        cpu=environment.cpu,
        cores=environment.logical_cores,
        python=environment.python,
        packages=environment.packages,
        pipelines=[[one.label, one.resolved()] for one in plan.pipelines],
        sizes=shape,
        source=source_digest(
            "he_compare.comparisons.estimating.probing",
            *FORECASTS,
            *{
                module
                for one in plan.pipelines
                for module in one.pipeline.source_modules(one.parameters)
            },
        ),
    )


def measure_prices(plan: RunPlan, sizes: RunSizes, costs: Mapping[str, Costs | None]) -> Prices:
    """Probe this machine in a process of its own. Raises CellError where it fails.

    Pipelines that do not say what they take are not probed.
    """
    request = {
        "pipelines": {one.label: one.spec.text for one in plan.pipelines if costs.get(one.label)},
        "sizes": asdict(sizes),
        "learning_rate": plan.settings.learning_rate,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", PROBE],
            input=json.dumps(request).encode(),
            capture_output=True,
            env=os.environ
            | thread_environment(sizes.threads)
            | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CellError(
            f"the probe did not end in {PROBE_SECONDS:g} s",
            fix="run without --estimate, or on a machine that does less",
        ) from None
    try:
        return Prices.model_validate_json(done.stdout)
    except ValidationError:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise CellError(
            f"the probe failed (exit code {done.returncode}): {words[-1] if words else 'no words'}",
            fix="run without --estimate",
        ) from None
