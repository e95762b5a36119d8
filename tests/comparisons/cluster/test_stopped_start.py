"""A signal while workers are started leaves nothing for Dask to fail on at exit."""

from __future__ import annotations

import atexit
from pathlib import Path
from typing import Any

import distributed
import pytest
from distributed.deploy.spec import close_clusters

from he_compare.comparisons.cluster import crew


def test_dask_closes_nothing_at_exit_that_never_came_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[Any] = []
    monkeypatch.setattr(atexit, "unregister", dropped.append)

    def stopped(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(distributed, "LocalCluster", stopped)
    with pytest.raises(KeyboardInterrupt):
        crew._cluster_here(2, tmp_path, None)
    assert dropped == [close_clusters]
