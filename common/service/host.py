"""Entry point of a server process: ``python -m he_compare.common.service.host``.

One line of JSON on its standard input names the pipeline whose server half to be, with token,
limits and device; it answers with one line holding its port, and serves on loopback. It
gets no secret, no dataset and no file name. When its standard input closes (the driver ended,
however it ended) it ends.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading

from he_compare.common.closed_memory import give_up_privileges


def main() -> None:
    """Serve until standard input closes."""
    settings = json.loads(sys.stdin.readline())
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print must not write into the driver's channel
    give_up_privileges(searchable=settings["searchable"] is True)
    threading.Thread(target=_end_with_driver, args=(settings["home"],), daemon=True).start()

    import uvicorn

    from he_compare.common.backbones.device import use_for_server
    from he_compare.common.plugins import load
    from he_compare.common.service.application import ServiceApplication
    from he_compare.common.service.impatient import (
        MOST_CONNECTIONS,
        MOST_HEADER_BYTES,
        ImpatientProtocol,
    )

    use_for_server(str(settings["device"]))

    def load_server(public_material: bytes):  # type: ignore[no-untyped-def]
        return load("pipelines", settings["pipeline"]).load_server(public_material)

    application = ServiceApplication(
        load_server, token=settings["token"], max_body_bytes=int(settings["max_body_bytes"])
    )
    listener = _listen_on_loopback()
    answer.write(json.dumps({"port": listener.getsockname()[1]}) + "\n")
    answer.close()
    config = uvicorn.Config(
        application.asgi(),
        http=ImpatientProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=3600,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listen_on_loopback() -> socket.socket:
    """Open a listener whose connections send at once.

    asyncio switches Nagle's algorithm off only for sockets that name TCP as their protocol; with it
    on, every reply waits some 40 ms for a delayed acknowledgement.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def _end_with_driver(home: str) -> None:
    """End when the driver does; ``home``: what it made for this process, which may be left over."""
    while sys.stdin.readline():
        pass
    shutil.rmtree(home, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
