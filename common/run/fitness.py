"""Whether a clinic could use a classifier of a run: a rule that can only say no, and why.

No run of this tool shows that a classifier is fit: that takes a prospective study at other
hospitals and an approval as a medical device (TRIPOD+AI, BMJ 385:e078378, 2024; Regulation (EU)
2017/745). What a run can show is how far it is from that. docs/explanation/clinical-use.md states
the rule.
"""

from __future__ import annotations

from dataclasses import dataclass

from he_compare.common.run.view import RunView

# Profiles that train on few images or for few epochs.
SHORT_PROFILES = frozenset({"smoke", "quick"})
NEEDED = (
    "Needed before that: a threshold fixed in advance, patients as they come at hospitals that "
    "gave no training images, a comparison with physicians, and approval as a medical device"
)


@dataclass(frozen=True)
class Fitness:
    """``verdict``: a few words for a heading. ``reasons``: sentences without a full stop, gravest
    first; never empty. ``needed``: what would be needed, one sentence."""

    verdict: str
    reasons: tuple[str, ...]
    needed: str

    @property
    def words(self) -> str:
        """All of it as one paragraph."""
        return ". ".join((self.verdict, *self.reasons, self.needed)) + "."


def fitness_of(view: RunView) -> Fitness:
    """Return whether a clinic could use the classifiers of a run, with the reasons why not."""
    grave = [*_of_images(view), *_of_model(view)]
    verdict = "Not fit for a clinic" if grave else "Not shown to be fit for a clinic"
    one_study = "All images come from one data set; no other hospital was tested"
    return Fitness(verdict, (*grave, *_of_sharing(view), one_study), NEEDED)


def _of_images(view: RunView) -> list[str]:
    reasons = []
    if view.manifest.dataset.card.synthetic:
        reasons.append("The images are synthetic: no number here is about patients")
    return reasons


def _of_model(view: RunView) -> list[str]:
    reasons = []
    if view.manifest.backbone.untrained:
        reasons.append("The network's weights are random")
    if view.manifest.profile in SHORT_PROFILES:
        reasons.append(f"This was a {view.manifest.profile} run: few images, short training")
    return reasons


def _of_sharing(view: RunView) -> list[str]:
    """Say what test images share with images that something was learnt from."""
    dataset, backbone = view.manifest.dataset, view.manifest.backbone
    reasons = []
    if set(backbone.pretrained_on) & set(dataset.card.collections):
        reasons.append("The network learnt from training images of the same collection")
    copies = dataset.copies
    if copies is not None and copies.policy == "keep" and copies.test_images:
        n = copies.test_images
        reasons.append(f"{n:,} of {view.n_test:,} test images equal a training image")
    if copies is not None and copies.near.test_images:
        n = copies.near.test_images
        reasons.append(f"{n:,} of {view.n_test:,} test images look almost like a training image")
    return reasons
