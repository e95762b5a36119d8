"""TenSEAL's contexts and vectors from outside: taken apart, checked, and put together anew.

TenSEAL hands what it is sent to SEAL as it comes. Its messages are protocol buffers that hold SEAL
objects (tenseal/proto); here they are read field by field, each object is checked
(``seal_objects``), and TenSEAL gets a message of checked objects and of this program's own numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from he_compare.common.errors import MessageError
from he_compare.common.service.parsing import parsed_as_hostile
from he_compare.fhe_baseline.ckks.context import TENSEAL_THREADS, import_tenseal, seal_context
from he_compare.fhe_baseline.ckks.parameters import CkksParameters
from he_compare.fhe_baseline.ckks.seal_headers import inflated
from he_compare.fhe_baseline.ckks.seal_objects import (
    checked_ciphertext,
    checked_public_key,
    checked_switching_keys,
)
from he_compare.fhe_baseline.ckks.serialization import seal_bytes

Field: TypeAlias = int | bytes
# Kinds of fields of protocol buffers: a number, eight bytes, bytes of a stated length.
VARINT, DOUBLE, BYTES = 0, 1, 2
MOST_FIELDS = 16
# tenseal/proto/tensealcontext.proto and tensors.proto.
PARAMETERS, PUBLIC, PRIVATE, ENCRYPTION_TYPE = 1, 2, 3, 4
PUBLIC_KEY, FLAGS, SCALE, GALOIS = 1, 2, 3, 5
SIZES, CIPHERTEXTS, VECTOR_SCALE = 1, 2, 3
# What a context of keys for this program holds behind its parameters' header, at most.
MOST_PARAMETER_BYTES = 1 << 13
# TenSEAL relinearises, rescales and switches moduli by itself.
TENSEAL_FLAGS = 0b111
CONTEXT_WORDS = "the context for the server"


def load_tenseal_public(data: bytes, parameters: CkksParameters) -> Any:
    """Load a TenSEAL context at the server.

    Raises MessageError where the bytes do not parse, carry a secret key, lack Galois keys or belong
    to other parameters.
    """
    tenseal, what = import_tenseal(), CONTEXT_WORDS
    context = tenseal.Context.load(_checked_context(data, parameters), TENSEAL_THREADS)
    if context.has_secret_key() or not context.is_public():
        raise MessageError(f"{what} holds a secret key")
    if not context.has_galois_keys():
        raise MessageError(f"{what} lacks Galois keys")
    if context.seal_context().data.key_parms_id() != seal_context(parameters).key_parms_id():
        raise MessageError(f"{what} is not one of {parameters}")
    context.global_scale = 2.0**parameters.scale_bits
    context.auto_rescale = True
    return context


def _checked_context(data: bytes, parameters: CkksParameters) -> bytes:
    """Return a context of these parameters with the evaluation keys that came, checked."""
    what, context = CONTEXT_WORDS, seal_context(parameters)
    sent = _single_fields(data, what)
    if PRIVATE in sent or sent.get(ENCRYPTION_TYPE, 0) != 0:
        raise MessageError(f"{what} holds a secret key")
    own = seal_bytes(context.key_context_data().parms())
    told = inflated(_bytes(sent, PARAMETERS, what), MOST_PARAMETER_BYTES, what)
    if told != inflated(own, MOST_PARAMETER_BYTES, "parameters"):
        raise MessageError(f"{what} is not one of {parameters}")
    public = _single_fields(_bytes(sent, PUBLIC, what), what)
    if GALOIS not in public:
        raise MessageError(f"{what} lacks Galois keys")
    elements = full_galois_elements(parameters.degree)
    galois = _bytes(public, GALOIS, what)
    kept = written(FLAGS, TENSEAL_FLAGS) + written(SCALE, 2.0**parameters.scale_bits)
    kept += written(GALOIS, checked_switching_keys(context, galois, "Galois keys", elements))
    if PUBLIC_KEY in public:
        key = checked_public_key(context, _bytes(public, PUBLIC_KEY, what), "public key")
        kept = written(PUBLIC_KEY, key) + kept
    return written(PARAMETERS, own) + written(PUBLIC, kept)


def full_galois_elements(degree: int) -> list[int]:
    """Return the elements of SEAL's full set: rotations by +-2^i slots, and conjugation."""
    found, modulus = [2 * degree - 1], 2 * degree
    forward, backward = 3, pow(3, -1, modulus)
    for _ in range((degree // 2).bit_length() - 1):
        found += [forward, backward]
        forward, backward = forward * forward % modulus, backward * backward % modulus
    return found


def load_vector(context: Any, data: bytes, size: int, what: str) -> Any:
    """Parse a TenSEAL vector of ``size`` numbers in one two-part ciphertext.

    Raises MessageError, also on a transparent ciphertext (second part zero: no encryption).
    """
    tenseal = import_tenseal()
    checked = _checked_vector(context, data, size, what)
    with parsed_as_hostile(what):
        vector = tenseal.ckks_vector_from(context, checked)
        parts = vector.ciphertext()
    if parts[0].size() != 2 or parts[0].is_transparent():
        raise MessageError(f"{what} is transparent or was not reduced to two parts")
    if parts[0].scale != context.global_scale:
        raise MessageError(
            f"{what} has scale {parts[0].scale:.6g}, expected {context.global_scale:.6g}"
        )
    return vector


def _checked_vector(context: Any, data: bytes, size: int, what: str) -> bytes:
    sizes, ciphertexts = [], []
    for field, value in read_fields(data, what):
        if field == CIPHERTEXTS and isinstance(value, bytes):
            ciphertexts.append(value)
        elif field == SIZES:
            sizes += _numbers(value, what)
        elif field != VECTOR_SCALE:
            raise MessageError(f"{what} holds a field {field}, a vector has none")
    if len(ciphertexts) != 1 or sizes != [size]:
        raise MessageError(
            f"{what} has {', '.join(map(str, sizes)) or 'no'} numbers in {len(ciphertexts)} "
            f"ciphertexts, expected {size} in 1"
        )
    ciphertext = checked_ciphertext(context.seal_context().data, ciphertexts[0], what)
    scale = written(VECTOR_SCALE, float(context.global_scale))
    return written(SIZES, varint(size)) + written(CIPHERTEXTS, ciphertext) + scale


def _single_fields(data: bytes, what: str) -> dict[int, Field]:
    """Read a message whose fields come at most once."""
    found: dict[int, Field] = {}
    for field, value in read_fields(data, what):
        if field in found:
            raise MessageError(f"{what} holds field {field} twice")
        found[field] = value
    return found


def _bytes(fields: Mapping[int, Field], field: int, what: str) -> bytes:
    value = fields.get(field)
    if not isinstance(value, bytes):
        raise MessageError(f"{what} lacks field {field}")
    return value


def _numbers(value: Field, what: str) -> list[int]:
    """Return the numbers of a repeated field, packed or one by one."""
    if isinstance(value, int):
        return [value]
    numbers, place = [], 0
    while place < len(value):
        number, place = _varint_at(value, place, what)
        numbers.append(number)
        if len(numbers) > MOST_FIELDS:
            raise MessageError(f"{what} lists more than {MOST_FIELDS} sizes")
    return numbers


def read_fields(data: bytes, what: str) -> Iterator[tuple[int, Field]]:
    """Yield number and value of every field of a protocol buffer; doubles as their eight bytes.

    Raises MessageError.
    """
    place = count = 0
    while place < len(data):
        tag, place = _varint_at(data, place, what)
        count += 1
        if count > MOST_FIELDS:
            raise MessageError(f"{what} has more than {MOST_FIELDS} fields")
        field, kind = tag >> 3, tag & 7
        if kind == VARINT:
            number, place = _varint_at(data, place, what)
            yield field, number
            continue
        length = 8
        if kind == BYTES:
            length, place = _varint_at(data, place, what)
        elif kind != DOUBLE:
            raise MessageError(f"{what} has a field of an unknown kind")
        if length > len(data) - place:
            raise MessageError(f"{what} is cut short")
        yield field, data[place : place + length]
        place += length


def _varint_at(data: bytes, place: int, what: str) -> tuple[int, int]:
    """Return the number at a place, and where it ends."""
    number = 0
    for shift in range(0, 64, 7):
        if place >= len(data):
            raise MessageError(f"{what} is cut short")
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return number, place
    raise MessageError(f"{what} has a number of more than 64 bits")


def varint(number: int) -> bytes:
    """Return a number that is not negative as protocol buffers write it."""
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def written(field: int, value: int | float | bytes) -> bytes:
    """Return a field of a protocol buffer."""
    if isinstance(value, bytes):
        return varint(field << 3 | BYTES) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(field << 3 | DOUBLE) + struct.pack("<d", value)
    return varint(field << 3 | VARINT) + varint(value)
