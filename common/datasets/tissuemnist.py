"""TissueMNIST: eight kinds of kidney cortex cells in fluorescence microscopy (MedMNIST v2)."""

from __future__ import annotations

from he_compare.common.datasets.medmnist import MedMnistFacts, MedMnistFamily

FACTS = MedMnistFacts(
    name="tissuemnist",
    title="TissueMNIST: eight kinds of kidney cortex cells",
    description="Single cells of human kidney cortex, the brightest value of seven slices.",
    source="the Broad Bioimage Benchmark Collection, BBBC051",
    paper="Ljosa et al., Nature Methods 9:637, 2012, doi:10.1038/nmeth.2083; Woloshuk et "
    "al., Cytometry Part A 99:707-721, 2021, doi:10.1002/cyto.a.24274",
    task="multi-class",
    classes=(
        "Collecting Duct, Connecting Tubule",
        "Distal Convoluted Tubule",
        "Glomerular endothelial cells",
        "Interstitial endothelial cells",
        "Leukocytes",
        "Podocytes",
        "Proximal Tubule Segments",
        "Thick Ascending Limb",
    ),
    channels=1,
    counts=(165_466, 23_640, 47_280),
    md5={
        28: "ebe78ee8b05294063de985d821c1c34b",
        64: "123ece2eba09d0aa5d698fda57103344",
        128: "61b955355d7425a89687b06cca3ce0c2",
        224: "b077128c4a949f0a4eb01517f9037b9c",
    },
    caveats=(
        "All 236,386 cells come from three specimens; the split is by cell.",
        "The originals have 32 x 32 pixels: the larger sizes add none.",
    ),
)

DATASET = MedMnistFamily(FACTS)
