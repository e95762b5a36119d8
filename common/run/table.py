"""A run as a table: one row per pipeline, for pandas, CSV and Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from he_compare.common.errors import UnavailableError, UsageError
from he_compare.common.files import write_atomic
from he_compare.common.run.disturbed import disturbed_columns
from he_compare.common.run.outcomes import outcomes_of, worst_of
from he_compare.common.run.protection import integrity_of, leaked_decryptions_of, secrecy_of
from he_compare.common.run.records import MetricValue, PairedDifference
from he_compare.common.run.repeated_trainings import spread_of
from he_compare.common.run.timing import cold_seconds, cold_steps, latency_of, throughput_of
from he_compare.common.run.view import PipelineView, RunView
from he_compare.common.statistics.paired import RUN_COMPARED
from he_compare.common.types import Side

if TYPE_CHECKING:
    import pandas as pd

# The last four are the wide forms, which spreadsheets of East Asia take for the narrow ones.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def frame_of(view: RunView) -> pd.DataFrame:
    """Return one row per pipeline: what it is, every metric with its interval, cost, attacks.

    What was not measured is missing (NaN or None). The names of the columns give the units.
    """
    import pandas as pd

    return pd.DataFrame([_row(view, pipeline) for pipeline in view.pipelines])


def _row(view: RunView, pipeline: PipelineView) -> dict[str, Any]:
    manifest, record = view.manifest, pipeline.measured
    row: dict[str, Any] = {
        "dataset": manifest.dataset.card.name,
        "label": pipeline.label,
        "pipeline": pipeline.planned.name,
        "status": pipeline.state,
        "record": pipeline.accuracy.identity if pipeline.accuracy else None,
        "fhe_mode": record.fhe_mode.value if record else None,
        "n_test": view.n_test,
        "synthetic": manifest.dataset.card.synthetic,
        "backbone": manifest.backbone.name,
        "weights": manifest.backbone.weights,
        "claim": pipeline.claims.claim_type if pipeline.claims else None,
        "scheme": pipeline.claims.scheme if pipeline.claims else None,
        "no_server": pipeline.no_server,
    }
    for metric in pipeline.metrics:
        row[metric.name] = metric.value
        row[f"{metric.name}_low"] = metric.interval.low if metric.interval else None
        row[f"{metric.name}_high"] = metric.interval.high if metric.interval else None
        row |= _spread_columns(metric.name, metric)
    return (
        row
        | _differences(view, pipeline)
        | _cost(pipeline)
        | disturbed_columns(pipeline)
        | _attacks(view, pipeline)
    )


def _differences(view: RunView, pipeline: PipelineView) -> dict[str, Any]:
    """Differences to the reference of the run, and to the same model without protection."""
    found = view.difference_to_reference(pipeline, "accuracy")
    row: dict[str, Any] = {
        **_difference("accuracy_difference", found),
        "mcnemar_p": found.p_value if found else None,
        "twin": pipeline.planned.twin or None,
    }
    for metric in RUN_COMPARED:
        minus = pipeline.difference(metric)
        row |= _difference(f"{metric}_minus_twin", minus)
        row |= _spread_columns(f"{metric}_minus_twin", minus)
    return row


def _spread_columns(name: str, found: MetricValue | PairedDifference | None) -> dict[str, Any]:
    """Return how many trainings a value is the mean of, the lowest and the highest of them."""
    spread = spread_of(found)
    if spread is None:
        return {}
    return {
        f"{name}_trainings": len(spread.values),
        f"{name}_lowest_training": min(spread.values),
        f"{name}_highest_training": max(spread.values),
    }


def _difference(name: str, found: PairedDifference | None) -> dict[str, Any]:
    limits = found.interval if found else None
    return {
        name: found.difference if found else None,
        f"{name}_low": limits.low if limits else None,
        f"{name}_high": limits.high if limits else None,
    }


def _cost(pipeline: PipelineView) -> dict[str, Any]:
    latency, rate = latency_of(pipeline), throughput_of(pipeline)
    moved = pipeline.bytes_per_image or (None, None)
    client = latency.sides.get(Side.CLIENT) if latency else None
    server = latency.sides.get(Side.SERVER) if latency else None
    record = pipeline.measured
    return {
        "p50_s": latency.total.p50 if latency else None,
        "p90_s": latency.total.p90 if latency else None,
        "p99_s": latency.total.p99 if latency else None,
        "client_p50_s": client.p50 if client else None,
        "server_p50_s": server.p50 if server else None,
        "images_per_s": rate.images_per_second if rate else None,
        "images_per_s_slowest_batch": rate.slowest if rate else None,
        "images_per_s_fastest_batch": rate.fastest if rate else None,
        "batches": rate.n_batches if rate else None,
        "upload_bytes_per_image": moved[0],
        "download_bytes_per_image": moved[1],
        "public_material_bytes": record.traffic.public_material_bytes
        if record and record.traffic
        else None,
        "one_time_cold_s": cold_seconds(pipeline),
        "one_time_reused_s": _reused_seconds(pipeline),
        "client_growth_bytes": record.client_growth_bytes if record else None,
        "server_peak_bytes": record.server_peak_bytes if record else None,
    }


def _reused_seconds(pipeline: PipelineView) -> float | None:
    """Return what of the one-time work was made before; None where that was not recorded."""
    made = [step.seconds for step in cold_steps(pipeline) if step.reused]
    known = [seconds for seconds in made if seconds is not None]
    return sum(known) if pipeline.measured and len(known) == len(made) else None


def _attacks(view: RunView, pipeline: PipelineView) -> dict[str, Any]:
    worst = worst_of(view, pipeline)
    return {
        "attacks": len(outcomes_of(view, pipeline)),
        "worst_verdict": worst.verdict if worst else "not run",
        "worst_attack": worst.row if worst else None,
        "secrecy": secrecy_of(view, pipeline).mark,
        "integrity": integrity_of(view, pipeline).mark,
        "leaked_decryptions": leaked_decryptions_of(view, pipeline).mark,
    }


def export(view: RunView, path: Path, format: str) -> Path:
    """Write the table as ``csv`` or ``parquet`` and return the file.

    Raises UsageError where it cannot be written, UnavailableError where pyarrow is missing.
    """
    frame = frame_of(view)
    if format == "csv":
        data = neutralised(frame).to_csv(index=False, lineterminator="\n").encode()
    else:
        data = _parquet(frame)
    try:
        write_atomic(path, data)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}", fix="name another file with --out"
        ) from None
    return path


def neutralised(frame: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before texts that a spreadsheet would take for a formula.

    Labels of classes and pipelines come from outside: ``=HYPERLINK(...)`` must stay a text. Numbers
    are no texts: a negative one stays a number.
    Source: OWASP, CSV Injection.
    """
    return frame.apply(lambda column: column.map(_as_text)).rename(columns=_as_text)


def _as_text(value: Any) -> Any:
    risky = isinstance(value, str) and value.lstrip(" ").startswith(FORMULA_STARTS)
    return f"'{value}" if risky else value


def _parquet(frame: pd.DataFrame) -> bytes:
    try:
        import pyarrow  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401
    except ImportError as error:
        # A pyarrow that does not fit numpy is installed and cannot be imported either.
        raise UnavailableError(
            f"Parquet needs pyarrow, which cannot be used here: {error}",
            fix="run `pip install 'he-compare[parquet]'`, or pass --csv",
        ) from None
    data: bytes = frame.to_parquet(index=False)
    return data
