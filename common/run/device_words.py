"""What a reader is told of the devices that networks ran on."""

from __future__ import annotations

from collections.abc import Iterable

from he_compare.common.run.records import DeviceFacts, RunRecord

ENCRYPTION = "Encryption is computed on the CPU."


def device_shown(device: DeviceFacts) -> str:
    """Return name, model and memory of a device in words."""
    memory = f"{device.memory_bytes / 2**30:.0f} GiB" if device.memory_bytes else "memory not known"
    if device.name == "cpu":
        return f"the CPU ({device.model}, {memory})"
    return f"{device.name} ({device.model}, {memory})"


def announced(trained_on: DeviceFacts, measured_on: DeviceFacts) -> list[str]:
    """Return what a run says of its devices when it begins; nothing where all is on the CPU."""
    if trained_on.name == measured_on.name == "cpu":
        return []
    return [_sentence(trained_on, measured_on), ENCRYPTION]


def devices_of(records: Iterable[RunRecord]) -> str:
    """Say on which devices the records of a run were made; '' where none of them tells."""
    told = dict.fromkeys(
        (record.trained_on, record.measured_on)
        for record in records
        if record.trained_on is not None and record.measured_on is not None
    )
    sentences = [_sentence(trained, measured) for trained, measured in told if trained and measured]
    return " ".join([*sentences, ENCRYPTION]) if sentences else ""


def _sentence(trained: DeviceFacts, measured: DeviceFacts) -> str:
    how = "" if trained.precision == "float32" else f", in {trained.precision}"
    if trained.name == measured.name and how:
        return f"Networks were trained on {device_shown(trained)}{how}, and measured in float32."
    if trained.name == measured.name:
        return f"Networks were trained and measured on {device_shown(trained)}."
    return (
        f"Networks were trained on {device_shown(trained)}{how}, and measured on "
        f"{device_shown(measured)}, which is the same for all pipelines."
    )
