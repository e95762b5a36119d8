"""Training under encryption in detail: memory, one upload or rounds, and what was chosen."""

from __future__ import annotations

from he_compare.common.run.encrypted_training import EncryptedTraining, encrypted_trainings
from he_compare.common.run.spelling import duration, fixed
from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import (
    Block,
    Figure,
    Paragraph,
    Section,
    inline,
)
from he_compare.reports.figures.block import drawn
from he_compare.reports.figures.convergence import convergence_plot
from he_compare.reports.figures.upload import levels_plot, rounds_plot
from he_compare.reports.naming import short_title
from he_compare.reports.section import ReportSection
from he_compare.reports.training_tables import (
    came_out_table,
    choice_blocks,
    design_table,
    spent_table,
)

WORDS = (
    "The server computes on ciphertexts with the evaluation keys alone. With one upload, nothing "
    "goes back to the client before the last step; a refresh lets the client decrypt the weights, "
    "which are its own, and encrypt them anew. The clear twin does the same arithmetic in floating "
    "point: the difference between the two is the noise of CKKS."
)
PROTECTED = (
    "What this protects: images, features and labels, and the weights while they are trained, from "
    "a server that follows the protocol. It does not stop a server that sends back a wrong head. "
    "It does not hide the shape of the task, nor the lengths of the steps, which depend on "
    "features and labels where they are chosen (see “Trust boundary”). Whoever sees the decrypted "
    "head may learn single training images from it."
)
CHOSEN = (
    "The client chose the numbers below by training heads in the clear, on the same training rows, "
    "before it encrypted anything. So it had a trained head before the server had one. Nothing is "
    "trained in the clear for a choice only where steps and components are given and the schedule "
    "is plain or nesterov."
)
CONVERGENCE = (
    "Where the client refreshes: the relative difference of the encrypted weights to the twin's. "
    "With one upload: the largest logit of each step and the interval that its polynomial is made "
    "for; the first step starts from zero weights and needs no polynomial."
)
LEVELS = (
    "How many steps one upload allows, by the levels of the parameter set: computed, not measured. "
    "Every published set is a point; more steps than its stairs hold need a refresh by the client."
)
ROUNDS = (
    "Left: measured seconds after the upload, by the number of refreshes. Right: the same with the "
    "time that each refresh waits for the client, computed from it. A larger ring needs fewer "
    "rounds and more computation; with one upload there is nobody to wait for."
)


class TrainingsInDetail(ReportSection):
    """How training under encryption went: in loss, in rounds and bytes, in time."""

    order = 1460
    title = "Encrypted training in detail"
    anchor = "encrypted-training-detail"

    def sections(self, view: RunView) -> list[Section]:
        """Return course, rounds and choice, where a training under encryption ran."""
        found = encrypted_trainings(view)
        if not found:
            return []
        parts = (
            ("Noise, logits and memory", "encrypted-training-course", _course(view, found)),
            ("One upload or rounds", "encrypted-training-rounds", _rounds(view, found)),
            ("Chosen in the clear", "encrypted-training-choice", _choice(view, found)),
        )
        head = Section(
            self.title, 1, self.anchor, (Paragraph(inline(WORDS)), Paragraph(inline(PROTECTED)))
        )
        rest = [Section(title, 2, anchor, blocks) for title, anchor, blocks in parts if blocks]
        return [head, *rest]


def _course(view: RunView, found: list[EncryptedTraining]) -> tuple[Block, ...]:
    ends = [
        f"{short_title(view, one.pipeline)} ends at a loss of {fixed(one.stretches[-1].loss)}, "
        f"its twin at {fixed(one.stretches[-1].twin_loss)}"
        for one in found
    ]
    alt = f"Convergence: {'; '.join(ends)}"
    figure = drawn(lambda: convergence_plot(view), "convergence", CONVERGENCE, alt)
    return (*figure, came_out_table(view, found))


def _rounds(view: RunView, found: list[EncryptedTraining]) -> tuple[Block, ...]:
    waits = [
        f"{short_title(view, one.pipeline)}: {one.refresh_rounds} refreshes, "
        f"{duration(one.seconds)}"
        for one in found
    ]
    alt = f"Rounds against compute: {'; '.join(waits)}"
    rounds = drawn(lambda: rounds_plot(view), "rounds", ROUNDS, alt)
    sets = design_table(view, found)
    return (*rounds, spent_table(view, found), *_levels(view, found), *([sets] if sets else []))


def _choice(view: RunView, found: list[EncryptedTraining]) -> tuple[Block, ...]:
    blocks = choice_blocks(view, found)
    searched = any(one.choice and one.choice.rule for one in found)
    return (Paragraph(inline(CHOSEN)), *blocks) if searched else tuple(blocks)


def _levels(view: RunView, found: list[EncryptedTraining]) -> list[Figure]:
    used = [
        f"{point.name} with {point.levels} levels: {point.steps} from one upload"
        for one in found
        for point in one.design_space
        if point.chosen
    ]
    alt = f"Steps against levels: {'; '.join(dict.fromkeys(used)) or 'no set of this run'}"
    return drawn(lambda: levels_plot(view), "levels", LEVELS, alt)


SECTION = TrainingsInDetail()
