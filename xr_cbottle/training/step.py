"""One step of training: gradients, the optimizers, the moving average."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from xr_cbottle.network.edm import Denoiser
from xr_cbottle.training.case import Losses
from xr_cbottle.training.config import OptimConfig
from xr_cbottle.training.images import Tensors
from xr_cbottle.training.optimizer import Optimizers
from xr_cbottle.training.schedule import ema_factor, learning_rate
from xr_cbottle.training.team import Shared, Team

Loss = Callable[[Denoiser, Any, OptimConfig], Losses]


def optimizers(net: nn.Module, optim: OptimConfig) -> Optimizers:
    """Optimizers that a configuration asks for."""
    return Optimizers(
        net,
        lr=optim.lr,
        matrix_lr=optim.matrix_lr,
        betas=(optim.betas[0], optim.betas[1]),
        weight_decay=optim.weight_decay,
    )


def take_step(
    net: nn.Module,
    average: nn.Module,
    denoiser: Denoiser,
    optimizer: Optimizers,
    batch: Tensors,
    optim: OptimConfig,
    images: int,
    *,
    loss: Loss,
    team: Team | None = None,
    stop: bool = False,
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """Move the weights by one batch, and the average after them.

    Parameters
    ----------
    net, average
        The network, and the moving average of its weights.
    denoiser
        Of ``net``, possibly compiled or shared by a team.
    optimizer
        Optimizers of the weights of ``net``.
    batch
        This process's share.
    optim
        Settings of training.
    images
        Images seen before this step.
    loss
        Loss of the case.
    team
        Those who share the batch.
    stop
        Whether this process wants to stop.

    Returns
    -------
    losses, sigma, norm, stop
        (n,) Tensor, (n,) Tensor, () Tensor, bool.
        What the loss says of the images, and of which noise levels; of the gradient before it is cut; whether any
        process wants to stop.
    """
    found = [_backward(denoiser, piece, optim, loss, whole=batch, last=last) for piece, last in _pieces(batch, optim)]
    stop = (team or Team()).any(stop)
    norm = nn.utils.clip_grad_norm_(net.parameters(), optim.grad_clip)
    optimizer.step(learning_rate(optim, images))
    move_average(average, net, ema_factor(optim, images + optim.batch_size))
    plain, sigma = (torch.cat(parts) for parts in zip(*found, strict=True))
    return plain, sigma, norm, stop


def choose_learning(net: nn.Module, few: bool) -> None:
    """Have all weights of a network learn, or few: labels' embedding, affine layers and the last block."""
    last = [name for name, _ in net.named_parameters() if ".dec." in name and "_aux_" not in name][-1]
    block = last.rpartition(".dec.")[2].partition(".")[0]
    for name, parameter in net.named_parameters():
        parts = name.split(".")
        chosen = "map_label" in parts or "affine" in parts or block in parts or "_aux_" in name
        parameter.requires_grad_(chosen or not few)


def _pieces(batch: Tensors, optim: OptimConfig) -> Iterator[tuple[Tensors, bool]]:
    """As many images at a time as a device is to hold, and whether they are the last."""
    share = len(batch.sigma)
    count = min(optim.batch_device or share, share)
    if count == share:
        yield batch, True
        return
    for first in range(0, share, count):
        yield batch.part(first, count), first + count >= share


def _backward(
    denoiser: Denoiser, piece: Tensors, optim: OptimConfig, loss: Loss, *, whole: Tensors, last: bool
) -> tuple[Tensor, Tensor]:
    """Add the gradients of a piece of a batch; other processes' are waited for after the last one alone."""
    network = denoiser.network
    held = contextlib.nullcontext() if last or not isinstance(network, Shared) else network.no_sync()
    with held:
        with autocast(optim, piece.sigma.device):
            found = loss(denoiser, piece, optim)
        (found.objective.sum() / len(whole.sigma)).backward()
    return found.plain.detach(), found.sigma


@torch.no_grad()
def move_average(average: nn.Module, net: nn.Module, keep: float) -> None:
    """Make the average ``keep`` of itself and the rest of the network."""
    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - keep)


def autocast(optim: OptimConfig, device: torch.device) -> torch.autocast:
    """Context of the precision that a configuration asks for."""
    return torch.autocast(device.type, torch.bfloat16, enabled=optim.precision == "bfloat16")
