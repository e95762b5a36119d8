"""What a host says of itself before anything is sent to it: ``GET /v1/host``.

The driver compares it with itself: server halves of other code or other libraries would give other
results under the same name.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from he_compare.common import plugins
from he_compare.common.environment import fingerprint_environment
from he_compare.common.errors import MessageError
from he_compare.common.machine import machine_word
from he_compare.common.module_outline import spec_of
from he_compare.common.run.records import EnvironmentFingerprint
from he_compare.common.service.parsing import parsed_as_hostile, strict_json
from he_compare.common.software import Software, served_source_digest, software_here
from he_compare.common.visible_text import visible

MOST_CARD_BYTES = 1 << 16
MOST_PIPELINES = 1_000
DIGITS = 12
# Of any text, list and table in a card, and the largest number: of bytes, as no machine has them.
MOST_CHARACTERS, MOST_ENTRIES, MOST_NUMBER = 200, 1_000, 1 << 60
MOST_LOAD = 1e6
Word = Annotated[str, StringConstraints(max_length=200)]


class HostCard(BaseModel):
    """What a host is and what it can serve. ``source``: digest of the code of server halves.

    ``plugins``: digests of pipelines that are not of the house, by name. ``machine``: stands for
    it. ``time``: its clock, Unix seconds. ``driver``: who uses it, '' for nobody.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    software: Software
    source: Word
    environment: EnvironmentFingerprint
    machine: Word
    pipelines: list[Word] = Field(max_length=MOST_PIPELINES)
    plugins: dict[Word, Word] = Field(default_factory=dict, max_length=MOST_PIPELINES)
    time: float = Field(allow_inf_nan=False, ge=0, le=1e11)
    sessions: int = Field(default=0, ge=0, le=10**6)
    driver: Word = ""


def card_here(*, afresh: bool = False) -> HostCard:
    """Return what this process says of itself as a host.

    ``afresh``: read packages and source files again, which may have changed since it started.
    """
    return HostCard(
        software=software_here(afresh=afresh),
        source=served_source_digest(afresh=afresh),
        environment=fingerprint_environment(1),
        machine=machine_word(),
        pipelines=list(plugins.discover("pipelines")),
        plugins=dict(_plugin_digests()),
        time=time.time(),
    )


def card_now(card: HostCard, sessions: int, driver: str) -> HostCard:
    """Return a card with what changes: it is part of every round trip that is measured."""
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    now = {
        "environment": card.environment.model_copy(update={"load_average": load}),
        "sessions": sessions,
        "driver": driver,
        "time": time.time(),
    }
    return card.model_copy(update=now)


def read_card(body: bytes) -> HostCard:
    """Parse what a host says of itself. Raises MessageError.

    No text in it has more than a line, or what a terminal obeys, and every number is one that a
    machine can have.
    """
    if len(body) > MOST_CARD_BYTES:
        raise MessageError(f"it says {len(body)} bytes of itself, more than {MOST_CARD_BYTES}")
    with parsed_as_hostile("what it says of itself"):
        told = strict_json(body, "what it says of itself")
        _require_plain_values(told, "it")
        try:
            card = HostCard.model_validate(told)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"]))
            words = f"{visible(where)[:100]}: {visible(problem['msg'])[:200]}"
            raise MessageError(f"it does not say what it is ({words})") from None
        _require_machine(card.environment)
    return card


def _require_plain_values(value: Any, where: str) -> None:
    """Raise MessageError on a text, number or number of entries that no card has."""
    if isinstance(value, dict):
        if len(value) > MOST_ENTRIES:
            raise MessageError(f"{where} has {len(value)} entries, more than {MOST_ENTRIES}")
        for name, one in value.items():
            _require_plain_values(name, f"a name in {where}")
            _require_plain_values(one, f"{where}.{name}"[-MOST_CHARACTERS:])
    elif isinstance(value, list):
        if len(value) > MOST_ENTRIES:
            raise MessageError(f"{where} has {len(value)} entries, more than {MOST_ENTRIES}")
        for one in value:
            _require_plain_values(one, f"{where}[]"[-MOST_CHARACTERS:])
    elif isinstance(value, str):
        if len(value) > MOST_CHARACTERS or not value.isprintable():
            raise MessageError(f"{where} is no line of at most {MOST_CHARACTERS} characters")
    elif isinstance(value, int | float) and not -MOST_NUMBER <= value <= MOST_NUMBER:
        raise MessageError(f"{where} is a number that no machine has")


def _require_machine(machine: EnvironmentFingerprint) -> None:
    """Raise MessageError where the numbers are of no machine."""
    load = machine.load_average
    counts = (machine.memory_bytes, machine.logical_cores, machine.threads)
    if any(one < 1 for one in counts):
        raise MessageError(f"it has memory, cores and threads of {counts}")
    if load is not None and not (math.isfinite(load) and 0 <= load <= MOST_LOAD):
        raise MessageError(f"its load is {load:g}")


def what_changed(before: HostCard, now: HostCard) -> list[str]:
    """Say by name what of a host is not what it was when its run began."""
    found = [f"{change} before" for change in now.software.differences(before.software, "was")]
    if now.source != before.source:
        found.append("the source code of server halves")
    for name in sorted(set(before.plugins) | set(now.plugins)):
        if before.plugins.get(name) != now.plugins.get(name):
            found.append(f"the plug-in {name!r}")
    if now.machine != before.machine:
        found.append("the machine")
    return found


def what_host_lacks(there: HostCard, here: HostCard, pipelines: Sequence[str]) -> list[str]:
    """Say by name where a host is not as this side is, for the pipelines that are to be served."""
    found = there.software.model_copy(update={"commit": ""}).differences(
        here.software.model_copy(update={"commit": ""})
    )
    if there.source != here.source:
        found.append(
            f"other source code of server halves ({_named(there)} there, {_named(here)} here)"
        )
    for name in dict.fromkeys(pipelines):
        if name not in there.pipelines:
            found.append(f"no pipeline {name!r}")
        elif there.plugins.get(name) != here.plugins.get(name):
            found.append(f"another plug-in of the name {name!r}")
    return found


def _named(card: HostCard) -> str:
    commit = card.software.commit
    dirty = ", with changes" if card.environment.source_dirty else ""
    return f"commit {commit[:DIGITS]}{dirty}" if commit else f"digest {card.source[:DIGITS]}"


def _plugin_digests() -> list[tuple[str, str]]:
    """Return the digest of the module of each pipeline that somebody else brought."""
    found = []
    for name, plugin in plugins.discover("pipelines").items():
        spec = spec_of(plugin.module) if plugin.origin != plugins.BUILT_IN else None
        if spec is not None and spec.origin is not None and Path(spec.origin).is_file():
            digest = hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()
            found.append((name, digest))
    return found
