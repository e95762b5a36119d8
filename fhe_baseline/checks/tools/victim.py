"""What checks are run on: a pipeline's own client and server material, for a head of its own.

A head is trained on the features of the images that the audit hands over, as the pipeline would,
and deployed with a fresh key. The secret key is read out of the client for scoring alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from he_compare.common.attack import Inspected
from he_compare.common.backbones.head import LinearModel, train_head
from he_compare.common.clock import Clock
from he_compare.common.errors import UnavailableError, UsageError
from he_compare.common.identity import array_digest, key_of
from he_compare.common.service.process import ServerProcess
from he_compare.common.types import Float32Array, Float64Array, IntArray, Message, Side, UInt8Array
from he_compare.fhe_baseline.ckks.encrypted_head import EncryptedHeadClient
from he_compare.fhe_baseline.ckks.inference import Plan, make_plan, public_material
from he_compare.fhe_baseline.features import Preparation, fit_standardisation, fit_whitening
from he_compare.fhe_baseline.pipelines import fhe_head, fhe_tfhe, fhe_tfhe_train, fhe_train

CKKS = (fhe_head.NAME, fhe_train.NAME)
TFHE = (fhe_tfhe.NAME,)
HOMOMORPHIC = (*CKKS, *TFHE, fhe_tfhe_train.NAME)
# Images whose features are extracted for a check, at most; some 15 ms each on one core.
MOST_IMAGES = 240
MOST_SHARED = 3


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

    def serve(self) -> ServerProcess:
        """Start the pipeline's server process, as a run does."""
        return ServerProcess(self.pipeline, self.public_material, Clock(Side.CLIENT), threads=1)

    def uploads(self, count: int) -> list[Message]:
        """Encrypt the inputs of the first images."""
        messages: list[Message] = self.client.protect(self.inputs[:count], Clock(Side.CLIENT))
        return messages

    def reveal(self, replies: list[Message]) -> Float64Array:
        """Decrypt replies as the owner does."""
        scores: Float64Array = self.client.reveal(replies, Clock(Side.CLIENT))
        return scores


_shared: dict[str, Victim] = {}


def pipeline_obstacle(inspected: Inspected, pipelines: tuple[str, ...] = HOMOMORPHIC) -> str:
    """Say why a check of ``pipelines`` means nothing here; '' where it does."""
    if inspected.pipeline in pipelines:
        return ""
    if inspected.pipeline in HOMOMORPHIC:
        return f"looked at on {', '.join(pipelines)}"
    return "no homomorphic encryption is used here"


def population_of(inspected: Inspected) -> Population:
    """Extract features with the run's backbone, of images spread evenly over all.

    Raises UsageError where there is no backbone.
    """
    if not inspected.backbone:
        raise UsageError("the check needs the run's backbone, and there is none")
    spread = np.linspace(0, len(inspected.images) - 1, min(MOST_IMAGES, len(inspected.images)))
    positions = spread.astype(int)
    images = inspected.images[positions]
    features = _features(images.tobytes(), images.shape, inspected.backbone, inspected.weights)
    return Population(images, features, inspected.labels[positions], len(inspected.classes))


@lru_cache(maxsize=2)
def _features(pixels: bytes, shape: tuple[int, ...], backbone: str, weights: str) -> Float32Array:
    """Extract the features of images once for all checks of an audit."""
    from he_compare.common.backbones.features import FeatureExtractor

    images = np.frombuffer(pixels, np.uint8).reshape(shape).copy()
    return FeatureExtractor(backbone, shape[1], weights, 0, 1)(images)


def victim_of(inspected: Inspected) -> Victim:
    """Return the victim that the checks of one pipeline share, deployed at first use.

    Raises UnavailableError, DataError.
    """
    key = key_of(
        pipeline=inspected.pipeline,
        parameters=inspected.parameters.model_dump(mode="json"),
        images=array_digest(inspected.images),
        backbone=[inspected.backbone, inspected.weights],
    )
    if key not in _shared:
        while len(_shared) >= MOST_SHARED:
            _shared.pop(next(iter(_shared)))
        _shared[key] = deploy(inspected)
    return _shared[key]


