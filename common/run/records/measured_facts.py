"""What is measured of a cell: times, bytes, agreement, and answers to disturbed messages."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from he_compare.common.run.old_records import with_wrong_answers
from he_compare.common.run.records.record_base import Interval, Record
from he_compare.common.types import Per, Side, Stage


class Measurement(Record):
    """Raw timing samples of one stage."""

    stage: Stage = Field(description="Name of the stage")
    side: Side = Field(description="Whose process did the work")
    per: Per = Field(description="Unit of one sample")
    seconds: list[float] = Field(description="Raw samples, warm-up left out")
    items: list[int] = Field(description="Images processed in each sample")


class Traffic(Record):
    """Bytes that crossed the trust boundary over HTTP, headers included."""

    requests: int = Field(description="Number of HTTP requests that carried images or key material")
    upload_bytes: int = Field(description="Client to server, all images of this cell")
    download_bytes: int = Field(description="Server to client, all images of this cell")
    payload_upload_bytes: int = Field(description="Upload without HTTP headers and framing")
    payload_download_bytes: int = Field(description="Download without HTTP headers and framing")
    public_material_bytes: int = Field(description="Keys, contexts and weights sent once")
    training_upload_bytes: int = Field(default=0, description="Sent to the server to train there")
    training_download_bytes: int = Field(default=0, description="Received from it while training")
    n_images: int = Field(description="Images the upload and download bytes are for")
    jpeg_bytes: float | None = Field(
        default=None, description="Mean size of such images as JPEG, quality 90: for scale"
    )


# Noise of encryption is far below this share of the largest score; what is above it is no noise.
NOISE_SHARE = 0.001


class Agreement(Record):
    """Executed predictions against those of the clear reference on the same images.

    Of many images some lie so near to a border between classes that noise decides their class. So
    predictions may differ where no score of any image differs by more than noise does.
    """

    reference: str = Field(description="What was compared with, for instance 'clear head'")
    executed: int = Field(description="Images run through the protected path")
    compared: int = Field(description="Images compared")
    agree: int = Field(description="Images with the same predicted class")
    max_abs_score_difference: float = Field(description="Largest difference of any score")
    max_abs_score: float = Field(description="Largest score in magnitude, for scale")

    @property
    def differing(self) -> int:
        """How many predictions differ."""
        return self.compared - self.agree

    @property
    def holds(self) -> bool:
        """Whether the executed model is the clear one, but for noise."""
        bound = NOISE_SHARE * self.max_abs_score
        return self.differing == 0 or self.max_abs_score_difference <= bound

    @property
    def noise_words(self) -> str:
        """Say of predictions that differ by noise alone that they do; '' where none does."""
        if not self.differing or not self.holds:
            return ""
        return f"; {self.differing:,} too near to a border between classes for the noise"


class ClearTwinFacts(Record):
    """A clear model between the clear reference and the executed one; see CostRung."""

    name: str = Field(description="The model in words")
    cost: str = Field(description="What the step from the model before costs; '' for the first")


class ValidationFacts(Record):
    """Validation images that were scored so that a threshold can be fixed without test images."""

    images: int = Field(description="Validation images scored; their scores are no test result")
    scored_by: str = Field(
        description="'as executed', or the clear model that stands for the executed path, by name"
    )


class RobustnessPoint(Record):
    """What one strength of the disturbance did to the test images."""

    level: float = Field(description="Share of flipped bits, or sigma in units of byte values")
    n: int = Field(description="Messages sent: every image once per draw")
    draws: int = Field(default=1, description="How often each message was disturbed anew")
    flips_expected: float | None = Field(
        default=None, description="Bits to be flipped on average, all messages; none: not counted"
    )
    flips_drawn: int | None = Field(default=None, description="Bits that were flipped")
    correct: int = Field(description="Messages answered with the true class of their image")
    same: int = Field(description="Messages answered with the class of their undisturbed one")
    refused: int = Field(description="Messages that the server refused")
    unreadable: int = Field(description="Replies that the client could not read")
    garbage: int = Field(description="Replies with scores that are not finite or implausibly large")
    crashes: int = Field(
        default=0, description="Refused since they ended the server's process, which was replaced"
    )
    wrong: int = Field(description="Messages answered with another class, unnoticed")
    accuracy: float = Field(description="correct / n: the share of messages answered right")
    interval: Interval = Field(description="Of the accuracy, over images and draws")
    wrong_interval: Interval | None = Field(
        default=None, description="Of wrong / n, over images and draws"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, values: Any) -> Any:
        return with_wrong_answers(values)

    @property
    def noticed(self) -> int:
        """Messages without a usable answer, whoever noticed: the server or the client."""
        return self.refused + self.unreadable + self.garbage


class RobustnessCurve(Record):
    """One pipeline under one kind of disturbance, from none to strong."""

    disturbance: str = Field(description="For instance 'bit flips'")
    unit: str = Field(description="What a level is")
    applied_to: str = Field(description="Which bytes were disturbed")
    seed: int = Field(description="Root seed of the disturbances")
    points: list[RobustnessPoint] = Field(description="In order of level")
    reason: str = Field(default="", description="Why there are no points")
