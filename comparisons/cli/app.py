"""The `compare` command: its sub-commands, and how errors become a line and an exit code.

Imports nothing heavy: a sub-command loads what it needs when it is called.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from he_compare.common.closed_memory import forbid_core_dumps
from he_compare.common.errors import (
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_OK,
    CompareError,
    UnknownNameError,
)
from he_compare.comparisons.cli import finished_runs, installation, run, scrambling
from he_compare.comparisons.cli.audit import audit_app
from he_compare.comparisons.cli.data import data_app
from he_compare.comparisons.cli.keys import key_app
from he_compare.comparisons.cli.settings import GroupedCommand

app = typer.Typer(
    name="compare",
    help="Compare ways to protect medical images while another party classifies them: "
    "block scrambling with Vision Transformers, and homomorphic encryption. Same images, same "
    "clock, same metrics, same attacks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run", cls=GroupedCommand)(run.run)
app.command("report")(finished_runs.report)
app.command("score")(finished_runs.score)
app.command("show")(finished_runs.show)
app.command("list")(installation.list_)
app.command("doctor")(installation.doctor)
app.command("schema")(installation.schema)
app.command("encrypt")(scrambling.encrypt)
app.command("decrypt")(scrambling.decrypt)
app.command("verify")(finished_runs.verify)
app.command("diff")(finished_runs.diff)
app.command("export")(finished_runs.export)
app.command("gallery")(finished_runs.gallery)
app.add_typer(data_app, name="data")
app.add_typer(audit_app, name="audit")
app.add_typer(key_app, name="key")


def main() -> NoReturn:
    """Run the command; every error is one line on stderr and an exit code.

    The process and those it starts hold keys or plain images: they leave no core dumps.
    """
    forbid_core_dumps()
    try:
        # --debug is for every command: it is looked for in the command line, and told to none.
        arguments = [one for one in sys.argv[1:] if one != "--debug"]
        result = app(args=arguments, standalone_mode=False)
        code = result if isinstance(result, int) else EXIT_OK
    except typer.Exit as stop:
        code = stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except CompareError as error:
        if "--debug" in sys.argv:
            raise
        print(_told(error), file=sys.stderr)
        code = error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_OK
    except Exception as error:
        code = _other_error(error)
    if code == EXIT_INTERRUPTED:  # the parser turns Ctrl-C into this code
        print("interrupted; run the same command again to resume", file=sys.stderr)
    sys.exit(code)


def _told(error: CompareError) -> str:
    """Return an error as one line; where a name is unknown, the nearest ones are a second line."""
    if isinstance(error, UnknownNameError) and error.fix:
        return f"error: {error.problem}\n{error.fix}"
    return f"error: {error}"


def _other_error(error: Exception) -> int:
    """Print usage errors of the command line parser, and errors that were not foreseen."""
    shown = getattr(error, "format_message", None)
    if shown is not None:
        print(f"error: {shown()} (see `compare --help`)", file=sys.stderr)
        return int(getattr(error, "exit_code", 2))
    if "--debug" in sys.argv:
        raise error
    text = " ".join(str(error).split())
    print(
        f"internal error: {type(error).__name__}: {text} (run again with --debug for the trace)",
        file=sys.stderr,
    )
    return EXIT_INTERNAL


if __name__ == "__main__":
    main()