def deploy(inspected: Inspected) -> Victim:
    """Deploy a head as the inspected pipeline deploys it, under a key of its own.

    Raises UnavailableError, DataError.
    """
    population = population_of(inspected)
    if inspected.pipeline == fhe_head.NAME:
        return head_victim(population, inspected.parameters)
    if inspected.pipeline == fhe_train.NAME:
        return trained_victim(population, inspected.parameters)
    if inspected.pipeline == fhe_tfhe.NAME:
        return tfhe_victim(population, inspected.parameters)
    raise UnavailableError(
        f"{inspected.pipeline} classifies in minutes an image and is not audited by itself",
        fix="audit fhe-tfhe, which has the same ciphertexts",
    )


def head_victim(population: Population, parameters: fhe_head.FheHeadParameters) -> Victim:
    """Deploy CKKS inference: the server holds the head in the clear."""
    head = train_head(population.features, population.labels, population.classes, parameters.C)
    plan = make_plan(head.linear, parameters.packing, parameters.parameter_set)
    client = plan.packing.make_client(plan.parameters, plan.model)
    return Victim(
        fhe_head.NAME,
        head.standardise(population.features),
        head.linear,
        client,
        public_material(plan, client.public_arrays()),
        plan,
    )


def trained_victim(population: Population, parameters: fhe_train.FheTrainParameters) -> Victim:
    """Deploy what training under encryption ends with: a head that stays encrypted, or not.

    The head is trained in the clear here; the protocol of the training is looked at elsewhere.
    """
    preparation = preparation_of(population, parameters.whiten)
    inputs = preparation.apply(population.features)
    head = train_head(inputs, population.labels, population.classes, parameters.C).linear
    plan = make_plan(head, "replicated", "auto")
    client: Any
    if parameters.use == fhe_train.ENCRYPTED:
        client = EncryptedHeadClient(plan.parameters, head)
        material = client.public_material()
    else:
        client = plan.packing.make_client(plan.parameters, head)
        material = public_material(plan, client.public_arrays())
    return Victim(fhe_train.NAME, inputs, head, client, material, plan)


def preparation_of(population: Population, whiten: int) -> Preparation:
    """Return the preparation that training under encryption uses."""
    if whiten == 0:
        return fit_standardisation(population.features)
    return fit_whitening(population.features, max(1, whiten - 1))


def tfhe_victim(population: Population, parameters: fhe_tfhe.FheTfheParameters) -> Victim:
    """Deploy TFHE inference. Raises UnavailableError where Concrete ML is missing."""
    from he_compare.fhe_baseline.tfhe.library import availability

    can = availability()
    if not can.available:
        raise UnavailableError(can.reason, fix=can.fix)
    from he_compare.fhe_baseline.tfhe.inference import deploy_head
    from he_compare.fhe_baseline.tfhe.quantised import quantise_head

    features: Float64Array = population.features.astype(np.float64)
    if parameters.whiten:
        features = fit_whitening(population.features, parameters.whiten).apply(population.features)
    head = train_head(features, population.labels, population.classes, parameters.C)
    inputs = head.standardise(features)
    quantised = quantise_head(head.linear, inputs, parameters.n_bits)
    deployed = deploy_head(quantised, Clock(Side.CLIENT))
    return Victim(
        fhe_tfhe.NAME, inputs, head.linear, deployed.client, deployed.public_material, None
    )


def secret_key_of(client: Any) -> Any:
    """Return SEAL's secret key object of a CKKS client: the truth, for scoring alone.

    Raises UnavailableError where a client keeps it inside SEAL's decryptor alone.
    """
    if hasattr(client, "_keys"):
        return client._keys.secret_key()
    context: Any = getattr(client, "_context", None)
    if hasattr(context, "secret_key"):
        return context.secret_key().data
    raise UnavailableError(
        f"{type(client).__name__} keeps its secret key inside SEAL's decryptor",
        fix="look at packing replicated or tenseal-dot, whose keys are made the same way",
    )
