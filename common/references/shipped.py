"""The references that come with the package, by name: a server process needs nothing else."""

from __future__ import annotations

from he_compare.common.references.natural import NaturalPhotographs
from he_compare.common.references.reference import PublicReference
from he_compare.common.references.synthetic_chest import SyntheticChest

SHIPPED_REFERENCES: dict[str, type[PublicReference]] = {
    NaturalPhotographs.name: NaturalPhotographs,
    SyntheticChest.name: SyntheticChest,
}
# What patch embeddings are matched to unasked: foreign to every collection, so that no figure rests
# on images of the kind under test without being asked to.
MATCHED_TO = NaturalPhotographs.name
