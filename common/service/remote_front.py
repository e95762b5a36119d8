"""A front for drivers on other machines: many sessions of one driver at a time, over TLS.

What is asked of the command that starts it is checked before anything listens: the token, the
certificate and its key, and that nothing beyond this machine is served without them.
"""

from __future__ import annotations

import contextlib
import signal
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from he_compare.common.environment import tool_version
from he_compare.common.errors import UsageError
from he_compare.common.service.host_log import HostLog
from he_compare.common.service.secret_files import read_token_file
from he_compare.common.service.tls_contexts import (
    TWO_MACHINES,
    OwnCertificate,
    host_context,
    is_loopback,
)
from he_compare.common.software import software_here
from he_compare.common.temporary_folders import swept_folder

if TYPE_CHECKING:
    from he_compare.common.service.serving import GuardedListener

FOLDER = "host"
DEFAULT_LISTEN = "127.0.0.1:8700"
# Of an answer, unless the driver asks for less.
LONGEST_CALL_SECONDS = 86_400.0
DIGITS = 12
Say = Callable[[str], None]


@dataclass(frozen=True)
class FrontSettings:
    """What `compare host` was told. ``most_sessions``: of its one driver, at a time.

    ``silent_seconds``: how long a driver, and each session, stays of which nothing is heard.
    ``memory_bytes``: what each child may allocate; None: nearly all of the machine's.
    """

    listen: str
    token_file: Path | None
    certificate: Path | None = None
    key: Path | None = None
    client_authority: Path | None = None
    most_sessions: int = 32
    silent_seconds: float = 600.0
    memory_bytes: int | None = None


@dataclass(frozen=True)
class CheckedFront:
    """A front that can start. ``token`` is never printed or written."""

    host: str
    port: int
    token: str
    context: ssl.SSLContext | None
    fingerprint: str

    def __repr__(self) -> str:
        return f"CheckedFront({self.host}:{self.port})"


def check_front(settings: FrontSettings) -> CheckedFront:
    """Read token and certificate. Raises UsageError, naming the option, the file and the fix."""
    host, port = _address(settings.listen)
    if settings.token_file is None:
        raise UsageError(
            "no token was given: whoever reaches the port could use the host",
            fix="make one with `compare host --make-token FILE` and pass --token-file FILE",
        )
    token = read_token_file(settings.token_file)
    own = _certificate(settings)
    if own is None:
        if not is_loopback(host):
            raise UsageError(
                f"--listen {settings.listen} without a certificate is plain HTTP, which whoever is "
                "on the way reads and changes",
                fix="pass --tls-cert and --tls-key, or listen on 127.0.0.1 or [::1] only; "
                + TWO_MACHINES,
            )
        return CheckedFront(host, port, token, None, "")
    context = host_context(own, settings.client_authority)
    return CheckedFront(host, port, token, context, own.fingerprint())


def _certificate(settings: FrontSettings) -> OwnCertificate | None:
    if settings.certificate is not None and settings.key is not None:
        return OwnCertificate(settings.certificate, settings.key)
    if settings.certificate is not None or settings.key is not None:
        raise UsageError(
            "--tls-cert and --tls-key belong together, and one of them is missing",
            fix="pass both; " + TWO_MACHINES,
        )
    if settings.client_authority is not None:
        raise UsageError(
            "--client-ca is of no use without --tls-cert and --tls-key", fix="pass them as well"
        )
    return None


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    name = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
    bare = ":" in name and name == host
    if not name or bare or not 0 <= number <= 65_535 or not name.isprintable() or " " in name:
        raise UsageError(
            f"--listen {text!r} is no address",
            fix=f"pass HOST:PORT, as {DEFAULT_LISTEN} or 0.0.0.0:8700; IPv6 as [::1]:8700",
        )
    return name, number


def run_front(settings: FrontSettings, say: Say) -> None:
    """Serve until a signal ends it; ``say`` gets a line, with its time, when it listens, when a
    session begins or ends, and when somebody is refused.

    Raises UsageError where it cannot start.
    """
    from he_compare.common.closed_memory import give_up_privileges

    front = check_front(settings)
    listener, log = _listener(front, settings.listen), HostLog(say)
    with contextlib.closing(listener), contextlib.closing(log), swept_folder(FOLDER) as home:
        give_up_privileges()
        log.say(_first_words(front, listener, settings))
        _serve(front, listener, settings, home, log)


def _serve(
    front: CheckedFront,
    listener: GuardedListener,
    settings: FrontSettings,
    home: Path,
    log: HostLog,
) -> None:
    from he_compare.common.service.application import ServiceApplication
    from he_compare.common.service.host_card import card_here, card_now, what_changed
    from he_compare.common.service.serving import serve
    from he_compare.common.service.sessions import FrontLimits, SessionTable

    limits = FrontLimits(
        call_seconds=LONGEST_CALL_SECONDS,
        memory_bytes=settings.memory_bytes,
        most_sessions=settings.most_sessions,
        silent_seconds=settings.silent_seconds,
    )
    table = SessionTable(home, limits, told=log.say)
    card = card_here()
    application = ServiceApplication(
        table,
        token=front.token,
        facts=lambda one: card_now(card, len(one), one.driver).model_dump_json(),
        # A server half starts from the files as they are then, not as they were at this start.
        changed=lambda: "; ".join(what_changed(card, card_here(afresh=True))),
        refused=log.refused,
    )

    def stop() -> None:
        table.end_all("the host ends")

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # uvicorn sends it once more when it has ended: what is left to remove is removed first.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        serve(application.asgi(), listener, context=front.context, on_stop=stop)
    finally:
        stop()


def _listener(front: CheckedFront, given: str) -> GuardedListener:
    from he_compare.common.service.serving import listen

    try:
        return listen(front.host, front.port)
    except OSError as error:
        raise UsageError(
            f"--listen {given}: {error.strerror or error}",
            fix="name an address of this machine and a port that is free",
        ) from None


def _first_words(front: CheckedFront, listener: GuardedListener, settings: FrontSettings) -> str:
    port = listener.getsockname()[1]
    name = f"[{front.host}]" if ":" in front.host else front.host
    scheme = "https" if front.context is not None else "http"
    commit = software_here().commit
    version = tool_version() + (f" (commit {commit[:DIGITS]})" if commit else "")
    shown = f"; certificate SHA-256 {front.fingerprint}" if front.fingerprint else ""
    clients = "; clients need a certificate" if settings.client_authority else ""
    return f"listening on {scheme}://{name}:{port}; he-compare {version}{shown}{clients}"
