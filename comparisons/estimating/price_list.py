"""What a probe of this machine measures: prices of units of work, and of deployed pipelines."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class DeploymentPrice(BaseModel):
    """An untrained pipeline in use. Seconds, and bytes of messages, are per image.

    ``start_seconds``: keys, and the start of the server until it has its public material.
    ``batch_seconds``, ``single_seconds``: an image of a batch, and one that is sent alone.
    ``check_seconds``: the clear model that must give the same scores; 0 where there is none.
    ``server_bytes``: peak memory of the server's process; 0 without a server.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    start_seconds: float
    batch_seconds: float
    single_seconds: float
    check_seconds: float
    server_bytes: int
    public_bytes: int
    up_bytes: int
    down_bytes: int
    executes_fhe: bool


class PipelinePrice(BaseModel):
    """What one pipeline adds to the driver's process, in the order of the plan.

    ``library_seconds``, ``library_bytes``: loading what it imports. ``working_bytes``: the peak
    above that while it was probed. ``reason``: why it was not probed; '' where it was.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    library_seconds: float = 0.0
    library_bytes: int = 0
    working_bytes: int = 0
    reason: str = ""


class Prices(BaseModel):
    """All that one probe found. ``units``: seconds of an item. ``deployments``: by name.

    ``pipelines``: by label. ``driver_bytes``: the driver's process before the first pipeline.
    ``seconds``: what the probe took.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    units: dict[str, float]
    deployments: dict[str, DeploymentPrice]
    pipelines: dict[str, PipelinePrice]
    driver_bytes: int
    seconds: float
    cpu: str
    threads: int
    versions: dict[str, str]
