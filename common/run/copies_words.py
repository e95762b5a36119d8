"""What the counts of copies say, in sentences."""

from __future__ import annotations

from collections.abc import Mapping

from he_compare.common.run.records import CopiesFacts, NearCopiesFacts


def copies_sentence(facts: CopiesFacts) -> str:
    """Say how many images equal one of a later split, and what was done with them."""
    if not facts.compared:
        return f"copies across splits were not looked for: {facts.not_compared}"
    if not facts.count:
        return f"no image equals one of another split (compared by {facts.compared})"
    held = "; ".join(
        f"{sum(counts.values()):,} {split} ({by_class(counts)})"
        for split, counts in facts.copies.items()
        if counts
    )
    is_left = facts.policy == "drop"
    return (
        f"{images(facts.count)} that {'equals' if facts.count == 1 else 'equal'} one of a later "
        f"split {'was' if facts.count == 1 else 'were'} {'left out' if is_left else 'kept'}: {held}"
        f"; compared by {facts.compared}"
    )


def tested_sentence(facts: CopiesFacts) -> str:
    """Say how many test images have a copy; '' where none has."""
    if not facts.test_images:
        return ""
    found = "equalled" if facts.policy == "drop" else "equals"
    return (
        f"{images(facts.test_images, 'test image')}, {facts.test_share:.1%} of the test split "
        f"({by_class(facts.test_per_class)}): a training or validation image {found} each"
    )


def near_sentence(facts: NearCopiesFacts) -> str:
    """Say how many test images have a near copy, and by which rule."""
    if facts.not_compared:
        return f"near copies were not looked for: {facts.not_compared}"
    turns = "mirrored or turned images included" if facts.turns else "not mirrored or turned"
    rule = (
        f"perceptual hash of {facts.bits} bits, at most {facts.threshold} of which differ, {turns}"
    )
    if not facts.test_images:
        return f"no test image looks almost like a training or validation image ({rule})"
    look = "looks" if facts.test_images == 1 else "look"
    return (
        f"{images(facts.test_images, 'test image')}, {facts.test_share:.1%} of the test split "
        f"({by_class(facts.test_per_class)}), {look} almost like a training or validation image "
        f"({rule})"
    )


def by_class(counts: Mapping[str, int]) -> str:
    """List counts by class."""
    return ", ".join(f"{count:,} {label}" for label, count in counts.items())


def images(count: int, what: str = "image") -> str:
    """Return a count of images in words."""
    return f"{count:,} {what}{'s' * (count != 1)}"
