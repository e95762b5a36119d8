"""What a pipeline's work comes to: counts that the pipeline says, and what a probe measures.

``compare run --estimate`` multiplies the two. A pipeline names the units of its work, says how many
items of each a fit takes, and hands over a model of the right shape that was never trained; the
probe measures a unit on a few items, and deploys the untrained model to a server process. So a
pipeline from outside is estimated like the built-in ones, and one that says nothing is not guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunSizes:
    """What of a run decides its cost: known before it starts.

    ``train``, ``val``, ``test``: images. ``width``: numbers per feature vector. ``device``,
    ``measured_on``: where networks are trained, and where they are while they answer. The rest are
    those of ``RunSettings``.
    """

    train: int
    val: int
    test: int
    classes: int
    width: int
    image_size: int
    backbone: str
    weights: str
    epochs: int
    batch_size: int
    infer_batch: int
    threads: int
    device: str = "cpu"
    measured_on: str = "cpu"

    @property
    def pixels(self) -> int:
        """Bytes of one decoded image."""
        return 3 * self.image_size**2


# Called with the probe's RunContext and its TrainingData: a few images, and nothing of the run.
Measure = Callable[[Any, Any], float]


@dataclass(frozen=True)
class WorkUnit:
    """One kind of work. ``name``: says all that its price depends on, besides the machine.

    ``measure``: returns the seconds of one item on this machine.
    """

    name: str
    measure: Measure


@dataclass(frozen=True)
class WorkStep:
    """Items of one kind of work. ``shared``: done once per run under this name, by the first.

    ``passes``: over the same items, such as epochs; the work may end after fewer, never more.
    ``of_seed``: whether every seed of a run does it anew.
    """

    unit: WorkUnit
    items: float
    shared: str = ""
    passes: int = 1
    of_seed: bool = True


@dataclass(frozen=True)
class Untrained:
    """A fitted pipeline of the right shape, to be deployed by a probe.

    ``name``: two of the same name cost the same to deploy and to ask. ``make``: called as a
    ``Measure`` is, returns a ``Fitted``.
    """

    name: str
    make: Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Costs:
    """What one pipeline takes.

    ``fit``: the steps of fitting. ``image``: client's work per image, beside the untrained model's.
    ``trains_at_server``: fitting starts a server of its own. ``training_up``, ``training_down``:
    bytes that cross while fitting. ``fit_bytes``, ``server_fit_bytes``: memory that fitting takes
    at the client and at the server that trains, above what the probe's few images take.
    ``kept_bytes``: what is kept on disk of the fit. ``notes``: what of this is computed from a
    documented model, and not measured by the probe.
    """

    fit: tuple[WorkStep, ...]
    untrained: Untrained
    image: tuple[WorkUnit, ...] = ()
    trains_at_server: bool = False
    training_up: int = 0
    training_down: int = 0
    fit_bytes: int = 0
    server_fit_bytes: int = 0
    kept_bytes: int = 0
    notes: tuple[str, ...] = ()
