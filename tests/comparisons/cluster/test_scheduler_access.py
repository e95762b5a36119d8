"""Which scheduler may be asked: plain TCP to another machine and wrong certificates are refused."""

from __future__ import annotations

import datetime
import errno
import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest

from he_compare.common.errors import UsageError
from he_compare.common.service.tls_contexts import is_loopback
from he_compare.comparisons.cluster.scheduler_access import TlsFiles, access_to, why_silent

cryptography = pytest.importorskip("cryptography")
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.x509.oid import NameOID  # noqa: E402

REMOTE = "tls://node7:8786"


def write_key(path: Path, key: Any, password: bytes = b"") -> None:
    lock: Any = serialization.NoEncryption()
    if password:
        lock = serialization.BestAvailableEncryption(password)
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, lock))
    path.chmod(0o600)


def certificate(
    path: Path, name: str, key: Any, signer: Any, issuer: str, days: int = 9, ca: bool = False
) -> None:
    def named(text: str) -> Any:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - datetime.timedelta(days=30))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    """An authority, and a certificate of it with its key."""
    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    made = TlsFiles(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")
    certificate(made.authority, "authority", authority, authority, "authority", ca=True)
    certificate(made.certificate, "compare", own, authority, "authority")
    write_key(made.key, own)
    write_key(tmp_path / "authority.key", authority)
    return made


def asked(files: TlsFiles, address: str = REMOTE) -> Any:
    return access_to(address, files.authority, files.certificate, files.key)


def test_good_files_give_a_connection_that_must_be_encrypted(files: TlsFiles) -> None:
    security = asked(files)
    assert security.require_encryption
    assert security.get_connection_args("client")["ssl_context"] is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST", "::1"])
def test_plain_tcp_on_this_machine_is_fine(host: str) -> None:
    shown = f"[{host}]" if ":" in host else host
    assert is_loopback(host)
    assert access_to(f"tcp://{shown}:8786") is None


@pytest.mark.parametrize(
    "host",
    ["node7", "10.0.0.4", "0.0.0.0", "localhost.evil.org", "127.0.0.1.evil.org", "[fe80::1]"],
)
def test_plain_tcp_to_another_machine_is_refused_unless_it_is_accepted(host: str) -> None:
    with pytest.raises(UsageError, match="whoever is on that network can run code") as caught:
        access_to(f"tcp://{host}:8786")
    assert "--insecure-scheduler" in caught.value.fix and "--tls-ca" in caught.value.fix
    assert access_to(f"tcp://{host}:8786", insecure=True) is None


@pytest.mark.parametrize(
    "address",
    ["", "node7", "node7:8786", "tls://node7", "tls://:8786", "http://node7:8786"]
    + ["tls://node7:port", "tls://node7:8786/x", "tls://me@node7:8786", "ucx://node7:1"],
)
def test_what_is_no_address_is_refused_with_one_that_is(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        access_to(address, insecure=True)
    assert repr(address) in caught.value.problem and "tls://HOST:8786" in caught.value.fix


def test_tls_without_all_three_files_is_refused(files: TlsFiles) -> None:
    with pytest.raises(UsageError, match="wants a certificate"):
        access_to(REMOTE, files.authority, files.certificate, None)
    with pytest.raises(UsageError, match="wants a certificate"):
        access_to(REMOTE, insecure=True)


def test_certificates_for_plain_tcp_are_no_false_comfort(files: TlsFiles) -> None:
    with pytest.raises(UsageError, match="is not encrypted") as caught:
        asked(files, "tcp://127.0.0.1:8786")
    assert "tls://127.0.0.1:8786" in caught.value.fix


@pytest.mark.parametrize("which", ["authority", "certificate", "key"])
@pytest.mark.parametrize("state", ["missing", "folder", "empty", "rubbish"])
def test_a_file_that_is_none_is_named(files: TlsFiles, which: str, state: str) -> None:
    path: Path = getattr(files, which)
    path.unlink()
    if state == "folder":
        path.mkdir()
    elif state != "missing":
        path.write_bytes(b"" if state == "empty" else b"-----BEGIN CERTIFICATE-----\nno\n")
        path.chmod(0o600)
    with pytest.raises(UsageError) as caught:
        asked(files)
    assert str(path) in caught.value.problem and caught.value.fix


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(files: TlsFiles, mode: int) -> None:
    files.key.chmod(mode)
    with pytest.raises(UsageError, match="open to other users") as caught:
        asked(files)
    assert caught.value.fix == f"chmod 600 {files.key}"


def test_a_key_of_another_certificate_is_refused(files: TlsFiles) -> None:
    shutil.copy(files.key.with_name("authority.key"), files.key)
    with pytest.raises(UsageError, match="are no certificate and its key"):
        asked(files)


def test_a_key_with_a_password_is_refused(files: TlsFiles) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    write_key(files.key, key, b"secret")
    with pytest.raises(UsageError, match="the key has a password"):
        asked(files)


def test_a_certificate_of_another_authority_is_refused(files: TlsFiles) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    certificate(files.authority, "other", other, other, "other", ca=True)
    with pytest.raises(UsageError, match="does not hold for --tls-ca"):
        asked(files)


def test_a_certificate_that_has_expired_is_refused(files: TlsFiles) -> None:
    authority: Any = serialization.load_pem_private_key(
        files.key.with_name("authority.key").read_bytes(), None
    )
    own = serialization.load_pem_private_key(files.key.read_bytes(), None)
    certificate(files.certificate, "compare", own, authority, "authority", days=-1)
    with pytest.raises(UsageError, match="expired"):
        asked(files)


def test_a_silent_scheduler_is_told_in_words_and_not_in_names_of_errors() -> None:
    refused = OSError(errno.ECONNREFUSED, "Connection refused")
    assert why_silent(refused, 10.0) == "connection refused"
    late = OSError("Timed out trying to connect to tcp://a:1 after 10 s")
    assert why_silent(late, 10.0) == "nothing came in 10 s"
    late.__cause__ = refused
    assert why_silent(late, 10.0) == "connection refused"
    assert why_silent(TimeoutError(), 2.5) == "nothing came in 2.5 s"
    assert why_silent(ValueError("no such  protocol"), 10.0) == "no such protocol"
    wrong = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    assert why_silent(wrong, 10.0).startswith("TLS: ")
