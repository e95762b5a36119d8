"""The orthogonal cipher: what rotation keeps, what its restricted variant moves."""

from __future__ import annotations

import numpy as np
import pytest

from he_compare.block_scramble.ciphers.orthogonal import CIPHER as ORTHOGONAL
from he_compare.block_scramble.ciphers.orthogonal import orthogonal_matrix
from he_compare.block_scramble.engine.shapes import ImageShape
from he_compare.common.errors import UsageError
from tests.support.smallciphers import KEY, blocks_of, pictures, prepare


@pytest.mark.parametrize("fraction", [None, 0.5, 1.0])
def test_orthogonal_keeps_norms_angles_and_comes_back_exactly(fraction: float | None) -> None:
    shape = ImageShape(32, 32, 3)
    images = pictures(shape, count=6)
    images[4:] = [[[[0]]], [[[255]]]]
    keyed = prepare(ORTHOGONAL, shape, patch=8, fraction=fraction)
    ciphertexts = keyed.encrypt(images)
    assert (keyed.decrypt(ciphertexts) == images).all()
    plain = np.array([block.ravel() for block in blocks_of(images[0], 8)], float)
    rotated = np.array([block.ravel() for block in blocks_of(ciphertexts[0], 8)], float)
    assert np.allclose(plain @ plain.T, rotated @ rotated.T, rtol=1e-5)
    assert abs(np.corrcoef(plain.ravel(), rotated.ravel())[0, 1]) < 0.6


def test_restricted_orthogonal_moves_exactly_its_share() -> None:
    shape = ImageShape(8, 8, 3)
    positions = np.arange(192, dtype=np.uint8).reshape(1, *shape)
    for fraction, moved in ((0.25, 48), (0.5, 96), (1.0, 192), (0.001, 2)):
        keyed = prepare(ORTHOGONAL, shape, patch=8, fraction=fraction)
        assert (keyed.encrypt(positions) != positions).sum() == moved


def test_orthogonal_matrices_are_orthogonal_and_their_entries_spread_evenly() -> None:
    matrix = orthogonal_matrix(KEY.stream("test"), 64)
    assert np.allclose(matrix @ matrix.T, np.eye(64), atol=1e-12)
    # Without moving the signs of R, the diagonal of Q is biased.
    traces = [np.trace(orthogonal_matrix(KEY.stream(str(i)), 3)) for i in range(2000)]
    assert abs(np.mean(traces)) < 0.1
    assert np.mean(np.square(traces)) == pytest.approx(1.0, abs=0.15)


def test_patches_too_large_for_a_matrix_are_refused() -> None:
    with pytest.raises(UsageError, match=r"12288 values.*at most 36"):
        prepare(ORTHOGONAL, ImageShape(64, 64, 3), patch=64)


def test_ciphertexts_of_another_cipher_are_refused_by_orthogonal() -> None:
    shape = ImageShape(16, 16, 3)
    keyed = prepare(ORTHOGONAL, shape, patch=8)
    good = keyed.encrypt(pictures(shape))
    for wrong in (pictures(shape), good[:, :8], np.where(good == good[0, 0, 0, 0], np.nan, good)):
        with pytest.raises(UsageError, match="ciphertexts are"):
            keyed.decrypt(wrong)
