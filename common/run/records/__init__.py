"""The records a run leaves behind: typed, versioned, one line of documentation per field.

Records are what everything downstream reads: scoring, statistics, reports and audits need neither
torch nor the dataset. The JSON schema of all of them is exported by ``export_schema``. They hold no
secret: keys appear as fingerprints only.
"""

from __future__ import annotations

from he_compare.common.run.records.attack_record import (
    AttackOutcome,
    AttackPicture,
    CountsAs,
    MessageSource,
    ReferenceFacts,
    Verdict,
)
from he_compare.common.run.records.cell_record import Cell, RunRecord, TapeFacts
from he_compare.common.run.records.claimed_facts import KeySpace, LatticeFacts, SecurityClaims
from he_compare.common.run.records.dataset_facts import (
    BackboneSummary,
    CopiesFacts,
    DatasetCard,
    DatasetSummary,
    NearCopiesFacts,
    SplitSummary,
)
from he_compare.common.run.records.machine_facts import (
    DeviceFacts,
    EnvironmentFingerprint,
    ServerHost,
    WorkPlace,
)
from he_compare.common.run.records.measured_facts import (
    Agreement,
    ClearTwinFacts,
    Measurement,
    RobustnessCurve,
    RobustnessPoint,
    Traffic,
    ValidationFacts,
)
from he_compare.common.run.records.plan_record import Manifest, PlannedPipeline, WorkFacts
from he_compare.common.run.records.record_base import (
    SCHEMA_VERSION,
    ErrorInfo,
    Interval,
    MeanValue,
    MetricValue,
    Record,
)
from he_compare.common.run.records.record_schema import export_schema
from he_compare.common.run.records.score_record import (
    CellScores,
    CostRung,
    MeanDifference,
    MeanScores,
    OperatingPoint,
    PairedDifference,
    ScoreSheet,
)

__all__ = [
    "SCHEMA_VERSION",
    "Agreement",
    "AttackOutcome",
    "AttackPicture",
    "BackboneSummary",
    "Cell",
    "CellScores",
    "ClearTwinFacts",
    "CopiesFacts",
    "CostRung",
    "CountsAs",
    "DatasetCard",
    "DatasetSummary",
    "DeviceFacts",
    "EnvironmentFingerprint",
    "ErrorInfo",
    "Interval",
    "KeySpace",
    "LatticeFacts",
    "Manifest",
    "MeanDifference",
    "MeanScores",
    "MeanValue",
    "Measurement",
    "MessageSource",
    "MetricValue",
    "NearCopiesFacts",
    "OperatingPoint",
    "PairedDifference",
    "PlannedPipeline",
    "Record",
    "ReferenceFacts",
    "RobustnessCurve",
    "RobustnessPoint",
    "RunRecord",
    "ScoreSheet",
    "SecurityClaims",
    "ServerHost",
    "SplitSummary",
    "TapeFacts",
    "Traffic",
    "ValidationFacts",
    "Verdict",
    "WorkFacts",
    "WorkPlace",
    "export_schema",
]
