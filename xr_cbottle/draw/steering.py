"""Instants that are steered to an event, with the weights by which they stand for unsteered ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from xr_cbottle.bottle.gaps import Mask
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.draw import adjoint, noise
from xr_cbottle.draw.arithmetic import drawing
from xr_cbottle.draw.emulator import Emulator, Instant
from xr_cbottle.draw.events import Event, Guide, Weather
from xr_cbottle.draw.padded_batch import PaddedBatch
from xr_cbottle.fields import channels
from xr_cbottle.grid import healpix
from xr_cbottle.network import edm, guidance

Floats = npt.NDArray[np.floating[Any]]


def draw(
    emulator: Emulator, instants: Sequence[Instant], guide: Guide
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Draw instants towards an event.

    Parameters
    ----------
    emulator
        A loaded bottle.
    instants
        All of one label.
    guide
        The event, and how strongly.

    Returns
    -------
    (instant, channel, cell NEST) float32 in the channels' units, and (instant,) logarithms of weights: means over
    instants with these weights are those of the bottle that is not steered.
    """
    shape = (len(emulator.channels), healpix.n_cells(emulator.zoom))
    out = np.empty((len(instants), *shape), np.float32)
    log_weights = np.empty(len(instants))
    for start in range(0, len(instants), emulator.batch_size):
        batch = slice(start, start + emulator.batch_size)
        out[batch], log_weights[batch] = _batch(emulator, instants[batch], guide)
    return out, log_weights


def _batch(emulator: Emulator, instants: Sequence[Instant], guide: Guide) -> tuple[Floats, Floats]:
    label = emulator.bottle.manifest.label(instants[0].label)
    times = np.array([one.time for one in instants], "datetime64[s]")
    shape = (len(emulator.channels), healpix.n_cells(emulator.zoom))

    def normals(stage: str, block: int | None = None) -> Floats:
        return np.stack([
            noise.normals(shape, seed=one.seed, stage=stage, member=one.member, time=one.time, block=block)
            for one in instants
        ])  # fmt: skip

    with drawing(emulator.precision, gradients=True), emulator.batch(times) as (batch, inputs):
        sigmas = emulator.sampler.levels()
        with_gradient = emulator.denoise(label, **inputs)
        plain = torch.no_grad()(with_gradient)

        def pull(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            leaf = x.detach().requires_grad_()
            clean = with_gradient(leaf, sigma)
            wanted = _wanted(emulator, batch, batch.back(clean.detach()), label, times, guide)
            (found,) = torch.autograd.grad(clean, leaf, wanted.to(clean.dtype))
            return found

        state, log_weight = guidance.steered(
            plain, batch.put(normals("coarse")).double() * sigmas[0], sigmas,
            lambda number: batch.put(normals("guide", number)), pull if guide.strength else None,
            edm.SOLVERS[emulator.sampler.solver],
        )  # fmt: skip
        drawn = batch.back(state)
        values = emulator.finite(emulator.physical(drawn, label, times))
        return values, log_weight[: len(instants)].cpu().numpy()


def present(manifest: Manifest, known: Mask | None, land: Mask | None) -> Mask:
    """(channel, cell NEST) True where readers of a label find a value.

    Parameters
    ----------
    manifest
        Of a bottle.
    known
        (channel, cell NEST) True where the label has values; None if it has all.
    land
        (cell,) where variables of the sea have none; None if there is none.
    """
    found = np.ones((len(manifest.channels), healpix.n_cells(manifest.zoom)), bool) if known is None else known.copy()
    for one in channels.variables(manifest.channels, manifest.own).values():
        if one.variable.ocean_only and land is not None:
            found[list(one.channels)] &= ~land
    return found


def _wanted(
    emulator: Emulator, batch: PaddedBatch, clean: Floats, label: str | None, times: Any, guide: Guide
) -> torch.Tensor:
    """Gradient, with respect to clean states of the network, of the logarithm of how likely each is the event."""
    units = emulator.normalisation
    physical = units.physical(clean.astype(np.float64), label, times)
    there = present(emulator.bottle.manifest, units.known(label), emulator.sst.land)
    gradients = [_of_event(guide.event, one, emulator.bottle.manifest, there) for one in physical]
    back = adjoint.physical(units, clean.astype(np.float64), label, times, np.stack(gradients))
    return guide.strength * batch.put(back)


def _of_event(event: Event, values: Floats, manifest: Manifest, there: Mask | None = None) -> Floats:
    """(channel, cell) gradient of log sigmoid(distance) with respect to the channels' values."""
    leaf = torch.from_numpy(np.ascontiguousarray(values)).requires_grad_()
    distance = event.distance(state_of(leaf, manifest, there))
    if not isinstance(distance, torch.Tensor) or distance.numel() != 1:
        raise ValueError("the function of an event must give one torch number, such as state['tas'].mean() - 290")
    if not distance.requires_grad:
        raise ValueError("the function of an event must be made of the state by torch, so that it has a gradient")
    torch.nn.functional.logsigmoid(distance.reshape(())).backward()
    assert leaf.grad is not None
    return leaf.grad.numpy()


def state_of(values: torch.Tensor, manifest: Manifest, there: Mask | None = None) -> Weather:
    """The variables of (channel, cell) values, as events are told of them; ``there`` as from `present`."""
    layouts = channels.variables(manifest.channels, manifest.own)
    fields, pressures, known = {}, {}, {}
    for name, one in layouts.items():
        part = values[list(one.channels)] * one.factor
        fields[name] = part if one.pressures is not None else part[0]
        if one.pressures is not None:
            pressures[name] = one.pressures
        if there is not None and not (mask := there[list(one.channels)]).all():
            known[name] = mask if one.pressures is not None else mask[0]
    return Weather(fields, manifest.zoom, pressures, known)


def happened(event: Event, values: Floats, manifest: Manifest, there: Mask | None = None) -> bool:
    """Whether an event happens in (channel, cell) values, in the channels' units; ``there`` as from `present`."""
    with torch.no_grad():
        return bool(event.happens(state_of(torch.from_numpy(np.asarray(values, np.float64)), manifest, there)))
