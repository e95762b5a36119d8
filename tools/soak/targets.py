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

    ``share``: its part of all hostile messages, the smaller the slower it answers.
    """

    name: str
    pipeline: str
    public_material: bytes
    calls: tuple[Call, ...]
    ckks: bool
    share: float

    def to_bytes(self) -> bytes:
        """Return the target as bytes that ``from_bytes`` reads."""
        parts = [self.public_material, *(one for call in self.calls for one in call.messages)]
        arrays = {f"{i:06d}": np.frombuffer(part, np.uint8) for i, part in enumerate(parts)}
        told = {
            "name": self.name,
            "pipeline": self.pipeline,
            "calls": [[call.verb, len(call.messages)] for call in self.calls],
            "ckks": self.ckks,
            "share": self.share,
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
        return cls(
            told["name"], told["pipeline"], material, tuple(calls), told["ckks"], told["share"]
        )


@dataclass(frozen=True)
class _Kind:
    """How a target is made, and what there is to say of it."""

    pipeline: str
    make: Callable[[Path, int], makers.Made]
    ckks: bool = False
    share: float = 1.0


_KINDS: dict[str, _Kind] = {
    "plaintext": _Kind("plaintext", makers.plain_vit),
    "plaintext, logistic": _Kind("plaintext", makers.plain_head),
    "convnet": _Kind("convnet", makers.convnet, share=0.5),
    "block-scramble": _Kind("block-scramble", makers.scrambled),
    "block-scramble, training": _Kind("block-scramble", makers.scrambled_training),
    "block-scramble-convnet": _Kind("block-scramble-convnet", makers.scrambled_convnet, share=0.5),
    "block-scramble-convnet, training": _Kind(
        "block-scramble-convnet", makers.scrambled_convnet_training, share=0.5
    ),
    "fhe-head": _Kind("fhe-head", makers.head_by("replicated"), ckks=True, share=2.0),
    "fhe-head, batched": _Kind("fhe-head", makers.head_by("batched"), ckks=True),
    "fhe-head, zero-sum": _Kind("fhe-head", makers.head_by("zero-sum"), ckks=True),
    "fhe-head, tenseal-dot": _Kind("fhe-head", makers.head_by("tenseal-dot"), ckks=True, share=0.5),
    "fhe-train": _Kind("fhe-train", makers.encrypted_training, ckks=True),
    "fhe-train, encrypted head": _Kind("fhe-train", makers.encrypted_head, ckks=True),
    "fhe-tfhe": _Kind("fhe-tfhe", makers.tfhe_head),
    "fhe-tfhe-train": _Kind("fhe-tfhe-train", makers.tfhe_training, share=0.2),
}


def target_names() -> tuple[str, ...]:
    """Return the targets that can be made on this machine."""
    from he_compare.common import plugins

    return tuple(
        name
        for name, kind in _KINDS.items()
        if plugins.load("pipelines", kind.pipeline).availability().available
    )


def make_target(name: str, folder: Path, seed: int) -> Target:
    """Fit and deploy what a target needs; ``folder``: for what that leaves, a key file among it."""
    kind = _KINDS[name]
    made = kind.make(folder, seed)
    calls = tuple(Call(verb, tuple(messages)) for verb, messages in made.calls)
    return Target(name, kind.pipeline, made.public_material, calls, kind.ckks, kind.share)
