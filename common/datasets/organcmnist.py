"""OrganCMNIST: eleven organs in coronal slices of abdominal CT (MedMNIST v2)."""

from __future__ import annotations

from he_compare.common.datasets.medmnist import MedMnistFacts, MedMnistFamily

FACTS = MedMnistFacts(
    name="organcmnist",
    title="OrganCMNIST: eleven organs in coronal CT slices",
    description="Crops around eleven organs from the central coronal slices of abdominal CT, "
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
    counts=(12_975, 2_392, 8_216),
    md5={
        28: "b9ceb9546e10131b32923c5bbeaea2b1",
        64: "3ce34a8724ea6f548e6db4744d03b6a9",
        128: "773c1f009daa3fe5d9a2a201b2a7ed94",
        224: "050f5e875dc056f6768abf94ec9995d1",
    },
    caveats=(
        "Several crops come from one scan: they are not independent, and scans are not named.",
        "Left and right organs are classes of their own, in one orientation only.",
        "The grey scale is a fixed abdominal window of Hounsfield units.",
    ),
)

DATASET = MedMnistFamily(FACTS)
