"""What `compare run --estimate` says of a run beside what the run's records say it took.

``python -m benchmarks.scale_estimate`` runs the quick profile and compares; ``--run FOLDER`` takes
a finished run of this machine instead and probes the machine now, so that the two differ by what
else the machine did then and does now. Attacks and report are not compared: their time is a budget.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rows import Row, against, main, table
from he_compare.common.run.records import RunRecord
from he_compare.common.run.store import RunFolder
from he_compare.common.types import Phase, Status
from he_compare.comparisons.estimating.estimate import RunForecast, forecast
from he_compare.comparisons.estimating.forecast import CellForecast
from he_compare.comparisons.measuring.config import RunConfig
from he_compare.comparisons.measuring.plan import RunPlan
from he_compare.comparisons.measuring.planning import make_plan
from he_compare.comparisons.user_folders import default_key_file

COMMAND = "import sys; from he_compare.comparisons.cli.app import main; sys.exit(main())"
POLL_SECONDS = 0.05
OF_A_PLAN = set(RunConfig.model_fields)


def measure(quick: bool) -> list[Row]:
    """Run the smoke profile (``quick``) or the quick one without attacks, and compare."""
    with tempfile.TemporaryDirectory() as made:
        out = Path(made) / "run"
        words = ["run", "--profile", "smoke" if quick else "quick", "--no-audit", "--format", ""]
        command = [sys.executable, "-c", COMMAND, *words, "--quiet", "--out", str(out)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        peak = 0
        while process.poll() is None:
            # A run sets its mark back whenever a phase begins: the largest that was seen counts.
            peak = max(peak, _high_water(process.pid))
            time.sleep(POLL_SECONDS)
        if process.returncode:
            raise SystemExit(f"the run failed with exit code {process.returncode}")
        return compare_with(out, driver=peak)


def _high_water(pid: int) -> int:
    """Return the peak resident memory of a process since it set its mark; 0 where it ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def compare_with(finished: Path, driver: int = 0) -> list[Row]:
    """Probe this machine and compare the estimate with the records of a finished run.

    ``driver``: its peak memory, which records do not hold: they have that of answering alone.
    """
    folder = RunFolder(finished)
    plan = plan_of(folder)
    with tempfile.TemporaryDirectory() as cache:
        found = forecast(plan, RunFolder(Path(cache) / "none"), Path(cache))
    done = [one for one in folder.records() if one.status is Status.OK]
    return rows_of(found, done, driver)


def plan_of(folder: RunFolder) -> RunPlan:
    """Plan a finished run again, from its manifest; its data have to be where they are found."""
    manifest = folder.manifest()
    settings = {name: value for name, value in manifest.settings.items() if name in OF_A_PLAN} | {
        "public": []
    }
    pipelines = [_spelled(one.name, one.parameters) for one in manifest.pipelines]
    config = RunConfig.model_validate(settings | {"pipelines": pipelines})
    words = manifest.command.split()
    dataset = words[words.index("--dataset") + 1]
    return make_plan(config, dataset, None, default_key_file())


def _spelled(name: str, parameters: dict[str, object]) -> str:
    told = ",".join(f"{key}={value}" for key, value in parameters.items())
    return f"{name}[{told}]" if told else name


def rows_of(found: RunForecast, records: Iterable[RunRecord], driver: int = 0) -> list[Row]:
    """Return the estimate beside what was measured: seconds, memory, bytes of one run."""
    by_cell = {
        _key(one.cell.label, one.cell.seed, one.cell.phase, one.cell.round): one for one in records
    }
    both = []
    for one in found.cells:
        record = by_cell.get(_key(one.work.label, one.work.seed, one.work.phase, one.work.round))
        if record is not None and one.seconds is not None:
            both.append(Pair(one, record))
    accuracy = [pair for pair in both if pair.forecast.work.phase is Phase.ACCURACY]
    rows = [_seconds("all cells", both)]
    rows += [
        _seconds(f"cells of {phase.value}", [p for p in both if p.forecast.work.phase is phase])
        for phase in Phase
    ]
    if driver:
        stated = max(pair.forecast.driver_bytes for pair in accuracy) / 1e9
        rows.append(_beside("peak memory of the driver", stated, "GB", driver / 1e9, 1))
    rows.append(_servers(accuracy))
    sent = [pair for pair in accuracy if pair.record.traffic]
    stated = sum(pair.forecast.sent_bytes for pair in sent) / 1e6
    rows.append(_beside("bytes sent", stated, "MB", sum(map(_crossed, sent)) / 1e6, len(sent)))
    return rows + [_seconds(pair.forecast.work.label, [pair]) for pair in accuracy]


@dataclass(frozen=True)
class Pair:
    """A cell as it was estimated and as it was measured."""

    forecast: CellForecast
    record: RunRecord


def _servers(pairs: Sequence[Pair]) -> Row:
    """Return the peaks of all servers that answer: they stay until the run ends."""
    servers = [pair for pair in pairs if pair.record.server_peak_bytes]
    stated = sum(pair.forecast.server_bytes for pair in servers)
    peaks = sum(pair.record.server_peak_bytes or 0 for pair in servers)
    return _beside("peak memory of all servers", stated / 1e9, "GB", peaks / 1e9, len(servers))


def _seconds(what: str, pairs: Sequence[Pair]) -> Row:
    stated = sum(pair.forecast.seconds or 0.0 for pair in pairs)
    measured = sum(pair.record.seconds for pair in pairs)
    return _beside(f"seconds of {what}", stated, "s", measured, len(pairs))


def _beside(name: str, stated: float, unit: str, measured: float, n: int) -> Row:
    if not measured:
        return Row(f"estimate: {name}", stated, unit, n)
    return against(f"estimate: {name}", stated, unit, n, "measured", measured)


def _crossed(pair: Pair) -> int:
    """Return the bytes of a record that an estimate counts: test images, keys, training."""
    traffic = pair.record.traffic
    assert traffic is not None
    return (
        traffic.upload_bytes
        + traffic.download_bytes
        + traffic.public_material_bytes
        + (traffic.training_upload_bytes or 0)
        + (traffic.training_download_bytes or 0)
    )


def _key(label: str, seed: int, phase: Phase, number: int) -> tuple[str, int, Phase, int]:
    return label, seed, phase, number


if __name__ == "__main__":
    if "--run" in sys.argv:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("--run", type=Path, required=True, help="folder of a finished run")
        print(table(compare_with(parser.parse_args().run)))
    else:
        main(measure)
