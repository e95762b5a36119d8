"""Where the cache and the client's key are by default, on every system."""

from __future__ import annotations

from pathlib import Path


def default_cache_dir() -> Path:
    """Return the user's cache folder."""
    from platformdirs import user_cache_path

    return user_cache_path("he-compare")


def default_key_file() -> Path:
    """Return the file of the client's key in the user's configuration folder."""
    from platformdirs import user_config_path

    return user_config_path("he-compare") / "client.key"
