"""The server's archive (Concrete ML's ``server.zip``), from outside: read, checked, rebuilt.

What the library itself would do with such a file is not safe to do with bytes from outside:
``configuration.json`` is decoded by jsonpickle, which can call any Python function; an archive of
the other flavour holds a shared library, which is executed; the archive is unpacked whole. So the
members are read here with limits, the circuit must pass ``circuit_text``, the configuration must be
the very one this program compiles with, and the library then gets an archive written anew from
checked values; no byte of the configuration that came in reaches jsonpickle.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from he_compare.common.errors import MessageError
from he_compare.common.service.parsing import strict_json
from he_compare.fhe_baseline.tfhe.circuit_text import MAX_TEXT_BYTES, check_circuit, function_name
from he_compare.fhe_baseline.tfhe.library import Concrete

CIRCUIT, SIMULATED, CONFIGURATION = "circuit.mlir", "is_simulated", "configuration.json"
COMPOSITION, SPECS, VERSIONS = "composition_rules.json", "client.specs.json", "versions.json"
LIMITS = {
    CIRCUIT: MAX_TEXT_BYTES,
    SIMULATED: 1,
    CONFIGURATION: 1 << 16,
    COMPOSITION: 1 << 16,
    SPECS: 1 << 20,
    VERSIONS: 1 << 12,
}
MAX_ARCHIVE_BYTES = sum(LIMITS.values())
SMALLEST_P_ERROR, LARGEST_P_ERROR = 2.0**-64, 0.05
MAX_COMPOSITION_RULES = 64


@dataclass(frozen=True)
class CircuitProgram:
    """What a server is built from: the circuit's text and the few settings that may differ."""

    text: str
    p_error: float
    composable: bool
    composition: list[Any] | None


def read_archive(data: bytes, concrete: Concrete) -> CircuitProgram:
    """Parse and check an archive of unknown origin. Raises MessageError."""
    members = _members(data)
    if members[SIMULATED] != b"0":
        raise MessageError("server archive asks for simulation instead of encrypted execution")
    _check_versions(members[VERSIONS], concrete)
    text = _decode(members[CIRCUIT])
    check_circuit(text)
    p_error, composable = _settings(members[CONFIGURATION], concrete)
    composition = _composition(members[COMPOSITION], function_name(text))
    return CircuitProgram(text, p_error, composable, composition)


def write_archive(program: CircuitProgram, concrete: Concrete, folder: Path) -> None:
    """Write ``server.zip`` for the library from checked values alone."""
    versions = concrete.versions | {"python": _python_version()}
    members = {
        CIRCUIT: program.text,
        SIMULATED: "0",
        CONFIGURATION: _pickled(program.p_error, program.composable, concrete),
        COMPOSITION: json.dumps(program.composition),
        VERSIONS: json.dumps(versions),
    }
    with zipfile.ZipFile(folder / "server.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def configuration(concrete: Concrete) -> Any:
    """Return the configuration every circuit is compiled with.

    Concrete's default of 128 bits of security; no artefacts are dumped into the working folder.
    """
    return concrete.fhe.Configuration(
        dump_artifacts_on_unexpected_failures=False,
        compress_evaluation_keys=True,
        compress_input_ciphertexts=True,
        show_mlir=False,
    )


def _pickled(p_error: float, composable: bool, concrete: Concrete) -> str:
    """Return the configuration as Concrete writes it."""
    import jsonpickle  # type: ignore[import-not-found,import-untyped,unused-ignore]

    whole = configuration(concrete).fork(p_error=p_error, composable=composable)
    return str(jsonpickle.dumps(whole.__dict__))


def _members(data: bytes) -> dict[str, bytes]:
    if len(data) > MAX_ARCHIVE_BYTES:
        raise MessageError(f"server archive of {len(data)} bytes, more than {MAX_ARCHIVE_BYTES}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [entry.filename for entry in archive.infolist()]
            if sorted(names) != sorted(LIMITS):
                raise MessageError(f"server archive holds {sorted(map(ascii, names))[:8]}")
            return {name: _member(archive, name) for name in names}
    except (
        *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
        *(EOFError, OSError, ValueError, KeyError),
    ) as error:
        raise MessageError(f"not a server archive: {error}") from None


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    entry = archive.getinfo(name)
    # Other methods inflate without a limit.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise MessageError(f"server archive: {name} is packed with method {entry.compress_type}")
    with archive.open(name) as stream:
        content = stream.read(LIMITS[name] + 1)
    if len(content) > LIMITS[name]:
        raise MessageError(f"server archive: {name} is larger than {LIMITS[name]} bytes")
    return content


def _decode(content: bytes) -> str:
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        raise MessageError("server archive: text that is not ASCII") from None


def _json(content: bytes, name: str) -> Any:
    return strict_json(_decode(content), f"server archive: {name}")


def _check_versions(content: bytes, concrete: Concrete) -> None:
    told = _json(content, VERSIONS)
    if not isinstance(told, dict):
        raise MessageError(f"server archive: {VERSIONS} is not a table")
    for name, version in concrete.versions.items():
        if told.get(name) != version:
            raise MessageError(
                f"server archive was made with {name} {ascii(told.get(name))[:40]}, "
                f"this server runs {version}"
            )


def _settings(content: bytes, concrete: Concrete) -> tuple[float, bool]:
    """Return p_error and composable; everything else must be what is compiled with here."""
    told = _json(content, CONFIGURATION)
    if not isinstance(told, dict):
        raise MessageError(f"server archive: {CONFIGURATION} is not a table")
    p_error, composable = told.get("p_error"), told.get("composable")
    if type(p_error) is not float or not SMALLEST_P_ERROR <= p_error <= LARGEST_P_ERROR:
        raise MessageError(f"server archive: p_error of {ascii(p_error)[:40]}")
    if type(composable) is not bool:
        raise MessageError(f"server archive: composable is {ascii(composable)[:40]}")
    expected = json.loads(_pickled(p_error, composable, concrete))
    other = sorted(
        name
        for name in told.keys() | expected.keys()
        if name not in told or name not in expected or told[name] != expected[name]
    )
    if other:
        raise MessageError(
            f"server archive: configuration differs from this server's in {ascii(other)[:200]}"
        )
    return p_error, composable


def _composition(content: bytes, function: str) -> list[Any] | None:
    """Return rules [[function, output], [function, input]] or None."""
    told = _json(content, COMPOSITION)
    if told is None:
        return None
    if not isinstance(told, list) or len(told) > MAX_COMPOSITION_RULES:
        raise MessageError(f"server archive: {COMPOSITION} is not a list of rules")
    for rule in told:
        ends = rule if isinstance(rule, list) and len(rule) == 2 else [None]
        for end in ends:
            if (
                not isinstance(end, list)
                or len(end) != 2
                or end[0] != function
                or type(end[1]) is not int
                or not 0 <= end[1] < 16
            ):
                raise MessageError(f"server archive: {COMPOSITION} holds {ascii(rule)[:80]}")
    return told


def _python_version() -> str:
    return ".".join(map(str, sys.version_info[:3]))
