"""Encrypt a folder of images under a client key, so that it can be shared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from he_compare.common.contracts import Progress


class EncryptCommand:
    """What `compare encrypt` runs."""

    name = "encrypt"

    def run(
        self,
        source: Path,
        target: Path,
        *,
        cipher: str,
        options: Mapping[str, Any],
        key_file: Path,
        size: int | None,
        progress: Progress,
    ) -> list[str]:
        """Encrypt ``source`` into ``target``; return lines for the user. Raises CompareError."""
        from he_compare.block_scramble.folder.encrypt import encrypt_folder

        return encrypt_folder(
            source,
            target,
            cipher=cipher,
            options=options,
            key_file=key_file,
            size=size,
            progress=progress,
        )


COMMAND = EncryptCommand()
