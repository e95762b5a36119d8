"""Say what may be said of a client key file: its fingerprint and history, never the key."""

from __future__ import annotations

from pathlib import Path


class KeyShowCommand:
    """What `compare key show` runs."""

    name = "key_show"

    def run(self, key_file: Path) -> list[str]:
        """Return lines for the user. Raises UsageError where the file is no usable key file."""
        from he_compare.block_scramble.keys import key_files

        info = key_files.describe(key_file)
        lines = [
            f"fingerprint: {info.fingerprint}",
            f"generation: {info.generation}",
            f"created: {info.created or 'not noted'}",
        ]
        if info.note:
            lines.append(f"note: {info.note}")
        if info.previous:
            lines.append(f"retired: {', '.join(info.previous)}")
        if info.insecure:
            lines.append(f"insecure: {info.insecure}")
        return lines


COMMAND = KeyShowCommand()
