"""Seeds, identities, clock, wire format and plug-in discovery."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from he_compare.common import environment
from he_compare.common.clock import Clock
from he_compare.common.errors import MessageError
from he_compare.common.identity import array_digest, key_of, source_digest
from he_compare.common.run.records import export_schema
from he_compare.common.seeds import generator_for, seed_for
from he_compare.common.service.wire import pack, unpack
from he_compare.common.study.study_records import StudyRecord
from he_compare.common.types import Per, Side, Stage


def test_a_seed_depends_on_its_own_names_only() -> None:
    assert seed_for(0, "dataset") == seed_for(0, "dataset")
    assert (
        len({seed_for(r, n) for r in range(5) for n in ("dataset", "model", "data", "set")}) == 20
    )
    assert seed_for(0, "a", "b") != seed_for(0, "ab")
    assert 0 <= seed_for(2**62, "x") < 2**63


def test_generators_of_one_name_agree() -> None:
    assert generator_for(3, "x").integers(1 << 60) == generator_for(3, "x").integers(1 << 60)


def test_a_key_does_not_depend_on_the_order_of_inputs_and_does_on_values() -> None:
    assert key_of(a=1, b=[1, 2]) == key_of(b=[1, 2], a=1)
    assert key_of(a=1) != key_of(a="1") != key_of(a=1.5)
    with pytest.raises(ValueError, match="Out of range"):
        key_of(a=float("nan"))


def test_array_digests_tell_shape_and_type_apart() -> None:
    flat = np.arange(6, dtype=np.uint8)
    variants = [flat, flat.reshape(2, 3), flat.reshape(3, 2), flat.astype(np.int16)]
    assert len({array_digest(a) for a in variants}) == 4


def test_source_digest_changes_with_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for number, text in enumerate(("x = 1\n", "x = 2\n")):
        (tmp_path / f"some_cipher_{number}.py").write_text(text)
    assert source_digest("some_cipher_0") != source_digest("some_cipher_1")
    with pytest.raises(ValueError, match="no source"):
        source_digest("no_such_module_anywhere")


def test_a_clock_keeps_raw_samples_and_refuses_nesting() -> None:
    clock = Clock(Side.CLIENT)
    for items in (1, 2):
        with clock.stage(Stage.ENCRYPT, items=items):
            pass
    key = (Stage.ENCRYPT, Side.CLIENT, Per.BATCH)
    assert clock.items[key] == [1, 2] and len(clock.samples[key]) == 2
    with (
        pytest.raises(RuntimeError, match="do not nest"),
        clock.stage(Stage.ENCODE),
        clock.stage(Stage.ENCRYPT),
    ):
        pass
    taken = clock.drain()
    assert taken.total() >= 0 and clock.samples == {}


@given(
    hnp.arrays(
        dtype=st.sampled_from([np.uint8, np.float32, np.int64, np.float64]),
        shape=hnp.array_shapes(min_dims=1, max_dims=4, max_side=5),
    ),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
def test_arrays_and_metadata_come_back_as_they_were(
    array: np.ndarray, metadata: dict[str, str]
) -> None:
    arrays, read = unpack(pack({"a": array}, metadata), expect={"a": (array.dtype.str, array.ndim)})
    assert array_digest(arrays["a"]) == array_digest(array)
    assert read == metadata


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_message_error(data: bytes) -> None:
    with pytest.raises(MessageError):
        unpack(data, expect={"a": ("uint8", 1)})


@pytest.mark.parametrize("cut", [1, 4, 9, 30])
def test_truncated_messages_are_refused(cut: int) -> None:
    data = pack({"a": np.arange(10, dtype=np.float32)}, {"k": "v"})
    with pytest.raises(MessageError):
        unpack(data[:-cut])


@pytest.mark.parametrize("expect", [{"b": ("uint8", 1)}, {"a": ("uint8", 2)}, {"a": ("int8", 1)}])
def test_arrays_of_another_name_type_or_shape_are_refused(
    expect: dict[str, tuple[str, int]],
) -> None:
    with pytest.raises(MessageError, match="array"):
        unpack(pack({"a": np.zeros(3, np.uint8)}), expect=expect)


def test_the_schema_describes_every_field() -> None:
    definitions = export_schema(StudyRecord)["$defs"]
    roots = {"RunRecord", "AttackOutcome", "Manifest", "ScoreSheet", "StudyRecord", "StudyRow"}
    assert roots <= set(definitions)
    for name in ("RunRecord", "Manifest", "ScoreSheet", "StudyRecord", "StudyRow"):
        for field, schema in definitions[name]["properties"].items():
            assert schema.get("description"), f"{name}.{field}"


PEAKS = """
import numpy as np
from he_compare.common.environment import peak_memory_bytes, reset_peak_memory

if reset_peak_memory():
    before = peak_memory_bytes()
    block = np.ones(64 << 20, np.uint8)
    during = peak_memory_bytes()
    del block
    reset_peak_memory()
    print(before, during, peak_memory_bytes())
"""


GROWTH = """
import numpy as np
from he_compare.common.environment import PeakMemory

held = np.ones(96 << 20, np.uint8)
memory = PeakMemory()
block = np.ones(48 << 20, np.uint8)
del block
taken = memory.taken()
if taken:
    print(taken.peak, taken.growth)
"""


def test_peak_memory_of_a_phase_leaves_out_what_was_held_before() -> None:
    told = subprocess.run(
        [sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True
    )
    if not told.stdout:
        pytest.skip("this system cannot reset the peak")
    peak, growth = map(int, told.stdout.split())
    assert peak > 140 << 20
    assert 40 << 20 < growth < 64 << 20


REUSED_HEAP = """
import platform
from he_compare.common.environment import PeakMemory

def work():
    return [bytes(2000) for _ in range(30_000)]

work()
memory = PeakMemory()
work()
taken = memory.taken()
if taken and platform.libc_ver()[0] == "glibc":
    print(taken.growth)
"""


def test_memory_that_earlier_work_left_free_does_not_hide_growth() -> None:
    told = subprocess.run(
        [sys.executable, "-c", REUSED_HEAP], capture_output=True, text=True, check=True
    )
    if not told.stdout:
        pytest.skip("this system does not give the heap back, or cannot reset the peak")
    assert int(told.stdout) > 40 << 20


def test_where_the_peak_cannot_be_reset_it_is_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment, "reset_peak_memory", lambda: False)
    assert environment.PeakMemory().taken() is None


def test_peak_memory_sees_an_allocation_and_can_start_anew() -> None:
    # A process of its own: the system may take idle memory back from a large one meanwhile.
    told = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    if not told.stdout:
        pytest.skip("this system cannot reset the peak")
    before, during, after = map(int, told.stdout.split())
    assert during - before > 50 << 20
    assert after < during - (30 << 20)


FREED_AND_TAKEN_AGAIN = """
import resource
import numpy as np
from he_compare.common.environment import keep_free_memory
assert keep_free_memory()
size = 40 << 20
np.ones(size, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(size, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_memory_that_was_freed_is_taken_again_without_the_kernel() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FREED_AND_TAKEN_AGAIN], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100, "a fault for each page, or each huge page, that is given anew"


def test_without_mallopt_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.ctypes, "CDLL", lambda _: object())
    assert environment.keep_free_memory.__wrapped__() is False
