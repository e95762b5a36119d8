"""How many threads the numeric libraries of this process compute with."""

from __future__ import annotations

import os
import sys

import psutil
from threadpoolctl import threadpool_info, threadpool_limits

from he_compare.common.environment import thread_environment

# Their runtimes read the number of threads once, when they are loaded.
FIXED_AT_LOAD = ("concrete",)


def use_threads(threads: int) -> None:
    """Let the numeric libraries of this process compute with so many threads.

    Those that are loaded (BLAS, OpenMP, torch) are told; those that are loaded later read the
    environment. OpenMP counts for each thread of Python: call it on the one that computes.
    """
    os.environ.update(thread_environment(threads))
    threadpool_limits(limits=threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


def change_threads(threads: int) -> bool:
    """Let this process compute as if it had been started with so many threads.

    False where that cannot be had: a library that is loaded reads the number once, or this process
    has started others.
    """
    if any(name in sys.modules for name in FIXED_AT_LOAD) or psutil.Process().children():
        return False
    use_threads(threads)
    torch = sys.modules.get("torch")
    told = {one["num_threads"] for one in threadpool_info()}
    return told | ({torch.get_num_threads()} if torch else set()) <= {threads}
