"""OCTMNIST: three retinal diseases and normal in optical coherence tomography (MedMNIST v2)."""

from __future__ import annotations

from he_compare.common.datasets.medmnist import MedMnistFacts, MedMnistFamily

FACTS = MedMnistFacts(
    name="octmnist",
    title="OCTMNIST: retinal OCT, three diseases or normal",
    description="Optical coherence tomography scans of the retina, cropped at the centre.",
    source="Kermany et al. 2018, doi:10.17632/rscbjbr9sj.2",
    paper="Kermany et al., Cell 172(5):1122-1131, 2018, doi:10.1016/j.cell.2018.02.010",
    task="multi-class",
    classes=(
        "choroidal neovascularization",
        "diabetic macular edema",
        "drusen",
        "normal",
    ),
    channels=1,
    counts=(97_477, 10_832, 1_000),
    md5={
        28: "c68d92d5b585d8d81f7112f81e2d0842",
        64: "e229e9440236b774d9f0dfef9d07bdaf",
        128: "0a97e76651ace45c5d943ee3f65b63ae",
        224: "abc493b6d529d5de7569faaef2773ba3",
    },
    caveats=(
        "The test split comes from the validation set of the source, not from its training set.",
        "Several scans come from one eye; train and validation were split by image.",
    ),
)

DATASET = MedMnistFamily(FACTS)
