"""Invented pipelines: how good, how slow, how large, and how their cells end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy.typing as npt

from he_compare.common.types import Status

Arrays: TypeAlias = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Kind:
    """An invented pipeline: how good, how slow, how large, and how its cells end."""

    name: str
    label: str
    accuracy: float
    client_ms: float
    server_ms: float
    upload: int
    download: int
    public: int
    claim: str = "none"
    parameters: tuple[tuple[str, Any], ...] = ()
    status: Status = Status.OK
    reason: str = ""
    picture: bool = True


PLAIN = Kind("plaintext", "plaintext", 0.93, 3.1, 5.4, 150_000, 310, 22_000_000)
SCRAMBLE = Kind(
    "block-scramble",
    "scramble-al_amin",
    0.84,
    4.0,
    5.6,
    150_400,
    310,
    22_100_000,
    claim="heuristic",
    parameters=(("cipher", "al_amin"), ("patch", 16)),
)
FHE = Kind(
    "fhe-head",
    "fhe-head",
    0.92,
    9.5,
    14.2,
    92_000,
    46_000,
    2_600_000,
    claim="reduction to a hardness assumption",
    parameters=(("packing", "dot"),),
    picture=False,
)
