"""Certificates and their keys: what is wrong with them is said before anything listens or sends."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from he_compare.common.errors import UsageError
from he_compare.common.service.tls_contexts import (
    OwnCertificate,
    driver_context,
    host_context,
    is_loopback,
    spelled_fingerprint,
    tls_problem,
)
from tests.support.tls_files import Authority

ADDRESS = "https://localhost:8700"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def own(authority: Authority) -> OwnCertificate:
    return OwnCertificate(*authority.issue())


def shaken(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost"
) -> BaseException | None:
    """Shake hands over a real connection; return the error of the client, if any."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        try:
            with server.wrap_socket(connection, server_side=True) as wrapped:
                wrapped.sendall(b"hello")
                wrapped.recv(1)
        except OSError:
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        plain = socket.create_connection(listener.getsockname(), timeout=5)
        with client.wrap_socket(plain, server_hostname=name) as wrapped:
            assert wrapped.recv(5) == b"hello"
    except OSError as error:
        return error
    finally:
        listener.close()
    return None


def problem_of(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost"
) -> UsageError:
    error = shaken(server, client, name)
    assert error is not None
    told = tls_problem(error, ADDRESS)
    assert told is not None and told.fix
    return told


def test_a_good_pair_shakes_hands_over_tls_1_2_or_newer(
    own: OwnCertificate, authority: Authority
) -> None:
    server, client = host_context(own), driver_context(authority.file)
    assert shaken(server, client) is None
    assert shaken(server, client, "127.0.0.1") is None
    for context in (server, client):
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert client.verify_mode is ssl.CERT_REQUIRED and client.check_hostname


def test_the_certificate_itself_may_be_what_is_trusted(own: OwnCertificate) -> None:
    assert shaken(host_context(own), driver_context(own.certificate)) is None


def test_a_client_may_be_wanted_to_show_a_certificate(
    own: OwnCertificate, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "drivers").mkdir()
    drivers = Authority(tmp_path / "drivers", "drivers")
    server = host_context(own, drivers.file)
    good = OwnCertificate(*drivers.issue("driver", ()))
    assert shaken(server, driver_context(authority.file, good)) is None
    assert "wants a certificate" in problem_of(server, driver_context(authority.file)).problem
    stranger = OwnCertificate(*authority.issue("stranger", ()))
    told = problem_of(server, driver_context(authority.file, stranger)).problem
    assert "does not accept the certificate" in told
    late = OwnCertificate(*drivers.issue("late", (), begin=-9, end=-1))
    with pytest.raises(UsageError, match="expired"):
        driver_context(authority.file, late)


def test_a_certificate_of_another_authority_is_named(own: OwnCertificate, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    told = problem_of(host_context(own), driver_context(other.file))
    assert "not trusted here" in told.problem and "--tls-ca" in told.fix
    told = problem_of(host_context(own), driver_context())
    assert "not trusted here" in told.problem


def test_a_certificate_for_another_name_is_named(authority: Authority) -> None:
    server = host_context(OwnCertificate(*authority.issue(names=("elsewhere.example", "10.9.8.7"))))
    for name in ("localhost", "127.0.0.1"):
        told = problem_of(server, driver_context(authority.file), name)
        assert "for another name" in told.problem and "subjectAltName" in told.fix


def stale_context(authority: Authority, begin: float, end: float) -> ssl.SSLContext:
    """Return the context of a host that did not look at the dates of its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("stale", begin=begin, end=end))
    return context


def test_a_certificate_out_of_its_time_is_named_by_the_client(authority: Authority) -> None:
    client = driver_context(authority.file)
    told = problem_of(stale_context(authority, -9, -1), client)
    assert "has expired" in told.problem and "clock" in told.fix
    told = problem_of(stale_context(authority, 1, 9), client)
    assert "not valid yet" in told.problem and "clock" in told.fix


def test_a_port_without_tls_is_named(authority: Authority) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.close()

    threading.Thread(target=serve, daemon=True).start()
    plain = socket.create_connection(listener.getsockname(), timeout=5)
    with pytest.raises(OSError) as caught:
        driver_context(authority.file).wrap_socket(plain, server_hostname="localhost")
    told = tls_problem(caught.value, ADDRESS)
    assert told is not None and "speaks no TLS" in told.problem
    listener.close()


def test_what_is_no_matter_of_tls_is_left_to_others() -> None:
    assert tls_problem(ConnectionRefusedError("no"), ADDRESS) is None


@pytest.mark.parametrize("which", ["certificate", "key"])
@pytest.mark.parametrize("state", ["missing", "folder", "empty", "rubbish"])
def test_a_file_of_the_host_that_is_none_is_named(
    own: OwnCertificate, which: str, state: str
) -> None:
    path: Path = getattr(own, which)
    path.unlink()
    if state == "folder":
        path.mkdir()
    elif state != "missing":
        path.write_bytes(b"" if state == "empty" else b"-----BEGIN CERTIFICATE-----\nno\n")
        path.chmod(0o600)
    with pytest.raises(UsageError) as caught:
        host_context(own)
    assert str(path) in caught.value.problem and caught.value.fix
    assert "--tls-" in caught.value.problem


def test_a_host_does_not_start_with_a_certificate_that_no_client_takes(
    authority: Authority,
) -> None:
    for begin, end, words in ((-9, -1, "expired on"), (1, 9, "is valid from")):
        with pytest.raises(UsageError, match=words):
            host_context(OwnCertificate(*authority.issue("x", begin=begin, end=end)))
    with pytest.raises(UsageError, match="names no address"):
        host_context(OwnCertificate(*authority.issue("y", names=())))


def test_a_key_of_another_certificate_is_refused_by_name(
    own: OwnCertificate, authority: Authority
) -> None:
    _, other = authority.issue("other")
    with pytest.raises(UsageError, match="are no certificate and its key") as caught:
        host_context(OwnCertificate(own.certificate, other))
    assert str(other) in caught.value.problem


@pytest.mark.skipif(os.name != "posix", reason="modes of files are of POSIX")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(own: OwnCertificate, mode: int) -> None:
    own.key.chmod(mode)
    with pytest.raises(UsageError, match="open to other users") as caught:
        host_context(own)
    assert caught.value.fix == f"chmod 600 {own.key}"


@pytest.mark.parametrize("content", [b"", b"no certificate"])
def test_an_authority_that_is_none_is_named(
    own: OwnCertificate, tmp_path: Path, content: bytes
) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_bytes(content)
    with pytest.raises(UsageError, match="--client-ca"):
        host_context(own, wrong)
    with pytest.raises(UsageError, match="--tls-ca"):
        driver_context(wrong)
    with pytest.raises(UsageError, match="does not exist"):
        driver_context(tmp_path / "nothing.pem")


def test_the_fingerprint_is_the_one_that_openssl_prints(own: OwnCertificate) -> None:
    mine = own.fingerprint()
    assert mine == spelled_fingerprint(ssl.PEM_cert_to_DER_cert(own.certificate.read_text()))
    words = ("x509", "-in", str(own.certificate), "-noout", "-fingerprint", "-sha256")
    try:
        told = subprocess.run(["openssl", *words], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    assert told.stdout.strip().upper().endswith(mine)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST.", "::1"])
def test_this_machine_is_known_by_name_and_number(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["10.0.0.4", "0.0.0.0", "::", "localhost.evil.org", ""])
def test_other_machines_are_not_this_one(host: str) -> None:
    assert not is_loopback(host)
