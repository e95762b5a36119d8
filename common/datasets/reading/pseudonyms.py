"""Pseudonyms of patients in stored data: the same id always has the same, salted hash.

A pseudonym groups images. It does not anonymise: anyone who can guess an id can compute it.
"""

from __future__ import annotations

import hashlib


def pseudonym(kind: str, identity: bytes) -> str:
    """Return ``kind-<16 hexadecimal digits>`` for an id, '' for an empty one."""
    if not identity:
        return ""
    digest = hashlib.sha256(b"he-compare " + kind.encode() + b"\x00" + identity)
    return f"{kind}-{digest.hexdigest()[:16]}"
