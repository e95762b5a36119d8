"""A fitted cipher: a model that was trained on its ciphertexts, or one adapted to its key."""

from __future__ import annotations

from collections.abc import Sequence

from he_compare.block_scramble.deployment.cipher_instance import PICTURE, CipherInstance
from he_compare.block_scramble.deployment.client import BlockScrambleClient
from he_compare.block_scramble.deployment.public_material import ServerMaterial
from he_compare.block_scramble.deployment.scheme import DeployedCipherScheme, PlainModel
from he_compare.block_scramble.keyed_cipher import as_pictures
from he_compare.block_scramble.vit.adaptation import (
    adapt_by_key,
    patch_embeddings_of,
    with_patch_embeddings,
)
from he_compare.common.contracts import Deployed, Deployment, Fitted, RunContext
from he_compare.common.run.records import SecurityClaims
from he_compare.common.scheme import PictureShape, Scheme
from he_compare.common.types import Float64Array, Per, Stage, UInt8Array


class FittedCipher(Fitted):
    """What both ways to a model share: the claims, and the pictures of ciphertexts."""

    def __init__(self, instance: CipherInstance) -> None:
        self.instance = instance

    def claims(self) -> SecurityClaims:
        """Return what this instance claims and what it reveals."""
        return self.instance.claims()

    def protected_picture(self, images: UInt8Array) -> UInt8Array | None:
        """Return ciphertexts of uint8 (n, h, w, 3) as pictures."""
        return as_pictures(self.instance.encryptor(PICTURE).encrypt(images)[0])

    def scheme(self, deployed: Deployed, shape: PictureShape) -> Scheme:
        """Return the cipher as deployed: the server decodes messages to pictures."""
        return DeployedCipherScheme(self.instance, deployed)

    def _client(self, context: RunContext) -> BlockScrambleClient:
        with context.clock.stage(Stage.KEYGEN, per=Per.KEY):
            encryptors = self.instance.inference_encryptors()
        return BlockScrambleClient(encryptors, self.instance.classes, self.instance.owner_of_image)


class FittedOnCiphertext(FittedCipher):
    """A model that a server process trained on ciphertexts, or one per client."""

    def __init__(
        self, instance: CipherInstance, header: ServerMaterial, states: Sequence[bytes]
    ) -> None:
        super().__init__(instance)
        embeddings = max(map(patch_embeddings_of, states))
        self._header = header.model_copy(
            update={"training": None, "models": len(states), "embeddings": embeddings}
        )
        self._states = [with_patch_embeddings(state, embeddings) for state in states]

    def deploy(self, context: RunContext) -> Deployment:
        """Derive the key and give the trained weights to the server."""
        return Deployment(self._client(context), self._header.to_bytes(*self._states))


class FittedByKey(FittedCipher):
    """The plain ViT of the run, to be adapted to the client's key.

    ``plain``, ``state``: header and weights of the plain model; neither leaves the key holder.
    """

    def __init__(self, instance: CipherInstance, plain: ServerMaterial, state: bytes) -> None:
        super().__init__(instance)
        self._plain = plain
        self._state = state

    def deploy(self, context: RunContext) -> Deployment:
        """Derive the key, adapt the model to it and give the adapted weights to the server."""
        client = self._client(context)
        with context.clock.stage(Stage.COMPILE, per=Per.KEY):
            key = self.instance.keyed().affine_embedding(self.instance.patch)
            adapted = adapt_by_key(self._state, key, *self._plain.statistics())
        changed = {
            "mean": (0.0, 0.0, 0.0),
            "std": (1.0, 1.0, 1.0),
            "ciphertext": self.instance.cipher.traits.ciphertext,
            "embeddings": key.embeddings,
            "nibbles": key.nibbles,
        }
        header = self._plain.model_copy(update=changed)
        return Deployment(client, header.to_bytes(adapted))

    def scheme(self, deployed: Deployed, shape: PictureShape) -> Scheme:
        """Return the cipher as deployed, and the plain model that was adapted to its key."""
        blocks = (shape[0] // self.instance.patch) * (shape[1] // self.instance.patch)
        plain = PlainModel.of_state(self._plain, self._state, blocks)
        return DeployedCipherScheme(self.instance, deployed, plain)

    def clear_reference(self, images: UInt8Array) -> tuple[str, Float64Array] | None:
        """Return the scores of the plain ViT, which the adapted one must reproduce.

        None under a wrong key, where it must not.
        """
        from he_compare.common.backbones.deit import predict_logits

        if self.instance.wrong_key:
            return None

        mean, std = self._plain.statistics()
        model = self._plain.build_model(self._state)
        return "plain ViT", predict_logits(model, images, mean, std, self._plain.infer_batch)
