"""The manifest of a folder of encrypted images: what the holder of the key needs to read it back.

It travels with the ciphertexts, so nothing in it helps anybody else: no key, no hash and no value
of a plain image. File names, folder names and image sizes are in it, as the folder shows them
anyway. A tag under the client's key (HMAC-SHA256) covers all of it, the hashes of the ciphertexts
included: an edited manifest or ciphertext is noticed even where both were edited to fit.
"""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from he_compare.block_scramble.encryptor import KeyPolicy
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.block_scramble.folder.places import write_inside
from he_compare.block_scramble.keys.client_key import ClientKey
from he_compare.common.errors import IntegrityError, UsageError
from he_compare.common.identity import canonical_json

MANIFEST = "manifest.json"
RESTORED = "decrypted.json"
MAX_BYTES = 1 << 28
PADDING = "last row and column repeated up to whole blocks"

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class FileEntry(BaseModel):
    """One encrypted image. ``shape``: of the plain image; a padded ciphertext is larger."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    ciphertext: str
    shape: ImageShape
    sha256: Sha256
    nonce: str = Field(default="", pattern="^([0-9a-f]{32})?$")

    @field_validator("source", "ciphertext")
    @classmethod
    def _inside(cls, value: str) -> str:
        pure = PurePosixPath(value)
        if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\\" in value:
            raise ValueError("not a relative path inside the folder")
        return value


class FolderManifest(BaseModel):
    """How a folder was encrypted, and the files done so far. ``images``: how many there will be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["he-compare encrypted folder"] = "he-compare encrypted folder"
    version: Literal[1] = 1
    folder: str = Field(default_factory=lambda: secrets.token_hex(16))
    cipher: str
    parameters: dict[str, Any]
    key_policy: KeyPolicy
    key_fingerprint: str
    insecure: list[str] = []
    size: int | None = None
    padding: str = PADDING
    images: int = Field(ge=0)
    files: list[FileEntry] = []
    tag: str = ""

    def sealed(self, key: ClientKey) -> FolderManifest:
        """Return the manifest with files in order of name and the tag that covers all of it."""
        ordered = self.model_copy(update={"files": sorted(self.files, key=lambda f: f.source)})
        return ordered.model_copy(update={"tag": ordered._tag_under(key)})

    def check(self, key: ClientKey, where: Path) -> None:
        """Raise UsageError on another key, IntegrityError where the content is not what was sealed.

        ``where``: the folder, for messages.
        """
        if self.key_fingerprint != key.fingerprint:
            raise UsageError(
                f"{where} was encrypted under the key {self.key_fingerprint}, "
                f"the key file holds {key.fingerprint}",
                fix="pass the key file of that fingerprint with --key",
            )
        if not hmac.compare_digest(self.tag, self._tag_under(key)):
            raise IntegrityError(
                f"{where / MANIFEST} was altered: its tag does not hold under the key",
                fix="copy the folder again from where it was encrypted",
            )

    def differs_from(self, other: FolderManifest) -> str:
        """Name the first setting in which two manifests differ; '' where the settings are equal."""
        for name in ("cipher", "parameters", "key_policy", "key_fingerprint", "size", "padding"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"its {name} is {_shown(mine)}, now {_shown(theirs)}"
        return ""

    def write(self, folder: Path) -> None:
        """Write the manifest into its folder, atomically."""
        write_inside(folder, MANIFEST, (self.model_dump_json(indent=1) + "\n").encode())

    def _tag_under(self, key: ClientKey) -> str:
        content = canonical_json(self.model_dump(mode="json", exclude={"tag"}))
        return key.tag(content.encode(), "folder manifest").hex()


def _shown(value: Any) -> str:
    return canonical_json(value) if isinstance(value, dict) else str(value)


def read_manifest(folder: Path) -> FolderManifest:
    """Read the manifest of an encrypted folder. Raises UsageError or IntegrityError."""
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise UsageError(
            f"{folder} is not an encrypted folder: it has no {MANIFEST}",
            fix="pass a folder that `compare encrypt` wrote",
        )
    if path.stat().st_size > MAX_BYTES:
        raise IntegrityError(f"{path} has more than {MAX_BYTES:,} bytes")
    try:
        manifest = FolderManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        named = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise IntegrityError(
            f"{path} is not a manifest that this program can read: {named}: {first['msg']}",
            fix="copy the folder again from where it was encrypted",
        ) from None
    names = [entry.source for entry in manifest.files]
    if len(set(names)) < len(names) or len(names) > manifest.images:
        raise IntegrityError(f"{path} names a file twice, or more files than it has images")
    return manifest


class RestoredFile(BaseModel):
    """One decrypted image, and the hash of the ciphertext it comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ciphertext: Sha256
    sha256: Sha256


class RestoredFolder(BaseModel):
    """What decryption notes beside the plain images to resume; ``folder``: the manifest's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["he-compare decrypted folder"] = "he-compare decrypted folder"
    version: Literal[1] = 1
    folder: str
    files: dict[str, RestoredFile] = {}

    def write(self, folder: Path) -> None:
        """Write it into its folder, atomically."""
        write_inside(folder, RESTORED, (self.model_dump_json(indent=1) + "\n").encode())


def read_restored(folder: Path) -> RestoredFolder | None:
    """Read what an earlier decryption noted; None where there is nothing that parses."""
    path = folder / RESTORED
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_BYTES:
        return None
    try:
        return RestoredFolder.model_validate_json(path.read_bytes())
    except ValidationError:
        return None
