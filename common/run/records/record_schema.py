"""The JSON schema of all records."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from he_compare.common.run.records.attack_record import AttackOutcome
from he_compare.common.run.records.cell_record import RunRecord
from he_compare.common.run.records.plan_record import Manifest
from he_compare.common.run.records.record_base import SCHEMA_VERSION
from he_compare.common.run.records.score_record import ScoreSheet


def export_schema(*others: type[BaseModel]) -> dict[str, Any]:
    """Return one JSON schema with a definition for every top-level record, and for ``others``."""
    from pydantic.json_schema import models_json_schema

    roots: list[type[BaseModel]] = [RunRecord, AttackOutcome, Manifest, ScoreSheet, *others]
    _, schema = models_json_schema(
        [(model, "serialization") for model in roots],
        title="he-compare records",
        description=f"Records of he-compare, schema version {SCHEMA_VERSION}",
    )
    return schema
