"""BreastMNIST: breast ultrasound, malignant or not (MedMNIST v2)."""

from __future__ import annotations

from he_compare.common.datasets.medmnist import MedMnistFacts, MedMnistFamily

FACTS = MedMnistFacts(
    name="breastmnist",
    title="BreastMNIST: breast ultrasound, malignant or not",
    description="Breast ultrasound images; normal and benign are one class.",
    source="Al-Dhabyani et al. 2020 (BUSI)",
    paper="Al-Dhabyani et al., Data in Brief 28:104863, 2020, doi:10.1016/j.dib.2019.104863",
    task="binary-class",
    classes=(
        "malignant",
        "normal, benign",
    ),
    positive_class="malignant",
    channels=1,
    counts=(546, 78, 156),
    md5={
        28: "750601b1f35ba3300ea97c75c52ff8f6",
        64: "742edef2a1fd1524b2efff4bd7ba9364",
        128: "363e4b3f8d712e9b5de15470a2aaadf1",
        224: "b56378a6eefa9fed602bb16d192d4c8b",
    },
    caveats=(
        "780 images only: intervals are wide.",
        "MedMNIST numbers malignant 0; it is the positive class here.",
        "The source has near-copies and images with burnt-in marks; the split is by image.",
    ),
)

DATASET = MedMnistFamily(FACTS)
