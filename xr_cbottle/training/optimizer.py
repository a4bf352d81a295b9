"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) for matrices, Adam for the rest.

Muon moves each weight matrix by its momentum with all singular values made equal. What a short training learns
last are directions with little gradient, such as the fine scales at low noise; equal steps in all of them save
several times the images that Adam needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of the quintic that drives singular values towards 1
ITERATIONS = 5


def orthogonalised(matrix: Tensor) -> Tensor:
    """(..., rows, columns): the same singular vectors, singular values of about 1 (0.7 to 1.2).

    What the iterations multiply the matrix by are polynomials of its Gram matrix, which is small: they are found there,
    and the matrix itself, which is long where it is a convolution's, is multiplied twice and not ten times.
    """
    x = matrix / (matrix.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    flipped = x.shape[-2] > x.shape[-1]
    x = x.mT if flipped else x
    gram = x @ x.mT
    so_far: Tensor | None = None
    for i in range(ITERATIONS):
        factor = _factor(gram)
        so_far = factor if so_far is None else factor @ so_far
        if i < ITERATIONS - 1:
            gram = factor @ gram @ factor
    assert so_far is not None
    x = so_far @ x
    return x.mT if flipped else x


def _factor(gram: Tensor) -> Tensor:
    """What an iteration multiplies a matrix by, from its Gram matrix."""
    a, b, c = NEWTON_SCHULZ
    factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c) if gram.ndim == 3 else b * gram + c * gram @ gram
    factor.diagonal(dim1=-2, dim2=-1).add_(a)
    return factor


class Muon(torch.optim.Optimizer):
    """Momentum with orthogonalised steps, for parameters of two or more dimensions (rows: the first).

    Parameters
    ----------
    params
        Parameters of two or more dimensions.
    lr
        Step of each singular value, for a square matrix.
    momentum, weight_decay
        Memory of the mean gradient, and decay of the weights.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step; matrices of one shape are orthogonalised together."""
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                # Columns in the order in which memory has them, which changes no step and copies nothing.
                ahead = p.grad.lerp(buffer, group["momentum"]).movedim(1, -1).reshape(len(p), -1)
                shapes.setdefault(tuple(ahead.shape), []).append((p, ahead))
            for (rows, columns), members in shapes.items():
                steps = orthogonalised(torch.stack([ahead for _, ahead in members]))
                size = group["lr"] * max(1.0, rows / columns) ** 0.5
                for (p, _), step in zip(members, steps, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.sub_(step.view(len(p), *p.shape[2:], p.shape[1]).movedim(-1, 1), alpha=size)


class Optimizers:
    """Muon for the weights between the first and the last layer, and AdamW for everything else.

    Parameters
    ----------
    net
        A `network.Network`.
    lr
        Of AdamW.
    matrix_lr
        Of Muon; 0 leaves all to AdamW.
    betas, weight_decay
        Of AdamW; the decay is Muon's too.
    """

    def __init__(
        self, net: nn.Module, *, lr: float, matrix_lr: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        inner: list[nn.Parameter] = []
        outer: list[nn.Parameter] = []
        for name, p in net.named_parameters():
            ends = any(part in name for part in ("pos_embed", "map_label", "conv_embed", "_conv.", "_aux_"))
            (inner if matrix_lr and p.ndim >= 2 and not ends else outer).append(p)
        self.members: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(outer, lr=lr, betas=betas, weight_decay=weight_decay, foreach=True)
        ]
        if inner:
            self.members.append(Muon(inner, lr=matrix_lr, weight_decay=weight_decay))
        self.rates = [group["lr"] for member in self.members for group in member.param_groups]

    def step(self, rate: float) -> None:
        """Take a step with learning rates ``rate`` times those given at the start, and forget the gradients."""
        for member, lr in zip(self.members, self.rates, strict=True):
            for group in member.param_groups:
                group["lr"] = rate * lr
            member.step()
            member.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """States of both."""
        return [member.state_dict() for member in self.members]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on from saved states."""
        for member, state in zip(self.members, states, strict=True):
            member.load_state_dict(state)
