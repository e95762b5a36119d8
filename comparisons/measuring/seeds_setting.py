"""The seeds of a run: one, a list of them, or a number of them, said in one way afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST_SEEDS = 100
SEED_BOUND = 2**63


def settled_seeds(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run with ``seed`` the first of ``seeds``, and no ``repeats``.

    ``seeds``: whole numbers, as a list or as text with commas. One seed alone is ``seed``, and
    ``seeds`` is empty. Values that are no whole numbers are left for the field to refuse. Raises
    ValueError on seeds that are given twice, out of bounds, too many, or that contradict ``seed``
    or ``repeats``.
    """
    settled = dict(values)
    seeds = _listed(settled.get("seeds"))
    repeats, first = settled.get("repeats"), settled.get("seed")
    if seeds:
        _require_usable(seeds)
        if first is not None and first != seeds[0]:
            raise ValueError(
                f"seed={first} is not the first of seeds={_shown(seeds)}; leave --seed out"
            )
        if repeats is not None and repeats != len(seeds):
            raise ValueError(f"repeats={repeats} contradicts {len(seeds)} seeds={_shown(seeds)}")
    elif isinstance(repeats, int) and 1 <= repeats <= MOST_SEEDS:
        start = 0 if first is None else first
        if not isinstance(start, int):
            return settled
        seeds = list(range(start, start + repeats))
        _require_usable(seeds)
    else:
        return settled
    return settled | {"seed": seeds[0], "seeds": seeds if len(seeds) > 1 else [], "repeats": None}


def _listed(given: Any) -> list[int]:
    """Return seeds as numbers. Raises ValueError on text that is none, and on an empty part."""
    if isinstance(given, str):
        if not given.strip():
            return []
        parts = [one.strip() for one in given.split(",")]
    else:
        parts = list(given) if isinstance(given, list | tuple) else []
    return [_number(one) for one in parts]


def _number(given: Any) -> int:
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    text = str(given)
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= 20):
        raise ValueError(f"seeds: {text[:40]!r} is no whole number; pass for instance 0,1,2")
    return int(text)


def _require_usable(seeds: list[int]) -> None:
    if len(seeds) > MOST_SEEDS:
        raise ValueError(f"{len(seeds)} seeds are more than {MOST_SEEDS}")
    for number, seed in enumerate(seeds):
        if not 0 <= seed < SEED_BOUND:
            raise ValueError(f"seeds: {seed} is not 0 to 2^63 - 1")
        if seed in seeds[:number]:
            raise ValueError(f"seeds={_shown(seeds)} has {seed} twice; name each seed once")


def _shown(seeds: list[int]) -> str:
    return ",".join(map(str, seeds[:MOST_SEEDS]))
