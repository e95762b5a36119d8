"""What a command says of the host on which server halves are to run, and the first words to it."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from he_compare.common import plugins
from he_compare.common.errors import UsageError
from he_compare.common.machine import machine_word
from he_compare.common.service.host_address import HOW, parse_host_address
from he_compare.common.service.remote_host import RemoteHost
from he_compare.common.service.secret_files import read_token_file
from he_compare.common.service.tls_contexts import OwnCertificate, driver_context
from he_compare.common.service.way_to_host import clock_words, way_words
from he_compare.common.visible_text import visible
from he_compare.comparisons.measuring.pipeline_spec import parse_spec

CERTIFICATE_OPTIONS = "--tls-ca, --tls-cert and --tls-key"


@dataclass(frozen=True)
class HostAsked:
    """``address``: ``https://HOST:PORT``, '' for none. ``tls_ca``: who signed its certificate.

    ``tls_cert``, ``tls_key``: of this side, where the host wants one.
    """

    address: str = ""
    token_file: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def check(self) -> None:
        """Raise UsageError on what contradicts itself, before anything is read."""
        if not self.address:
            if self.token_file is not None:
                raise UsageError("--token-file is given for no host", fix=f"pass --host {HOW}")
            return
        where = parse_host_address(self.address)
        if self.token_file is None:
            raise UsageError(
                f"--host {self.address} is given without a token",
                fix="pass --token-file FILE with the token of that host",
            )
        if not where.secure and any((self.tls_ca, self.tls_cert, self.tls_key)):
            raise UsageError(
                f"{CERTIFICATE_OPTIONS} are of no use with {self.address}, which is not encrypted",
                fix=f"pass --host {self.address.replace('http://', 'https://', 1)}",
            )
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise UsageError(
                "--tls-cert and --tls-key belong together, and one of them is missing",
                fix="pass both, or none",
            )

    @contextlib.contextmanager
    def greeted(
        self,
        folder: Path,
        pipelines: Sequence[str],
        call_seconds: float,
        say: Callable[[str], None],
    ) -> Iterator[RemoteHost | None]:
        """Open the way to the host and say how far away it is; None where none is asked for.

        ``folder``: of the run, which names this driver to the host. ``pipelines``: as they are
        passed to ``--pipeline``. Raises UsageError, before anything of a run is done.
        """
        if not self.address or self.token_file is None:
            yield None
            return
        where = parse_host_address(self.address)
        token = read_token_file(self.token_file)
        own = None
        if self.tls_cert is not None and self.tls_key is not None:
            own = OwnCertificate(self.tls_cert, self.tls_key)
        host = RemoteHost(
            where,
            token,
            driver_context(self.tls_ca, own) if where.secure else None,
            driver=driver_name(folder),
            process=secrets.token_hex(16),
            call_seconds=call_seconds,
        )
        with contextlib.closing(host):
            names = [plugins.find("pipelines", parse_spec(text).name).name for text in pipelines]
            way = host.greet(names)
            say(f"servers run on {where.text}, cells in this process: {way_words(way)}")
            if words := clock_words(way):
                say(f"warning: {words}")
            yield host


def driver_name(folder: Path) -> str:
    """Return how a run names itself to a host: the same one at each start, and no path of it."""
    of_folder = hashlib.sha256(f"{machine_word()}\x00{folder.resolve()}".encode()).hexdigest()
    return f"{visible(folder.resolve().name)[:60]} {of_folder[:8]}"
