"""What a run asks of its workers, as JSON: each makes the same plan from it, or refuses.

A worker that sees the driver's own files is on its machine (or shares its disk): it reads the plan,
the artefacts and the client's key there. Another one opens the dataset itself, and has to reach the
same fingerprint.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from he_compare.common.errors import UsageError
from he_compare.common.software import Software, software_here
from he_compare.common.types import IntArray
from he_compare.comparisons.measuring.config import RunConfig
from he_compare.comparisons.measuring.plan import RunPlan

TOKEN_FILE = "token"
SAME_EVERYWHERE = "install the same on every machine of the cluster"


class RunOrder(BaseModel):
    """One run of a driver. ``token``: of this process of it; ``files``: its temporary folder.

    ``dataset``, ``data_dir``, ``run_folder``, ``cache_dir``, ``key_file``: as the driver names
    them. ``devices``: of training and of measuring. ``taped``: test images whose messages are kept.
    ``cells``: their identities.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: str = Field(min_length=32)
    software: Software
    config: dict[str, Any]
    dataset: str
    data_dir: str = ""
    offline: bool = False
    require_real: bool = False
    fingerprint: str
    weights_sha256: str
    devices: list[str]
    threads: int = Field(ge=1)
    latency_threads: int = Field(ge=1)
    files: str
    run_folder: str
    cache_dir: str
    key_file: str
    taped: list[int] | None = None
    cells: list[str]

    def run_config(self) -> RunConfig:
        """Return the configuration. Raises UsageError where this version has other settings."""
        try:
            return RunConfig.model_validate(self.config)
        except ValidationError as error:
            raise UsageError(
                f"the settings of the run mean nothing here: {error.errors()[0]['msg']}",
                fix=SAME_EVERYWHERE,
            ) from None

    def sees_files(self) -> bool:
        """Say whether this process sees the files of the driver."""
        try:
            return (Path(self.files) / TOKEN_FILE).read_text() == self.token
        except OSError:
            return False


def read_order(text: str) -> RunOrder:
    """Parse an order. Raises UsageError."""
    try:
        return RunOrder.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise UsageError(
            f"the order of the run is not valid here: {where}: {problem['msg']}",
            fix=SAME_EVERYWHERE,
        ) from None


def make_order(
    plan: RunPlan,
    *,
    token: str,
    dataset: str,
    data_dir: Path | None,
    offline: bool,
    require_real: bool,
    files: Path,
    run_folder: Path,
    cache_dir: Path,
    taped: IntArray | None,
) -> RunOrder:
    """Return the order of a run, and leave its token among its files."""
    (files / TOKEN_FILE).write_text(token)
    return RunOrder(
        token=token,
        software=software_here(),
        config=plan.config.model_dump(mode="json"),
        dataset=dataset,
        data_dir=str(data_dir.resolve()) if data_dir else "",
        offline=offline,
        require_real=require_real,
        fingerprint=plan.summary.fingerprint,
        weights_sha256=plan.backbone.weights_sha256,
        devices=plan.device_keys(),
        threads=plan.settings.threads,
        latency_threads=plan.latency_threads or plan.settings.threads,
        files=str(files.resolve()),
        run_folder=str(run_folder.resolve()),
        cache_dir=str(cache_dir),
        key_file=str(plan.key_file.resolve()),
        taped=None if taped is None else [int(one) for one in taped],
        cells=[cell.identity for cell in plan.cells()],
    )


def what_differs(plan: RunPlan, wanted: RunOrder) -> list[str]:
    """Say where a plan that was made here is not the one that is wanted."""
    found = []
    if plan.summary.fingerprint != wanted.fingerprint:
        found.append(
            f"other data: fingerprint {plan.summary.fingerprint[:12]}, "
            f"wanted {wanted.fingerprint[:12]} (put the driver's data on that machine, and set "
            "COMPARE_DATA there)"
        )
    if plan.backbone.weights_sha256 != wanted.weights_sha256:
        found.append(
            f"other weights: {plan.backbone.weights_sha256[:12]}, "
            f"wanted {wanted.weights_sha256[:12]}"
        )
    if (own := plan.device_keys()) != wanted.devices:
        found.append(
            f"other devices: {_devices(own)}, wanted {_devices(wanted.devices)} (start the driver "
            "where the device is that workers have, or pass --device cpu)"
        )
    if not found:
        found += _other_cells(plan, wanted.cells)
    return found


def _devices(keys: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(keys))


def _other_cells(plan: RunPlan, wanted: Sequence[str]) -> list[str]:
    own = plan.cells()
    other = [
        cell.planned.label for cell, one in zip(own, wanted, strict=False) if cell.identity != one
    ]
    if not other and len(own) == len(wanted):
        return []
    named = ", ".join(dict.fromkeys(other)) or "the number of cells"
    return [f"cells with another identity ({named}): its source, keys or settings are others"]
