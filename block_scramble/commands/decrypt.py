"""Decrypt a folder that `compare encrypt` wrote, back to the same pixels."""

from __future__ import annotations

from pathlib import Path

from he_compare.common.contracts import Progress


class DecryptCommand:
    """What `compare decrypt` runs."""

    name = "decrypt"

    def run(self, source: Path, target: Path, *, key_file: Path, progress: Progress) -> list[str]:
        """Decrypt ``source`` into ``target``; return lines for the user. Raises CompareError."""
        from he_compare.block_scramble.folder.decrypt import decrypt_folder

        return decrypt_folder(source, target, key_file=key_file, progress=progress)


COMMAND = DecryptCommand()
