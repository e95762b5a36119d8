"""PathMNIST: nine tissue types in colorectal cancer histology (MedMNIST v2)."""

from __future__ import annotations

from he_compare.common.datasets.medmnist import MedMnistFacts, MedMnistFamily

FACTS = MedMnistFacts(
    name="pathmnist",
    title="PathMNIST: nine tissue types in colorectal histology",
    description="Patches of haematoxylin-eosin stained colorectal tissue.",
    source="Kather et al. 2019 (NCT-CRC-HE-100K and CRC-VAL-HE-7K)",
    paper="Kather et al., PLOS Medicine 16(1):e1002730, 2019, doi:10.1371/journal.pmed.1002730",
    task="multi-class",
    classes=(
        "adipose",
        "background",
        "debris",
        "lymphocytes",
        "mucus",
        "smooth muscle",
        "normal colon mucosa",
        "cancer-associated stroma",
        "colorectal adenocarcinoma epithelium",
    ),
    channels=3,
    counts=(89_996, 10_004, 7_180),
    md5={
        28: "a8b06965200029087d5bd730944a56c1",
        64: "55aa9c1e0525abe5a6b9d8343a507616",
        128: "ac42d08fb904d92c244187169d1fd1d9",
        224: "2c51a510bcdc9cf8ddb2af93af1eadec",
    },
    caveats=(
        "The test patches come from another clinical centre than train and validation.",
        "Many patches come from one slide; train and validation were split by patch.",
    ),
)

DATASET = MedMnistFamily(FACTS)
