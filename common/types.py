"""Small enums, aliases and value types that every package uses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias, runtime_checkable

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


class PixelSource(Protocol):
    """Images or ciphertexts, (n, height, width, 3), that a network takes some of at a time.

    In memory or on disk: what is asked for by slice or position comes as an array in memory.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice | IntArray, /) -> PixelArray: ...


# Images that are in memory at a time where a set of them is gone through.
PORTION = 64

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
    NETWORK = "network (measured)"
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


@runtime_checkable
class Pictures(Protocol):
    """RGB images in order, in memory or on disk: uint8 (n, height, width, 3).

    Indexing gives an ordinary array in memory, of what was asked only; ``select`` gives images that
    lie where they lay. ``digests``: the SHA-256 of every image as of ``picture_digest``, 32 bytes
    each; ``digest``: of all, hexadecimal. Equal images have equal digests wherever they lie.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[np.uint8]: ...
    @property
    def ndim(self) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int | slice | IntArray) -> UInt8Array: ...
    def select(self, positions: IntArray) -> Pictures: ...
    def digests(self) -> tuple[bytes, ...]: ...
    def digest(self) -> str: ...


class HeldPictures:
    """Images that are in memory, as ``Pictures``. ``array``: uint8 (n, height, width, 3)."""

    def __init__(self, array: UInt8Array) -> None:
        self.array = array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return self.array.dtype

    @property
    def ndim(self) -> int:
        return self.array.ndim

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int | slice | IntArray) -> UInt8Array:
        found: UInt8Array = self.array[index]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return (
            np.asarray(self.array, dtype=dtype) if not copy else np.array(self.array, dtype=dtype)
        )

    def select(self, positions: IntArray) -> HeldPictures:
        """Return the images at the positions, in their order."""
        return HeldPictures(self.array[positions])

    def digests(self) -> tuple[bytes, ...]:
        """Return the SHA-256 of every image."""
        return tuple(picture_digest(image) for image in self.array)

    def digest(self) -> str:
        """Return the hexadecimal SHA-256 of shape and digests of all images."""
        return joint_digest(self.shape[1:], self.digests())


def picture_digest(image: UInt8Array) -> bytes:
    """Return the SHA-256 of an image (h, w, 3); of its one channel where the three are equal."""
    grey = np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(
        image[..., 0], image[..., 2]
    )
    kept = np.ascontiguousarray(image[..., 0] if grey else image)
    return hashlib.sha256(f"{kept.shape}".encode() + kept.tobytes()).digest()


def joint_digest(shape: tuple[int, ...], digests: tuple[bytes, ...]) -> str:
    """Return the hexadecimal SHA-256 of several images of one shape from those of each."""
    return hashlib.sha256(f"{shape}".encode() + b"".join(digests)).hexdigest()


def in_portions(images: Pictures, size: int = PORTION) -> Iterator[UInt8Array]:
    """Yield the images in order, at most ``size`` at a time, as arrays in memory."""
    for start in range(0, len(images), size):
        yield images[start : start + size]


@dataclass(frozen=True, init=False)
class ImageBatch:
    """Images with their ids, labels and patient-like groups.

    ``images``: uint8 (n, height, width, 3), in memory or on disk; an array is held as it is.
    ``labels``: int64 (n,), an index into the dataset's classes. ``groups``: what the bootstrap
    resamples and splits may not share.
    """

    ids: tuple[str, ...]
    images: Pictures
    labels: IntArray
    groups: tuple[str, ...]

    def __init__(
        self,
        ids: tuple[str, ...],
        images: Pictures | UInt8Array,
        labels: IntArray,
        groups: tuple[str, ...],
    ) -> None:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"images are {images.dtype} {images.shape}")
        if not (len(images) == len(labels) == len(groups) == len(ids)):
            raise ValueError("ids, images, labels and groups differ in length")
        held = HeldPictures(images) if isinstance(images, np.ndarray) else images
        for name, value in (("ids", ids), ("images", held), ("labels", labels), ("groups", groups)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: slice | IntArray) -> ImageBatch:
        """Return the images at ``index`` as a batch of their own; they stay where they lie."""
        positions = np.arange(len(self))[index]
        return ImageBatch(
            ids=tuple(self.ids[i] for i in positions),
            images=self.images.select(positions),
            labels=self.labels[positions],
            groups=tuple(self.groups[i] for i in positions),
        )
