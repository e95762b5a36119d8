"""A deployment of an encrypted linear head: from a model to a client and the server's bytes.

Public material is one packed message: weights and bias in the clear, the packing's evaluation keys,
and as metadata the packing's name and the CKKS parameters, which the server checks anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from he_compare.common.backbones.head import LinearModel
from he_compare.common.errors import MessageError
from he_compare.common.service.parsing import parsed_as_hostile
from he_compare.common.service.wire import pack, unpack
from he_compare.common.types import UInt8Array
from he_compare.fhe_baseline.ckks.packing import (
    Packing,
    PackingServer,
    choose_parameters,
    load_packing,
    resolve,
)
from he_compare.fhe_baseline.ckks.parameters import CkksParameters, require_128_bits

WEIGHTS, BIAS = "weights", "bias"
# No head has such weights; squares and sums of smaller ones stay finite.
LARGEST_WEIGHT = 1e100


@dataclass(frozen=True)
class Plan:
    """A model, and how it is to be evaluated under encryption."""

    packing: Packing
    parameter_name: str
    parameters: CkksParameters
    model: LinearModel


def make_plan(model: LinearModel, packing_name: str, parameter_name: str, batch: int = 1) -> Plan:
    """Resolve names (``auto`` allowed) into a plan; ``batch``: images that are sent together.

    Raises UnknownNameError, and UsageError where the model does not fit the parameters or these
    are below 128 bits.
    """
    packing = load_packing(resolve(packing_name, model.width, batch))
    resolved, parameters = choose_parameters(packing, parameter_name, model)
    return Plan(packing, resolved, parameters, model)


def public_material(plan: Plan, keys: dict[str, UInt8Array]) -> bytes:
    """Return all the server gets: model and evaluation keys."""
    return pack(
        {WEIGHTS: plan.model.weights, BIAS: plan.model.bias, **keys},
        {"packing": plan.packing.name, "parameters": plan.parameters.to_json()},
    )


def load_public_material(data: bytes) -> PackingServer:
    """Build the server half from bytes of unknown origin. Raises MessageError."""
    arrays, metadata = unpack(data, expect={WEIGHTS: ("float64", 2), BIAS: ("float64", 1)})
    with parsed_as_hostile("public material"):
        try:
            packing = load_packing(metadata["packing"])
            parameters = CkksParameters.from_json(metadata["parameters"])
            require_128_bits(parameters)
            model = LinearModel(arrays[WEIGHTS], arrays[BIAS])
            if float(np.abs(model.weights).max()) > LARGEST_WEIGHT:
                raise MessageError(f"public material has weights above {LARGEST_WEIGHT:g}")
            misfit = packing.misfit(parameters, model)
            if misfit:
                raise MessageError(f"public material is invalid: {misfit}")
            return packing.load_server(parameters, model, arrays)
        except KeyError as error:
            raise MessageError(f"public material lacks {error}") from None
        except ValueError as error:
            raise MessageError(f"public material is invalid: {error}") from None
