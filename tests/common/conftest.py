"""Fixtures for tests of plug-ins."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from he_compare.common import plugins
from tests.support.distributions import write_distribution


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Return a function that installs a distribution: its entry points and its modules."""
    before = set(sys.modules)

    def write(name: str, entries: dict[str, str], **modules: str) -> Path:
        site = write_distribution(tmp_path / name, name, entries, modules)
        monkeypatch.syspath_prepend(str(site))
        plugins.survey.cache_clear()
        return site

    plugins.survey.cache_clear()
    plugins._warn_once.cache_clear()
    yield write
    plugins.survey.cache_clear()
    for module in set(sys.modules) - before:
        if "." not in module and not module.startswith("he_compare"):
            del sys.modules[module]
