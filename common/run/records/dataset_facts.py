"""The dataset and the backbone as a run used them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from he_compare.common.run.records.record_base import Record


class DatasetCard(Record):
    """What a reader must know of a dataset before believing a number measured on it."""

    name: str = Field(description="Name as passed to --dataset")
    title: str = Field(description="Title")
    description: str = Field(description="One or two sentences")
    source: str = Field(description="Where the images come from, with DOI or address")
    licence: str = Field(description="Licence of the images")
    citation: str = Field(description="How to cite")
    caveats: list[str] = Field(default_factory=list, description="To be disclosed wherever used")
    classes: list[str] = Field(description="Class names in label order")
    positive_class: str = Field(default="", description="Class for which sensitivity is computed")
    synthetic: bool = Field(default=False, description="True: says nothing about patients")
    native_size: str = Field(default="", description="Pixel size of the stored images")
    collections: list[str] = Field(
        default_factory=list,
        description="Collections the images are of, by short names that other datasets share; "
        "empty: not known",
    )


class SplitSummary(Record):
    """Counts of one split."""

    n: int = Field(description="Images")
    groups: int = Field(description="Patient-like groups")
    per_class: dict[str, int] = Field(description="Images of each class")
    prevalence: float | None = Field(default=None, description="Share of the positive class")


class NearCopiesFacts(Record):
    """Test images that look almost like a training or validation image that is no copy."""

    test_images: int = Field(default=0, description="How many, of the test images of the run")
    test_per_class: dict[str, int] = Field(default_factory=dict, description="The same by class")
    test_share: float = Field(default=0.0, description="The same as a share")
    bits: int = Field(description="Length of the perceptual hash")
    threshold: int = Field(description="Most bits in which the hashes of near copies differ")
    turns: bool = Field(default=True, description="Mirrored and turned images are found as well")
    not_compared: str = Field(default="", description="Why looks were not compared")


class CopiesFacts(Record):
    """Equal images in several splits of a dataset, and what the run did about them.

    A copy is a training or validation image that equals one of a later split.
    """

    policy: Literal["drop", "keep", "error"] = Field(description="drop: copies were left out")
    compared: str = Field(description="How images were compared; '' where they were not")
    not_compared: str = Field(default="", description="Why images were not compared")
    unreadable: int = Field(default=0, description="Images that could not be compared")
    copies: dict[str, dict[str, int]] = Field(
        description="Copies by split and class: left out under drop, else used by the run"
    )
    test_images: int = Field(
        description="Test images of the run that a training or validation image equals or, under "
        "drop, equalled"
    )
    test_per_class: dict[str, int] = Field(description="The same by class")
    test_share: float = Field(description="The same as a share of the test images of the run")
    conflicting: int = Field(description="Groups of equal images that have different labels")
    near: NearCopiesFacts = Field(description="What is almost equal: never left out")

    @property
    def count(self) -> int:
        """Return the number of copies."""
        return sum(sum(held.values()) for held in self.copies.values())


class DatasetSummary(Record):
    """The dataset as this run used it."""

    card: DatasetCard = Field(description="The dataset's card")
    subset: str = Field(description="Which choice of images: published, balanced, ...")
    subset_is_default: bool = Field(
        default=True, description="False: not the choice that the dataset gives unasked"
    )
    limits: dict[str, int] = Field(
        default_factory=dict, description="Largest number of images by split, where one was set"
    )
    splits: dict[str, SplitSummary] = Field(description="Counts by split, after any limit")
    before_limits: dict[str, int] = Field(
        default_factory=dict,
        description="Images by split before any limit; empty in older records",
    )
    fingerprint: str = Field(description="SHA-256 over ids, labels, splits and pixels used")
    image_size: int = Field(description="Side in pixels the pipelines receive")
    notes: list[str] = Field(default_factory=list, description="Limits, duplicates, split origin")
    copies: CopiesFacts | None = Field(
        default=None, description="Equal images in several splits; none in older records"
    )

    @property
    def patients_known(self) -> bool:
        """Whether any group of a split holds more than one image: else each counts as a patient."""
        return any(one.groups < one.n for one in self.splits.values())


class BackboneSummary(Record):
    """The feature extractor and where its weights came from."""

    name: str = Field(description="timm model name")
    weights: Literal["untrained", "hub", "file", "shipped", "package"] = Field(
        description="Where the weights come from"
    )
    weights_sha256: str = Field(description="SHA-256 over names and values of all parameters")
    provenance: str = Field(description="Who trained them, in one sentence")
    licence: str = Field(default="", description="Licence of the weights")
    untrained: bool = Field(description="True: random weights; flagged on every page")
    pretrained_on: list[str] = Field(
        default_factory=list,
        description="Collections whose images the weights were trained on, as their card declares",
    )
    parameters: int = Field(default=0, description="Number of parameters")
    feature_width: int = Field(default=0, description="Width of the feature vector")
