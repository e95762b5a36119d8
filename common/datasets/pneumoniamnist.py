"""PneumoniaMNIST: paediatric chest radiographs as small squares (MedMNIST v2)."""

from __future__ import annotations

from he_compare.common.datasets.medmnist import MedMnistFacts, MedMnistFamily

FACTS = MedMnistFacts(
    name="pneumoniamnist",
    title="PneumoniaMNIST: small paediatric chest X-rays, normal or pneumonia",
    description="5,856 paediatric chest radiographs, cropped at the centre and scaled to small "
    "grey squares.",
    source="Kermany et al. 2018, doi:10.17632/rscbjbr9sj.2",
    paper="Kermany et al., Cell 172(5):1122-1131, 2018, doi:10.1016/j.cell.2018.02.010",
    task="binary-class",
    classes=(
        "normal",
        "pneumonia",
    ),
    positive_class="pneumonia",
    channels=1,
    counts=(4_708, 524, 624),
    md5={
        28: "28209eda62fecd6e6a2d98b1501bb15f",
        64: "8f4eceb4ccffa70c672198ea285246c6",
        128: "05b46931834c231683c68f40c47b2971",
        224: "d6a3c71de1b945ea11211b03746c1fe1",
    },
    caveats=(
        "Children of one to five years only: results do not carry over to adults.",
        "The test split comes from another part of the source data than train and validation.",
    ),
)

DATASET = MedMnistFamily(FACTS)
