"""OrganSMNIST: eleven organs in sagittal slices of abdominal CT (MedMNIST v2)."""

from __future__ import annotations

from he_compare.common.datasets.medmnist import MedMnistFacts, MedMnistFamily

FACTS = MedMnistFacts(
    name="organsmnist",
    title="OrganSMNIST: eleven organs in sagittal CT slices",
    description="Crops around eleven organs from the central sagittal slices of abdominal CT, "
    "shown with an abdominal window; the published split is by CT scan.",
    source="the Liver Tumor Segmentation Benchmark (LiTS)",
    paper="Bilic et al., Medical Image Analysis 84:102680, 2023, "
    "doi:10.1016/j.media.2022.102680; Xu et al., IEEE Transactions on Medical Imaging"
    " 38(8):1885-1898, 2019, doi:10.1109/TMI.2019.2897112",
    task="multi-class",
    classes=(
        "bladder",
        "femur-left",
        "femur-right",
        "heart",
        "kidney-left",
        "kidney-right",
        "liver",
        "lung-left",
        "lung-right",
        "pancreas",
        "spleen",
    ),
    channels=1,
    counts=(13_932, 2_452, 8_827),
    md5={
        28: "9ab87b696fb54e2a387ebe992d6ed5f1",
        64: "53a6d115339d874c25e309a994ff46d3",
        128: "ded0c5fa01a95dc4978b956f613e9b8e",
        224: "b354719e553fbbb2513d5533f52a4cb1",
    },
    caveats=(
        "Several crops come from one scan: they are not independent, and scans are not named.",
        "Left and right organs are classes of their own, in one orientation only.",
        "The grey scale is a fixed abdominal window of Hounsfield units.",
    ),
)

DATASET = MedMnistFamily(FACTS)
