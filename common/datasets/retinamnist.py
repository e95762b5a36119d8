"""RetinaMNIST: five grades of diabetic retinopathy in fundus images (MedMNIST v2)."""

from __future__ import annotations

from he_compare.common.datasets.medmnist import MedMnistFacts, MedMnistFamily

FACTS = MedMnistFacts(
    name="retinamnist",
    title="RetinaMNIST: diabetic retinopathy in five grades",
    description="Fundus images graded for the severity of diabetic retinopathy.",
    source="the DeepDRiD challenge",
    paper="Liu et al., Patterns 3(6):100512, 2022, doi:10.1016/j.patter.2022.100512",
    task="ordinal-regression",
    classes=(
        "grade 0",
        "grade 1",
        "grade 2",
        "grade 3",
        "grade 4",
    ),
    channels=3,
    counts=(1_080, 120, 400),
    md5={
        28: "bd4c0672f1bba3e3a89f0e4e876791e4",
        64: "afda852cc34dcda56f86ad2b2457dbcc",
        128: "e48e916a24454daf90583d4e6efb1a18",
        224: "eae7e3b6f3fcbda4ae613ebdcbe35348",
    },
    caveats=(
        "The grades are ordered; the metrics here treat them as classes without order, so"
        " that a miss by one grade counts as much as a miss by four.",
        "Both eyes of a patient, and several images of an eye, are in the source.",
    ),
)

DATASET = MedMnistFamily(FACTS)
