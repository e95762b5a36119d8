"""The page on two machines: its certificates are made as it says, and hold."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from he_compare.common.service.tls_contexts import OwnCertificate, driver_context, host_context
from tests.support.repository import ROOT

PAGE = ROOT / "docs" / "how-to" / "two-machines.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the openssl commands of the page were run."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    text = "\n".join(block for block in blocks("bash") if "openssl" in block)
    assert text.count("openssl ") == 5
    lines = [line for line in text.splitlines() if not line.startswith(("mkdir", "compare "))]
    script = (
        "\n".join(lines).replace("node7.example", "localhost").replace("192.0.2.7", "127.0.0.1")
    )
    subprocess.run(["bash", "-euc", script], cwd=folder, check=True, capture_output=True)
    return folder


def test_the_certificate_of_the_page_is_one_that_a_driver_takes(made: Path) -> None:
    own = OwnCertificate(made / "host.pem", made / "host-key.pem")
    host, driver = host_context(own), driver_context(made / "host.pem")
    assert shakes_hands(host, driver)
    assert not (made / "host-key.pem").stat().st_mode & 0o077


def test_the_certificates_for_drivers_are_wanted_and_taken(made: Path) -> None:
    own = OwnCertificate(made / "host.pem", made / "host-key.pem")
    host = host_context(own, made / "drivers.pem")
    mine = OwnCertificate(made / "driver.pem", made / "driver-key.pem")
    assert shakes_hands(host, driver_context(made / "host.pem", mine))
    assert not shakes_hands(host, driver_context(made / "host.pem"))


def shakes_hands(host: object, driver: object) -> bool:
    """Connect both ends in memory, and say whether both were content."""
    import ssl

    assert isinstance(host, ssl.SSLContext) and isinstance(driver, ssl.SSLContext)
    to_host, to_driver = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        driver.wrap_bio(to_driver, to_host, server_hostname="localhost"),
        host.wrap_bio(to_host, to_driver, server_side=True),
    )
    done = set()
    for _ in range(8):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
            done.add(end)
    return len(done) == 2


def test_the_unit_starts_the_command_of_the_page() -> None:
    (unit,) = blocks("ini")
    (line,) = [one for one in unit.splitlines() if one.startswith("ExecStart=")]
    command = line.partition("/bin/")[2]
    assert command in blocks("sh")[0].splitlines()
