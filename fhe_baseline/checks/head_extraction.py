"""Head extraction: whoever reads scores solves for the head; what is encrypted is the query."""

from __future__ import annotations

import numpy as np

from common.adversary import Budget, Detail, Finding, Inspected, Metric
from common.clock import Clock
from common.types import Float64Array, Knowledge, Side
from fhe_baseline.adversary.head_extraction import extract, fidelity
from fhe_baseline.adversary.victim import CKKS, TFHE, pipeline_obstacle, victim_of


class HeadExtraction:
    """Asks width + 1 encrypted queries through the pipeline's own client and server process."""

    name = "head_extraction"
    title = "Extraction of the head from scores"
    rung = Knowledge.CHOSEN_PLAINTEXTS
    metric = Metric("share of the scores' variance the extracted head explains", best=1.0)
    source = "Tramer et al., USENIX Security 2016"

    def applies(self, inspected: Inspected) -> str:
        """Pipelines with a linear head."""
        return pipeline_obstacle(inspected, CKKS + TFHE)

    def examine(self, inspected: Inspected, budget: Budget, random: np.random.Generator) -> Finding:
        """Extract the head and compare it with the true one on images that were no queries."""
        victim = victim_of(inspected)
        with victim.serve() as server:

            def ask(inputs: Float64Array) -> Float64Array:
                uploads = victim.client.protect(inputs, Clock(Side.CLIENT))
                return victim.reveal(server.call("infer", uploads, Clock(Side.CLIENT)))

            found = extract(ask, victim.model.width, float(victim.inputs.max()))
        truth = fidelity(found, victim.model, victim.inputs)
        return Finding(
            verdict="broken" if truth.explained > 0.99 else "partial",
            headline=f"{truth.queries} encrypted queries give the head away: the copy classifies "
            f"{truth.same_class:.1%} of {len(victim.inputs)} images alike",
            value=truth.explained,
            details=[
                Detail("images classified alike", truth.same_class),
                Detail("largest error of a weight / largest weight", truth.largest_weight_error),
            ],
            claim="not claimed: secrecy of the head from whoever reads scores; here that is the "
            "client, which trained it",
            limits=[
                "protects the patient from the server, not the server's model from the client: "
                "homomorphic encryption does not limit queries",
            ],
            spent={"queries": truth.queries},
        )


ATTACK = HeadExtraction()
