"""Small enums, aliases and value types that every package uses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Message: TypeAlias = bytes
UInt8Array: TypeAlias = npt.NDArray[np.uint8]
Float32Array: TypeAlias = npt.NDArray[np.float32]
Float64Array: TypeAlias = npt.NDArray[np.float64]
# What a network takes: pixels, or a ciphertext that is not of eight bits.
PixelArray: TypeAlias = UInt8Array | Float32Array
IntArray: TypeAlias = npt.NDArray[np.int64]
Complex128Array: TypeAlias = npt.NDArray[np.complex128]
IndexArray: TypeAlias = npt.NDArray[np.intp]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

# As many classes as every reader reads and every head takes, unless a pipeline says fewer.
MAX_CLASSES = 128


class Status(StrEnum):
    """How a cell ended; everything but ``ok`` comes with a reason."""

    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    SKIPPED = "skipped"
    UNAVAILABLE = "unavailable"
    INTERRUPTED = "interrupted"
    STARTED = "started"


class NotRun(StrEnum):
    """Why an attack or a check gave no result, where it should have given one."""

    BUDGET = "budget too small"
    AUDIT_TIME = "time of the audit used up"
    TIME_LIMIT = "over its time limit"
    UNAVAILABLE = "not available on this machine"
    REFUSED = "not possible as asked"
    ERROR = "failed"


class FheMode(StrEnum):
    """In which mode an FHE number was obtained; modes are never mixed in one figure."""

    NOT_APPLICABLE = "n/a"
    CLEAR = "clear"
    SIMULATE = "simulate"
    EXECUTE = "execute"


class Side(StrEnum):
    """Whose process did the work."""

    CLIENT = "client"
    SERVER = "server"
    NETWORK = "network"


class Per(StrEnum):
    """What one raw sample of a measurement counts for."""

    ONCE = "once"
    KEY = "key"
    SAMPLE = "sample"
    BATCH = "batch"


class Stage(StrEnum):
    """Stage names, after HEBench and the FHE benchmarking suites, plus the learning stages."""

    FIT = "fit"
    COMPILE = "compile"
    KEYGEN = "keygen"
    KEY_UPLOAD = "key upload"
    SERVER_LOAD = "server load"
    PREPROCESS = "preprocess"
    FEATURES = "features"
    ENCODE = "encode"
    ENCRYPT = "encrypt"
    SERIALIZE = "serialize"
    TRANSPORT = "transport (loopback)"
    DESERIALIZE = "deserialize"
    EVALUATE = "evaluate"
    REFRESH = "refresh"
    DECRYPT = "decrypt"
    DECODE = "decode"
    TOTAL = "total"


class Phase(StrEnum):
    """What a cell measures: the whole test set once, single images in a closed loop, or the answers
    to disturbed messages."""

    ACCURACY = "accuracy"
    LATENCY = "latency"
    ROBUSTNESS = "robustness"


class Split(StrEnum):
    """Parts of a dataset."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class Knowledge(StrEnum):
    """What an adversary has besides the bytes that the server holds (the capability ladder)."""

    CIPHERTEXT_ONLY = "ciphertext only"
    MANY_CIPHERTEXTS = "many ciphertexts under one key"
    AUXILIARY_DATA = "auxiliary data"
    KNOWN_PAIRS = "known pairs"
    CHOSEN_PLAINTEXTS = "chosen plaintexts"
    DECRYPTED_RESULTS = "sees decrypted results"
    ACTIVE = "active"


class Aim(StrEnum):
    """What an attack or a check tries to take: the property of a protection that it tests."""

    IMAGE = "the image"
    ANSWER = "class and score"
    LINKS = "whose image it is"
    KEY = "the key"
    DECRYPTIONS = "leaked decryptions"
    INTEGRITY = "integrity"
    MODEL = "the model"


@dataclass(frozen=True)
class ImageBatch:
    """Images with their ids, labels and patient-like groups.

    ``images``: uint8 (n, height, width, 3). ``labels``: int64 (n,), an index into the dataset's
    classes. ``groups``: what the bootstrap resamples and splits may not share.
    """

    ids: tuple[str, ...]
    images: UInt8Array
    labels: IntArray
    groups: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[3] != 3:
            raise ValueError(f"images are {self.images.dtype} {self.images.shape}")
        if not (len(self.images) == len(self.labels) == len(self.groups) == n):
            raise ValueError("ids, images, labels and groups differ in length")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: slice | IntArray) -> ImageBatch:
        """Return the images at ``index`` as a batch of their own."""
        positions = np.arange(len(self))[index]
        return ImageBatch(
            ids=tuple(self.ids[i] for i in positions),
            images=self.images[positions],
            labels=self.labels[positions],
            groups=tuple(self.groups[i] for i in positions),
        )
