"""The layers of a message in which a hostile change can be made, and how each is taken apart.

A layer recognises its format, changes one thing in it and puts the rest together as it was: so that
what lies within is reached by the parser that reads it, instead of being stopped by the outer one.
"""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from he_compare.common.errors import MessageError
from he_compare.common.service.framing import MAGIC, join, split
from he_compare.common.service.wire import unpack

Random = np.random.Generator
Whole = Callable[[bytes, Random, Sequence[bytes]], tuple[str, bytes]]
Found = tuple[str, bytes]

# What a value in JSON is replaced by, as text.
JSON_EXTREMES = (
    *("0", "-1", "1", "0.5", "-0.0", "1e308", "1e999", "-1e999", "1e-320", "NaN", "Infinity"),
    *("2147483648", "4294967296", "9007199254740993", "9223372036854775808", "1e20", "35200"),
    *("18446744073709551616", "9" * 5000, "0." + "0" * 4000 + "1", "true", "false", "null"),
    *('""', '"x"', '"\\u00e9"', '"٣"', "[]", "{}", "[1,2]", '{"a":1}', "[" * 2000 + "]" * 2000),
)
VALUE = re.compile(r'-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|"(?:[^"\\]|\\.)*"|true|false|null')
DTYPES = ("BOOL", "U8", "I8", "I16", "U16", "F16", "BF16", "I32", "F32", "F64", "I64", "C64", "X9")
SEAL_MAGIC = b"\x5e\xa1"


class Layer(ABC):
    """A format that others lie in."""

    @abstractmethod
    def fits(self, data: bytes) -> bool:
        """Say whether the bytes are of this format."""

    @abstractmethod
    def changed(
        self, data: bytes, random: Random, others: Sequence[bytes], whole: Whole
    ) -> Found | None:
        """Return what was done and the changed bytes; None where nothing can be changed.

        ``whole``: changes bytes that lie within, layer by layer.
        """


def layer_of(data: bytes) -> Layer | None:
    """Return the outermost layer of some bytes; None where they have none that is known."""
    return next((layer for layer in LAYERS if layer.fits(data)), None)


class PackedLayer(Layer):
    """A packed message (safetensors): its JSON header, its metadata, one of its arrays."""

    def fits(self, data: bytes) -> bool:
        """Look at the length of the header and its first sign."""
        return len(data) > 10 and 2 <= _word(data) <= len(data) - 8 and data[8:9] == b"{"

    def changed(
        self, data: bytes, random: Random, others: Sequence[bytes], whole: Whole
    ) -> Found | None:
        """Change the header's text, or bytes within one array."""
        length = _word(data)
        text, rest = data[8 : 8 + length].decode("utf-8", "replace").rstrip(), data[8 + length :]
        if rest and random.random() < 0.5:
            return _within_array(data, text, random, others, whole)
        what, new = json_changed(text, random)
        if random.random() < 0.15:
            new = re.sub(r'"dtype":"\w+"', f'"dtype":"{random.choice(DTYPES)}"', text, count=1)
            what = "another type of numbers"
        header = new.encode("utf-8", "surrogatepass")
        return f"packed header: {what}", struct.pack("<Q", len(header)) + header + rest


def _within_array(
    data: bytes, text: str, random: Random, others: Sequence[bytes], whole: Whole
) -> Found | None:
    """Change the bytes of one array; where they become more or fewer, say so in the header."""
    try:
        tables = {k: v for k, v in json.loads(text).items() if k != "__metadata__"}
        name = sorted(tables)[int(random.integers(len(tables)))]
        begin, end = tables[name]["data_offsets"]
    except (ValueError, KeyError, TypeError):
        return None
    start = 8 + _word(data)
    what, new = whole(data[start + begin : start + end], random, inner_parts(others))
    shift = len(new) - (end - begin)
    if shift and tables[name]["dtype"] == "U8" and len(tables[name]["shape"]) == 1:
        header = json.loads(text)
        header[name]["shape"] = [len(new)]
        for one, table in header.items():
            if one != "__metadata__":
                low, high = table["data_offsets"]
                table["data_offsets"] = [low + shift * (low >= end), high + shift * (high >= end)]
        text = json.dumps(header, separators=(",", ":"))
        text += " " * (-len(text) % 8)
        head = struct.pack("<Q", len(text.encode())) + text.encode()
    else:
        new = new[: end - begin].ljust(end - begin, b"\0")
        head = data[:start]
    return f"{name}: {what}", head + data[start : start + begin] + new + data[start + end :]


