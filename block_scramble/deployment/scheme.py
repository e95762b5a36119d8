"""Ciphers as an audit attacks them: as written on the command line, or as a run deployed them.

Bytes are those of ``BlockScrambleClient``; they are read as the server reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from he_compare.block_scramble.cipher import Cipher, cipher_parameters
from he_compare.block_scramble.deployment.cipher_instance import CipherInstance
from he_compare.block_scramble.deployment.client import BlockScrambleClient
from he_compare.block_scramble.deployment.parameters import Mode
from he_compare.block_scramble.deployment.public_material import ServerMaterial
from he_compare.block_scramble.encryptor import KeyPolicy, check_policy, make_encryptor
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keyed_cipher import KeyedCipher
from he_compare.block_scramble.keys.client_key import KEY_BYTES, SEED_BITS, ClientKey
from he_compare.block_scramble.vit.adaptation import (
    KERNEL,
    KEYED_ROWS,
    POSITIONS,
    fold_normalisation,
)
from he_compare.common import plugins
from he_compare.common.clock import Clock
from he_compare.common.contracts import Deployed, Parameters
from he_compare.common.errors import UsageError
from he_compare.common.run.records import SecurityClaims
from he_compare.common.scheme import NO_MODEL, KeyedScheme, KeyMoves, Models, Scheme
from he_compare.common.service.wire import unpack
from he_compare.common.types import Float64Array, Message, PixelArray, Side, UInt8Array

SEQUENCE = "audit"
POLICY_OPTION = "key_policy"
CLASSES = 2
TRAINED_AT_SERVER = "no model was adapted to the key: the server trained one on ciphertexts"


@dataclass(frozen=True)
class PlainModel:
    """The plain ViT that is adapted by key. ``rows``: (values, width), the normalisation folded in.

    ``positions``: (blocks, width).
    """

    rows: Float64Array
    positions: Float64Array

    @classmethod
    def of_state(cls, material: ServerMaterial, state: bytes, blocks: int) -> PlainModel:
        """Read it off the weights of a plain model and their header."""
        arrays, _ = unpack(state)
        rows, _ = fold_normalisation(
            arrays[KERNEL], np.zeros(len(arrays[KERNEL])), *material.statistics()
        )
        return cls(rows, arrays[POSITIONS][0, -blocks:].astype(np.float64))


class KeyedCipherScheme(KeyedScheme):
    """A cipher under one key, sealed for the harness.

    ``deployed``: the server's bytes, where a run's own key is meant. ``model_key``: the cipher
    under the key that the model was adapted to, where images are encrypted under another.
    """

    def __init__(
        self,
        scheme: CipherScheme,
        keyed: KeyedCipher,
        client: BlockScrambleClient,
        deployed: bytes | None = None,
        model_key: KeyedCipher | None = None,
    ) -> None:
        self._scheme = scheme
        self._model_key = model_key or keyed
        self._keyed = keyed
        self._client = client
        self._deployed = deployed

    def protect(self, images: UInt8Array) -> list[Message]:
        """Encrypt uint8 (n, h, w, c): the messages that a pipeline's client sends."""
        return self._client.protect(images, Clock(Side.CLIENT))

    def moves(self) -> KeyMoves | None:
        """Return the key as moves of values, or None where it is nothing of the kind."""
        return self._keyed.moves() if self._scheme.one_key else None

    def models(self) -> Models | None:
        """Return the plain ViT's patch embedding and the adapted one: as deployed, in a run."""
        plain = self._scheme.plain
        if plain is None:
            return None
        made = self.adapted(plain.rows, plain.positions)
        if self._deployed is None:
            return made
        _, (state,) = ServerMaterial.from_bytes(self._deployed)
        arrays, _ = unpack(state)
        rows = (
            arrays[KEYED_ROWS]
            if KEYED_ROWS in arrays
            else arrays[KERNEL].transpose(2, 3, 1, 0).reshape(1, len(plain.rows), -1)
        )
        positions = arrays[POSITIONS][0, -len(plain.positions) :].astype(np.float64)
        return Models(plain.rows, rows, plain.positions, positions, made.nibbles)

    def adapted(self, rows: Float64Array, positions: Float64Array) -> Models:
        """Return a plain patch embedding before and after it has absorbed this key.

        ``rows``: float64 (values, width). ``positions``: float64 (blocks, width). Raises UsageError
        where no embedding can absorb the key.
        """
        scheme = self._scheme
        obstacle = scheme.cipher.obstacle(scheme.options)
        if obstacle or not scheme.one_key:
            raise UsageError(obstacle or "every image has a key of its own")
        key = self._model_key.affine_embedding(scheme.patch or _side_of(rows, scheme.shape))
        absorbed, _ = key.absorb(rows)
        return Models(rows, absorbed, positions, positions[key.block_order], key.nibbles)


