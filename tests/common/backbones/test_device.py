"""The name of a device is resolved to what there is, and full memory halves the work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from he_compare.common import environment
from he_compare.common.backbones import device as devices_module
from he_compare.common.backbones.deit import predict_logits
from he_compare.common.backbones.device import (
    Device,
    batch_limit,
    device_name,
    devices,
    resolve_device,
    with_smaller_batches,
)
from he_compare.common.errors import CellError, UsageError

PROCESSOR = Device("cpu", "Some CPU", 8 << 30)
FIRST = Device("cuda:0", "Some GPU", 16 << 30, "bfloat16")
SECOND = Device("cuda:1", "Some GPU", 16 << 30, "bfloat16")
OLDER = Device("cuda:0", "Older GPU", 8 << 30, "float16")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices_module, "devices", lambda: (PROCESSOR, FIRST, SECOND))


def full_memory(count: int) -> torch.cuda.OutOfMemoryError:
    return torch.cuda.OutOfMemoryError(f"CUDA out of memory. Tried to hold {count} images")


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:01", "cuda:-1", "cpu:0", "", "cuda:99999"])
def test_what_is_no_name_of_a_device_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="pass auto, cpu, cuda, cuda:N or mps"):
        device_name(text)


def test_names_are_read_in_any_case() -> None:
    assert device_name(" CUDA:3 ") == "cuda:3"


def test_the_cpu_is_a_device_with_a_name_and_memory() -> None:
    first = devices()[0]
    assert first.name == "cpu"
    assert first.identity in ("cpu", "cpu bfloat16")
    assert first.model and first.memory_bytes > 0


@pytest.mark.parametrize(
    ("flags", "precision", "identity"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 gfni", "bfloat16", "cpu bfloat16"),
        ("flags\t\t: fpu avx512f gfni", "float32", "cpu"),
        ("Features\t: fp asimd bf16", "float32", "cpu"),
    ],
)
def test_a_cpu_that_multiplies_bfloat16_trains_in_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, precision: str, identity: str
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{flags}\n", encoding="utf-8")
    monkeypatch.setattr(environment, "CPUINFO", cpuinfo)
    for cached in (environment.multiplies_bfloat16, devices_module.devices):
        cached.cache_clear()
    try:
        assert (devices()[0].precision, devices()[0].identity) == (precision, identity)
    finally:
        for cached in (environment.multiplies_bfloat16, devices_module.devices):
            cached.cache_clear()


def test_auto_takes_the_first_gpu_and_else_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices_module, "devices", lambda: (PROCESSOR, FIRST, SECOND))
    assert resolve_device("auto") == resolve_device("cuda") == FIRST
    assert resolve_device("cuda:1") == SECOND
    monkeypatch.setattr(devices_module, "devices", lambda: (PROCESSOR,))
    assert resolve_device("auto") == PROCESSOR


@pytest.mark.usefixtures("two_gpus")
def test_a_device_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"'cuda:7'.*cpu, cuda:0, cuda:1") as caught:
        resolve_device("cuda:7")
    assert "--device auto" in caught.value.fix
    with pytest.raises(UsageError, match="'mps'"):
        resolve_device("mps")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_reason_is_given() -> None:
    with pytest.raises(UsageError, match=r"no device 'cuda' on this machine: torch .* (CUDA|GPU)"):
        resolve_device("cuda")


def test_results_of_equal_gpus_are_kept_alike_and_those_of_others_apart() -> None:
    assert FIRST.identity == SECOND.identity
    assert len({PROCESSOR.identity, FIRST.identity, OLDER.identity}) == 3


def test_work_is_halved_until_the_memory_holds_it() -> None:
    tried = []

    def compute(count: int) -> str:
        tried.append(count)
        if count > 3:
            raise full_memory(count)
        return "done"

    assert with_smaller_batches(compute, 16) == ("done", 2)
    assert tried == [16, 8, 4, 2]


def test_one_image_too_many_is_an_error_with_a_way_out() -> None:
    def compute(count: int) -> None:
        raise full_memory(count)

    with pytest.raises(CellError, match=r"does not hold 1 image.*--device cpu"):
        with_smaller_batches(compute, 4)


def test_any_other_error_is_left_alone() -> None:
    def compute(count: int) -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        with_smaller_batches(compute, 4)


class Means(torch.nn.Module):
    """Mean colour of each image; memory for ``most`` of them."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.most = most
        self.given: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.given.append(len(images))
        if len(images) > self.most:
            raise full_memory(len(images))
        return images.mean(dim=(2, 3)) * self.weight


@pytest.fixture
def images() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (21, 8, 8, 3), dtype=np.uint8)


def test_predictions_are_the_same_when_memory_runs_out(images: np.ndarray) -> None:
    mean, std = np.zeros(3, np.float32), np.ones(3, np.float32)
    whole = predict_logits(Means(100), images, mean, std, 16)
    narrow = Means(5)
    np.testing.assert_allclose(predict_logits(narrow, images, mean, std, 16), whole, rtol=1e-6)
    assert narrow.given == [16, 8, 4, 4, 4, 4, 4, 1]
    # The next call begins with what was held.
    assert batch_limit(narrow) == 4
    predict_logits(narrow, images[:4], mean, std, 16)
    assert narrow.given[-1] == 4


def test_nothing_is_halved_where_memory_suffices(images: np.ndarray) -> None:
    roomy = Means(100)
    predict_logits(roomy, images, np.zeros(3, np.float32), np.ones(3, np.float32), 16)
    assert roomy.given == [16, 5]
    assert batch_limit(roomy) is None
