"""A run that can start: its cells, and the keys under which their results are kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from he_compare.common.backbones.device import CPU, described
from he_compare.common.contracts import LocalPipeline, Progress, RunSettings, TrainingData
from he_compare.common.identity import key_of, source_digest
from he_compare.common.references.reference import Public
from he_compare.common.run.kept_artefacts import ArtefactFolder
from he_compare.common.run.records import BackboneSummary, Cell, DatasetSummary, DeviceFacts
from he_compare.common.service.remote_host import RemoteHost
from he_compare.common.software import keying_packages
from he_compare.common.types import ImageBatch, Phase
from he_compare.comparisons.measuring.config import RunConfig
from he_compare.comparisons.measuring.fitting import Ground
from he_compare.comparisons.measuring.planned import Planned

# Modules whose source can change any cell, beside those of its pipeline.
CORE_MODULES = (
    "he_compare.common.contracts",
    "he_compare.common.seeds",
    "he_compare.common.service.wire",
    "he_compare.comparisons.measuring.clear_models",
    "he_compare.comparisons.measuring.fitting",
    "he_compare.comparisons.measuring.session",
)

# Settings that pipelines read and that key a cell by their content, or by its phase only.
KEYED_APART = {"weights", "infer_batch", "device"}

PHASE_MODULES = {
    Phase.ROBUSTNESS: (
        "he_compare.comparisons.measuring.disturbances",
        "he_compare.comparisons.measuring.robustness",
    ),
}

# Settings that change no cell: the same run goes on with others.
OUTSIDE_PLAN = {"pipelines", "call_seconds", "audit", "seeds", "repeats"}

# Settings that key a plan by what they came to, not by what was asked.
THREADS = {"threads", "latency_threads"}
SETTLED = {"public", "device"} | THREADS


@dataclass(frozen=True)
class PlannedCell:
    """One thing to measure, and the key under which its record is kept.

    ``seed``: of the training and what follows it. ``again``: it is not the first of the run.
    """

    planned: Planned
    phase: Phase
    round: int
    identity: str
    seed: int
    again: bool = False


@dataclass(frozen=True)
class RunPlan:
    """A run that can start: validated, with its images decoded in the store.

    ``dataset_spec``: the dataset as it may be written down, without a path of this machine.
    ``public``: images that the attacks are given. ``copies``: a table of the copies across splits.
    ``not_run``: by label, why a pipeline is not. ``latency_threads``: while latency is measured; 0
    for as many as at other times. ``host``: where server halves run, None for this machine: it
    changes no accuracy, and what one image takes.
    """

    config: RunConfig
    dataset_spec: str
    summary: DatasetSummary
    backbone: BackboneSummary
    pipelines: list[Planned]
    data: TrainingData
    test: ImageBatch
    settings: RunSettings
    key_file: Path
    public: tuple[Public, ...] = ()
    copies: bytes = b""
    not_run: Mapping[str, str] = field(default_factory=dict)
    latency_threads: int = 0
    host: RemoteHost | None = None

    def threads_of(self, phase: Phase) -> int:
        """Return the threads of client and server in a phase."""
        own = self.settings.threads
        return self.latency_threads or own if phase is Phase.LATENCY else own

    def ground(
        self,
        artefacts: ArtefactFolder,
        cache_dir: Path,
        progress: Progress,
        *,
        seed: int | None = None,
    ) -> Ground:
        """Return what every pipeline of the run is fitted on, and where.

        ``seed``: one of the run's; None for the first. The data are the same for all of them.
        """
        own = self.config.seed if seed is None else seed
        return Ground(
            data=self.data,
            settings=self.settings,
            seed=own,
            call_seconds=self.config.call_seconds,
            key_file=self.key_file_of(own),
            artefacts=artefacts,
            cache_dir=cache_dir,
            progress=progress,
            measured_on=self.measured_on,
            host=self.host,
        )

    def key_file_of(self, seed: int) -> Path:
        """Return the client's key file of a seed: further seeds have one each, beside the first's.

        It is made at first use, as the first is, and found again by its name.
        """
        if seed == self.config.seed:
            return self.key_file
        return key_file_of_seed(self.key_file, seed)

    @property
    def measured_on(self) -> str:
        """The device of networks while they are measured: that of training where every pipeline
        of the run computes all on it, else the CPU. No pipeline is timed on another device than
        the pipelines beside it."""
        alike = all(planned.pipeline.all_on_device for planned in self.pipelines)
        return self.settings.device if alike else CPU

    def device_facts(self) -> tuple[DeviceFacts, DeviceFacts]:
        """Return the devices of training and of measuring, as records hold them."""
        return described(self.settings.device).facts(), described(self.measured_on).facts()

    def device_keys(self) -> list[str]:
        """Return what the devices of training and of measuring stand for in names of cells."""
        return [described(name).identity for name in (self.settings.device, self.measured_on)]

    def cells(self) -> list[PlannedCell]:
        """All cells in their order: accuracy, interleaved latency rounds, disturbed messages.

        Accuracy is measured for every seed, the first one first; the rest for the first alone.
        """
        accuracy = [
            self._cell(planned, Phase.ACCURACY, 0, seed)
            for seed in self.config.all_seeds
            for planned in self.pipelines
            if seed == self.config.seed or planned.label not in self.not_run
        ]
        rounds = range(1, self.config.latency_rounds + 1) if self.config.latency_images else ()
        latency = [
            self._cell(planned, Phase.LATENCY, number)
            for number in rounds
            for planned in self.pipelines
        ]
        robustness = [
            self._cell(planned, Phase.ROBUSTNESS, 0)
            for planned in self.pipelines
            if self.config.robustness_images
        ]
        return accuracy + latency + robustness

    def _cell(
        self, planned: Planned, phase: Phase, number: int, seed: int | None = None
    ) -> PlannedCell:
        own = self.config.seed if seed is None else seed
        identity = key_of(**self.identity_inputs(planned, phase, number, own))
        return PlannedCell(planned, phase, number, identity, own, again=own != self.config.seed)

    def identity_inputs(
        self, planned: Planned, phase: Phase, number: int, seed: int
    ) -> dict[str, Any]:
        """Return every input that can change the cell's result, by name.

        Which other seeds the run has changes none.
        """
        config = self.config
        inputs: dict[str, Any] = {
            "data": self.summary.fingerprint,
            "pipeline": planned.pipeline.name,
            "parameters": planned.resolved(),
            "settings": {
                name: value
                for name, value in dataclasses.asdict(self.settings).items()
                if name not in KEYED_APART
            },
            "weights": self.backbone.weights_sha256,
            "devices": self.device_keys(),
            "matched_to": self.data.public.reference.digest if self.data.public else "",
            "seed": seed,
            "source": source_digest(
                *CORE_MODULES,
                *PHASE_MODULES.get(phase, ()),
                *planned.pipeline.source_modules(planned.parameters),
            ),
            "machine": dict(
                planned.pipeline.identity_inputs(planned.parameters, self.key_file_of(seed))
            ),
            "packages": keying_packages(),
            "phase": phase.value,
            "round": number,
        }
        if phase is Phase.LATENCY:
            inputs["latency_images"] = config.latency_images
            if self.host is not None and not isinstance(planned.pipeline, LocalPipeline):
                inputs["server_machine"] = self.host.machine
            if self.threads_of(phase) != self.settings.threads:
                inputs["latency_threads"] = self.threads_of(phase)
        else:
            inputs["infer_batch"] = config.infer_batch
        if phase is Phase.ROBUSTNESS:
            inputs["robustness_images"] = config.robustness_images
        return inputs

    def cell_record(self, cell: PlannedCell) -> Cell:
        """Describe a cell for its record."""
        return Cell(
            dataset=self.summary.card.name,
            pipeline=cell.planned.pipeline.name,
            label=cell.planned.label,
            parameters=cell.planned.spec.parameters,
            resolved=cell.planned.resolved(),
            seed=cell.seed,
            phase=cell.phase,
            round=cell.round,
        )

    def plan_key(self) -> str:
        """Return the key of what was asked: equal for the same command on the same data."""
        return key_of(
            data=self.summary.fingerprint,
            weights=self.backbone.weights_sha256,
            pipelines=[[p.label, p.pipeline.name, p.resolved()] for p in self.pipelines],
            public=[one.reference.digest for one in self.public],
            devices=self.device_keys(),
            threads=[self.settings.threads, self.threads_of(Phase.LATENCY)],
            config=self.config.model_dump(mode="json", exclude=OUTSIDE_PLAN | SETTLED),
        )


def key_file_of_seed(first: Path, seed: int) -> Path:
    """Return where the client's key of a further seed lies: beside that of the first."""
    return first.with_name(f"{first.stem}-seed-{seed}{first.suffix}")
