"""Public material whose numbers ask for gigabytes is refused before any of them is taken."""

from __future__ import annotations

import json
import resource
import time
from typing import Any

import numpy as np
import pytest

from he_compare.common.backbones.state_size import require_convnet_state, require_vit_state
from he_compare.common.errors import MessageError
from he_compare.common.plugins import load
from he_compare.common.service.wire import pack

BACKBONE = "deit_tiny_patch16_224"
STATE = np.zeros(200, np.uint8)
HUGE = [35_200, 4_000_000, 2**31, 2**63, 10**30, -1, 0]


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def refused_at_once(pipeline: str, material: bytes) -> None:
    before, start = peak(), time.process_time()
    with pytest.raises(MessageError):
        load("pipelines", pipeline).load_server(material)
    assert peak() - before < 100_000  # KiB
    assert time.process_time() - start < 2


@pytest.fixture(scope="module", autouse=True)
def _libraries() -> None:
    """Import what the first load imports, so that memory and time are those of the message."""
    import torch  # noqa: F401

    from he_compare.common.backbones.deit import build_vit

    build_vit(BACKBONE, image_size=32, classes=2, weights="untrained", seed=0)


@pytest.mark.parametrize("field", ["image_size", "outputs"])
@pytest.mark.parametrize("value", HUGE)
def test_plaintext(field: str, value: int) -> None:
    if field == "outputs" and value == 0:
        pytest.skip("a network without a head is one")
    setup = {"backbone": BACKBONE, "image_size": 32, "outputs": 2} | {field: value}
    refused_at_once("plaintext", pack({"state": STATE}, {"setup": json.dumps(setup)}))


@pytest.mark.parametrize("field", ["image_size", "classes"])
@pytest.mark.parametrize("value", HUGE)
def test_convnet(field: str, value: int) -> None:
    setup = {"statistics": BACKBONE, "image_size": 32, "classes": 2, "stem": "imagenet"} | {
        field: value
    }
    refused_at_once("convnet", pack({"state": STATE}, {"setup": json.dumps(setup)}))


SCRAMBLED: list[dict[str, Any]] = [
    *({"image_size": value} for value in HUGE),
    *({"classes": value} for value in HUGE),
    *({"patch": value} for value in HUGE),
    *({"embeddings": value} for value in HUGE),
    {"image_size": 2048, "patch": 1},
    {"image_size": 2048, "patch": 2, "embeddings": 1 << 20},
    {"image_size": 1024, "patch": 8, "embeddings": 1 << 14},
    {"classes": 128, "image_size": 2048, "patch": 16},
    {"models": 16},
    {"models": 10**12},
    {"infer_batch": 10**12},
    {"mean": [float("nan")] * 3},
    {"std": [0.0, 1.0, 1.0]},
    {"backbone": "x" * 5000},
]


@pytest.mark.parametrize("changes", SCRAMBLED)
@pytest.mark.parametrize("pipeline", ["block-scramble", "block-scramble-convnet"])
def test_block_scramble(pipeline: str, changes: dict[str, Any]) -> None:
    header = {"backbone": BACKBONE, "image_size": 32, "patch": 16, "classes": 2} | changes
    if pipeline == "block-scramble-convnet":
        header["architecture"] = "resnet18"
    refused_at_once(pipeline, pack({"state 0": STATE}, {"header": json.dumps(header)}))


def test_a_state_as_large_as_its_network_passes() -> None:
    width, patches = 192, (224 // 16) ** 2
    needed = 4 * width * (patches + 3 * 16 * 16 + 2)
    sizes = {"image_size": 224, "patch": 16, "outputs": 2}
    require_vit_state(bytes(needed), BACKBONE, **sizes)
    with pytest.raises(MessageError, match="too small"):
        require_vit_state(bytes(needed - 1), BACKBONE, **sizes)
    require_convnet_state(bytes(4 * 512 * 2), image_size=224, outputs=2)
    with pytest.raises(MessageError, match="too small"):
        require_convnet_state(bytes(4 * 512 * 2 - 1), image_size=224, outputs=2)


@pytest.mark.parametrize("metadata", [{}, {"setup": "null"}, {"setup": "[]"}, {"setup": "{}"}])
@pytest.mark.parametrize("pipeline", ["plaintext", "convnet"])
def test_material_without_a_whole_setup_is_refused(pipeline: str, metadata: dict[str, str]) -> None:
    with pytest.raises(MessageError):
        load("pipelines", pipeline).load_server(pack({"state": STATE}, metadata))


@pytest.mark.parametrize("value", ["2", 2.0, True, None, [2], {"a": 2}])
def test_numbers_of_another_kind_are_refused(value: Any) -> None:
    setup = {"backbone": BACKBONE, "image_size": 32, "outputs": value}
    with pytest.raises(MessageError, match="outputs in public material"):
        load("pipelines", "plaintext").load_server(
            pack({"state": STATE}, {"setup": json.dumps(setup)})
        )
