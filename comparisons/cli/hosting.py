"""`compare host`: serves the server halves of pipelines to a driver on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from he_compare.common.errors import EXIT_INTERRUPTED

GIGABYTE = 1_000_000_000


def host(
    listen: Annotated[
        str, typer.Option(help="Address and port to listen on, as 0.0.0.0:8700.")
    ] = "127.0.0.1:8700",
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with the token that drivers have to know, readable by nobody else.",
            show_default=False,
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            help="Certificate of this host (PEM). Needed beyond this machine.", show_default=False
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            help="Key of that certificate (PEM), readable by nobody else.", show_default=False
        ),
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(
            help="Certificate (PEM) of the authority of drivers: they have to show a certificate "
            "of it as well.",
            show_default=False,
        ),
    ] = None,
    sessions: Annotated[
        int,
        typer.Option(min=1, max=1024, help="Most server halves at a time, each a process."),
    ] = 32,
    silent_minutes: Annotated[
        float,
        typer.Option(
            min=2,
            max=10_080,
            help="A driver that is silent for so many minutes is served no longer.",
        ),
    ] = 10.0,
    memory: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Gigabytes that each server half may allocate.",
            show_default="nearly all of the machine's",
        ),
    ] = None,
    make_token: Annotated[
        Path | None,
        typer.Option(help="Write a new token into this new file, and end.", show_default=False),
    ] = None,
) -> None:
    """Serve the server halves of `compare run --host` on another machine, until Ctrl-C."""
    from he_compare.common.service.host_log import HostLog
    from he_compare.common.service.remote_front import FrontSettings, run_front
    from he_compare.common.service.secret_files import make_token_file

    if make_token is not None:
        make_token_file(make_token)
        print(f"token written to {make_token}: copy the file to the driver's machine, mode 600")
        return
    settings = FrontSettings(
        listen=listen,
        token_file=token_file,
        certificate=tls_cert,
        key=tls_key,
        client_authority=client_ca,
        most_sessions=sessions,
        silent_seconds=60 * silent_minutes,
        memory_bytes=None if memory is None else int(memory * GIGABYTE),
    )
    try:
        run_front(settings, _say)
    except KeyboardInterrupt as stop:
        HostLog(_say).say("ended, with all its servers")
        raise typer.Exit(getattr(stop, "exit_code", EXIT_INTERRUPTED)) from None


def _say(line: str) -> None:
    print(line, flush=True)
