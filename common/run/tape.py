"""The tape of a pipeline: messages that crossed in a run, and the server's public material.

It holds what the server was sent and nothing else, so that an audit attacks what was deployed. In
the run folder it is ``tape/<identity>.tape`` (the messages) and ``tape/<digest>.public`` (public
material, once for cells that share it).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from he_compare.common.errors import IntegrityError, MessageError
from he_compare.common.run.records import TapeFacts
from he_compare.common.run.store import RunFolder, inside
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import IntArray, Message

TAPE_FOLDER = "tape"
PUBLIC_SUFFIX = ".public"


@dataclass(frozen=True, repr=False)
class Tape:
    """``positions``: (n,), in the test split, of the images behind the ``n`` messages."""

    positions: IntArray
    messages: Sequence[Message]
    public_material: bytes

    def messages_digest(self) -> str:
        """Return the SHA-256 over positions and messages."""
        return self._hasher().hexdigest()

    def digest(self) -> str:
        """Return the SHA-256 over positions, messages and public material."""
        hasher = self._hasher()
        hasher.update(hashlib.sha256(self.public_material).digest())
        return hasher.hexdigest()

    def _hasher(self) -> hashlib._Hash:
        hasher = hashlib.sha256(np.ascontiguousarray(self.positions, "<i8").tobytes())
        for message in self.messages:
            hasher.update(len(message).to_bytes(8, "little"))
            hasher.update(message)
        return hasher

    def message_of(self, position: int) -> Message | None:
        """Return the message of a test image, None where it was not kept."""
        place = int(np.searchsorted(self.positions, position))
        found = place < len(self.positions) and self.positions[place] == position
        return self.messages[place] if found else None


@dataclass
class TapeRecorder:
    """Keeps the messages of chosen test images as they pass. ``wanted``: positions, sorted."""

    wanted: IntArray
    kept: list[Message] = field(default_factory=list)
    _passed: int = 0

    def __call__(self, messages: Sequence[Message]) -> None:
        """Take the messages of the next test images, in order."""
        first, self._passed = self._passed, self._passed + len(messages)
        inside = self.wanted[(self.wanted >= first) & (self.wanted < self._passed)]
        self.kept.extend(messages[position - first] for position in inside)

    def tape(self, public_material: bytes) -> Tape:
        """Return what was kept."""
        return Tape(self.wanted[: len(self.kept)], self.kept, public_material)


def write_tape(folder: Path, name: str, tape: Tape) -> TapeFacts:
    """Write a tape into a run folder; return the facts for its record."""
    facts, files = tape_files(name, tape)
    run = RunFolder(folder)
    for file, content in files.items():
        run.put_once(file, content)
    return facts


def tape_files(name: str, tape: Tape) -> tuple[TapeFacts, dict[str, bytes]]:
    """Return the facts of a tape, and its files by their names in a run folder."""
    sizes = np.array([len(message) for message in tape.messages], np.int64)
    content = np.frombuffer(b"".join(tape.messages), np.uint8)
    file, public_file = f"{TAPE_FOLDER}/{name}.tape", public_name(tape.public_material)
    arrays: dict[str, npt.NDArray[Any]] = {
        "positions": np.ascontiguousarray(tape.positions, np.int64),
        "sizes": sizes,
        "messages": content,
    }
    facts = facts_of_tape(tape, file, public_file)
    return facts, {file: pack(arrays), public_file: tape.public_material}


def public_name(material: bytes) -> str:
    """Return the file of public material in a run folder: it is named after its content."""
    return f"{TAPE_FOLDER}/{hashlib.sha256(material).hexdigest()[:32]}{PUBLIC_SUFFIX}"


def facts_of_tape(tape: Tape, file: str = "", public_file: str = "") -> TapeFacts:
    """Return the facts of a tape; without files it is one that stayed in memory."""
    return TapeFacts(
        file=file,
        public_file=public_file,
        sha256=tape.digest(),
        messages=len(tape.messages),
        message_bytes=sum(map(len, tape.messages)),
        public_material_bytes=len(tape.public_material),
    )


def read_tape(folder: Path, facts: TapeFacts) -> Tape:
    """Read a tape of a run folder. Raises IntegrityError unless it is what was recorded."""
    try:
        public = inside(folder, facts.public_file).read_bytes()
        content = inside(folder, facts.file).read_bytes()
    except OSError as error:
        raise _edited(facts, error.strerror or str(error)) from None
    except IntegrityError as error:
        raise _edited(facts, error.problem) from None
    return parse_tape(facts, content, public)


def parse_tape(facts: TapeFacts, content: bytes, public: bytes) -> Tape:
    """Read a tape from the bytes of its two files. Raises IntegrityError in the same way."""
    expected = {"positions": ("int64", 1), "sizes": ("int64", 1), "messages": ("uint8", 1)}
    try:
        arrays, _ = unpack(content, expect=expected)
    except MessageError as error:
        raise _edited(facts, str(error)) from None
    sizes, joined = arrays["sizes"], arrays["messages"].tobytes()
    if (sizes < 0).any() or sum(sizes.tolist()) != len(joined):
        raise _edited(facts, "the sizes of its messages do not add up")
    ends = np.cumsum(sizes)
    messages = [joined[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    tape = Tape(arrays["positions"], messages, public)
    if len(tape.positions) != len(messages) or tape.digest() != facts.sha256:
        raise _edited(facts, "it is not what was recorded")
    return tape


def tape_problem(folder: Path, facts: TapeFacts) -> str:
    """Say what is wrong with a tape in a run folder; '' if nothing is, or it stayed in memory."""
    if not facts.file:
        return ""
    try:
        read_tape(folder, facts)
    except IntegrityError as error:
        return error.problem
    return ""


def _edited(facts: TapeFacts, why: str) -> IntegrityError:
    return IntegrityError(
        f"the tape {facts.file} is not valid: {why}",
        fix="restore the file, or run the same `compare run` again to redo its cell",
    )
