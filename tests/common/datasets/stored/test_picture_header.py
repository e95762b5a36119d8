"""No byte in front of the pixels can change without being seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_compare.common.datasets.stored.picture_file import (
    FACT_BYTES,
    PIXELS_AT,
    StoreHeader,
    header_block,
    header_of,
)
from he_compare.common.errors import IntegrityError


@pytest.mark.parametrize("place", [300, 500, 2451, 3951, PIXELS_AT - 1])
@pytest.mark.parametrize("bit", [0, 3, 6])
def test_a_bit_behind_the_header_is_seen(place: int, bit: int, tmp_path: Path) -> None:
    header = StoreHeader(
        listing="0" * 64,
        reader="1" * 64,
        count=1,
        side=1,
        channels=1,
        looks=False,
        facts_sha256="2" * 64,
    )
    path, block = tmp_path / "one.pictures", bytearray(header_block(header))
    path.write_bytes(bytes(block) + bytes(1 + FACT_BYTES))
    assert header_of(path) == header
    block[place] ^= 1 << bit
    path.write_bytes(bytes(block) + bytes(1 + FACT_BYTES))
    with pytest.raises(IntegrityError):
        header_of(path)
