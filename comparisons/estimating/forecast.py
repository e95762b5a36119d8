"""What each cell of a plan will take, and the run in all: counts times prices.

Seconds are those of the whole budget: a training that stops early takes less. Memory is resident
memory; a library that several processes share is counted in each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from he_compare.common.costs import Costs, RunSizes
from he_compare.common.types import Phase
from he_compare.comparisons.estimating.price_list import DeploymentPrice, Prices

# Beside what is counted: describing machine and sources, sizes as JPEG, files. Of a finished run.
CELL_SECONDS = 0.3
WARMUP_IMAGES = 4
# A picture is sent so often to measure disturbances: flipped bits at seven strengths, noise at
# seven; what is no picture gets no noise.
SENT_AS_PICTURE, SENT_OTHERWISE = 28, 20
# A prediction on disk: an id, a group, a label, and two numbers per class.
PREDICTION_BYTES, CLASS_BYTES = 64, 16


@dataclass(frozen=True)
class CellWork:
    """A cell as an estimate needs it. ``kept``: seconds of its finished record; None: to be run.

    ``again``: of a further seed, of which nothing stays when the cell ends.
    """

    label: str
    seed: int
    phase: Phase
    round: int
    kept: float | None = None
    again: bool = False


@dataclass(frozen=True)
class RunScale:
    """How much a run measures. ``taped``: test images whose messages are kept."""

    sizes: RunSizes
    latency_images: int
    robustness_images: int
    taped: int
    held_bytes: int


@dataclass(frozen=True)
class CellForecast:
    """What a cell will take. ``seconds``: None where it is not known; ``reason``: why not.

    ``driver_bytes``: peak memory of one process that measures all cells in their order.
    ``worker_bytes``: of one that measures this cell and keeps nothing of others; ``stays_bytes``:
    what stays of the cell until the run ends, in the process that measured it.
    ``server_bytes``: peak of the server that answers. ``trainer_bytes``: of the one that trains,
    before; 0 where none does.
    ``sent_bytes``: up and down, once-only included. ``disk_bytes``: what it leaves in the run
    folder.
    """

    work: CellWork
    seconds: float | None
    driver_bytes: int = 0
    worker_bytes: int = 0
    stays_bytes: int = 0
    server_bytes: int = 0
    trainer_bytes: int = 0
    sent_bytes: int = 0
    disk_bytes: int = 0
    reason: str = ""


class Forecaster:
    """Prices cells in their order: what pipelines share is paid for by the first."""

    def __init__(self, scale: RunScale, costs: Mapping[str, Costs | None], prices: Prices) -> None:
        self._scale = scale
        self._costs = costs
        self._prices = prices
        self._done: set[tuple[str, int, str]] = set()
        self._loaded: set[str] = set()
        self._imported: set[str] = set()
        self._opened: set[str] = set()
        self._kept_bytes = 0
        self._working = 0
        # What training a network adds to a process: the probe's own, wherever it trained one.
        self._training = max((one.working_bytes for one in prices.pipelines.values()), default=0)
        self._libraries = 0
        # A worker may load what all pipelines of the run import.
        self._all_libraries = sum(one.library_bytes for one in prices.pipelines.values())

    @property
    def idle_bytes(self) -> int:
        """Memory of a process that has loaded the libraries of the run, and measures nothing."""
        return self._prices.driver_bytes + self._all_libraries + self._scale.held_bytes

    def cell(self, work: CellWork) -> CellForecast:
        """Return what the next cell will take."""
        costs, reason = self._costs.get(work.label), self.unknown(work.label)
        if work.kept is not None:
            if costs is not None:
                self._share(costs, work.seed)
            return CellForecast(work, 0.0)
        if costs is None or reason:
            return CellForecast(work, None, reason=reason)
        price = self._prices.deployments[costs.untrained.name]
        if work.phase is Phase.ACCURACY:
            return self._accuracy(work, costs, price)
        if work.phase is Phase.LATENCY:
            images = self._scale.latency_images
            seconds = (images + WARMUP_IMAGES) * price.single_seconds
            return self._later(work, seconds, images, costs, price)
        images = self._scale.robustness_images
        served = price.up_bytes > 0
        sent = SENT_OTHERWISE if price.executes_fhe else SENT_AS_PICTURE
        seconds = images * sent * price.batch_seconds if served else 0.0
        return self._later(work, seconds, images * sent, costs, price)

    def unknown(self, label: str) -> str:
        """Say why a pipeline has no price; '' where it has."""
        costs = self._costs.get(label)
        if costs is None:
            return "no estimate: the pipeline does not say what it takes"
        probed = self._prices.pipelines.get(label)
        if probed is None or probed.reason:
            return f"no estimate: {probed.reason if probed else 'it was not probed'}"
        return ""

    def _accuracy(self, work: CellWork, costs: Costs, price: DeploymentPrice) -> CellForecast:
        scale, sizes = self._scale, self._scale.sizes
        seconds = self._fit_seconds(costs, work) + CELL_SECONDS
        seconds += price.start_seconds * (1 + costs.trains_at_server)
        executed = sizes.test + WARMUP_IMAGES + (0 if price.executes_fhe else sizes.val)
        checked = sizes.test + (sizes.val if price.executes_fhe else 0)
        each = price.batch_seconds + sum(self._prices.units[unit.name] for unit in costs.image)
        seconds += executed * each + checked * price.check_seconds
        added = costs.fit_bytes + price.public_bytes
        driver, stays = self._opens(work, costs, price)
        trainer = costs.server_fit_bytes or price.server_bytes + self._training
        message = price.up_bytes + price.down_bytes
        tape = scale.taped * message
        network = price.public_bytes if any(step.passes > 1 for step in costs.fit) else 0
        return CellForecast(
            work,
            seconds,
            driver_bytes=driver + added,
            worker_bytes=self.idle_bytes + self._training + added,
            stays_bytes=stays,
            server_bytes=price.server_bytes,
            trainer_bytes=trainer if costs.trains_at_server else 0,
            sent_bytes=sizes.test * message
            + price.public_bytes
            + costs.training_up
            + costs.training_down,
            disk_bytes=tape
            + network
            + costs.kept_bytes
            + sizes.test * (PREDICTION_BYTES + CLASS_BYTES * sizes.classes),
        )

    def _later(
        self, work: CellWork, seconds: float, images: int, costs: Costs, price: DeploymentPrice
    ) -> CellForecast:
        driver, stays = self._opens(work, costs, price)
        return CellForecast(
            work,
            seconds + CELL_SECONDS,
            driver_bytes=driver,
            worker_bytes=self.idle_bytes + self._training,
            stays_bytes=stays,
            server_bytes=price.server_bytes,
            sent_bytes=images * (price.up_bytes + price.down_bytes),
        )

    def _fit_seconds(self, costs: Costs, work: CellWork) -> float:
        seconds = 0.0
        if work.label not in self._loaded:
            self._loaded.add(work.label)
            seconds += self._prices.pipelines[work.label].library_seconds
        for step in costs.fit:
            key = (step.shared, work.seed if step.of_seed else -1)
            if step.shared and (*key, step.unit.name) in self._done:
                continue
            seconds += step.items * step.passes * self._prices.units[step.unit.name]
        self._share(costs, work.seed)
        return seconds

    def _share(self, costs: Costs, seed: int) -> None:
        self._done |= {
            (step.shared, seed if step.of_seed else -1, step.unit.name)
            for step in costs.fit
            if step.shared
        }

    def _opens(self, work: CellWork, costs: Costs, price: DeploymentPrice) -> tuple[int, int]:
        """Return the peak of one process in this cell, without its fit, and what stays of it.

        The session of the first seed stays until the run ends: its model, what the server got, and
        its tape. That of a further seed ends with its cell.
        """
        probed = self._prices.pipelines[work.label]
        if work.label not in self._imported:
            self._imported.add(work.label)
            self._libraries += probed.library_bytes
            self._working = max(self._working, probed.working_bytes)
        peak = self._base() + self._working
        if work.again or work.label in self._opened:
            return peak, 0
        self._opened.add(work.label)
        stays = 2 * price.public_bytes
        stays += self._scale.taped * (price.up_bytes + price.down_bytes)
        self._kept_bytes += stays
        return peak, stays

    def _base(self) -> int:
        held = self._scale.held_bytes + self._kept_bytes
        return self._prices.driver_bytes + self._libraries + held


def in_parallel(tasks: Sequence[float], workers: int) -> float:
    """Return when the last of some tasks ends, each begun in its order by the first free worker."""
    free = [0.0] * max(1, workers)
    for seconds in tasks:
        first = free.index(min(free))
        free[first] += seconds
    return max(free)
