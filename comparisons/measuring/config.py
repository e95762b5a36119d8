"""From the command line and a profile to one validated configuration of a run.

A profile is a TOML file in ``comparisons/measuring/profiles``; every option of the command
overrides it.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.plugins import nearest
from he_compare.comparisons.measuring.opening_options import (
    Copies,
    DataOptions,
    Frames,
    GroupBy,
    columns_of,
    data_options,
)
from he_compare.comparisons.measuring.seeds_setting import MOST_SEEDS, settled_seeds
from he_compare.comparisons.measuring.threads import MOST_THREADS
from he_compare.comparisons.measuring.validation import describe_validation, fix_of

PROFILES = Path(__file__).parent / "profiles"
NO_AUDIT = "none"


@dataclass(frozen=True)
class OptionGroup:
    """The heading under which `compare run --help` shows a setting."""

    heading: str


RUN = OptionGroup("Run")
IMAGES = OptionGroup("Images")
TRAINING = OptionGroup("Models and training")
MEASUREMENT = OptionGroup("Measurement")
REPORT = OptionGroup("Attacks and report")


class RunConfig(BaseModel):
    """Everything that defines a run, except the dataset.

    A field is a setting of ``compare run`` and of ``comparisons.run``: name, help, bounds, default
    and heading are said here, once. A field without a default is set by every profile. What
    pipelines read as well has a field of the same name in ``common.contracts.RunSettings``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: Annotated[str, RUN] = Field(description="Profile that gives the default values")
    pipelines: Annotated[list[str], RUN] = Field(
        min_length=1, description="Pipelines, each as NAME[param=value,...]"
    )
    seed: Annotated[int, RUN] = Field(
        default=0, ge=0, lt=2**63, description="Seed of every random choice but keys"
    )
    seeds: Annotated[list[int], RUN] = Field(
        default_factory=list,
        description="Train and test every pipeline once per seed, each with keys of its own: "
        "0,1,2. All seeds have the images of the first; latency, disturbed messages and attacks "
        "are of the first. The same command with more seeds runs those that are missing",
    )
    repeats: Annotated[int | None, RUN] = Field(
        default=None,
        ge=1,
        le=MOST_SEEDS,
        description="Number of seeds: the first and the whole numbers after it",
    )
    subset: Annotated[str, IMAGES] = Field(
        default="", description="Subset of the dataset, for instance balanced"
    )
    copies: Annotated[Copies, IMAGES] = Field(
        default="drop",
        description="What becomes of training and validation images whose pixels equal a test "
        "image's: left out, kept, or an error",
    )
    positive: Annotated[str, IMAGES] = Field(
        default="",
        description="Class of two for which sensitivity and specificity are computed; without it "
        "the class that the dataset's card names, if any",
    )
    group_by: Annotated[GroupBy, IMAGES] = Field(
        default="",
        description="folder: each sub-folder of a class folder holds the images of one patient",
    )
    csv_columns: Annotated[str, IMAGES] = Field(
        default="",
        description="Columns of the table that have other names, as "
        "file=NAME,label=NAME,split=NAME,group=NAME",
    )
    frames: Annotated[Frames, IMAGES] = Field(
        default="",
        description="Which frames of a DICOM file with several are images of its patient",
    )
    image_size: Annotated[int, IMAGES] = Field(
        ge=16, le=1024, description="Width and height of the images in pixels"
    )
    train_limit: Annotated[int | None, IMAGES] = Field(
        default=None, ge=2, description="Maximum number of training images"
    )
    val_limit: Annotated[int | None, IMAGES] = Field(
        default=None, ge=2, description="Maximum number of validation images"
    )
    test_limit: Annotated[int | None, IMAGES] = Field(
        default=None, ge=2, description="Maximum number of test images"
    )
    backbone: Annotated[str, TRAINING] = Field(
        description="Name of the DeiT, see `compare list backbones`"
    )
    weights: Annotated[str, TRAINING] = Field(
        description="Weights: shipped, hub, untrained, package:NAME or a .safetensors file"
    )
    epochs: Annotated[int, TRAINING] = Field(
        ge=1, le=1000, description="Maximum number of epochs per trained model"
    )
    batch_size: Annotated[int, TRAINING] = Field(
        ge=1, le=4096, description="Images per training batch"
    )
    learning_rate: Annotated[float, TRAINING] = Field(gt=0, le=1, description="Peak learning rate")
    device: Annotated[str, TRAINING] = Field(
        default="auto",
        description="Where networks are trained: auto, cpu, cuda, cuda:N or mps; auto takes the "
        "first NVIDIA GPU, or else the CPU",
    )
    infer_batch: Annotated[int, MEASUREMENT] = Field(
        ge=1, le=4096, description="Images per throughput request"
    )
    latency_images: Annotated[int, MEASUREMENT] = Field(
        ge=0, le=10_000, description="Images per latency round; 0: no latency is measured"
    )
    latency_rounds: Annotated[int, MEASUREMENT] = Field(
        ge=0, le=100, description="Number of latency rounds, pipelines interleaved"
    )
    robustness_images: Annotated[int, MEASUREMENT] = Field(
        default=0, ge=0, le=10_000, description="Test images sent with disturbed bits; 0: none"
    )
    threads: Annotated[int, MEASUREMENT] = Field(
        default=0, ge=0, le=MOST_THREADS, description="Threads per process; 0: all cores"
    )
    latency_threads: Annotated[int, MEASUREMENT] = Field(
        default=0,
        ge=0,
        le=MOST_THREADS,
        description="Threads per process while latency is measured; 0: as threads says",
    )
    call_seconds: Annotated[float, MEASUREMENT] = Field(
        default=900.0, gt=0, description="Time limit per server call in seconds"
    )
    audit: Annotated[Literal["none", "quick", "full"], REPORT] = Field(
        default="quick", description="Budget of the attacks on the run's own pipelines"
    )
    public: Annotated[list[str], REPORT] = Field(
        default_factory=list,
        description="Public images of attacks, and of the matching of patch embeddings: natural, "
        "synthetic-chest, train, folder:PATH or a dataset; empty: natural and train, and natural "
        "for the matching",
    )
    pictures: Annotated[int, REPORT] = Field(
        default=4,
        ge=0,
        le=16,
        description="Sample images in the report; 0: no image or message is kept in the run",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_way_to_say_seeds(cls, values: Any) -> Any:
        return settled_seeds(values) if isinstance(values, dict) else values

    @field_validator("csv_columns")
    @classmethod
    def _readable_columns(cls, value: str) -> str:
        try:
            columns_of(value)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("public")
    @classmethod
    def _known_public(cls, value: list[str]) -> list[str]:
        from he_compare.common.references.opening import require_known

        try:
            require_known(value)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("device")
    @classmethod
    def _name_of_a_device(cls, value: str) -> str:
        from he_compare.common.backbones.device import device_name

        try:
            return device_name(value)
        except UsageError as error:
            raise ValueError(str(error)) from None

    @field_validator("backbone")
    @classmethod
    def _known_backbone(cls, value: str) -> str:
        from he_compare.common.backbones.catalog import find_backbone

        try:
            return find_backbone(value).name
        except UnknownNameError as error:
            raise ValueError(str(error)) from None

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """Seeds of all trainings, the first one first: data follow it."""
        return tuple(self.seeds) or (self.seed,)

    def data_options(self) -> DataOptions:
        """Return how the dataset is to be opened."""
        return data_options(
            self.copies, self.positive, self.group_by, self.csv_columns, self.frames
        )


def option_group(field: FieldInfo) -> str:
    """Return the heading of a setting in the help."""
    return next(one.heading for one in field.metadata if isinstance(one, OptionGroup))


def profile_names() -> list[str]:
    """Return the names of the profiles that ship, shortest run first."""
    order = ["smoke", "quick", "full"]
    found = [file.stem for file in PROFILES.glob("*.toml")]
    return sorted(found, key=lambda name: (order.index(name) if name in order else 99, name))


def profile_values() -> dict[str, dict[str, Any]]:
    """Return what each profile sets, by the profile's name."""
    files = {name: PROFILES / f"{name}.toml" for name in profile_names()}
    return {name: tomllib.loads(file.read_text("utf-8")) for name, file in files.items()}


def audit_budget(profile: str, *, wanted: bool) -> str:
    """Return the audit's budget where an audit is asked for, or none is.

    That of the profile; the default of all where the profile has no audit of its own.
    """
    if not wanted:
        return NO_AUDIT
    own = profile_values().get(profile, {}).get("audit", NO_AUDIT)
    return str(RunConfig.model_fields["audit"].default if own == NO_AUDIT else own)


def load_config(profile: str, overrides: dict[str, Any]) -> RunConfig:
    """Read a profile and put the given settings over it. Raises UsageError naming the value."""
    profiles = profile_values()
    if profile not in profiles:
        raise UnknownNameError(f"unknown profile {profile!r}", fix=nearest(profile, [*profiles]))
    given = {name: value for name, value in overrides.items() if value is not None}
    for name in given:
        if name not in RunConfig.model_fields:
            raise UnknownNameError(
                f"unknown setting {name}={given[name]!r}",
                fix=nearest(name, [*RunConfig.model_fields]),
            )
    try:
        return RunConfig.model_validate({"profile": profile, **profiles[profile], **given})
    except ValidationError as error:
        raise UsageError(
            describe_validation(error, "setting"), fix=fix_of(error, RunConfig)
        ) from None
