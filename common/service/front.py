"""Entry point of a front of this machine: ``python -m he_compare.common.service.front``.

One line of JSON on its standard input names the session that is about to be asked for, with token
and limits; it answers with one line holding its port, and serves on loopback. It computes nothing:
the server half lives in a child (``common.service.child``), which a message may end. It gets no
secret, no dataset and no file name but that of its own empty folder. When its standard input closes
(the driver ended, however it ended) it ends, and its child with it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from he_compare.common.closed_memory import give_up_privileges
from he_compare.common.service.sessions import FrontLimits, SessionRequest, SessionTable

END_WORDS = "its front ends"


def main() -> None:
    """Serve until standard input closes."""
    settings = json.loads(sys.stdin.readline())
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print must not write into the driver's channel
    give_up_privileges(searchable=settings["searchable"] is True)
    table = _table(settings)
    # Before anything heavy is imported: it imports what it needs in the meantime.
    table.prepare(SessionRequest(**settings["session"]))
    home = settings["home"]
    threading.Thread(target=_end_with_driver, args=(table, home), daemon=True).start()

    from he_compare.common.service.application import ServiceApplication
    from he_compare.common.service.serving import listen, serve

    application = ServiceApplication(table, token=settings["token"])
    listener = listen("127.0.0.1", 0)
    answer.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
    answer.close()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again at its end
    try:
        serve(application.asgi(), listener, on_stop=lambda: table.end_all(END_WORDS))
    finally:
        _leave(table, home)


def _table(settings: dict[str, Any]) -> SessionTable:
    limits = FrontLimits(
        max_body=int(settings["max_body"]),
        call_seconds=float(settings["call_seconds"]),
        memory_bytes=settings["memory_bytes"],
        searchable=settings["searchable"] is True,
    )
    return SessionTable(Path(settings["home"]), limits)


def _end_with_driver(table: SessionTable, home: str) -> None:
    while sys.stdin.readline():
        pass
    _leave(table, home)
    os._exit(0)


def _leave(table: SessionTable, home: str) -> None:
    """End the child; remove ``home``, which the driver made for this process and may have left."""
    table.end_all(END_WORDS)
    shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
