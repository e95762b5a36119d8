"""The machines, devices and workers that a cell ran on."""

from __future__ import annotations

from pydantic import Field

from he_compare.common.run.records.record_base import Record


class EnvironmentFingerprint(Record):
    """The machine and software a cell ran on."""

    python: str = Field(description="Python version and implementation")
    platform: str = Field(description="Operating system and architecture")
    cpu: str = Field(description="Processor model")
    logical_cores: int = Field(description="Logical cores the process may use")
    memory_bytes: int = Field(description="Installed memory")
    threads: int = Field(description="Threads each process was pinned to")
    load_average: float | None = Field(description="One-minute load average when the cell began")
    packages: dict[str, str] = Field(description="Versions of the packages that matter")
    source_commit: str = Field(default="", description="Commit of the project, where known")
    source_dirty: bool | None = Field(default=None, description="Uncommitted changes, where known")


class ServerHost(Record):
    """The machine that ran the server halves of a cell, where `compare host` was used."""

    machine: str = Field(description="Stands for the machine; says nothing of its name")
    environment: EnvironmentFingerprint = Field(description="That machine and its software")
    certificate: str = Field(
        default="", description="SHA-256 of the certificate that it showed; '' without TLS"
    )
    clock_offset_seconds: float = Field(
        description="How far its clock is ahead of the client's, by the shortest round trip"
    )
    clock_uncertainty_seconds: float = Field(description="Half of that round trip")
    round_trip_seconds: list[float] = Field(
        description="Raw round trips of requests without messages, when the cell was done"
    )


class DeviceFacts(Record):
    """A device that networks ran on; encryption is on the CPU whatever it is."""

    name: str = Field(description="As torch spells it: cpu, cuda:0, mps")
    model: str = Field(description="Model of the processor or of the GPU")
    memory_bytes: int = Field(description="Memory of the device")
    precision: str = Field(
        default="float32", description="Of the numbers in training steps; measured in float32"
    )


class WorkPlace(Record):
    """Which worker of a run measured a cell, and what else of the run was under way then."""

    worker: int = Field(description="Number of the worker, as the run counts them")
    machine: int = Field(description="Number of the worker's machine, as the run counts them")
    at_once: int = Field(
        description="Most cells of the run that could be under way at a time, this one included"
    )
    losses: int = Field(
        default=0, description="Workers that were lost while they had this cell, before this one"
    )
    host: str = Field(
        default="",
        description="Stands for the machine, salted per run: equal for cells of a run that were "
        "measured on one machine; '' where it is not known",
    )
    disturbed: bool = Field(
        default=False,
        description="Latency: a worker ended or started on that machine meanwhile, at each try",
    )
