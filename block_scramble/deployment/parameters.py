"""The parameters of the ``block-scramble`` pipeline, checked before any work begins."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from pydantic import ConfigDict, Field, field_validator, model_validator

from he_compare.block_scramble.cipher import Cipher, cipher_parameters
from he_compare.block_scramble.encryptor import KeyPolicy, check_policy
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.block_scramble.keys.key_files import CLIENT, obtain_key, seed_of
from he_compare.common import plugins
from he_compare.common.contracts import Parameters
from he_compare.common.errors import UsageError

# The one name that pipeline and ciphers share: the pipeline fills in the backbone's patch.
PATCH = "patch"
DEFAULT_CIPHER = "vit_block"


class Mode(StrEnum):
    """How the server gets a model for ciphertexts."""

    TRAINED = "trained"
    ADAPTED = "adapted"


class Embedding(StrEnum):
    """What the patch embedding of a model that is trained on ciphertext starts from."""

    SOLVED = "solved"
    MATCHED = "matched"
    MATCHED_IN_DOMAIN = "matched_in_domain"
    FRESH = "fresh"


class Sharing(StrEnum):
    """Whether the data of several clients train one model."""

    JOINT = "joint"
    APART = "apart"


class BlockScrambleParameters(Parameters):
    """Which cipher with which options, which model, whose key.

    Besides the fields, exactly the options of the chosen cipher are accepted: those of its own
    model, validated there. One that is not passed takes the cipher's default.
    """

    model_config = ConfigDict(extra="allow")

    cipher: str = Field(
        default=DEFAULT_CIPHER,
        description="Name of a cipher; its options are parameters as well, see "
        "`compare list ciphers`",
    )
    mode: Mode = Field(
        default=Mode.TRAINED,
        description="trained: the server fine-tunes a ViT on ciphertext; adapted: the key holder "
        "transforms a ViT fine-tuned on plain images",
    )
    embedding: Embedding | None = Field(
        default=None,
        description="mode=trained: the server first solves order and places of the values from the "
        "ciphertexts alone, and fits the patch embedding to that (solved, the default); or it "
        "matches the patch embedding by the moments of blocks to public images that are foreign "
        "(matched) or of the same kind (matched_in_domain: where none ship, the training images "
        "themselves, an upper bound); or it starts from random weights (fresh). What finds nothing "
        "falls back on the next: solved, matched, fresh",
    )
    key_policy: KeyPolicy = Field(
        default=KeyPolicy.PER_CLIENT, description="One key for all images, or one per image"
    )
    patch: int | None = Field(
        default=None, ge=2, le=512, description="Block and patch side; none: the backbone's"
    )
    wrong_key: bool = Field(
        default=False,
        description="Test: images to classify are encrypted under another key than the model's",
    )
    clients: int = Field(
        default=1,
        ge=1,
        le=2,
        description="Number of clients, each with its own key, that share the data",
    )
    sharing: Sharing = Field(
        default=Sharing.JOINT,
        description="Two clients train one model on all ciphertexts (joint), or one each (apart)",
    )
    key: str = Field(
        default=CLIENT, description="client: the key file; seeded:N: reproducible and insecure"
    )

    @classmethod
    def known_names(cls, values: Mapping[str, Any]) -> list[str]:
        """Return the fields and the options of the chosen cipher. Raises UnknownNameError."""
        cipher = plugins.load("ciphers", str(values.get("cipher", DEFAULT_CIPHER)))
        return list(dict.fromkeys([*cls.model_fields, *cipher.parameters.model_fields]))

    @classmethod
    def meanings(cls, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what the fields and the options of the chosen cipher mean."""
        cipher = plugins.load("ciphers", str(values.get("cipher", DEFAULT_CIPHER)))
        options: dict[str, str] = cipher.parameters.meanings(values)
        return super().meanings(values) | options

    @field_validator("cipher")
    @classmethod
    def _known_cipher(cls, value: str) -> str:
        return plugins.find("ciphers", value).name

    @field_validator("key")
    @classmethod
    def _known_key(cls, value: str) -> str:
        if value != CLIENT:
            ClientKey.from_seed(seed_of(value))
        return value

    @model_validator(mode="after")
    def _consistent(self) -> BlockScrambleParameters:
        cipher = self.load_cipher()
        self._check_names(cipher)
        options = cipher_parameters(cipher, self.cipher_options(cipher, self.patch))
        check_policy(cipher, self.key_policy)
        self._check_keys(cipher)
        if self.mode is Mode.ADAPTED:
            self._check_adaptable(cipher, options)
        return self

    def _check_names(self, cipher: Cipher) -> None:
        """Raise UsageError where an option of the cipher has the name of a field here."""
        fields = set(type(self).model_fields) - {PATCH}
        for name in sorted(fields & set(cipher.parameters.model_fields)):
            raise UsageError(
                f"option {name!r} of cipher {cipher.name!r} has the name of a parameter of the "
                "pipeline",
                fix="rename the option in the cipher",
            )

    def _check_keys(self, cipher: Cipher) -> None:
        """Raise UsageError where tests with several keys are asked for and cannot be done."""
        if not cipher.traits.keyed and (self.wrong_key or self.clients > 1):
            raise UsageError(
                f"cipher {cipher.name!r} has no key: wrong_key and clients=2 do not apply",
                fix="leave out wrong_key and clients",
            )
        if self.wrong_key and self.clients > 1:
            raise UsageError(
                "wrong_key and clients=2 are two different tests", fix="pass one of them"
            )
        if self.sharing is Sharing.APART and self.clients == 1:
            raise UsageError("sharing=apart needs two clients", fix="pass clients=2")

    def _check_adaptable(self, cipher: Cipher, options: Parameters) -> None:
        """Raise UsageError where no plain model can be adapted to the key."""
        if self.embedding is not None:
            raise UsageError(
                "embedding applies to mode=trained only: with mode=adapted the key determines it",
                fix="leave out embedding",
            )
        obstacle = cipher.obstacle(options)
        if obstacle:
            raise UsageError(
                f"mode=adapted is not possible with cipher {cipher.name!r}: {obstacle}",
                fix="pass mode=trained",
            )
        if self.key_policy is KeyPolicy.PER_IMAGE:
            raise UsageError(
                "mode=adapted is not possible with key_policy=per_image: one model absorbs one "
                "key, and every image has another",
                fix="pass key_policy=per_client or mode=trained",
            )
        if self.clients > 1:
            raise UsageError(
                "mode=adapted with two clients equals two separate runs: each has the plain model "
                "adapted to its own key",
                fix="pass clients=1 or mode=trained",
            )

    def identity_inputs(self, key_file: Path) -> dict[str, str]:
        """Name what else changes a result: the key, by fingerprint.

        The key file is made at first use. Raises UsageError where it is no usable one.
        """
        return {"client key": obtain_key(self.key, key_file).fingerprint}

    def plugins_used(self) -> tuple[str, ...]:
        """Name the module of the cipher."""
        return (plugins.find("ciphers", self.cipher).module,)

    def load_cipher(self) -> Cipher:
        """Import the cipher and return it."""
        return cast(Cipher, plugins.load("ciphers", self.cipher))

    def cipher_options(self, cipher: Cipher, patch: int | None) -> dict[str, Any]:
        """Return the options handed to the cipher; ``patch`` only where it has blocks."""
        options = dict(self.model_extra or {})
        if patch is not None and PATCH in cipher.parameters.model_fields:
            options[PATCH] = patch
        return options
