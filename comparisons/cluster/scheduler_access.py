"""Which scheduler may be asked, and with which certificate.

Whoever reaches a scheduler of Dask runs code on its workers, which read the images and hold keys.
So a scheduler that is not on this machine is reached over TLS, where both ends show a certificate
of one authority (docs/adr/0019).
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from he_compare.common.errors import UsageError
from he_compare.common.service.secret_files import require_private, require_readable
from he_compare.common.service.tls_contexts import is_loopback, load_pair, trust, why_not

OPTIONS = "--tls-ca, --tls-cert and --tls-key"
HOW_TO = "docs/how-to/cluster.md says how to make certificates"
# How a driver is called among the clients of a scheduler, and how long one that ended may be there.
DRIVER = "compare-driver"
DRIVER_GONE_SECONDS = 5.0


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the authority, this side's certificate, and the key of that certificate."""

    authority: Path
    certificate: Path
    key: Path

    def check(self) -> None:
        """Raise UsageError, with the option and the fix, where a connection could not be made."""
        for option, path in (
            ("--tls-ca", self.authority),
            ("--tls-cert", self.certificate),
            ("--tls-key", self.key),
        ):
            require_readable(option, path, fix=HOW_TO)
        require_private("--tls-key", self.key, risk="run code on the workers")
        _shake_hands(*self._contexts())

    def security(self) -> Any:
        """Return what Dask takes; every connection is encrypted. Raises as ``check`` does."""
        from distributed import Security

        self.check()
        return Security(
            tls_ca_file=str(self.authority),
            tls_client_cert=str(self.certificate),
            tls_client_key=str(self.key),
            require_encryption=True,
        )

    def _contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """Return both ends of a connection, each with the certificate."""
        both = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for context in both:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_REQUIRED
            trust(context, "--tls-ca", self.authority, HOW_TO)
            load_pair(context, self.certificate, self.key, fix=HOW_TO)
        return both


def access_to(
    address: str,
    authority: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    *,
    insecure: bool = False,
) -> Any | None:
    """Return the security for a scheduler: None for plain TCP, which has to be allowed.

    ``address``: ``tls://HOST:PORT`` or ``tcp://HOST:PORT``. ``insecure``: plain TCP to another
    machine is wanted all the same. Raises UsageError.
    """
    scheme, host = _parts(address)
    given = [path for path in (authority, certificate, key) if path is not None]
    if scheme == "tls":
        if authority is None or certificate is None or key is None:
            raise UsageError(f"{address} wants a certificate", fix=f"pass {OPTIONS}; {HOW_TO}")
        return TlsFiles(authority, certificate, key).security()
    if given:
        raise UsageError(
            f"{OPTIONS} are of no use with {address}, which is not encrypted",
            fix=f"pass --scheduler {address.replace('tcp://', 'tls://', 1)}",
        )
    if not is_loopback(host) and not insecure:
        raise UsageError(
            f"{address} is neither encrypted nor authenticated: whoever is on that network can run "
            "code on the workers, and read images and keys",
            fix=f"start the scheduler with a certificate and pass tls://... with {OPTIONS}, or "
            "accept this with --insecure-scheduler",
        )
    return None


def _parts(address: str) -> tuple[str, str]:
    fix = "pass --scheduler tls://HOST:8786 (or tcp:// on this machine)"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UsageError(f"--scheduler {address!r} is no address", fix=fix) from None
    rest = parts.path or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in ("tcp", "tls") or not host or not port or rest:
        raise UsageError(f"--scheduler {address!r} is no address of a scheduler", fix=fix)
    return parts.scheme, host


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """Connect both ends in memory: the certificate has to be valid and of the authority."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(8):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                raise UsageError(
                    f"the certificate of --tls-cert does not hold for --tls-ca ({why_not(error)})",
                    fix="sign it with that authority, and see whether it has expired",
                ) from None


def why_silent(error: BaseException, seconds: float) -> str:
    """Say why a scheduler does not answer, in words and without the names of Python's errors.

    ``seconds``: how long it was waited for.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {why_not(cause).replace('_', ' ').lower()}"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, ValueError) and str(error):
        return " ".join(str(error).split())
    return f"nothing came in {seconds:g} s"


def require_only_driver(client: Any, address: str) -> None:
    """Raise UsageError where another run came first: latency is measured alone on a machine."""

    # Inside, so that a scheduler runs it that cannot load this module.
    def drivers(dask_scheduler: Any) -> list[str]:
        return [str(one) for one in dask_scheduler.clients]

    begin = time.monotonic()
    while True:
        # In the order in which they came: of two at once, one goes on.
        there = [one for one in client.run_on_scheduler(drivers) if f"-{DRIVER}-" in one]
        if there[:1] == [client.id]:
            return
        if time.monotonic() - begin > DRIVER_GONE_SECONDS:
            raise UsageError(
                f"another run uses the scheduler {address}",
                fix="wait until it has ended, or start a scheduler with workers of its own",
            )
        time.sleep(0.2)
