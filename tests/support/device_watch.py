"""Watches that every tensor of a computation is made on one device, without having that device.

The device is torch's ``meta``, whose tensors have shapes and no numbers. What leaves it for the CPU
(results, losses) is replaced by made-up numbers, so that the code around goes on. An operation
whose result lies elsewhere is kept as a finding; one that mixes devices raises by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

WATCHED = "meta"
ATEN = torch.ops.aten
# Under inference mode the second of them is called, without the first.
MOVES = (ATEN._to_copy, ATEN.to)
# How an array comes in and goes out; whatever else is done with it on the CPU is found.
READS = (ATEN.lift_fresh, ATEN.detach, ATEN.resolve_conj, ATEN.resolve_neg)


class DeviceWatch(TorchDispatchMode):
    """Operations seen, and those whose result was on another device than the watched one."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.elsewhere: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        self.seen += 1
        if func is ATEN._local_scalar_dense.default and args[0].device.type == WATCHED:
            return 1.0
        if func.overloadpacket in MOVES and self._leaves(args, kwargs):
            return torch.full(args[0].shape, 0.5, dtype=kwargs.get("dtype") or args[0].dtype)
        found = func(*args, **kwargs)
        if func.overloadpacket in READS or (
            func.overloadpacket in MOVES and found.dtype == args[0].dtype
        ):
            return found
        for tensor in tree_leaves(found):
            # Torch itself keeps numbers without dimensions, such as counts of steps, on the CPU.
            of_interest = isinstance(tensor, torch.Tensor) and tensor.dim() > 0
            if of_interest and tensor.device.type != WATCHED:
                self.elsewhere.append(f"{func}: {tuple(tensor.shape)} on {tensor.device}")
        return found

    @staticmethod
    def _leaves(args: tuple[Any, ...], kwargs: Any) -> bool:
        given = (*args[1:], *kwargs.values())
        return args[0].device.type == WATCHED and torch.device("cpu") in [
            one for one in given if isinstance(one, torch.device)
        ]


@contextmanager
def only_on_the_device() -> Iterator[DeviceWatch]:
    """Fail the test where a tensor is made elsewhere, or where nothing was computed at all."""
    with DeviceWatch() as watch:
        yield watch
    assert watch.seen > 50, "nothing was watched"
    assert not watch.elsewhere, f"made off the device: {watch.elsewhere[:3]}"


def begun_unwatched(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
    """Build networks of a class outside the watch: they begin on the CPU, so that they begin alike
    on every device, and are moved."""
    build: Callable[..., torch.nn.Module] = getattr(module, name)

    def built(*args: Any, **kwargs: Any) -> torch.nn.Module:
        with _disable_current_modes():
            return build(*args, **kwargs)

    monkeypatch.setattr(module, name, built)
