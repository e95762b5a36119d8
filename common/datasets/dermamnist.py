"""DermaMNIST: seven pigmented skin lesions under the dermatoscope (MedMNIST v2)."""

from __future__ import annotations

from he_compare.common.datasets.medmnist import MedMnistFacts, MedMnistFamily

FACTS = MedMnistFacts(
    name="dermamnist",
    title="DermaMNIST: seven kinds of pigmented skin lesions",
    description="Dermatoscopic images of common pigmented skin lesions.",
    source="HAM10000 (Tschandl et al. 2018)",
    paper="Tschandl et al., Scientific Data 5:180161, 2018, doi:10.1038/sdata.2018.161; "
    "Codella et al., arXiv:1902.03368, 2019",
    task="multi-class",
    classes=(
        "actinic keratoses and intraepithelial carcinoma",
        "basal cell carcinoma",
        "benign keratosis-like lesions",
        "dermatofibroma",
        "melanoma",
        "melanocytic nevi",
        "vascular lesions",
    ),
    channels=3,
    counts=(7_007, 1_003, 2_005),
    md5={
        28: "0744692d530f8e62ec473284d019b0c7",
        64: "b70a2f5635c6199aeaa28c31d7202e1f",
        128: "2defd784463fa5243564e855ed717de1",
        224: "8974907d8e169bef5f5b96bc506ae45d",
    },
    caveats=(
        "The licence forbids commercial use.",
        "HAM10000 has several images of some lesions and the split is by image, so that "
        "train and test may share lesions.",
        "Two thirds of the images are melanocytic nevi.",
        "Dark skin is rare in the source.",
    ),
    licence="CC BY-NC 4.0",
)

DATASET = MedMnistFamily(FACTS)
