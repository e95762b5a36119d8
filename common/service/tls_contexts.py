"""Both ends of TLS from PEM files, checked before anything is served or sent.

TLS 1.2 or newer. A host shows a certificate; where it is given an authority of clients, a client
has to show one, too. Every error names the option, the file and the fix.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from he_compare.common.errors import UsageError
from he_compare.common.service.secret_files import require_private, require_readable

TWO_MACHINES = "docs/how-to/two-machines.md says how to make certificates"
CERTIFICATE_AND_KEY = ("--tls-cert", "--tls-key")
CLIENT_FILES = " and ".join(CERTIFICATE_AND_KEY)
# X509_V_ERR_* of OpenSSL (x509_vfy.h), which Python hands through.
NOT_YET, EXPIRED = 9, 10
WRONG_NAME = (62, 63, 64)
UNKNOWN_AUTHORITY = (2, 7, 18, 19, 20, 21)


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine by name or number; no name is looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


@dataclass(frozen=True)
class OwnCertificate:
    """The certificate of one side and its key, as PEM files. ``options``: what named them."""

    certificate: Path
    key: Path
    options: tuple[str, str] = CERTIFICATE_AND_KEY

    def load_into(self, context: ssl.SSLContext) -> None:
        """Load both into a context. Raises UsageError."""
        first, second = self.options
        require_readable(first, self.certificate, fix=TWO_MACHINES)
        require_readable(second, self.key, fix=TWO_MACHINES)
        require_private(second, self.key, risk="pretend to be this side")
        load_pair(context, self.certificate, self.key, self.options)
        self._require_valid(first)

    def _require_valid(self, option: str) -> None:
        made = self._parsed()
        now = datetime.datetime.now(datetime.UTC)
        begin, end = made.not_valid_before_utc, made.not_valid_after_utc
        if end < now:
            raise UsageError(
                f"{option} {self.certificate} expired on {end:%Y-%m-%d %H:%M} UTC",
                fix=f"make a new one; {TWO_MACHINES}",
            )
        if begin > now:
            raise UsageError(
                f"{option} {self.certificate} is valid from {begin:%Y-%m-%d %H:%M} UTC on; the "
                f"clock of this machine says {now:%Y-%m-%d %H:%M} UTC",
                fix="set the clock, or make a new certificate",
            )

    def _parsed(self) -> Any:
        from cryptography import x509

        try:
            return x509.load_pem_x509_certificates(self.certificate.read_bytes())[0]
        except ValueError as error:
            raise UsageError(
                f"{self.options[0]} {self.certificate} does not parse: {error}", fix=TWO_MACHINES
            ) from None

    def fingerprint(self) -> str:
        """Return the SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` has it."""
        pem = self.certificate.read_text()
        begin = pem.index("-----BEGIN CERTIFICATE-----")
        end = pem.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
        return spelled_fingerprint(ssl.PEM_cert_to_DER_cert(pem[begin:end] + "\n"))

    def require_names(self) -> None:
        """Raise UsageError where no client could compare the certificate with an address."""
        from cryptography import x509

        try:
            names = self._parsed().extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except (x509.ExtensionNotFound, ValueError):
            names = None
        if names is None or not len(list(names.value)):
            raise UsageError(
                f"{self.options[0]} {self.certificate} names no address (it has no "
                "subjectAltName), so every client would refuse it",
                fix='make one with -addext "subjectAltName=DNS:NAME,IP:ADDRESS"; ' + TWO_MACHINES,
            )


def spelled_fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate in DER as pairs of digits."""
    return hashlib.sha256(certificate).digest().hex(":").upper()


def host_context(own: OwnCertificate, client_authority: Path | None = None) -> ssl.SSLContext:
    """Return the host's end. ``client_authority``: clients have to show a certificate of it.

    Raises UsageError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    own.load_into(context)
    own.require_names()
    if client_authority is not None:
        trust(context, "--client-ca", client_authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def driver_context(
    authority: Path | None = None, own: OwnCertificate | None = None
) -> ssl.SSLContext:
    """Return the driver's end. ``authority``: who signed the host's certificate, or that
    certificate itself; None for the authorities that this system trusts. Raises UsageError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The host's own certificate may be what is trusted, without the authority above it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if authority is None:
        context.load_default_certs()
    else:
        trust(context, "--tls-ca", authority)
    if own is not None:
        own.load_into(context)
    return context


def trust(context: ssl.SSLContext, option: str, authority: Path, fix: str = TWO_MACHINES) -> None:
    """Let a context accept certificates of an authority. Raises UsageError."""
    require_readable(option, authority, fix=fix)
    try:
        context.load_verify_locations(cafile=authority)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            f"{option} {authority} is no certificate in PEM format ({why_not(error)})", fix=fix
        ) from None


def load_pair(
    context: ssl.SSLContext,
    certificate: Path,
    key: Path,
    options: tuple[str, str] = CERTIFICATE_AND_KEY,
    fix: str = TWO_MACHINES,
) -> None:
    """Let a context show a certificate. ``options``: what named the files. Raises UsageError."""
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            f"{options[0]} {certificate} and {options[1]} {key} are no certificate and its key in "
            f"PEM format ({why_not(error)})",
            fix=fix,
        ) from None


def _no_password() -> str:
    """Refuse a key with a password: there is nobody to type it. Raises OSError."""
    raise OSError("the key has a password, which nobody can type here")


def why_not(error: Exception) -> str:
    """Return OpenSSL's reason in a few words."""
    verified = getattr(error, "verify_message", "")
    return str(verified or getattr(error, "reason", "") or error)


def tls_problem(error: BaseException, address: str) -> UsageError | None:
    """Say what about certificates or TLS is behind an error; None where it is something else.

    ``address``: of the host, as it was given.
    """
    found = _behind(error)
    if isinstance(found, ssl.SSLCertVerificationError):
        return _unverified(found, address)
    if found is None:
        return None
    reason = str(found.reason or found).upper()
    if "CERTIFICATE_REQUIRED" in reason or "BAD_CERTIFICATE" in reason:
        return UsageError(
            f"{address} wants a certificate of this side, and {CLIENT_FILES} gave none",
            fix=f"pass {CLIENT_FILES}, signed by the authority that the host was given",
        )
    if "UNKNOWN_CA" in reason or "CERTIFICATE_EXPIRED" in reason or "CERTIFICATE_UNKN" in reason:
        return UsageError(
            f"{address} does not accept the certificate of {CLIENT_FILES} "
            f"({reason.lower().replace('_', ' ')})",
            fix="use one that has not expired, of the authority that the host was given as "
            "--client-ca",
        )
    if "WRONG_VERSION_NUMBER" in reason or "HTTP_REQUEST" in reason or "RECORD_LAYER" in reason:
        return UsageError(
            f"what answers at {address} speaks no TLS",
            fix="see whether `compare host` was given --tls-cert and --tls-key, and on which port "
            "it listens",
        )
    if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
        return UsageError(
            f"{address} speaks only TLS that is older than 1.2", fix="update what runs there"
        )
    return UsageError(f"no TLS with {address}: {reason.lower()}", fix=TWO_MACHINES)


def _unverified(error: ssl.SSLCertVerificationError, address: str) -> UsageError:
    code = error.verify_code
    if code == EXPIRED:
        return UsageError(
            f"the certificate of {address} has expired",
            fix="make a new one there, or set the clock of this machine if it is wrong",
        )
    if code == NOT_YET:
        return UsageError(
            f"the certificate of {address} is not valid yet",
            fix="set the clock of this machine, or make a new certificate there",
        )
    if code in WRONG_NAME:
        return UsageError(
            f"the certificate that answers at {address} is for another name "
            f"({error.verify_message})",
            fix="use the name that the certificate has, or make one there with a subjectAltName "
            "for this address",
        )
    if code in UNKNOWN_AUTHORITY:
        return UsageError(
            f"the certificate of {address} is of an authority that is not trusted here "
            f"({error.verify_message})",
            fix="pass --tls-ca with the certificate of that authority, or with the host's own",
        )
    return UsageError(
        f"the certificate of {address} does not hold: {error.verify_message}", fix=TWO_MACHINES
    )


def _behind(error: BaseException | None) -> ssl.SSLError | None:
    """Return the error of TLS that another one was made from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None
