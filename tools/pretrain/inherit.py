"""Start the student from the teacher: rotate and slice the residual stream, refit every layer.

The 384 residual channels are projected on the 191 directions that hold most of the teacher's
normalised tokens (after SliceGPT, Ashkboos et al. 2024); a rotation puts the mean over the 192 new
channels in an empty direction, so that LayerNorm's centring removes nothing. Three of six heads and
half of the MLP neurons are kept, and each linear layer is refitted in closed form, in order, on
what the student so far produces: its error is corrected by the layers after it. LayerScale and the
gains of LayerNorm vanish into the refitted layers.
"""

from itertools import combinations

import torch
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from torch import Tensor, nn

Pairs = list[tuple[Tensor, Tensor]]


class Regression:
    """Ridge regression with intercept, fed in pieces; inputs (n, d), targets (n, k)."""

    def __init__(self) -> None:
        self.gram: Tensor | None = None

    def add(self, inputs: Tensor, targets: Tensor) -> None:
        """Count these rows in."""
        one = torch.ones(inputs.shape[:-1] + (1,))
        rows = torch.cat([inputs, one, targets], -1).flatten(0, -2)
        piece = (rows.T @ rows).double()
        self.width = inputs.shape[-1]
        self.gram = piece if self.gram is None else self.gram + piece

    def solve(self, ridge: float = 1e-4, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Weight (k, d) and bias (k), nn.Linear layout, from the inputs `keep` (default: all)."""
        index = torch.arange(self.width) if keep is None else keep
        index = torch.cat([index, torch.tensor([self.width])])
        square = self.gram[index][:, index]
        penalty = torch.full((len(index),), ridge * square.diagonal()[:-1].mean().item())
        penalty[-1] = 0
        answer = torch.linalg.solve(square + penalty.diag(), self.gram[index, self.width + 1 :])
        return answer[:-1].T.float(), answer[-1].float()

    def explained(self, keep: Tensor) -> float:
        """Sum of squares of the targets that the inputs `keep` reproduce."""
        weight, bias = self.solve(keep=keep)
        index = torch.cat([keep, torch.tensor([self.width])])
        answer = torch.cat([weight.T, bias[None]]).double()
        return float((answer * self.gram[index, self.width + 1 :]).sum())


def _install(layer: nn.Linear, weight_bias: tuple[Tensor, Tensor]) -> None:
    layer.weight.copy_(weight_bias[0])
    layer.bias.copy_(weight_bias[1])


def _embed(model: nn.Module, images: Tensor) -> Tensor:
    return model.norm_pre(model._pos_embed(model.patch_embed(images)))


def residual_basis(teacher: nn.Module, images: list[Tensor], width: int) -> Tensor:
    """Encoder (384, width): teacher residual stream to student residual stream."""
    moment = torch.zeros(teacher.embed_dim, teacher.embed_dim, dtype=torch.float64)

    def count(state: Tensor) -> None:
        rows = nn.functional.layer_norm(state, state.shape[-1:]).flatten(0, -2)
        moment.add_((rows.T @ rows).double() / len(rows))

    for batch in images:
        state = _embed(teacher, batch)
        count(state)
        for block in teacher.blocks:
            state = state + block.ls1(block.attn(block.norm1(state)))
            count(state)
            state = state + block.ls2(block.mlp(block.norm2(state)))
            count(state)
    principal = torch.linalg.eigh(moment)[1].flip(1)[:, : width - 1]
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(width, width, generator=generator, dtype=torch.float64)
    random[:, 0] = 1
    rotation = torch.linalg.qr(random)[0][:, 1:]
    centred = principal - principal.mean(0, keepdim=True)
    return (centred @ rotation.T).float()


def _heads(attention: nn.Module, qkv: Tensor) -> Tensor:
    """Head outputs side by side (n, tokens, d) from query, key, value (n, tokens, 3, d)."""
    n, tokens, _, width = qkv.shape
    q, k, v = qkv.view(n, tokens, 3, width // 64, 64).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-2, -1) * attention.scale).softmax(-1)
    return (weights @ v).transpose(1, 2).reshape(n, tokens, width)


def _fit_attention(new: nn.Module, old: nn.Module, encoder: Tensor, pairs: Pairs) -> Pairs:
    """Refit one attention layer; returns (student, teacher) states after it."""
    triples = [old.attn.qkv(old.norm1(t)).unflatten(-1, (3, -1)) for _, t in pairs]
    outputs = [_heads(old.attn, triple) for triple in triples]
    moved = [t + old.ls1(old.attn.proj(out)) for (_, t), out in zip(pairs, outputs, strict=True)]
    choice = Regression()
    for (_, before), after, out in zip(pairs, moved, outputs, strict=True):
        choice.add(out, (after - before) @ encoder)
    channels = torch.arange(64)
    options = [
        torch.cat([channels + 64 * head for head in heads])
        for heads in combinations(range(old.attn.num_heads), new.attn.num_heads)
    ]
    kept = max(options, key=choice.explained)
    inner, outer = Regression(), Regression()
    for (student, _), triple in zip(pairs, triples, strict=True):
        inner.add(new.norm1(student), triple[..., kept].flatten(-2))
    _install(new.attn.qkv, inner.solve())
    for (student, _), after in zip(pairs, moved, strict=True):
        out = _heads(new.attn, new.attn.qkv(new.norm1(student)).unflatten(-1, (3, -1)))
        outer.add(out, after @ encoder - student)
    _install(new.attn.proj, outer.solve())
    return [(s + new.attn(new.norm1(s)), after) for (s, _), after in zip(pairs, moved, strict=True)]


def _fit_mlp(new: nn.Module, old: nn.Module, encoder: Tensor, pairs: Pairs) -> Pairs:
    """Refit one MLP on its most important neurons; returns (student, teacher) states after it."""
    drives = [old.mlp.fc1(old.norm2(t)) for _, t in pairs]
    spread = torch.cat([old.mlp.act(d).flatten(0, -2)[::4] for d in drives]).std(0)
    written = (old.mlp.fc2.weight * old.ls2.gamma[:, None]).T @ encoder
    kept = (spread * written.norm(dim=1)).topk(new.mlp.fc1.out_features).indices.sort().values
    inner, outer = Regression(), Regression()
    for (student, _), drive in zip(pairs, drives, strict=True):
        inner.add(new.norm2(student), drive[..., kept])
    _install(new.mlp.fc1, inner.solve())
    moved = [t + old.ls2(old.mlp.fc2(old.mlp.act(d))) for (_, t), d in zip(pairs, drives)]  # noqa: B905
    for (student, _), after in zip(pairs, moved, strict=True):
        outer.add(new.mlp.act(new.mlp.fc1(new.norm2(student))), after @ encoder - student)
    _install(new.mlp.fc2, outer.solve())
    return [(s + new.mlp(new.norm2(s)), after) for (s, _), after in zip(pairs, moved, strict=True)]


def _with_second_token(tokens: Tensor) -> Tensor:
    """Teacher tokens with the class token repeated in the distillation token's place."""
    return torch.cat([tokens[:, :1], tokens], 1)


@torch.no_grad()
def inherit(student: nn.Module, teacher: nn.Module, pairs: Pairs) -> list[float]:
    """Write the sliced and refitted teacher into the student.

    pairs: normalised (student images, teacher images) of the same views, any sizes.
    Returns the share of the residual stream's variance that is right after each block.
    """
    encoder = residual_basis(teacher, [images for _, images in pairs], student.embed_dim)
    kernel = resample_patch_embed(teacher.patch_embed.proj.weight, [16, 16])
    student.patch_embed.proj.weight.copy_(torch.einsum("dchw,de->echw", kernel, encoder))
    student.patch_embed.proj.bias.copy_(teacher.patch_embed.proj.bias @ encoder)
    grid = resample_abs_pos_embed(teacher.pos_embed, student.patch_embed.grid_size)
    student.pos_embed.copy_(_with_second_token(grid) @ encoder)
    student.cls_token.copy_(teacher.cls_token @ encoder)
    student.dist_token.copy_(teacher.cls_token @ encoder)
    states = [(_embed(student, s), _with_second_token(_embed(teacher, t))) for s, t in pairs]
    right = []
    for new, old in zip(student.blocks, teacher.blocks, strict=True):
        states = _fit_attention(new, old, encoder, states)
        states = _fit_mlp(new, old, encoder, states)
        wanted = torch.cat([(t @ encoder).flatten(0, -2) for _, t in states])
        missed = torch.cat([s.flatten(0, -2) for s, _ in states]) - wanted
        right.append(1 - float(missed.var(0).sum() / wanted.var(0).sum()))
    return right
