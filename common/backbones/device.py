"""The device that networks run on: from a name to what this machine has, and out of its memory.

Networks are trained, and features of training images made, on the device that a run names; all
encryption stays on the CPU. Where the memory of a device is full, work is cut into halves.
"""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from he_compare.common.environment import fingerprint_environment, multiplies_bfloat16
from he_compare.common.errors import CellError, UsageError
from he_compare.common.run.records import DeviceFacts

if TYPE_CHECKING:
    import torch

AUTOMATIC, CPU, CUDA, MPS = "auto", "cpu", "cuda", "mps"
NAMES = re.compile(r"auto|cpu|mps|cuda(:(0|[1-9]\d{0,3}))?")
CHOICES = "auto, cpu, cuda, cuda:N or mps"
Result = TypeVar("Result")
Module = TypeVar("Module", bound="torch.nn.Module")
# NVIDIA's Ampere; older ones compute bfloat16 in software.
FIRST_WITH_BFLOAT16 = 8


@dataclass(frozen=True)
class Device:
    """A device of this machine. ``name``: as torch spells it; ``memory_bytes``: of the device.

    ``precision``: of the numbers in training steps; whatever is measured is in float32.
    """

    name: str
    model: str
    memory_bytes: int
    precision: str = "float32"

    @property
    def identity(self) -> str:
        """What keys results: two GPUs of one model give the same ones, two models may not."""
        if self.name == CPU:
            return CPU if self.precision == "float32" else f"{CPU} {self.precision}"
        return f"{self.name.partition(':')[0]} {self.model} {self.precision}"

    def facts(self) -> DeviceFacts:
        """Return the device as a record holds it."""
        return DeviceFacts(
            name=self.name,
            model=self.model,
            memory_bytes=self.memory_bytes,
            precision=self.precision,
        )


def device_name(text: str) -> str:
    """Return the name of a device in small letters. Raises UsageError unless it can be one."""
    name = text.strip().lower()
    if NAMES.fullmatch(name) is None:
        raise UsageError(f"unknown device {text!r}", fix=f"pass {CHOICES}")
    return name


@cache
def devices() -> tuple[Device, ...]:
    """Return the devices of this machine: the CPU, then GPUs in the order of their numbers."""
    import torch

    machine = fingerprint_environment(1)
    precision = "bfloat16" if multiplies_bfloat16() else "float32"
    found = [Device(CPU, machine.cpu, machine.memory_bytes, precision)]
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(number)
        precision = "bfloat16" if facts.major >= FIRST_WITH_BFLOAT16 else "float16"
        found.append(
            Device(f"{CUDA}:{number}", str(facts.name), int(facts.total_memory), precision)
        )
    if torch.backends.mps.is_available():
        # The memory is shared with the CPU.
        found.append(Device(MPS, machine.cpu, machine.memory_bytes))
    return tuple(found)


def resolve_device(text: str) -> Device:
    """Return the device of a name; ``auto`` takes the first NVIDIA GPU, or else the CPU.

    Raises UsageError, naming the devices there are, where this machine has no such device.
    """
    name = device_name(text)
    known = {device.name: device for device in devices()}
    if name == AUTOMATIC:
        return known.get(f"{CUDA}:0", known[CPU])
    wanted = f"{CUDA}:0" if name == CUDA else name
    if wanted not in known:
        raise UsageError(
            f"there is no device {name!r} on this machine{_why_not(wanted)}",
            fix=f"pass --device auto or one of: {', '.join(known)}",
        )
    return known[wanted]


def _why_not(name: str) -> str:
    """Say why a kind of device may be missing where the reason is known; '' where it is not."""
    import torch

    if name.startswith(CUDA) and torch.version.cuda is None:
        return f": torch {torch.__version__} is built without CUDA"
    if name.startswith(CUDA) and not torch.cuda.is_available():
        return ": torch finds no NVIDIA GPU or no driver for it"
    if name == MPS and not torch.backends.mps.is_built():
        return ": mps is the GPU of Apple computers"
    return ""


def described(name: str) -> Device:
    """Return the device of a resolved name; of one that this machine has not, the name alone."""
    return next((one for one in devices() if one.name == name), Device(name, name, 0))


def device_identity(name: str) -> str:
    """Return what a resolved name stands for in the key of a result: see ``Device.identity``."""
    return described(name).identity


def moved(model: Module, name: str) -> Module:
    """Return a network on a device, its products in float32 as on the CPU."""
    import torch

    if name.startswith(CUDA):
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return model.to(name)


def device_of(model: torch.nn.Module) -> torch.device:
    """Return the device that a network is on."""
    return next(model.parameters()).device


@contextlib.contextmanager
def seeded(seed: int, name: str) -> Iterator[None]:
    """Seed torch for a while; the global generators of the CPU and of a device are left as they
    were."""
    import torch

    with torch.random.fork_rng(devices=[name] if name.startswith(CUDA) else []):
        torch.manual_seed(seed)
        yield


# A server process is told once, before it has a network.
_of_server = [CPU]


def use_for_server(name: str) -> None:
    """Say on which device this process, the server half of a pipeline, runs its networks."""
    _of_server[0] = name


def server_device() -> str:
    """Return the device of this process's server half; the CPU unless it was told another."""
    return _of_server[0]


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that the memory of a device is full."""
    import torch

    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "MPS backend out of memory" in str(error)


def with_smaller_batches(
    compute: Callable[[int], Result], at_once: int, *, least: int = 1
) -> tuple[Result, int]:
    """Call ``compute`` with a number of images, half as many whenever memory runs out.

    Returns the result and the number it was had with. Raises CellError where even ``least`` images
    are too many.
    """
    while True:
        full = ""
        try:
            return compute(at_once), at_once
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            full = " ".join(str(error).split())[:200]
            # What the failed attempt holds would be in the way of the next one.
            traceback.clear_frames(error.__traceback__)
        if at_once <= least:
            raise CellError(
                f"the memory of the device does not hold {at_once} image(s) at once: {full}",
                fix="pass --device cpu, a smaller --image-size or a smaller backbone",
            )
        at_once = max(least, at_once // 2)
        _free_what_is_kept()


def _free_what_is_kept() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


# By network: how many images it was given at once after memory had run out.
_limits: WeakKeyDictionary[torch.nn.Module, int] = WeakKeyDictionary()


def batch_limit(model: torch.nn.Module) -> int | None:
    """Return how many images a network takes at once since memory ran out; None: it never did."""
    return _limits.get(model)


def limit_batches(model: torch.nn.Module, at_once: int) -> None:
    """Keep in mind how many images a network takes at once."""
    _limits[model] = at_once


def smallest_batch() -> int | None:
    """Return the least of all limits of this process; None where memory never ran out."""
    return min(_limits.values(), default=None)


def memory_warning(what: str, at_once: int, wanted: int) -> str:
    """Return the sentence about a batch that memory did not hold; ``what``: what was computed."""
    return (
        f"the memory of the device was full: {what} took {at_once} images at once instead of "
        f"{wanted}"
    )


def memory_spent(at_once: int | None) -> dict[str, int]:
    """Return what the outcome of an attack says where the device's memory did not hold a batch."""
    return {} if at_once is None else {"pictures in memory at once": at_once}
