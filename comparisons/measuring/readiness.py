"""The answer of `compare data check`: whether a dataset can be run as it is.

If it cannot, which option makes it so.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from he_compare.common.datasets.opened.inspection import MAX_NAMED, DatasetCheck
from he_compare.common.errors import UsageError
from he_compare.common.run.copies_words import copies_sentence, near_sentence, tested_sentence
from he_compare.common.run.positive import NONE_NAMED, how_to_name, note_none_named
from he_compare.common.run.records import CopiesFacts

# Below this number of test images a share of them says next to nothing.
FEW_TESTED = 20


@dataclass(frozen=True)
class Advice:
    """One thing to know before a run. ``option``: what to pass; '' where nothing need be."""

    text: str
    option: str = ""


@dataclass(frozen=True)
class Readiness:
    """``problem`` and ``fix``: why it cannot be run as it is, '' where it can."""

    problem: str = ""
    fix: str = ""
    advice: list[Advice] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Return whether it can be run as it is."""
        return not self.problem

    def as_json(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        return {"ready": self.ready, **asdict(self)}

    def lines(self, command: str) -> list[str]:
        """Lay the answer out; ``command``: what runs it."""
        if not self.ready:
            fix = [f"  what to do: {self.fix}"] if self.fix else []
            return [f"CANNOT BE RUN AS IT IS: {self.problem}", *fix, *self._advice()]
        return [f"can be run as it is: {command}", *self._advice()]

    def _advice(self) -> list[str]:
        return [
            f"  - {one.text}" + (f", pass {one.option}" if one.option else "")
            for one in self.advice
        ]


def refused(error: UsageError) -> Readiness:
    """Return the answer where a dataset could not be opened."""
    return Readiness(error.problem, error.fix)


def readiness_of(found: DatasetCheck, copies: CopiesFacts, classes_fit: str = "") -> Readiness:
    """Return the answer for a dataset that was opened and looked at.

    ``copies``: what was found and done about copies across splits. ``classes_fit``: the pipelines
    that would not run for the number of classes, in words.
    """
    advice = [*_copies(copies), *_positive(found), *_patients(found), *_smallest(found)]
    advice = [*(Advice(note) for note in found.notes if _is_loss(note)), *advice]
    advice += [Advice(classes_fit)] if classes_fit else []
    if found.unreadable:
        count = len(found.unreadable)
        named = "; ".join(found.unreadable[:MAX_NAMED])
        more = f"; and {count - MAX_NAMED:,} more" if count > MAX_NAMED else ""
        images = "one image" if count == 1 else f"{count:,} images"
        return Readiness(
            f"{images} cannot be read: {named}{more}", "restore or remove these files", advice
        )
    return Readiness(advice=advice)


def _copies(facts: CopiesFacts) -> list[Advice]:
    told = []
    if facts.count and facts.compared:
        other = "drop" if facts.policy == "keep" else "keep"
        told.append(
            Advice(
                "; ".join(filter(None, (copies_sentence(facts), tested_sentence(facts))))
                + "; to have it the other way",
                f"--copies {other}",
            )
        )
    elif not facts.compared:
        told.append(Advice(copies_sentence(facts)))
    if facts.near.test_images or facts.near.not_compared:
        told.append(Advice(near_sentence(facts.near)))
    return told


def _is_loss(note: str) -> bool:
    """Say whether a note tells of files that were left out, or of labels that contradict."""
    return note.startswith("other files in") or "with different labels" in note


def _positive(found: DatasetCheck) -> list[Advice]:
    if not note_none_named(found.card):
        return []
    text = f"{NONE_NAMED}, so sensitivity and specificity are not computed"
    return [Advice(text, how_to_name(found.card.classes))]


def _patients(found: DatasetCheck) -> list[Advice]:
    if found.patients_known:
        return []
    named = next((note for note in found.notes if "--csv-columns group=" in note), "")
    if named:
        return [Advice(f"patients are not known, splits may share them: {named}")]
    text = (
        "patients are not known, so that splits may share them and intervals may be too narrow: "
        "give a table with a column group, or, where each patient has a folder"
    )
    return [Advice(text, "--group-by folder")]


def _classes(count: int) -> str:
    return "1 class has" if count == 1 else f"{count} classes have"


def _smallest(found: DatasetCheck) -> list[Advice]:
    split, label, count = found.smallest_class()
    told = [Advice(f"smallest class: {label!r} with {count:,} images in the {split} split")]
    few = {
        name: number
        for name, number in found.splits["test"].per_class.items()
        if number < FEW_TESTED
    }
    if few:
        named = ", ".join(f"{name!r} {number}" for name, number in list(few.items())[:MAX_NAMED])
        told.append(
            Advice(
                f"{_classes(len(few))} fewer than {FEW_TESTED} test images ({named}): intervals "
                "will be wide"
            )
        )
    return told
