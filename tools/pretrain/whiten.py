"""Linear layers trained in the whitened coordinates of their input, and folded back afterwards.

An inherited layer is a least-squares solution on inputs with a large mean and a few dominating
directions: one step of Adam, the same size for every weight, moves its output further along them
than anything useful moves it elsewhere, and the inheritance is lost within an epoch. Training
`core` in y = core @ whitening @ (x - centre) + bias, with fixed whitening and centre, is Adam with
the input side of a K-FAC preconditioner (Martens and Grosse 2015).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class WhitenedLinear(nn.Module):
    """Same function as the nn.Linear it replaces; inputs (..., d)."""

    def __init__(self, outputs: int, inputs: int):
        super().__init__()
        self.core = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("whitening", torch.eye(inputs))
        self.register_buffer("centre", torch.zeros(inputs))

    @torch.no_grad()
    def adopt(self, layer: nn.Linear, moment: Tensor, centre: Tensor, damping: float) -> None:
        """Take over the layer's function; moment (d, d) is the mean of x x^T."""
        covariance = moment - torch.outer(centre, centre)
        values, basis = torch.linalg.eigh(covariance)
        spread = (values.clamp(min=0) + damping * values.mean()).sqrt()
        self.whitening.copy_(basis / spread @ basis.T)
        self.centre.copy_(centre)
        self.core.copy_(layer.weight.double() @ (basis * spread) @ basis.T)
        self.bias.copy_(layer.bias + layer.weight @ self.centre)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the equivalent nn.Linear."""
        weight = self.core @ self.whitening
        return weight, self.bias - weight @ self.centre

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (..., k) of inputs (..., d)."""
        with torch.autocast("cpu", enabled=False):
            weight, bias = self.folded()
        return nn.functional.linear(inputs, weight, bias)


def _linear_names(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def prepare(model: nn.Module) -> nn.Module:
    """Replace every nn.Linear in place by an empty WhitenedLinear of its shape."""
    for name in _linear_names(model):
        layer = model.get_submodule(name)
        _replace(model, name, WhitenedLinear(layer.out_features, layer.in_features))
    return model


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, layer)


@torch.no_grad()
def whiten(model: nn.Module, forward: Callable[[], object], damping: float = 0.01) -> None:
    """Replace every nn.Linear in place, whitened for the inputs it sees while `forward` runs."""
    sums: dict[str, Tensor] = {}
    hooks = []
    for name in _linear_names(model):

        def count(_: nn.Module, inputs: tuple[Tensor], name: str = name) -> None:
            rows = inputs[0].detach().float().flatten(0, -2)
            rows = torch.cat([rows, torch.ones(len(rows), 1)], 1)
            with torch.autocast("cpu", enabled=False):
                piece = (rows.T @ rows).double()
            sums[name] = sums[name] + piece if name in sums else piece

        hooks.append(model.get_submodule(name).register_forward_pre_hook(count))
    forward()
    for hook in hooks:
        hook.remove()
    for name, total in sums.items():
        layer = model.get_submodule(name)
        moment = total / total[-1, -1]
        new = WhitenedLinear(layer.out_features, layer.in_features)
        new.adopt(layer, moment[:-1, :-1], moment[:-1, -1], damping)
        _replace(model, name, new)


@torch.no_grad()
def folded_state(model: nn.Module) -> dict[str, Tensor]:
    """State of the plain model with every WhitenedLinear folded back."""
    state = dict(model.state_dict())
    for name, module in model.named_modules():
        if isinstance(module, WhitenedLinear):
            for part in ("core", "whitening", "centre"):
                state.pop(f"{name}.{part}")
            state[f"{name}.weight"], state[f"{name}.bias"] = module.folded()
    return state
