"""Concrete ML, imported late, kept quiet and kept out of the user's folders.

Concrete ML 1.9 takes seconds to import, prints to standard output and leaves temporary folders
with compiled circuits behind; its deployment types read and write folders. Everything here runs it
with private folders (mode 0700) that are removed.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import io
import logging
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from he_compare.common.contracts import Availability
from he_compare.common.errors import UnavailableError
from he_compare.common.memory_errors import lacks_memory, memory_error

VERSION = "1.9.0"
INSTALL = f"pip install concrete-ml=={VERSION} (its licence grants no patent rights)"
SUPPORTED = {("linux", "x86_64"), ("darwin", "arm64")}
PREFIX = "compare-tfhe-"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Concrete:
    """The parts of Concrete and Concrete ML that are used."""

    fhe: Any
    logistic_regression: Any
    sgd_classifier: Any
    dev: Any
    client: Any
    server: Any
    training_mode: Any
    versions: dict[str, str]


def availability() -> Availability:
    """Say whether Concrete ML can be imported, without importing it."""
    machine = platform.machine().lower().replace("amd64", "x86_64")
    if sys.version_info >= (3, 13):
        return Availability(
            False,
            f"Concrete ML {VERSION} exists for Python 3.8 to 3.12, this is Python "
            f"{sys.version_info.major}.{sys.version_info.minor}",
            "use Python 3.11 or 3.12",
        )
    if (sys.platform, machine) not in SUPPORTED:
        return Availability(
            False,
            f"Concrete ML {VERSION} has no wheel for {sys.platform} on {machine}",
            "use Linux on x86-64 or macOS on arm64",
        )
    for package in ("concrete", "concrete.fhe", "concrete.ml"):
        if importlib.util.find_spec(package) is None:
            return Availability(False, "Concrete ML is not installed", INSTALL)
    return Availability(True)


@cache
def load_concrete() -> Concrete:
    """Import Concrete ML. Raises UnavailableError with the fix."""
    found = availability()
    if not found.available:
        raise UnavailableError(found.reason, fix=found.fix)
    # LLVM's OpenMP runtime, which Concrete computes with, keeps its threads spinning for 200 ms
    # after each computation unless told otherwise: on few cores the next image waits for that.
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    try:
        with quiet():
            from importlib.metadata import version

            from concrete import fhe
            from concrete.ml import deployment, sklearn
            from concrete.ml.deployment.fhe_client_server import DeploymentMode
    except (ImportError, OSError) as error:
        if lacks_memory(error):
            raise memory_error(error, "the libraries of Concrete ML") from None
        raise UnavailableError(f"Concrete ML cannot be imported: {error}", fix=INSTALL) from None
    _keep_exit_code()
    return Concrete(
        fhe,
        sklearn.LogisticRegression,
        sklearn.SGDClassifier,
        deployment.FHEModelDev,
        deployment.FHEModelClient,
        deployment.FHEModelServer,
        DeploymentMode.TRAINING,
        {name: version(name) for name in ("concrete-ml", "concrete-python")},
    )


def _keep_exit_code() -> None:
    """Take back what Concrete registers to be run when a process ends.

    It stops a runtime for distributed circuits, which is not used here, and ends a process that has
    evaluated a circuit with code 0 whatever went wrong.
    """
    from concrete import compiler

    stop = getattr(compiler, "_terminate_df_parallelization", None)
    if stop is not None:
        atexit.unregister(stop)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what is printed, to either stream, to the log."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            yield
    finally:
        for line in printed.getvalue().splitlines():
            logger.debug("concrete: %s", line)


def private_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder of mode 0700, removed when closed, collected or at exit.

    A process that was killed leaves its folder (circuits and weights, no keys): the next one
    removes it.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = left.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", ignore_cleanup_errors=True)


@contextlib.contextmanager
def temporary_files_in(folder: str) -> Iterator[None]:
    """Make the library put its temporary folders, which it never removes, into ``folder``."""
    before = tempfile.tempdir
    tempfile.tempdir = folder
    try:
        with quiet(), torch_threads_kept():
            yield
    finally:
        tempfile.tempdir = before


@contextlib.contextmanager
def torch_threads_kept() -> Iterator[None]:
    """Undo what the library does to torch: its converter sets the threads to all cores.

    The backbone runs in the same process and is pinned to the run's threads; two threads on a busy
    machine were seen to take ten times as long as one.
    """
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
