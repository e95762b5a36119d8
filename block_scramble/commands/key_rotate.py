"""Put a new client key in the place of the old one, which stays beside it for what it encrypted."""

from __future__ import annotations

from pathlib import Path


class KeyRotateCommand:
    """What `compare key rotate` runs."""

    name = "key_rotate"

    def run(self, key_file: Path, *, note: str = "") -> list[str]:
        """Return lines for the user. Raises UsageError where the file cannot be rotated."""
        from he_compare.block_scramble.keys import key_files

        old = key_files.describe(key_file)
        key = key_files.rotate(key_file, note)
        retired = key_files.retired_path(key_file, old.fingerprint)
        return [
            f"new key {key.fingerprint}: {key_file}",
            f"old key {old.fingerprint}, for what was encrypted under it: {retired}",
        ]


COMMAND = KeyRotateCommand()
