"""The hospital alone: why a server is used at all, and what working without one gives and not."""

from __future__ import annotations

from he_compare.common.run.encrypted_training import encrypted_trainings
from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import (
    Block,
    Bullets,
    Paragraph,
    inline,
)
from he_compare.reports.naming import short_title
from he_compare.reports.section import ReportSection

INTRODUCTION = (
    "nothing leaves the hospital: no server was started for it and no message was sent. "
    "So there is nothing to attack and nothing to protect from a server; “n/a” in the tables of "
    "attacks says that and no more: it is neither a pass nor a verdict. Where features are "
    "encrypted, as in MedBlindTuner, the hospital runs the whole network in any case, and the "
    "server evaluates or trains the last layer alone: one weight for each feature and a bias, for "
    "each class. The hospital can train and evaluate that layer by itself: this pipeline does."
)
WHY_A_SERVER = (
    "A server is used all the same where the head belongs to somebody else, who does not give it "
    "away; where features or labels of several owners are joined; where the head is sold as a "
    "service, by the image; or where the hospital has no machine for the network. The last is no "
    "reason for a pipeline whose client runs the network itself, as those on features do."
)
NOT_FOR_TRAINING = (
    "None of these is a reason for training on ciphertexts as it runs here: one hospital uploads "
    "its own features and labels, runs the network itself, and gets the head."
)
NOT_GIVEN = (
    "What it does not give: a model that the hospital does not have, more data than its own, and "
    "protection of its own machines: whoever breaks into them has images, network and head in the "
    "clear. All of that was outside what attacks on a server test, and was not tested."
)


class WithoutServer(ReportSection):
    """The same work without a server, beside the pipelines that have one."""

    order = 1230
    level = 2
    title = "Hospital alone"
    anchor = "hospital-alone"

    def blocks(self, view: RunView) -> list[Block]:
        """Return why there are servers and what none means; nothing where all have one."""
        alone = [short_title(view, one) for one in view.pipelines if one.no_server]
        if not alone:
            return []
        why = [WHY_A_SERVER, *[NOT_FOR_TRAINING] * bool(encrypted_trainings(view)), NOT_GIVEN]
        said = tuple(inline(words) for words in why)
        return [
            Paragraph(inline(f"{', '.join(alone)}: {INTRODUCTION}")),
            Bullets(said),
        ]


SECTION = WithoutServer()