class CipherScheme(Scheme):
    """A cipher with its options and key policy, for images of one shape."""

    def __init__(
        self,
        cipher: Cipher,
        options: Parameters,
        policy: KeyPolicy,
        shape: ImageShape,
    ) -> None:
        self.cipher = cipher
        self.options = options
        self.policy = policy
        self.image_shape = shape
        self.name = cipher.name
        self.shape = (shape.height, shape.width, shape.channels)
        self.parameters: Mapping[str, Any] = options.model_dump(mode="json") | {
            POLICY_OPTION: policy.value
        }
        self.plain: PlainModel | None = None
        self.unadaptable = NO_MODEL

    @property
    def patch(self) -> int | None:
        """Side of a block in pixels, None where the cipher has none."""
        return getattr(self.options, "patch", None)

    @property
    def one_key(self) -> bool:
        """All images have one key."""
        return self.policy is KeyPolicy.PER_CLIENT

    def new_key(self, seed: int) -> KeyedCipherScheme:
        """Make the key of a seed: reproducible, for experiments only. Raises UsageError."""
        return self._under(ClientKey.from_seed(seed % (1 << SEED_BITS)))

    def fresh_key(self) -> KeyedCipherScheme:
        """Make a key of the operating system's generator, all of its bits."""
        return self._under(ClientKey.generate())

    def read(self, messages: Sequence[Message]) -> PixelArray:
        """Decode messages as a server does. Raises MessageError."""
        expected = {"ciphertext": (self.cipher.traits.ciphertext, 3)}
        read = [unpack(message, expect=expected)[0]["ciphertext"] for message in messages]
        return np.stack(read) if read else np.empty((0, *self.shape), np.uint8)

    def claims(self) -> SecurityClaims:
        """Return what the scheme claims, without the name of any key."""
        nominal = ClientKey(bytes(KEY_BYTES))
        instance = CipherInstance(
            cipher=self.cipher,
            options=self.options,
            mode=Mode.TRAINED,
            policy=self.policy,
            patch=self.patch or 0,
            shape=self.image_shape,
            classes=CLASSES,
            client_key=nominal,
            key=nominal,
        )
        return instance.claims().model_copy(
            update={
                "key_fingerprint": "",
                "parameters": dict(self.parameters),
                "server_learns_class": None,
            }
        )

    def _under(self, key: ClientKey) -> KeyedCipherScheme:
        keyed = self.cipher.prepare(key, self.options, self.image_shape, sequence=SEQUENCE)
        encryptor = make_encryptor(
            self.cipher, self.options, self.image_shape, key, self.policy, sequence=SEQUENCE
        )
        return KeyedCipherScheme(self, keyed, BlockScrambleClient([encryptor], CLASSES))


class DeployedCipherScheme(CipherScheme):
    """The cipher of a run, with the run's own key; fresh keys encrypt with the same options.

    ``plain``: the ViT that was adapted by key, None where the server trained on ciphertexts.
    """

    def __init__(
        self, instance: CipherInstance, deployed: Deployed, plain: PlainModel | None = None
    ) -> None:
        super().__init__(instance.cipher, instance.options, instance.policy, instance.shape)
        self._instance = instance
        self._deployed = deployed
        self.plain = plain
        self.unadaptable = TRAINED_AT_SERVER if plain is None else ""

    def own_key(self) -> KeyedCipherScheme:
        """Return the run's key, and the client that used it."""
        client = cast(BlockScrambleClient, self._deployed.deployment.client)
        keyed = self._instance.keyed_for_inference()
        material = self._deployed.deployment.public_material
        return KeyedCipherScheme(self, keyed, client, material, self._instance.keyed())

    def new_key(self, seed: int) -> KeyedCipherScheme:
        """Give every client of the run a key of the seed, as the run did with its own."""
        return self._for_all_clients(ClientKey.from_seed(seed % (1 << SEED_BITS)))

    def fresh_key(self) -> KeyedCipherScheme:
        """Give every client of the run a key of the operating system's generator."""
        return self._for_all_clients(ClientKey.generate())

    def _for_all_clients(self, key: ClientKey) -> KeyedCipherScheme:
        fresh = replace(self._instance, client_key=key, key=key)
        client = BlockScrambleClient(
            fresh.inference_encryptors(), fresh.classes, fresh.owner_of_image
        )
        return KeyedCipherScheme(self, fresh.keyed_for_inference(), client, model_key=fresh.keyed())

    @property
    def one_key(self) -> bool:
        """All images of all clients have one key."""
        return super().one_key and self._instance.clients == 1

    def claims(self) -> SecurityClaims:
        """Return the claims of the deployment."""
        return self._instance.claims()


def cipher_scheme(
    name: str, options: Mapping[str, Any], shape: tuple[int, int, int]
) -> CipherScheme:
    """Return a cipher by name as a scheme. Raises UnknownNameError, UsageError."""
    cipher: Cipher = plugins.load("ciphers", name)
    own = {key: value for key, value in options.items() if key != POLICY_OPTION}
    policy = _policy_of(options.get(POLICY_OPTION, KeyPolicy.PER_CLIENT.value))
    check_policy(cipher, policy)
    scheme = CipherScheme(cipher, cipher_parameters(cipher, own), policy, ImageShape(*shape))
    scheme.new_key(0)
    return scheme


def _policy_of(value: Any) -> KeyPolicy:
    try:
        return KeyPolicy(value)
    except ValueError:
        known = ", ".join(policy.value for policy in KeyPolicy)
        raise UsageError(f"unknown key_policy {value!r}", fix=f"known: {known}") from None


def _side_of(rows: Float64Array, shape: tuple[int, int, int]) -> int:
    return round(float(np.sqrt(len(rows) / shape[2])))
