"""An application of a front that serves on loopback, in a thread of the test's own process."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from he_compare.common.service.closed_connections import survive_closed_connections
from he_compare.common.service.doorway import Doorway
from he_compare.common.service.serving import listen, server_of

END_SECONDS = 20.0


@contextmanager
def served_front(
    application: Any, doorway: Doorway | None = None, context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Serve an application of ASGI and give its port."""
    survive_closed_connections()
    listener = listen("127.0.0.1", 0, doorway=doorway)
    server = server_of(application, listener, context=context)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(END_SECONDS)
        listener.close()
