"""Whether weights are those of a network, said in one sentence before memory is spent on it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from xr_cbottle.bottle.architecture import ModelConfig
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.network import unet


def check_fit(config: ModelConfig, state: Mapping[str, torch.Tensor], what: str) -> None:
    """Check that a state dict has the tensors of a network, by name, shape and kind of number; nothing is allocated.

    Parameters
    ----------
    config
        The network.
    state
        Tensors by name.
    what
        The file's name in messages.

    Raises
    ------
    BottleError
        If one is missing, too many, or of another shape.
    """
    given = sum(tensor.numel() for tensor in state.values())
    if config.least_weights > given:
        raise BottleError(
            f"{what}: model.json describes a network of more than {config.least_weights} weights and these are "
            f"{given}; the weights are of another network: get the file again"
        )
    expected = unet.build(config, empty=True).state_dict()
    for wrong, names in (
        ("needs", [name for name in expected if name not in state]),
        ("has no place for", [name for name in state if name not in expected]),
    ):
        if names:
            more = f" and {len(names) - 1} others" if len(names) > 1 else ""
            raise BottleError(
                f"{what}: the network that model.json describes {wrong} {names[0]!r}{more}; the weights are of another "
                "network: get the file again"
            )
    for name, tensor in expected.items():
        kept = state[name]
        if kept.shape != tensor.shape or kept.is_floating_point() != tensor.is_floating_point():
            raise BottleError(
                f"{what}: {name} has the shape {tuple(kept.shape)} and the network that model.json describes needs "
                f"{tuple(tensor.shape)}; the weights are of another network: get the file again"
            )
