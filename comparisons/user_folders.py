"""Where the cache and the client's key are by default, on every system."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from he_compare.common.errors import UsageError


def default_cache_dir() -> Path:
    """Return the user's cache folder. Raises UsageError where this user has no home."""
    from platformdirs import user_cache_path

    return _of_user(user_cache_path, "XDG_CACHE_HOME")


def default_key_file() -> Path:
    """Return the file of the client's key in the user's configuration folder, or raise likewise."""
    from platformdirs import user_config_path

    return _of_user(user_config_path, "XDG_CONFIG_HOME") / "client.key"


def _of_user(find: Callable[[str], Path], variable: str) -> Path:
    """Return an absolute path: one from the working folder would be another one every time."""
    try:
        found = find("he-compare")
    except RuntimeError:  # newer versions raise, older ones return a path that begins with ~
        found = Path()
    if not found.is_absolute():
        raise UsageError(
            "this user has no home folder, where the cache and the client's key would be",
            fix=f"name one in HOME, or a folder in {variable}",
        )
    return found
