"""What a command says of a host: contradictions are refused before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_compare.common.errors import UsageError
from he_compare.comparisons.measuring.host_asked import HostAsked, driver_name


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (HostAsked(token_file=Path("t")), "--token-file is given for no host"),
        (HostAsked("https://a:1"), "without a token"),
        (HostAsked("http://localhost:1", Path("t"), Path("ca")), "of no use"),
        (HostAsked("https://a:1", Path("t"), tls_cert=Path("c")), "belong together"),
        (HostAsked("https://a:1", Path("t"), tls_key=Path("k")), "belong together"),
        (HostAsked("http://a:1", Path("t")), "neither encrypted"),
    ],
)
def test_what_contradicts_itself_is_refused(asked: HostAsked, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        asked.check()


def test_a_driver_names_itself_alike_at_each_start_and_shows_no_path(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    name = driver_name(tmp_path / "run")
    assert name == driver_name(tmp_path / "run") != driver_name(tmp_path / "other" / "run")
    assert name.startswith("run ") and str(tmp_path) not in name
