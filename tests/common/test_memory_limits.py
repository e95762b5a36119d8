"""What bounds memory, and the words in which its lack is told."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from he_compare.common.errors import MemoryShortError
from he_compare.common.memory_errors import (
    ending_words,
    is_of_loading,
    killed_for_memory,
    lacks_memory,
    memory_error,
)
from he_compare.common.memory_limits import (
    ADDRESS_SPACE,
    CONTAINER,
    MACHINE,
    free_memory,
    most_memory,
    oom_kills,
)

GB = 1_000_000_000


def proc(folder: Path, groups: str, kills: int = 0) -> Path:
    """Write what the system says of this process's control groups."""
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "self" / "cgroup").write_text(groups)
    (folder / "proc" / "vmstat").write_text(f"nr_free_pages 12\noom_kill {kills}\n")
    return folder / "proc"


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_the_tightest_group_of_version_2_bounds_and_files_in_memory_are_free(
    tmp_path: Path,
) -> None:
    root = tmp_path / "groups"
    group(root / "a", memory__max="400000000", memory__current="300000000")
    (root / "a" / "memory.stat").write_text("anon 9\ninactive_file 50000000\nactive_file 1000000\n")
    group(root / "a" / "b", memory__max="max", memory__current="300000000")
    found = free_memory(proc(tmp_path, "0::/a/b\n"), root)
    assert (found.bytes, found.bound) == (151_000_000, CONTAINER)
    assert most_memory(tmp_path / "proc", root) == 400_000_000


def test_version_1_is_read_where_a_container_sees_its_group_as_the_root(tmp_path: Path) -> None:
    root = tmp_path / "groups"
    group(
        root / "memory",
        memory__limit_in_bytes="200000000",
        memory__usage_in_bytes="250000000",
    )
    found = free_memory(proc(tmp_path, "9:cpu:/\n4:memory:/docker/x\n0::/\n"), root)
    assert (found.bytes, found.bound) == (0, CONTAINER)


@pytest.mark.parametrize("limit", ["max", "9223372036854771712", "", "many"])
def test_a_group_without_a_limit_bounds_nothing(tmp_path: Path, limit: str) -> None:
    root = tmp_path / "groups"
    group(root, memory__max=limit, memory__current="5")
    group(root / "memory", memory__limit_in_bytes=limit, memory__usage_in_bytes="5")
    found = free_memory(proc(tmp_path, "4:memory:/\n0::/\nnonsense\n"), root)
    assert found.bound == MACHINE and found.bytes > GB / 10


def test_without_any_of_these_files_the_machine_bounds(tmp_path: Path) -> None:
    assert free_memory(tmp_path, tmp_path).bound == MACHINE
    assert oom_kills(tmp_path, tmp_path) == 0


def test_kills_of_the_group_and_of_the_machine_are_counted(tmp_path: Path) -> None:
    root = tmp_path / "groups"
    group(root / "a", memory__events="low 0\noom 3\noom_kill 2")
    group(root / "memory" / "a", memory__oom_control="oom_kill_disable 0\noom_kill 1")
    assert oom_kills(proc(tmp_path, "4:memory:/a\n0::/a\n", kills=5), root) == 8


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no such limit")
def test_a_limit_on_the_address_space_bounds() -> None:
    code = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))\n"
        "from he_compare.common.memory_limits import free_memory\n"
        "found = free_memory()\nprint(found.bytes, found.bound)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    number, _, bound = done.stdout.strip().partition(" ")
    assert bound == ADDRESS_SPACE and 0 < int(number) < 1 << 31


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:83] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        ImportError("libtorch_cuda.so: failed to map segment from shared object"),
        OSError("libtorch_cuda.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_the_lack_of_memory_is_known_in_all_its_words(error: Exception) -> None:
    assert lacks_memory(error)
    told = memory_error(error, "the cell of plaintext")
    assert str(told).startswith("memory was too small for the cell of plaintext")
    assert "--workers" in told.fix and told.exit_code == 3
    assert memory_error(told, "something else") is told
    assert lacks_memory(MemoryShortError("memory"))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("out of memory"),
        RuntimeError("shapes do not match"),
        OSError(errno.ENOSPC, "No space left on device"),
        ImportError("No module named 'torch'"),
        KeyError("memory"),
    ],
)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not lacks_memory(error)


def test_what_cannot_be_loaded_has_not_begun() -> None:
    assert is_of_loading(ImportError("x")) and is_of_loading(OSError("libx.so: cannot open"))
    assert not is_of_loading(OSError(errno.ENOMEM, "x")) and not is_of_loading(MemoryError())


def test_the_end_of_a_process_is_told_with_what_is_known_of_it() -> None:
    now = oom_kills()
    assert ending_words(None, now) == "is still running"
    assert ending_words(3, now) == "exit code 3"
    assert ending_words(-6, now) == "exit code -6, SIGABRT"
    assert ending_words(-9, now) == "exit code -9, SIGKILL"
    assert ending_words(-9, now - 1) == "killed by the system for lack of memory, exit code -9"
    assert killed_for_memory(-9, now - 1) and not killed_for_memory(-11, now - 1)
