"""timm's ``resnet18`` (He et al., CVPR 2016, arXiv 1512.03385); its training budget.

With the stem for small images its first convolution is 3 x 3 with stride 1 and nothing is pooled
after it, as for CIFAR-10 in the same paper and at 28 px in MedMNIST's benchmark (Yang et al., 2023,
doi 10.1038/s41597-022-01721-8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from he_compare.common.contracts import RunContext
from he_compare.common.environment import keep_free_memory
from he_compare.common.errors import DataError

if TYPE_CHECKING:
    import torch

    from he_compare.common.backbones.finetune import Budget

ARCHITECTURE = "resnet18"
HEAD_PREFIX = "fc."
Stem = Literal["imagenet", "small"]
# The first layers keep the whole size of the image, so that larger ones take gigabytes.
SMALL_STEM_SIDE = 64


def build_convnet(
    *, classes: int, weights: str, seed: int, stem: Stem = "imagenet"
) -> torch.nn.Module:
    """Build a ``resnet18`` for images of any size; random parts follow ``seed``.

    Raises DataError where hub weights cannot be had or do not fit.
    """
    import timm
    import torch

    from he_compare.common.backbones.weights import locate_weights, read_state

    keep_free_memory()
    source = locate_weights(ARCHITECTURE, weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: torch.nn.Module = timm.create_model(
            ARCHITECTURE, pretrained=False, num_classes=classes
        )
        if stem == "small":
            model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
            model.maxpool = torch.nn.Identity()
    if source.path is not None:
        state = read_state(source.path)
        body = {name: value for name, value in state.items() if not name.startswith(HEAD_PREFIX)}
        report = model.load_state_dict(body, strict=False)
        missing = [name for name in report.missing_keys if not name.startswith(HEAD_PREFIX)]
        if missing or report.unexpected_keys:
            raise DataError(f"weights {source.path.name} are not those of a {ARCHITECTURE}")
    model.eval()
    return model


def convnet_budget(context: RunContext, images: int, *names: str) -> Budget:
    """Return the run's budget; ``names`` seed the order of images.

    The batch is made smaller where a batch of one image would be left over: batch normalisation
    takes its statistics from the batch.
    """
    from he_compare.common.backbones.finetune import Budget
    from he_compare.common.seeds import seed_for

    settings = context.settings
    batch = settings.batch_size
    while batch > 2 and images % batch == 1:
        batch -= 1
    return Budget(
        epochs=settings.epochs,
        batch_size=batch,
        learning_rate=settings.learning_rate,
        seed=seed_for(context.seed, "fine-tune", *names),
    )