def inner_parts(messages: Sequence[bytes]) -> list[bytes]:
    """Return the arrays of packed messages, as bytes: what can be mixed into one of them."""
    return [part for message in messages[:4] for part in _arrays_of(message)]


@lru_cache(maxsize=64)
def _arrays_of(message: bytes) -> tuple[bytes, ...]:
    """Return the arrays of a message, none where it is not packed: it is the same each time."""
    try:
        arrays, _ = unpack(message)
    except MessageError:
        return ()
    return tuple(array.tobytes() for array in arrays.values())


class JsonLayer(Layer):
    """A text of JSON."""

    def fits(self, data: bytes) -> bool:
        """Look at the first and the last sign."""
        return data[:1] in (b"{", b"[") and data.rstrip()[-1:] in (b"}", b"]")

    def changed(
        self, data: bytes, random: Random, others: Sequence[bytes], whole: Whole
    ) -> Found | None:
        """Change one value."""
        what, text = json_changed(data.decode("utf-8", "replace"), random)
        return f"JSON: {what}", text.encode("utf-8", "surrogatepass")


def json_changed(text: str, random: Random) -> tuple[str, str]:
    """Change one value of a JSON text, or of a JSON text that is a value in it, and so on."""
    places = list(VALUE.finditer(text))
    if not places:
        return "nothing to change", text
    place = places[int(random.integers(len(places)))]
    before, token, after = text[: place.start()], place.group(), text[place.end() :]
    if token.startswith('"') and token[1:2] in "{[" and random.random() < 0.9:
        try:
            inner = json.loads(token)
        except ValueError:
            inner = ""
        what, changed = json_changed(inner, random)
        return what, before + json.dumps(changed) + after
    if random.random() < 0.1 and after.lstrip().startswith(":"):
        return "a name twice", f"{before}{token}:0,{token}{after}"
    new = str(random.choice(JSON_EXTREMES))
    if random.random() < 0.25 and token[:1].isdigit():
        new = str(random.choice([f"-{token}", f"{token}0", f"{token}.5", f"{token}e9"]))
    return f"a value replaced by {new[:12]}", before + new + after


class FramedLayer(Layer):
    """Several messages in one body."""

    def fits(self, data: bytes) -> bool:
        """Look at the magic number."""
        return data[: len(MAGIC)] == MAGIC

    def changed(
        self, data: bytes, random: Random, others: Sequence[bytes], whole: Whole
    ) -> Found | None:
        """Change one of the messages, leave one out, or repeat one."""
        try:
            messages = split(data)
        except MessageError:
            return None
        if not messages:
            return None
        place, what = int(random.integers(len(messages))), "a message left out"
        kept = [*messages[:place], *messages[place + 1 :]]
        drawn = random.random()
        if drawn < 0.8:
            what, new = whole(messages[place], random, others)
            kept.insert(place, new)
        elif drawn < 0.9:
            what, kept = "a message twice", [*messages[: place + 1], *messages[place:]]
        return f"framed: {what}", join(kept)


class ArchiveLayer(Layer):
    """A zip archive: one of its members, by bytes or by lines."""

    def fits(self, data: bytes) -> bool:
        """Look at the first member's signature."""
        return data[:4] == b"PK\3\4"

    def changed(
        self, data: bytes, random: Random, others: Sequence[bytes], whole: Whole
    ) -> Found | None:
        """Change a member, or the list of members."""
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = {name: archive.read(name) for name in archive.namelist()}
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
            return None
        name = sorted(members)[int(random.integers(len(members)))]
        drawn = random.random()
        if drawn < 0.05:
            del members[name]
            return "archive: a member left out", _zipped(members)
        text = name.endswith(".mlir")
        edit = _lines_changed if text and random.random() < 0.8 else whole
        what, members[name] = edit(members[name], random, [])
        return f"archive, {name}: {what}", _zipped(members)


