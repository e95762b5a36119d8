"""What the values and keys of a compiled circuit look like, learned from the library itself.

A throwaway client encrypts zeros: for what comes in, as the circuit's specification says; for what
the circuit gives back and takes again, under a specification whose inputs are the circuit's
outputs. Encrypting needs secret keys alone, so the keys for bootstrapping are left out of it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from he_compare.common.errors import MessageError
from he_compare.fhe_baseline.tfhe.library import Concrete
from he_compare.fhe_baseline.tfhe.value_trees import CAPNP_WORD_BYTES, Tree, ValueForm

# Keys in a specification that only a server needs.
SERVER_KEYS = ("lweBootstrapKeys", "lweKeyswitchKeys", "packingKeyswitchKeys")
KEY_TYPES = ("binary", "ternary")
# Compression by a seed, as Concrete numbers it, and the bytes of the seed.
SEEDED, CONCRETE_SEED_BYTES = 1, 16


def value_forms(specs: Any, concrete: Concrete, side: str) -> tuple[ValueForm, ...]:
    """Return the forms of fresh ``inputs``, or of ``outputs`` as the circuit returns them."""
    described = json.loads(specs.serialize())
    (circuit,) = described["circuits"]
    circuit["inputs"] = gates = circuit[side]
    for name in SERVER_KEYS:
        described["keyset"][name] = []
    told = concrete.fhe.ClientSpecs.deserialize(json.dumps(described).encode())
    client = concrete.fhe.Client(told)
    client.keygen()
    shapes = [gate["typeInfo"]["lweCiphertext"]["abstractShape"]["dimensions"] for gate in gates]
    values = client.encrypt(*(np.zeros(shape, dtype=np.int64) for shape in shapes))
    several = values if isinstance(values, tuple) else (values,)
    return tuple(ValueForm.of(bytes(value.serialize())) for value in several)


def evaluation_key_tree(specs: Any) -> Tree:
    """Return the structure of the evaluation keys that a specification asks for.

    Making such keys to look at them takes minutes. They follow from the specification, in the
    layout of Concrete's ``concrete-protocol.capnp``; seeded keys have a seed and bodies. Raises
    MessageError where keys are not seeded.
    """
    keyset = json.loads(specs.serialize())["keyset"]
    bootstrapping, switching, packing = (keyset[name] for name in SERVER_KEYS)
    if packing or any(key["compression"] != "seed" for key in bootstrapping + switching):
        raise MessageError("public material holds a circuit whose keys are not seeded")
    return (
        "structure",
        b"",
        ("structures", *(_bootstrapping_key(key) for key in bootstrapping)),
        ("structures", *(_switching_key(key) for key in switching)),
        ("structures",),
    )


def _bootstrapping_key(key: Mapping[str, Any]) -> Tree:
    told = key["params"]
    ring = told["glweDimension"], told["polynomialSize"]
    numbers = struct.pack(
        "<4IdIHxxI4x",
        *(told["levelCount"], told["baseLog"], *ring, told["variance"]),
        *(told["integerPrecision"], KEY_TYPES.index(told["keyType"]), told["inputLweDimension"]),
    )
    bodies = told["inputLweDimension"] * told["levelCount"] * (ring[0] + 1) * ring[1]
    return _key(key, numbers, bodies)


def _switching_key(key: Mapping[str, Any]) -> Tree:
    told = key["params"]
    numbers = struct.pack(
        "<2IdIHxx2I",
        *(told["levelCount"], told["baseLog"], told["variance"], told["integerPrecision"]),
        *(KEY_TYPES.index(told["keyType"]), told["inputLweDimension"]),
        told["outputLweDimension"],
    )
    return _key(key, numbers, told["inputLweDimension"] * told["levelCount"])


def _key(key: Mapping[str, Any], parameters: bytes, bodies: int) -> Tree:
    """Return a seeded key: what it is for, its parameters under the native modulus, its bytes."""
    identity = struct.pack("<3IHxx", key["id"], key["inputId"], key["outputId"], SEEDED)
    modulus: Tree = ("structure", bytes(CAPNP_WORD_BYTES), ("structure", b""))
    told: Tree = ("structure", identity, ("structure", parameters, modulus))
    payload: Tree = (
        "structure",
        b"",
        ("list", ("bytes", CONCRETE_SEED_BYTES + CAPNP_WORD_BYTES * bodies)),
    )
    return (b"", told, payload)
