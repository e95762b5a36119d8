"""Server halves as targets of hostile messages: their public material and good calls, as bytes.

A target is made once, by fitting and deploying on a few invented images and features, and can be
stored: it holds what a server gets and nothing that a client keeps to itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from he_compare.common.service.wire import pack, unpack
from tools.soak import target_makers as makers


@dataclass(frozen=True)
class Call:
    """One good call of a verb; of a half that keeps a state, in the order of a session."""

    verb: str
    messages: tuple[bytes, ...]


@dataclass(frozen=True)
class Target:
    """A server half. ``pipeline``: its plug-in; ``ckks``: its uploads are CKKS ciphertexts.

    ``verbs_ms``, ``public_ms``: about how long a hostile message, or public material, takes here.
    """

    name: str
    pipeline: str
    public_material: bytes
    calls: tuple[Call, ...]
    ckks: bool
    verbs_ms: float
    public_ms: float

    def to_bytes(self) -> bytes:
        """Return the target as bytes that ``from_bytes`` reads."""
        parts = [self.public_material, *(one for call in self.calls for one in call.messages)]
        arrays = {f"{i:06d}": np.frombuffer(part, np.uint8) for i, part in enumerate(parts)}
        told = {
            "name": self.name,
            "pipeline": self.pipeline,
            "calls": [[call.verb, len(call.messages)] for call in self.calls],
            "ckks": self.ckks,
            "milliseconds": [self.verbs_ms, self.public_ms],
        }
        return pack(arrays, {"target": json.dumps(told)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Target:
        """Read a stored target."""
        arrays, metadata = unpack(data)
        told = json.loads(metadata["target"])
        material, *parts = (arrays[name].tobytes() for name in sorted(arrays))
        calls, start = [], 0
        for verb, count in told["calls"]:
            calls.append(Call(verb, tuple(parts[start : start + count])))
            start += count
        name, pipeline, times = told["name"], told["pipeline"], told["milliseconds"]
        return cls(name, pipeline, material, tuple(calls), told["ckks"], *times)


@dataclass(frozen=True)
class TargetKind:
    """How a target is made, and what there is to say of it. ``times``: of verbs and material."""

    pipeline: str
    make: Callable[[Path, int], makers.Made]
    times: tuple[float, float]
    ckks: bool = False


KINDS: dict[str, TargetKind] = {
    "plaintext": TargetKind("plaintext", makers.plain_vit, (6, 72)),
    "plaintext, logistic": TargetKind("plaintext", makers.plain_head, (6, 72)),
    "convnet": TargetKind("convnet", makers.convnet, (9, 162)),
    "block-scramble": TargetKind("block-scramble", makers.scrambled, (6, 75)),
    "block-scramble, training": TargetKind("block-scramble", makers.scrambled_training, (230, 75)),
    "block-scramble-convnet": TargetKind(
        "block-scramble-convnet", makers.scrambled_convnet, (10, 167)
    ),
    "block-scramble-convnet, training": TargetKind(
        "block-scramble-convnet", makers.scrambled_convnet_training, (230, 167)
    ),
    "fhe-head": TargetKind("fhe-head", makers.head_by("replicated"), (2, 2.5), ckks=True),
    "fhe-head, batched": TargetKind("fhe-head", makers.head_by("batched"), (3, 0.5), ckks=True),
    "fhe-head, zero-sum": TargetKind("fhe-head", makers.head_by("zero-sum"), (4, 1.4), ckks=True),
    "fhe-head, tenseal-dot": TargetKind(
        "fhe-head", makers.head_by("tenseal-dot"), (3, 46), ckks=True
    ),
    "fhe-train": TargetKind("fhe-train", makers.encrypted_training, (10, 0.6), ckks=True),
    "fhe-train, encrypted head": TargetKind(
        "fhe-train", makers.encrypted_head, (2.3, 3.9), ckks=True
    ),
    "fhe-tfhe": TargetKind("fhe-tfhe", makers.tfhe_head, (0.8, 11)),
    "fhe-tfhe-train": TargetKind("fhe-tfhe-train", makers.tfhe_training, (480, 470)),
}


def target_names() -> tuple[str, ...]:
    """Return the targets that can be made on this machine."""
    from he_compare.common import plugins

    return tuple(
        name
        for name, kind in KINDS.items()
        if plugins.load("pipelines", kind.pipeline).availability().available
    )


def make_target(name: str, folder: Path, seed: int) -> Target:
    """Fit and deploy what a target needs; ``folder``: for what that leaves, a key file among it."""
    kind = KINDS[name]
    made = kind.make(folder, seed)
    calls = tuple(Call(verb, tuple(messages)) for verb, messages in made.calls)
    return Target(name, kind.pipeline, made.public_material, calls, kind.ckks, *kind.times)
