"""Labels that may mean one class: alike but for case, spaces, Unicode form or the way of a number.

Whether "Normal" and "normal" are two classes is asked, never guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping

from he_compare.common.errors import DataError

MOST_SPELLINGS_NAMED = 5
NOT_A_LABEL = frozenset(
    [
        "nan",
        "<na>",
        "n/a",
        "na",
        "#n/a",
        "null",
        "none",
        "?",
        "-",
        "--",
        "missing",
        "unknown",
        "tbd",
    ]
)
_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?")
_BETWEEN_WORDS = re.compile(r"(?<=\w)[\s_-]+(?=\w)")


def refuse_alike(counts: Mapping[str, int], where: str, fix: str) -> None:
    """Refuse labels that differ in spelling only. ``counts``: images by label as it is spelled.

    Raises DataError that names the spellings with their counts.
    """
    by_meaning: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        by_meaning[_meaning(label)].append(label)
    alike = [sorted(labels) for labels in by_meaning.values() if len(labels) > 1]
    if not alike:
        return
    named = "; ".join(
        " and ".join(f"{_shown(label, labels)} ({counts[label]:,} images)" for label in labels)
        for labels in alike[:MOST_SPELLINGS_NAMED]
    )
    raise DataError(f"{where} spells what may be one class in several ways: {named}", fix=fix)


def refuse_no_labels(counts: Mapping[str, int], where: str) -> None:
    """Refuse words that stand for a missing label. Raises DataError with their count."""
    missing = [label for label in counts if label.casefold() in NOT_A_LABEL]
    if missing:
        total = sum(counts[label] for label in missing)
        raise DataError(
            f"{where} has no label for {total:,} images ({', '.join(map(repr, missing))})",
            fix="fill these in or leave the rows out",
        )


def refuse_several(counts: Mapping[str, int], where: str) -> None:
    """Refuse labels that join others, as "Edema|Mass". Raises DataError with their count."""
    known = set(counts)
    joined = [
        label
        for label in counts
        for mark in "|;,"
        if mark in label and {part.strip() for part in label.split(mark)} <= known
    ]
    if joined:
        total = sum(counts[label] for label in joined)
        raise DataError(
            f"{where} names several classes for {total:,} images, for instance {joined[0]!r}",
            fix="every image has one label here: choose one, or leave these images out",
        )


def _meaning(label: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", _visible(label)).casefold().split()).strip(
        " .,:;"
    )
    if _NUMBER.fullmatch(text):
        return repr(float(text))
    return _BETWEEN_WORDS.sub(" ", text)


def _visible(label: str) -> str:
    """Return a label without characters that show nothing, as spaces of no width."""
    return "".join(one for one in label if unicodedata.category(one) != "Cf")


def _shown(label: str, among: list[str]) -> str:
    """Return a label so that it can be told from the others, which may look the same."""
    looks = {" ".join(_visible(unicodedata.normalize("NFC", one)).split()) for one in among}
    # A line of an error has no two spaces in a row: they are shown as their number.
    return ascii(label).replace(" ", "\\x20") if len(looks) < len(among) else repr(label)
