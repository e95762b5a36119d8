"""Where a host is: ``https://HOST:PORT``, as it is given with ``--host``."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from he_compare.common.errors import UsageError
from he_compare.common.service.tls_contexts import is_loopback

HOW = "https://HOST:PORT"


@dataclass(frozen=True)
class HostAddress:
    """Where a host is. ``text``: as it was given."""

    text: str
    secure: bool
    name: str
    port: int


def parse_host_address(text: str) -> HostAddress:
    """Read ``https://HOST:PORT``; plain HTTP is for this machine alone. Raises UsageError."""
    try:
        parts = urlsplit(text)
        name, port = parts.hostname, parts.port
    except ValueError:
        raise UsageError(f"--host {text!r} is no address", fix=f"pass --host {HOW}") from None
    rest = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("http", "https") or not name or not port or rest:
        raise UsageError(f"--host {text!r} is no address of a host", fix=f"pass --host {HOW}")
    if parts.scheme == "http" and not is_loopback(name):
        raise UsageError(
            f"--host {text} is neither encrypted nor authenticated",
            fix=f"start `compare host` with a certificate, and pass --host https://{parts.netloc}",
        )
    return HostAddress(text.rstrip("/"), parts.scheme == "https", name, port)
