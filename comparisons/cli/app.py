"""The `compare` command: its sub-commands, and how errors become a line and an exit code.

Imports nothing heavy: a sub-command loads what it needs when it is called.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from he_compare.common.closed_memory import forbid_core_dumps
from he_compare.common.errors import EXIT_OK
from he_compare.comparisons.cli import finished_runs, hosting, installation, run, scrambling
from he_compare.comparisons.cli.audit import audit_app
from he_compare.comparisons.cli.data import data_app
from he_compare.comparisons.cli.ending import DEBUG, ended_by
from he_compare.comparisons.cli.keys import key_app
from he_compare.comparisons.cli.room import require_room_to_begin
from he_compare.comparisons.cli.settings import GroupedCommand
from he_compare.comparisons.cli.signals import StopListener
from he_compare.comparisons.cli.streams import flush_streams, secure_streams
from he_compare.comparisons.cli.study import study_app

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
app.command("host")(hosting.host)
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
app.add_typer(data_app, name="data")
app.add_typer(audit_app, name="audit")
app.add_typer(key_app, name="key")
app.add_typer(study_app, name="study")


def main() -> NoReturn:
    """Run the command; every error is one line on stderr and an exit code.

    The process and those it starts hold keys or plain images: they leave no core dumps.
    """
    secure_streams()
    forbid_core_dumps()
    _keep_own_files_open()
    try:
        with StopListener():
            code = _run()
    except KeyboardInterrupt as late:
        code = ended_by(late)
    sys.exit(code)


def _run() -> int:
    """Parse and run the command line, write what was printed; return the exit code."""
    # --debug is for every command: it is looked for in the command line, and told to none.
    arguments = [one for one in sys.argv[1:] if one != DEBUG]
    code = EXIT_OK
    try:
        require_room_to_begin(arguments)
        # Not ``app()``: that ends with 1 where a reader of the output has left.
        command = typer.main.get_command(app)
        with command.make_context("compare", arguments) as context:
            command.invoke(context)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        code = ended_by(error)
    failed = flush_streams()
    return (ended_by(failed) if failed is not None else EXIT_OK) or code


def _keep_own_files_open() -> None:
    """Drop from the umask what would close new files and folders to their owner, this process."""
    os.umask(os.umask(0o077) & 0o077)


if __name__ == "__main__":
    main()
