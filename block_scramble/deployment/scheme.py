"""Ciphers as an audit sees them: keys by seed, messages as a pipeline sends them, the key as moves.

The bytes are those of ``BlockScrambleClient``; they are read back as the server reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from he_compare.block_scramble.cipher import Cipher, cipher_parameters
from he_compare.block_scramble.deployment.client import BlockScrambleClient
from he_compare.block_scramble.deployment.keyed_cipher import CipherInstance
from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters, Mode
from he_compare.block_scramble.encryptor import KeyPolicy, check_policy, make_encryptor
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keyed_cipher import KeyedCipher
from he_compare.block_scramble.keys.client_key import KEY_BYTES, SEED_BITS, ClientKey
from he_compare.block_scramble.keys.key_files import CLIENT, seed_of
from he_compare.common import plugins
from he_compare.common.backbones.catalog import find_backbone
from he_compare.common.clock import Clock
from he_compare.common.contracts import Parameters
from he_compare.common.errors import UnknownNameError, UsageError
from he_compare.common.run.records import SecurityClaims
from he_compare.common.scheme import KeyMoves, Models
from he_compare.common.service.wire import unpack
from he_compare.common.types import Float64Array, Message, PixelArray, Side, UInt8Array

SEQUENCE = "audit"
POLICY_OPTION = "key_policy"
CLASSES = 2


class KeyedCipherScheme:
    """A cipher under one key, sealed for the harness."""

    def __init__(self, scheme: CipherScheme, key: ClientKey) -> None:
        self._scheme = scheme
        self._keyed: KeyedCipher = scheme.cipher.prepare(
            key, scheme.options, scheme.image_shape, sequence=SEQUENCE
        )
        encryptor = make_encryptor(
            scheme.cipher,
            scheme.options,
            scheme.image_shape,
            key,
            scheme.policy,
            sequence=SEQUENCE,
        )
        self._client = BlockScrambleClient([encryptor], CLASSES)

    def protect(self, images: UInt8Array) -> list[Message]:
        """Encrypt uint8 (n, h, w, c): the messages that a pipeline's client sends."""
        return self._client.protect(images, Clock(Side.CLIENT))

    def moves(self) -> KeyMoves | None:
        """Return the key as moves of values, or None where it is nothing of the kind."""
        describe = getattr(self._keyed, "moves", None)
        if describe is None or self._scheme.policy is not KeyPolicy.PER_CLIENT:
            return None
        return cast(KeyMoves, describe())

    def adapted(self, rows: Float64Array, positions: Float64Array) -> Models:
        """Return a plain patch embedding before and after it has absorbed this key.

        ``rows``: float64 (values, width). ``positions``: float64 (blocks, width). Raises UsageError
        where no embedding can absorb the key.
        """
        scheme = self._scheme
        obstacle = scheme.cipher.obstacle(scheme.options)
        if obstacle or scheme.policy is not KeyPolicy.PER_CLIENT:
            raise UsageError(obstacle or "every image has a key of its own")
        key = self._keyed.affine_embedding(scheme.patch or _side_of(rows, scheme.shape))
        absorbed, _ = key.absorb(rows)
        return Models(rows, absorbed, positions, positions[key.block_order], key.nibbles)


@dataclass(frozen=True)
class CipherScheme:
    """A cipher with its options and key policy, for images of one shape."""

    cipher: Cipher
    options: Parameters
    policy: KeyPolicy
    image_shape: ImageShape
    client_key: ClientKey
    mode: Mode | None = None

    @property
    def name(self) -> str:
        """Name of the cipher."""
        return self.cipher.name

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of images and of ciphertexts."""
        return self.image_shape.height, self.image_shape.width, self.image_shape.channels

    @property
    def patch(self) -> int | None:
        """Side of a block in pixels, None where the cipher has none."""
        return getattr(self.options, "patch", None)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Options as resolved, and the key policy."""
        return self.options.model_dump(mode="json") | {POLICY_OPTION: self.policy.value}

    @property
    def adaptable(self) -> str:
        """Say why no model can be adapted to a key of this scheme; '' where one can."""
        if self.policy is not KeyPolicy.PER_CLIENT:
            return "every image has a key of its own, and a model absorbs one"
        return self.cipher.obstacle(self.options)

    def new_key(self, seed: int) -> KeyedCipherScheme:
        """Make the key of a seed: reproducible, for experiments only. Raises UsageError."""
        return KeyedCipherScheme(self, ClientKey.from_seed(seed % (1 << SEED_BITS)))

    def read(self, messages: Sequence[Message]) -> PixelArray:
        """Decode messages as a server does. Raises MessageError."""
        expected = {"ciphertext": (self.cipher.traits.ciphertext, 3)}
        read = [unpack(message, expect=expected)[0]["ciphertext"] for message in messages]
        return np.stack(read) if read else np.empty((0, *self.shape), np.uint8)

    def claims(self) -> SecurityClaims:
        """Return what the scheme claims, without the name of any key."""
        instance = CipherInstance(
            cipher=self.cipher,
            options=self.options,
            mode=self.mode or Mode.TRAINED,
            policy=self.policy,
            patch=self.patch or 0,
            shape=self.image_shape,
            classes=CLASSES,
            client_key=self.client_key,
            key=self.client_key,
        )
        return instance.claims().model_copy(
            update={"key_fingerprint": "", "parameters": dict(self.parameters)}
        )


class CipherSchemes:
    """Every cipher of ``compare list ciphers``, and the pipelines that use one."""

    name = "ciphers"

    def of_cipher(
        self, name: str, options: Mapping[str, Any], shape: tuple[int, int, int]
    ) -> CipherScheme | None:
        """Return a cipher by name, None where there is none. Raises UsageError."""
        try:
            cipher: Cipher = plugins.load("ciphers", name)
        except UnknownNameError:
            return None
        own = {key: value for key, value in options.items() if key != POLICY_OPTION}
        policy = _policy_of(options.get(POLICY_OPTION, KeyPolicy.PER_CLIENT.value))
        check_policy(cipher, policy)
        scheme = CipherScheme(
            cipher, cipher_parameters(cipher, own), policy, ImageShape(*shape), _nominal_key()
        )
        scheme.new_key(0)
        return scheme

    def of_pipeline(
        self, pipeline: str, parameters: Any, shape: tuple[int, int, int], backbone: str
    ) -> CipherScheme | None:
        """Return what a pipeline of block scrambling encrypts with; None for any other."""
        if not isinstance(parameters, BlockScrambleParameters):
            return None
        cipher = parameters.load_cipher()
        patch = parameters.patch or find_backbone(backbone).patch
        options = cipher_parameters(cipher, parameters.cipher_options(cipher, patch))
        return CipherScheme(
            cipher,
            options,
            parameters.key_policy,
            ImageShape(*shape),
            _nominal_key(parameters.key),
            parameters.mode,
        )


def _policy_of(value: Any) -> KeyPolicy:
    try:
        return KeyPolicy(value)
    except ValueError:
        known = ", ".join(policy.value for policy in KeyPolicy)
        raise UsageError(f"unknown key_policy {value!r}", fix=f"known: {known}") from None


def _nominal_key(source: str = CLIENT) -> ClientKey:
    """Stand in for a client's key in claims: the entropy of its source, no secret."""
    if source != CLIENT:
        return ClientKey.from_seed(seed_of(source))
    return ClientKey(bytes(KEY_BYTES))


def _side_of(rows: Float64Array, shape: tuple[int, int, int]) -> int:
    return round(float(np.sqrt(len(rows) / shape[2])))


SCHEMES = CipherSchemes()
