"""How a head is trained under encryption, as a run is asked for it, and what that comes to."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from he_compare.common.contracts import Parameters
from he_compare.common.errors import UsageError

if TYPE_CHECKING:
    from he_compare.fhe_baseline.ckks.training.preparing import Wish

FHE_TRAIN = "fhe-train"
ENCRYPTED, BY_OWNER = "encrypted", "decrypted-by-owner"
# Numbers of steps to choose from where none is named.
STEP_OPTIONS = (3, 4)
# Folds of the gradient that one rotation key serves.
FOLDS_PER_KEY = {"fewest": 4, "balanced": 2, "fastest": 1}


class FheTrainParameters(Parameters):
    """How the head is trained under encryption and used afterwards."""

    rounds: int = Field(
        default=0,
        ge=0,
        le=199,
        description="How often the client refreshes the weights between steps; 0: one upload, no "
        "client in the loop",
    )
    steps: int = Field(
        default=0,
        ge=0,
        le=200,
        description="Gradient steps; 0: three or four, chosen on the validation split, or as many "
        "as the refreshes need",
    )
    coordinates: Literal["preconditioned", "whitened", "standardised"] = Field(
        default="preconditioned",
        description="preconditioned: the clear head's own objective, in principal components "
        "scaled so that a step of fixed length is safe; whitened: components of variance 1, "
        "another penalty; standardised: all features, as the clear head takes them",
    )
    components: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Principal components kept; 0: chosen on the validation split. Bytes and time "
        "grow with their number, padded to a power of two less one",
    )
    schedule: Literal["chosen", "plain", "nesterov"] = Field(
        default="chosen",
        description="chosen: step lengths, momentum and interval of the lowest training loss of "
        "the clear twin; plain, nesterov: equal steps of the safe length, without and with "
        "momentum; where steps and components are named too, nothing is trained in the clear",
    )
    batches: int = Field(
        default=1,
        ge=1,
        le=64,
        description="1: full batch; more: the rows are shuffled, cut into as many mini-batches, "
        "and the steps use them in turn; each takes at least one ciphertext per pair of columns",
    )
    degree: Literal[3, 5, 7] = Field(default=3, description="Degree of the polynomial sigmoid")
    interval: float = Field(
        default=0.0,
        ge=0,
        le=64,
        description="Largest absolute logit that the polynomial is fitted for; 0: chosen with the "
        "steps, 12 where they are not chosen",
    )
    C: float = Field(default=0.01, gt=0, description="Inverse L2 strength, as in scikit-learn")
    balanced: bool = Field(
        default=True, description="Weigh classes equally, as the clear head does"
    )
    parameter_set: Literal[
        "auto",
        "n8192-214",
        "n8192-214-deep",
        "n16384-295",
        "n16384-309",
        "n16384-297",
        "n16384-402",
        "n16384-430",
        "n32768-724",
        "n32768-844",
        "n1024-insecure",
    ] = Field(
        default="auto",
        description="CKKS parameters of the training; auto: the cheapest that hold the steps and "
        "are predicted to leave the weights exact to 7e-4, or the most precise of its ring; the "
        "cheapest that hold the steps, where those are not chosen",
    )
    rotation_keys: Literal["fewest", "balanced", "fastest"] = Field(
        default="balanced",
        description="How many rotations get a key of their own: bytes of keys against time",
    )
    use: Literal["encrypted", "decrypted-by-owner"] = Field(
        default="encrypted",
        description="encrypted: the server classifies with encrypted weights; decrypted-by-owner: "
        "it gets them rounded, in the clear",
    )
    restarts: int = Field(
        default=1,
        ge=0,
        le=10,
        description="How many failures of a server to survive: an upload is completed, a lost "
        "server replaced",
    )
    processes: int = Field(
        default=1, ge=1, le=64, description="Processes the training server computes with"
    )
    allow_insecure: bool = Field(
        default=False, description="Accept parameters below 128 bits, for study; flagged"
    )

    @model_validator(mode="after")
    def _hold_the_steps(self) -> FheTrainParameters:
        """Refuse steps that no parameter set holds, and sets below 128 bits, when they are read."""
        from he_compare.fhe_baseline.ckks.parameters import require_128_bits, training_set

        try:
            step_options(self)
            if self.parameter_set != "auto" and not self.allow_insecure:
                require_128_bits(training_set(self.parameter_set))
        except UsageError as error:
            raise ValueError(str(error)) from None
        return self


def fewest_steps(parameters: FheTrainParameters) -> int:
    """Return the steps that are named, or the fewest that are chosen from."""
    return parameters.steps or max(STEP_OPTIONS[0], parameters.rounds + 1)


def step_options(parameters: FheTrainParameters) -> list[int]:
    """Return the numbers of steps to choose from: those that the parameter set holds.

    Raises UsageError where it holds none, or not those that are named.
    """
    from he_compare.fhe_baseline.ckks.training.sets import choose_set

    name, rounds, degree = parameters.parameter_set, parameters.rounds, parameters.degree
    fewest = fewest_steps(parameters)
    choose_set(name, fewest, rounds, degree)
    found = [fewest]
    if not parameters.steps:
        for count in range(fewest + 1, STEP_OPTIONS[-1] + 1):
            with contextlib.suppress(UsageError):
                choose_set(name, count, rounds, degree)
                found.append(count)
    return found


def wish_of(parameters: FheTrainParameters, seed: int) -> Wish:
    """Return what is asked of the preparation. ``seed``: of the run."""
    from he_compare.common.seeds import seed_for
    from he_compare.fhe_baseline.ckks.training.preparing import Wish

    return Wish(
        coordinates=parameters.coordinates,
        components=parameters.components,
        steps=fewest_steps(parameters),
        degree=parameters.degree,
        interval=parameters.interval,
        inverse_l2=parameters.C,
        balanced=parameters.balanced,
        batches=parameters.batches,
        momentum=None if parameters.schedule == "chosen" else parameters.schedule == "nesterov",
        seed=seed_for(seed, "fhe-train mini-batches"),
    )
