"""What all records have in common, and the values with intervals that many hold."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1


class Record(BaseModel):
    """Base of all records: unknown fields are refused, instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Interval(Record):
    """A confidence interval and how it was obtained."""

    low: float = Field(description="Lower end")
    high: float = Field(description="Upper end")
    level: float = Field(default=0.95, description="Confidence level")
    method: str = Field(description="For instance 'Wilson' or 'bootstrap by group, 2000 draws'")


class MetricValue(Record):
    """One metric on one set of predictions."""

    name: str = Field(description="Name of the metric, for instance 'auc'")
    value: float | None = Field(description="Point estimate; none where it is not defined")
    interval: Interval | None = Field(description="None where no interval can be given")
    n: int = Field(description="Number of images the value is computed on")
    unit: str = Field(default="", description="'' for a proportion or a dimensionless score")
    note: str = Field(default="", description="Why a value or an interval is missing, or a caveat")

    @property
    def of_trainings(self) -> tuple[float, ...]:
        """The values of several trainings of which this is the mean; () where it is of one."""
        return ()


class MeanValue(MetricValue):
    """The mean of one metric over trainings under several seeds, on the same images."""

    by_training: list[float] = Field(description="The value of each training, in order of seeds")

    @property
    def of_trainings(self) -> tuple[float, ...]:
        """The value of each training, in order of seeds."""
        return tuple(self.by_training)


class ErrorInfo(Record):
    """Why a cell did not end ok."""

    kind: str = Field(description="Class of the error")
    message: str = Field(description="One line: what was wrong, which value, what to do")
