"""What checks look at: the run's fitted head, deployed once more under a fresh key.

Head, packing and parameters are those of the run. The secret key is read out of the fresh client
for scoring alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from he_compare.common.attack import Inspected
from he_compare.common.backbones.head import LinearModel
from he_compare.common.clock import Clock
from he_compare.common.contracts import Deployed
from he_compare.common.errors import UsageError
from he_compare.common.service.process import ServerProcess
from he_compare.common.types import Float32Array, Float64Array, IntArray, Message, Side, UInt8Array
from he_compare.fhe_baseline.ckks.inference import Plan
from he_compare.fhe_baseline.feature_client import FeatureClient
from he_compare.fhe_baseline.fitted import FittedOnFeatures
from he_compare.fhe_baseline.pipelines.fhe_train import FheTrainFitted
from he_compare.fhe_baseline.preparation import Preparation, fit_whitening
from he_compare.fhe_baseline.scheme import RememberingExtractor

# Images whose features are extracted for a check, at most; some 15 ms each on one core.
MOST_INSPECTED = 240
MOST_SHARED = 4
NOT_ENCRYPTED = "no homomorphic encryption of features is used here"
NOT_TRAINED = "the head is not trained under CKKS encryption"
EXACT = "decrypted integers are exact: no noise to read"


@dataclass(frozen=True)
class Population:
    """Images (n, h, w, 3), their features float32 (n, width) and labels 0 .. classes - 1."""

    images: UInt8Array
    features: Float32Array
    labels: IntArray
    classes: int


@dataclass(frozen=True, repr=False)
class Victim:
    """A deployed head. ``inputs``: what its client encrypts of each image, float64 (n, width).

    ``client`` protects rows of such inputs and reveals scores; ``plan``: None for TFHE.
    ``model``: the head that the server evaluates, the truth of an extraction.
    """

    pipeline: str
    inputs: Float64Array
    model: LinearModel
    client: Any
    public_material: bytes
    plan: Plan | None

    def serve(self, *, searchable: bool = False) -> ServerProcess:
        """Start the pipeline's server process, as a run does; ``searchable``: see there."""
        return ServerProcess(
            self.pipeline,
            self.public_material,
            Clock(Side.CLIENT),
            threads=1,
            searchable=searchable,
        )

    def uploads(self, count: int) -> list[Message]:
        """Encrypt the inputs of the first images."""
        messages: list[Message] = self.client.protect(self.inputs[:count], Clock(Side.CLIENT))
        return messages

    def reveal(self, replies: list[Message]) -> Float64Array:
        """Decrypt replies as the owner does."""
        scores: Float64Array = self.client.reveal(replies, Clock(Side.CLIENT))
        return scores


# By the deployment's identity as an object; the deployment is kept, so that it stays unique.
_shared: dict[int, tuple[Deployed, Victim]] = {}


def fitted_of(inspected: Inspected) -> FittedOnFeatures | None:
    """Return the fitted head of a pipeline that encrypts features; None for any other."""
    fitted = inspected.deployed.fitted if inspected.deployed else None
    return fitted if isinstance(fitted, FittedOnFeatures) else None


def encryption_obstacle(inspected: Inspected) -> str:
    """Say why a check of homomorphic encryption does not apply here; '' where it does."""
    return "" if fitted_of(inspected) is not None else NOT_ENCRYPTED


def ckks_obstacle(inspected: Inspected) -> str:
    """Say why a check of CKKS does not apply here; '' where it does."""
    fitted = fitted_of(inspected)
    if fitted is None or fitted.plan is None:
        return encryption_obstacle(inspected) or EXACT
    return ""


def packing_obstacle(inspected: Inspected) -> str:
    """Say why a check of single CKKS ciphertexts cannot read a packing's messages; or ''."""
    fitted = fitted_of(inspected)
    if fitted is None or fitted.plan is None or fitted.plan.packing.one_ciphertext:
        return ""
    return (
        f"the messages of packing {fitted.plan.packing.name} are not single ciphertexts, which the "
        "check reads: nothing is known of it here"
    )


def training_of(inspected: Inspected) -> FheTrainFitted | None:
    """Return what was trained under CKKS encryption; None where nothing was."""
    fitted = fitted_of(inspected)
    return fitted if isinstance(fitted, FheTrainFitted) else None


def population_of(inspected: Inspected, most: int = MOST_INSPECTED) -> Population:
    """Extract features as the pipeline does, of at most so many images spread evenly over all.

    Raises UsageError where no features are encrypted.
    """
    fitted = fitted_of(inspected)
    if fitted is None:
        raise UsageError(NOT_ENCRYPTED)
    spread = np.linspace(0, len(inspected.images) - 1, min(most, len(inspected.images)))
    positions = spread.astype(int)
    images = inspected.images[positions]
    features = RememberingExtractor(fitted.extractor)(images)
    return Population(images, features, inspected.labels[positions], len(inspected.classes))


def victim_of(inspected: Inspected) -> Victim:
    """Return the victim that the checks of one deployment share, deployed at first use.

    Raises UsageError where no features are encrypted.
    """
    if inspected.deployed is None:
        raise UsageError(NOT_ENCRYPTED)
    key = id(inspected.deployed)
    if key not in _shared:
        while len(_shared) >= MOST_SHARED:
            _shared.pop(next(iter(_shared)))
        _shared[key] = inspected.deployed, deploy(inspected)
    return _shared[key][1]


def deploy(inspected: Inspected) -> Victim:
    """Deploy the run's fitted head under a key of its own."""
    population, fitted, deployed = (
        population_of(inspected),
        fitted_of(inspected),
        inspected.deployed,
    )
    assert fitted is not None and deployed is not None
    deployment = deployed.again()
    client = deployment.client
    if not isinstance(client, FeatureClient):
        raise UsageError(f"{type(client).__name__} encrypts no features that a check could choose")
    return Victim(
        inspected.pipeline,
        fitted.prepared(population.features),
        fitted.model,
        client.encryption,
        deployment.public_material,
        fitted.plan,
    )


def few_columns(population: Population, columns: int) -> Preparation:
    """Return a preparation to so many columns of a training, the constant included."""
    return fit_whitening(population.features, max(1, columns - 1))


def secret_key_of(client: Any) -> Any:
    """Return SEAL's secret key object of a CKKS client: the truth, for scoring alone.

    Raises UnavailableError where a client does not hand it out.
    """
    return client.secret_key()
