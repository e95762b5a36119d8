"""The client's key and everything derived from it: one sub-key a purpose, never one for two.

256 bits from the operating system's CSPRNG (``secrets``); sub-keys by HKDF-SHA256 (RFC 5869) with
the purpose as its info. Objects here never show key material in ``repr`` and refuse to be pickled
and copied; a process that holds one writes no core files.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from he_compare.block_scramble.keys.keystream import Keystream
from he_compare.common.closed_memory import no_core_files
from he_compare.common.errors import UsageError
from he_compare.common.secrecy import KeptInProcess

KEY_BYTES = 32
KEY_BITS = 8.0 * KEY_BYTES
SEED_BITS = 32
FINGERPRINT_BYTES = 8
_DOMAIN = b"he-compare block-scramble 1"


class ClientKey(KeptInProcess):
    """256 bits of key material with the entropy of the source they came from.

    ``entropy_bits``: what an adversary who knows the algorithm has to search, at most 256.
    ``insecure``: why this key must not protect real data; empty where it may.
    """

    __slots__ = ("_secret", "entropy_bits", "insecure")

    def __init__(
        self, secret: bytes, *, entropy_bits: float = KEY_BITS, insecure: str = ""
    ) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a client key has {KEY_BYTES} bytes, not {len(secret)}")
        no_core_files()
        self._secret = bytes(secret)
        self.entropy_bits = entropy_bits
        self.insecure = insecure

    @classmethod
    def generate(cls) -> ClientKey:
        """Draw a new key from the operating system's CSPRNG."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_seed(cls, seed: int) -> ClientKey:
        """Make the reproducible key of a 32-bit seed: for tests only, and marked so.

        Raises UsageError where the seed does not fit 32 bits.
        """
        if not 0 <= seed < 1 << SEED_BITS:
            raise UsageError(
                f"key seed {seed} is out of range", fix=f"pass 0 to {(1 << SEED_BITS) - 1}"
            )
        secret = hashlib.sha256(_DOMAIN + b" seeded key " + seed.to_bytes(4, "big")).digest()
        reason = (
            f"the key is made from a {SEED_BITS}-bit seed named in the parameters: "
            f"reproducible by anyone, at most {SEED_BITS} bits of entropy"
        )
        return cls(secret, entropy_bits=float(SEED_BITS), insecure=reason)

    def subkey(self, *purpose: str) -> ClientKey:
        """Derive the key of a purpose; keys of different purposes tell nothing of each other."""
        derived = HKDF(SHA256(), KEY_BYTES, salt=None, info=_label(purpose)).derive(self._secret)
        return ClientKey(derived, entropy_bits=self.entropy_bits, insecure=self.insecure)

    def stream(self, *purpose: str) -> Keystream:
        """Open the keyed stream of a purpose at its start."""
        return Keystream(self.subkey("stream", *purpose)._secret)

    def tag(self, data: bytes, *purpose: str) -> bytes:
        """Return HMAC-SHA256 (32 bytes) of ``data`` under the sub-key of a purpose."""
        return hmac.digest(self.subkey("tag", *purpose)._secret, data, "sha256")

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the key and reveal nothing of it.

        (Of a seeded key they confirm a guess of the seed, like everything made with it.)
        """
        return self.subkey("fingerprint").secret_bytes()[:FINGERPRINT_BYTES].hex()

    def secret_bytes(self) -> bytes:
        """Return the 32 secret bytes: for the key file and for tests that look for leaks."""
        return self._secret

    def __repr__(self) -> str:
        return f"ClientKey(fingerprint={self.fingerprint!r}, entropy_bits={self.entropy_bits:g})"


def dataset_key(client_key: ClientKey, dataset_fingerprint: str, seed: int) -> ClientKey:
    """Return the key of one dataset and run seed under a client key.

    The same key file, dataset and seed give the same ciphertexts and so the same predictions;
    another seed gives an unrelated key.
    """
    return client_key.subkey("dataset", dataset_fingerprint, str(seed))


def _label(parts: tuple[str, ...]) -> bytes:
    """Encode a purpose so that no two lists of parts share an encoding (length before part)."""
    encoded = [part.encode() for part in parts]
    return _DOMAIN + b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