def _zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _lines_changed(data: bytes, random: Random, others: Sequence[bytes]) -> Found:
    """Repeat, remove, move or mix lines of a text, or change one number, name or type in it."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return "nothing to change", data
    one, other = (int(random.integers(len(lines))) for _ in range(2))
    drawn = int(random.integers(6))
    if drawn == 0:
        lines.insert(one, lines[one])
        what = "a line repeated"
    elif drawn == 1:
        del lines[one]
        what = "a line left out"
    elif drawn == 2:
        lines[one], lines[other] = lines[other], lines[one]
        what = "two lines exchanged"
    elif drawn == 3:
        lines.insert(one, lines[other])
        what = "a line repeated elsewhere"
    else:
        tokens = re.findall(rb"%\w+|!?[A-Za-z_][\w.]*(?:<\d+>)?|-?\d+|\S", data)
        places = list(re.finditer(rb"%\w+|!?[A-Za-z_][\w.]*(?:<\d+>)?|-?\d+", lines[one]))
        if places:
            place = places[int(random.integers(len(places)))]
            new = tokens[int(random.integers(len(tokens)))]
            if drawn == 5:
                new = str(random.choice([0, 1, -1, 7, 64, 65, 4096, 1 << 31, 1 << 62])).encode()
            lines[one] = lines[one][: place.start()] + new + lines[one][place.end() :]
        what = "a word of a line replaced"
    return what, b"".join(lines)


class SealLayer(Layer):
    """A SEAL object: its content inflated, one field or number changed, and stored again."""

    def fits(self, data: bytes) -> bool:
        """Look at the magic number and the header's size."""
        return len(data) > 16 and data[:2] == SEAL_MAGIC and data[2] == 16

    def changed(
        self, data: bytes, random: Random, others: Sequence[bytes], whole: Whole
    ) -> Found | None:
        """Change the inflated content; it is stored as it is, or compressed anew."""
        content = _inflated(data)
        if content is None:
            return None
        what, new = _content_changed(content, random)
        mode = 0 if random.random() < 0.5 else data[5]
        stored = new if mode == 0 else _deflated(new)
        head = bytearray(data[:16])
        head[5] = mode
        head[8:16] = (16 + len(stored)).to_bytes(8, "little")
        return f"SEAL: {what}", bytes(head) + stored


# Where a ciphertext's members lie: parameter id, form, sizes, scale, factor, array header, count.
CIPHERTEXT_FIELDS = (0, 8, 16, 24, 33, 41, 49, 57, 65, 73, 81, 89)


def _content_changed(content: bytes, random: Random) -> tuple[str, bytes]:
    """Change one field near the beginning or the end, or one number among the residues."""
    new = bytearray(content)
    drawn = random.random()
    if drawn < 0.5:
        place, what = int(random.choice(CIPHERTEXT_FIELDS)), "a field replaced"
    elif drawn < 0.75:
        place, what = max(0, len(new) - int(random.integers(1, 110))), "the seed changed"
    else:
        place, what = 97 + 8 * int(random.integers(max(1, (len(new) - 97) // 8))), "a residue"
    numbers = [0, 1, 2, 3, 16, 17, 1 << 20, 1 << 32, 1 << 36, 1 << 59, 1 << 63, (1 << 64) - 1]
    floats = [0.0, -1.0, float("nan"), float("inf"), 1e-300, 1e300, 2.0**30]
    number = numbers[int(random.integers(len(numbers)))].to_bytes(8, "little")
    if random.random() < 0.2:
        number = struct.pack("<d", floats[int(random.integers(len(floats)))])
    elif random.random() < 0.2:
        number = random.bytes(8)
    new[place : place + 8] = number[: max(0, len(new) - place)]
    if random.random() < 0.1:
        del new[int(random.integers(len(new))) :]
        what = "cut"
    return what, bytes(new)


def _inflated(data: bytes) -> bytes | None:
    import zstandard

    if data[5] == 0:
        return data[16:]
    try:
        with zstandard.ZstdDecompressor().stream_reader(data[16:]) as reader:
            return bytes(reader.read(1 << 26))
    except zstandard.ZstdError:
        return None


def _deflated(content: bytes) -> bytes:
    import zstandard

    return bytes(zstandard.ZstdCompressor(level=1, write_content_size=False).compress(content))


def _word(data: bytes) -> int:
    return int.from_bytes(data[:8], "little")


LAYERS: tuple[Layer, ...] = (
    FramedLayer(),
    ArchiveLayer(),
    SealLayer(),
    PackedLayer(),
    JsonLayer(),
)
