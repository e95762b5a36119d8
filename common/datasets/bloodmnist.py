"""BloodMNIST: eight kinds of normal blood cells under the microscope (MedMNIST v2)."""

from __future__ import annotations

from he_compare.common.datasets.medmnist import MedMnistFacts, MedMnistFamily

FACTS = MedMnistFacts(
    name="bloodmnist",
    title="BloodMNIST: eight kinds of blood cells",
    description="Single normal blood cells of persons without infection or blood disease, cropped"
    " at the centre.",
    source="Acevedo et al. 2020",
    paper="Acevedo et al., Data in Brief 30:105474, 2020, doi:10.1016/j.dib.2020.105474",
    task="multi-class",
    classes=(
        "basophil",
        "eosinophil",
        "erythroblast",
        "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
        "lymphocyte",
        "monocyte",
        "neutrophil",
        "platelet",
    ),
    channels=3,
    counts=(11_959, 1_712, 3_421),
    md5={
        28: "7053d0359d879ad8a5505303e11de1dc",
        64: "2b94928a2ae4916078ca51e05b6b800b",
        128: "adace1e0ed228fccda1f39692059dd4c",
        224: "b718ff6835fcbdb22ba9eacccd7b2601",
    },
    caveats=(
        "Healthy donors and one laboratory only.",
        "Many cells come from one smear; the split is by cell.",
    ),
)

DATASET = MedMnistFamily(FACTS)
