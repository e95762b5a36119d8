"""OrganAMNIST: eleven organs in axial slices of abdominal CT (MedMNIST v2)."""

from __future__ import annotations

from he_compare.common.datasets.medmnist import MedMnistFacts, MedMnistFamily

FACTS = MedMnistFacts(
    name="organamnist",
    title="OrganAMNIST: eleven organs in axial CT slices",
    description="Crops around eleven organs from the central axial slices of abdominal CT, shown "
    "with an abdominal window; the published split is by CT scan.",
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
    counts=(34_561, 6_491, 17_778),
    md5={
        28: "68e3f8846a6bd62f0c9bf841c0d9eacc",
        64: "2dcccc29b88e6da5a01161ef20cda288",
        128: "eeae80d0a227a8d099027e1b3cfd3b60",
        224: "50747347e05c87dd3aaf92c49f9f3170",
    },
    caveats=(
        "Several crops come from one scan: they are not independent, and scans are not named.",
        "Left and right organs are classes of their own, in one orientation only.",
        "The grey scale is a fixed abdominal window of Hounsfield units.",
    ),
)

DATASET = MedMnistFamily(FACTS)
