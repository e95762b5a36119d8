"""A cipher as one run uses it: with its options, key policy and the keys of its clients.

Fitting, deployment, claims and pictures all use the same instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from he_compare.block_scramble.cipher import Cipher, cipher_parameters
from he_compare.block_scramble.deployment.parameters import BlockScrambleParameters, Mode
from he_compare.block_scramble.encryptor import Encryptor, KeyPolicy, make_encryptor
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.keyed_cipher import KeyedCipher
from he_compare.block_scramble.keys.client_key import ClientKey, dataset_key
from he_compare.block_scramble.keys.key_files import obtain_key
from he_compare.common.backbones.catalog import find_backbone
from he_compare.common.contracts import Parameters, RunContext, TrainingData
from he_compare.common.errors import UsageError
from he_compare.common.run.records import SecurityClaims
from he_compare.common.types import IntArray, UInt8Array

# Series of encryptions whose fresh randomness, where a cipher uses any, must not coincide.
TRAINING = "training"
INFERENCE = "inference"
PICTURE = "picture"
WRONG_KEY = "wrong key"

# Said of a heuristic: there is no level that its parameters could be kept at.
NOBODY = "not enforced: no parameter of this scheme is tied to a security level"


@dataclass(frozen=True, repr=False)
class CipherInstance:
    """A cipher, its options and its keys.

    ``client_key`` names the key in records; ``key`` encrypts this dataset and seed. With several
    clients, the others' keys are derived from the same key file, so that one file repeats the run;
    each of them knows nothing of the others.
    """

    cipher: Cipher
    options: Parameters
    mode: Mode
    policy: KeyPolicy
    patch: int
    shape: ImageShape
    classes: int
    client_key: ClientKey
    key: ClientKey
    clients: int = 1
    wrong_key: bool = False

    def encryptor(self, sequence: str, client: int = 0) -> Encryptor:
        """Prepare a client's cipher for a series of encryptions. Raises UsageError."""
        return self._encryptor(self.key_of(client), sequence)

    def inference_encryptors(self) -> list[Encryptor]:
        """Prepare the cipher of every client for images to classify: the wrong one if asked to."""
        if self.wrong_key:
            return [self._encryptor(self._inference_key(), INFERENCE)]
        return [self.encryptor(INFERENCE, client) for client in range(self.clients)]

    def keyed_for_inference(self) -> KeyedCipher:
        """Prepare the cipher under the key of images to classify (the first client's)."""
        return self.cipher.prepare(
            self._inference_key(), self.options, self.shape, sequence=INFERENCE
        )

    def _inference_key(self) -> ClientKey:
        return self.key.subkey(WRONG_KEY) if self.wrong_key else self.key

    def _encryptor(self, key: ClientKey, sequence: str) -> Encryptor:
        return make_encryptor(
            self.cipher, self.options, self.shape, key, self.policy, sequence=sequence
        )

    def key_of(self, client: int) -> ClientKey:
        """Return the key of a client, counted from 0."""
        return self.key if client == 0 else self.key.subkey("client", str(client))

    def owner_of_image(self, image: UInt8Array) -> int:
        """Return which client an image to classify belongs to: by a keyed hash of its pixels."""
        return self.key.tag(image.tobytes(), "owner")[0] % self.clients

    def owners_of_groups(self, groups: Sequence[str]) -> IntArray:
        """Return which client each training image belongs to, all of one group to one client."""
        tags = [self.key.tag(group.encode(), "owner")[0] % self.clients for group in groups]
        return np.array(tags, dtype=np.int64)

    def keyed(self) -> KeyedCipher:
        """Prepare the cipher under the client's one key. Raises UsageError."""
        return self.cipher.prepare(self.key, self.options, self.shape)

    def claims(self) -> SecurityClaims:
        """State what this instance claims and what it reveals."""
        traits = self.cipher.traits
        parameters = {"cipher": self.cipher.name, "mode": self.mode.value, "patch": self.patch}
        parameters |= self.options.model_dump(mode="json")
        if self.clients > 1:
            parameters["clients"] = self.clients
        if self.wrong_key:
            parameters["wrong_key"] = "images to classify are encrypted under another key"
        if traits.interpretation:
            parameters["interpretation"] = traits.interpretation
        keyed = traits.keyed
        return SecurityClaims(
            scheme=f"{self.cipher.name}: {traits.operations}",
            protects=traits.protects,
            claim_type=traits.claim_type,
            assumption=traits.assumption,
            enforced_by=NOBODY if traits.claim_type == "heuristic" else traits.enforced_by,
            deterministic=traits.deterministic,
            key_space=self.cipher.key_space(self.options, self.shape, self.client_key.entropy_bits),
            key_fingerprint=self.client_key.fingerprint if keyed else "",
            key_policy=self.policy.value if keyed else "",
            preserves=list(self.cipher.preserves(self.options)),
            server_learns=self._server_learns(),
            server_learns_class=True,
            parameters=parameters,
            insecure=[reason for reason in (traits.insecure, self.client_key.insecure) if reason],
            source=traits.source,
        )

    def _server_learns(self) -> list[str]:
        learns = ["the ciphertexts and what they preserve", "the class scores it computes"]
        if self.cipher.traits.deterministic:
            learns.append("which images are equal (equal image, equal ciphertext)")
        if self.policy is KeyPolicy.PER_IMAGE or self.cipher.traits.fresh_nonces:
            learns.append("the nonce of every image")
        if self.clients > 1:
            learns.append("which client an image comes from")
        if self.mode is Mode.TRAINED:
            learns += [
                "the labels of all training and validation images",
                "the trained weights and the losses",
            ]
        elif self.cipher.traits.keyed:
            learns += [
                "the weights adapted by key: anyone who also has the plain model reads the key off "
                "them, and a similar model, such as the public weights it was fine-tuned from, may "
                "be enough",
            ]
        return learns


def make_instance(
    parameters: BlockScrambleParameters, data: TrainingData, context: RunContext
) -> CipherInstance:
    """Resolve parameters against the run's backbone, image size and key.

    The key file is made at first use. Raises UsageError where they do not fit together.
    """
    backbone = find_backbone(context.settings.backbone)
    patch = parameters.patch or backbone.patch
    size = context.settings.image_size
    shape = ImageShape(size, size, 3)
    if size % patch:
        fitting = [side for side in range(2, size + 1) if size % side == 0]
        raise UsageError(
            f"patch {patch} does not divide the image size {size}",
            fix="patches that do: " + ", ".join(map(str, fitting)),
        )
    cipher = parameters.load_cipher()
    options = cipher_parameters(cipher, parameters.cipher_options(cipher, patch))
    client_key = obtain_key(parameters.key, context.key_file)
    return CipherInstance(
        cipher=cipher,
        options=options,
        mode=parameters.mode,
        policy=parameters.key_policy,
        patch=patch,
        shape=shape,
        classes=len(data.classes),
        client_key=client_key,
        key=dataset_key(client_key, data.fingerprint, context.seed),
        clients=parameters.clients,
        wrong_key=parameters.wrong_key,
    )
