"""What the TFHE pipelines share: when they can run, and a quantised head in use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from he_compare.common.contracts import Availability, Deployment, Pipeline, RunContext
from he_compare.fhe_baseline.fitted import FittedOnFeatures

if TYPE_CHECKING:
    from he_compare.fhe_baseline.feature_client import Extractor
    from he_compare.fhe_baseline.tfhe.inference import DeployedCircuit
    from he_compare.fhe_baseline.tfhe.quantised import QuantisedHead


class TfhePipeline(Pipeline):
    """A pipeline that needs Concrete ML."""

    def availability(self) -> Availability:
        """Needs Concrete ML, which exists for some platforms and versions of Python only."""
        from he_compare.fhe_baseline.tfhe.library import availability

        return availability()


@dataclass
class FittedOnTfhe(FittedOnFeatures):
    """A trained head in its quantised form; ``_deployed``: its circuit as last deployed."""

    extractor: Extractor
    quantised: QuantisedHead
    _deployed: DeployedCircuit | None = field(default=None, init=False)

    plan = None

    def deploy(self, context: RunContext) -> Deployment:
        """Compile the circuit, generate a fresh secret key; the head goes to the server."""
        from he_compare.fhe_baseline.feature_client import FeatureClient
        from he_compare.fhe_baseline.tfhe.inference import deploy_head

        self._deployed = deploy_head(self.quantised, context.clock)
        client = FeatureClient(
            self.extractor, self.prepared, self._deployed.client, self.quantised.classes
        )
        return Deployment(client, self._deployed.public_material)
