"""Words the report uses, and the sources it rests on."""

from __future__ import annotations

from he_compare.common.run.view import RunView
from he_compare.reports.document.nodes import Bullets, Inline, KeyValues, Link, Section, inline
from he_compare.reports.section import ReportSection

WORDS = (
    ("Accuracy", "Share of images whose predicted class is the true one."),
    ("Balanced accuracy", "Mean of the recalls of all classes."),
    ("AUC", "Area under the ROC curve; 0.5 is guessing, 1 ranks all images correctly."),
    ("Sensitivity", "Share of images of the positive class that were predicted positive."),
    ("Specificity", "Share of the other images that were not predicted positive."),
    ("Recall", "Share of the images of a class that were predicted as that class."),
    ("ECE", "Expected calibration error: mean gap of stated confidence and observed share."),
    ("Brier score", "Mean squared distance of the stated probabilities from the truth."),
    ("Interval", "95% interval; the method is named under its table."),
    (
        "Paired test",
        "Compares how often each of two pipelines is right where the other is wrong: McNemar's "
        "test, or its like over patients where a patient has several images.",
    ),
    ("p50, p90, p99", "The time that 50, 90 or 99 of 100 samples do not exceed."),
    ("Public material", "All bytes the server is started with: context, keys, weights."),
    ("FHE mode", "execute: on ciphertexts; simulate or clear: not; n/a: no such encryption."),
    ("Heuristic claim", "A claim without a proof that breaking it solves a known hard problem."),
    (
        "Deterministic",
        "Equal images give equal ciphertexts, so a server can recognise repetitions.",
    ),
)
OF_POSITIVES = ("Sensitivity", "Specificity")
REFERENCES = (
    ("Touvron et al. 2021, DeiT: data-efficient image transformers", "arXiv:2012.12877"),
    ("Cheon, Kim, Kim, Song 2017, CKKS: arithmetic of approximate numbers", "ePrint 2016/421"),
    ("Bossuat et al. 2024, Security guidelines for homomorphic encryption", "ePrint 2024/463"),
    ("Al Amin et al. 2024, ViT-enhanced privacy-preserving sharing", "arXiv:2411.05901"),
    ("Panzade, Takabi, Cai 2024, MedBlindTuner", "arXiv:2401.09604"),
)
ADDRESSES = {"arXiv:": "https://arxiv.org/abs/", "ePrint ": "https://eprint.iacr.org/"}


class Glossary(ReportSection):
    """Words the report uses, and the sources it rests on."""

    order = 1600
    title = "Glossary"

    def sections(self, view: RunView) -> list[Section]:
        """Return glossary and references, with the sources the pipelines name."""
        said = [one for one in WORDS if view.positive or one[0] not in OF_POSITIVES]
        words = KeyValues(tuple((name, inline(meaning)) for name, meaning in said))
        listed = [_reference(title, number) for title, number in REFERENCES]
        named = {
            pipeline.claims.source
            for pipeline in view.pipelines
            if pipeline.claims and pipeline.claims.source
        }
        listed += [inline("Named by a pipeline: ", source) for source in sorted(named)]
        listed.append(inline("Dataset: ", view.manifest.dataset.card.citation))
        return [
            Section(self.title, 1, "glossary", (words,)),
            Section("References", 1, "references", (Bullets(tuple(listed)),)),
        ]


def _reference(title: str, number: str) -> Inline:
    prefix = next(one for one in ADDRESSES if number.startswith(one))
    return inline(title, ", ", Link(number, ADDRESSES[prefix] + number.removeprefix(prefix)))


SECTION = Glossary()
