"""A quantised head deployed: circuit compiled, keys made, the server's bytes ready."""

from __future__ import annotations

from dataclasses import dataclass

from common.clock import Clock
from common.types import Per, Stage
from fhe_baseline.tfhe.facts import CircuitFacts, circuit_facts
from fhe_baseline.tfhe.inference import InferenceClient, make_client, public_material, save_circuit
from fhe_baseline.tfhe.library import private_folder
from fhe_baseline.tfhe.quantised import QuantisedHead


@dataclass(frozen=True)
class Deployed:
    """The client half, all the server gets, and what there is to say of both."""

    client: InferenceClient
    public_material: bytes
    facts: CircuitFacts
    sizes: dict[str, int]
    key_fingerprint: str


def deploy_head(head: QuantisedHead, clock: Clock) -> Deployed:
    """Compile the circuit and generate a fresh secret key; both are timed."""
    with private_folder() as work, private_folder() as archives:
        with clock.stage(Stage.COMPILE, per=Per.ONCE):
            circuit = head.compile(work)
            archive = save_circuit(head.model, archives)
        with clock.stage(Stage.KEYGEN, per=Per.KEY):
            client = make_client(head, circuit, archives)
            keys = client.evaluation_keys()
        facts = circuit_facts(circuit.client.specs.serialize(), circuit.statistics)
    material = public_material(archive, keys)
    sizes = {
        "evaluation_key_bytes": len(keys),
        "server_archive_bytes": len(archive),
        "public_material_bytes": len(material),
    }
    return Deployed(client, material, facts, sizes, client.fingerprint())
