"""A host that answers whatever a test wants, over plain HTTP on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from he_compare.common.service.host_address import parse_host_address
from he_compare.common.service.host_card import HostCard, card_here
from he_compare.common.service.remote_host import RemoteHost

# Status, headers and body for a method and a path; None: close the connection without a word.
Reply = tuple[int, dict[str, str], bytes]
Replies = Callable[[str, str], Reply | None]
OK_HEADERS = {
    "compare-seconds": "0",
    "compare-held": "0",
    "compare-pid": "4",
    "compare-timings": "[]",
}


class FakeHost:
    """Serves until it is left. ``asked``: methods and paths, in order."""

    def __init__(self, replies: Replies) -> None:
        self.asked: list[str] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                fake.asked.append(f"{self.command} {self.path}")
                found = replies(self.command, self.path)
                if found is None:
                    self.close_connection = True
                    return
                status, headers, body = found
                self.send_response(status)
                for name, text in ({"content-length": str(len(body))} | headers).items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = _answer

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def driver(self, call_seconds: float = 5.0) -> RemoteHost:
        """Return a driver's end of it."""
        return RemoteHost(
            parse_host_address(self.address),
            "t" * 40,
            None,
            driver="a test",
            process="1",
            call_seconds=call_seconds,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def card_reply(**changed: Any) -> Reply:
    """Return a good card of this process, with fields changed."""
    card: HostCard = card_here().model_copy(update=changed)
    return 200, {"content-type": "application/json"}, card.model_dump_json().encode()
