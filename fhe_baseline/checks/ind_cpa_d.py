"""IND-CPA-D: the secret key from decrypted CKKS results, and what prevents that.

One complex decode of one reply of the pipeline's own, and two real decodes, fresh and after
evaluation; then what an owner might publish instead: fewer digits, flooded values, the
scores alone, the label alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from he_compare.common import plugins
from he_compare.common.attack import Check, CheckFinding, Inspected
from he_compare.common.attack_score import AttackMetric, Detail
from he_compare.common.audit_budget import AttackBudget
from he_compare.common.clock import Clock
from he_compare.common.types import Aim, Complex128Array, Float64Array, Knowledge, Message, Side
from he_compare.fhe_baseline.checks.tools import defences
from he_compare.fhe_baseline.checks.tools.key_recovery import (
    RealDecode,
    key_from_complex,
    key_from_real,
    recovered_share,
    secret_coefficients,
)
from he_compare.fhe_baseline.checks.tools.victim import (
    Victim,
    ckks_obstacle,
    packing_obstacle,
    secret_key_of,
    victim_of,
)
from he_compare.fhe_baseline.ckks.context import ERROR_SIGMA, import_tenseal, seal_context
from he_compare.fhe_baseline.ckks.modular import Int64Array
from he_compare.fhe_baseline.ckks.serialization import load_ciphertext

DECIMALS = (12, 11, 10, 9, 8, 7, 6, 5, 4)
QUERIES, REPLAYS = 256, 4096


@dataclass(frozen=True)
class Decrypted:
    """Ciphertexts of one kind and all of their decrypted slots, which the owner has."""

    context: Any
    ciphertexts: list[Any]
    slots: list[Complex128Array]
    truth: Int64Array

    def share(self, values: list[Float64Array]) -> float:
        """Attack with these real values published; return the share of the key recovered."""
        decodes = [
            RealDecode(ciphertext, one)
            for ciphertext, one in zip(self.ciphertexts, values, strict=True)
        ]
        return recovered_share(key_from_real(self.context, decodes), self.truth)

    @property
    def real(self) -> list[Float64Array]:
        """The real decodes, at full precision."""
        return [slots.real.copy() for slots in self.slots]

    def noise(self) -> float:
        """Deviation of a decrypted slot that stems from fresh encryption noise alone."""
        degree = 2 * len(self.slots[0])
        return ERROR_SIGMA * math.sqrt(degree / 2) / float(self.ciphertexts[0].scale)


class IndCpaD(Check):
    """Runs on the pipeline's own messages; the secret key only scores."""

    name = "ind_cpa_d"
    title = "Key recovery from decrypted results (IND-CPA-D)"
    rung = Knowledge.DECRYPTED_RESULTS
    aim = Aim.DECRYPTIONS
    metric = AttackMetric("share of the secret key recovered", best=1.0)
    source = "Li and Micciancio, EUROCRYPT 2021"

    def applies(self, inspected: Inspected) -> str:
        """CKKS alone: what TFHE decrypts to carries no noise."""
        return ckks_obstacle(inspected)

    def unreadable(self, inspected: Inspected) -> str:
        """Packings whose messages are not single ciphertexts."""
        return packing_obstacle(inspected)

    def examine(
        self, inspected: Inspected, budget: AttackBudget, random: np.random.Generator
    ) -> CheckFinding:
        """Attack two uploads and two replies, then every way to publish less."""
        victim = victim_of(inspected)
        uploads = victim.uploads(2)
        server: Any = _server(victim)
        replies = server.infer(uploads, Clock(Side.SERVER))
        fresh, evaluated = _decrypt(victim, uploads), _decrypt(victim, replies)
        full = evaluated.share(evaluated.real)
        complex_share = recovered_share(
            key_from_complex(evaluated.context, evaluated.ciphertexts[0], evaluated.slots[0]),
            evaluated.truth,
        )
        classes = victim.model.classes
        labels = evaluated.share([defences.label_only(v, classes) for v in evaluated.real])
        scores = evaluated.share([defences.scores_only(v, classes) for v in evaluated.real])
        fewest = _fewest_decimals(evaluated)
        degree = len(evaluated.truth)
        return CheckFinding(
            verdict="broken" if full > 0.99 else "resists within budget",
            headline=f"all slots of one reply, decoded, give {complex_share:.0%} of the key's "
            f"{degree} coefficients (real slots alone: {full:.0%} from two replies); the {classes} "
            f"class scores alone give {scores:.0%}, labels {labels:.0%}; this pipeline shows "
            "decoded replies to their owner only",
            value=full,
            details=[
                Detail("from one complex decode of a reply", complex_share),
                Detail("from two real decodes of uploads", fresh.share(fresh.real)),
                Detail("from the scores of two replies", scores),
                Detail("from two labels", labels),
                Detail(
                    "fewest decimals that reveal the key",
                    float("nan") if fewest is None else fewest,
                    note="all slots published, rounded; fewer stop this solver but prove nothing",
                ),
                *_flooding(evaluated, random),
            ],
            promised=False,
            claim="IND-CPA-D; decrypted results stay with the owner",
            limits=[
                "the solver takes all slots, of one complex or of two real results; where it finds "
                "nothing (the scores alone, values rounded to fewer decimals than details say) "
                "that does not prove that nothing can be found",
                "the check `decryptions` examines where decryptions go in this pipeline",
            ],
            spent={"decrypted results": 2},
        )


def _server(victim: Victim) -> Any:
    return plugins.load("pipelines", victim.pipeline).load_server(victim.public_material)


def _decrypt(victim: Victim, messages: list[Message]) -> Decrypted:
    assert victim.plan is not None
    seal = import_tenseal().sealapi
    context = seal_context(victim.plan.parameters)
    secret = secret_key_of(victim.client)
    decryptor, encoder = seal.Decryptor(context, secret), seal.CKKSEncoder(context)
    ciphertexts = [load_ciphertext(seal.Ciphertext(), context, one, "message") for one in messages]
    slots = []
    for ciphertext in ciphertexts:
        plaintext = seal.Plaintext()
        decryptor.decrypt(ciphertext, plaintext)
        slots.append(np.array(encoder.decode_complex(plaintext)))
    return Decrypted(context, ciphertexts, slots, secret_coefficients(secret, context))


def _fewest_decimals(one: Decrypted) -> int | None:
    won = [
        (decimals, one.share([defences.to_decimals(v, decimals) for v in one.real]) == 1)
        for decimals in DECIMALS
    ]
    return defences.fewest_decimals(won)


def _flooding(one: Decrypted, random: np.random.Generator) -> list[Detail]:
    """What noise prevents, and how replays undo it unless the noise allows for their number."""
    weak = noise = one.noise()
    strong = defences.flooding_deviation(noise, QUERIES)
    once = one.share([defences.flooded(v, weak, random) for v in one.real])
    replayed = one.share(
        [defences.averaged_over_queries(v, weak, REPLAYS, random) for v in one.real]
    )
    sound = one.share(
        [defences.averaged_over_queries(v, strong, QUERIES, random) for v in one.real]
    )
    return [
        Detail("with noise as large as the ciphertext's own, one decode each", once),
        Detail(f"the same noise, {REPLAYS} decodes of the same two replies averaged", replayed),
        Detail(f"with noise flooded for {QUERIES} queries, all averaged", sound),
        Detail(
            "deviation of that noise",
            strong,
            note="in units of a score: what such a release costs in precision",
        ),
    ]


CHECK = IndCpaD()
