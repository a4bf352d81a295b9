"""The gradient of a weighted sum of drawn fields with respect to the sea that drives the draw.

It is that of the very function that a bottle is, through all steps of the sampler (reverse mode), and not an estimate:
the noise is that of the instant and stays as it is. What a step needs is computed again when its turn comes, so that
memory does not grow with the steps (Chen et al. 2016, https://arxiv.org/abs/1604.06174).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.checkpoint import checkpoint

from xr_cbottle.bottle.climatology import SST_ANOMALY_KELVIN, departure
from xr_cbottle.draw import adjoint, conditions
from xr_cbottle.draw.arithmetic import drawing
from xr_cbottle.draw.emulator import Emulator, Instant
from xr_cbottle.grid import healpix
from xr_cbottle.network import edm

Floats = npt.NDArray[np.floating[Any]]


def of_sea(emulator: Emulator, instants: Sequence[Instant], weights: Floats) -> npt.NDArray[np.float64]:
    """Derivatives of a weighted sum of each instant with respect to the SST of each cell at its time.

    Parameters
    ----------
    emulator
        A loaded bottle.
    instants
        All of one label.
    weights
        (channel, cell NEST), by which the drawn channels, in their units, are multiplied before they are summed.

    Returns
    -------
    (instant, cell NEST) per K; 0 over land. What the network is told, the response of the climatology, and the surface
    of open water where that is bound to the sea, count alike.
    """
    out = np.empty((len(instants), healpix.n_cells(emulator.zoom)))
    for start in range(0, len(instants), emulator.batch_size):
        batch = slice(start, start + emulator.batch_size)
        out[batch] = _batch(emulator, instants[batch], weights)
    return out


def _batch(emulator: Emulator, instants: Sequence[Instant], weights: Floats) -> Floats:
    label = emulator.bottle.manifest.label(instants[0].label)
    times = np.array([one.time for one in instants], "datetime64[s]")
    latents = np.stack([emulator.latents(label, one) for one in instants])
    with drawing(emulator.precision, gradients=True), emulator.batch(times) as (batch, inputs):
        sigmas = emulator.sampler.levels()
        told = inputs["condition"].requires_grad_()
        denoise = emulator.denoise(label, **inputs)
        start = batch.put(latents).double() * sigmas[0]
        drawn = edm.SOLVERS[emulator.sampler.solver](_forgetful(denoise), start, sigmas)
        x = batch.back(drawn.detach())
        back = adjoint.through(emulator.normalisation, x, label, times, np.broadcast_to(weights, x.shape))
        # The copies that fill the batch are not looked at.
        wanted = batch.put(back.x)
        wanted[len(instants) :] = 0
        (found,) = torch.autograd.grad(drawn, told, wanted)
        by_condition = batch.back(found.double())
    kelvin = emulator.sst.at(times)
    told_of = _per_kelvin(by_condition, kelvin)
    by_response = _by_response(emulator, times, kelvin, told_of.sum(-1), back.predictors)
    return told_of + by_response + np.where(np.isnan(kelvin), 0.0, back.sst)


def _forgetful(denoise: edm.Denoise) -> edm.Denoise:
    """The denoiser, which computes again what the gradient needs of it."""
    return lambda x, sigma: checkpoint(denoise, x, sigma, use_reentrant=False, preserve_rng_state=False)


def _by_response(
    emulator: Emulator, times: npt.NDArray[np.datetime64], kelvin: Floats, by_all: Floats, by_predictors: Floats | None
) -> Floats:
    """What the climatology's response adds, (n, cell) per K; 0 without one.

    Beyond the global mean that was learnt, the network is told of a sea that is cooler everywhere by the excess:
    ``by_all`` (n,) is what a kelvin more of all the sea does to what it draws.
    """
    known = emulator.climatology
    predictors = emulator.predictors(times)
    if known is None or known.response is None or predictors is None or by_predictors is None:
        return np.zeros(kelvin.shape)
    gradient = by_predictors - known.response.excess_back(predictors, by_all)
    return known.response.values_back(departure(kelvin, times, known.sst), gradient)


def _per_kelvin(gradient: Floats, kelvin: Floats) -> Floats:
    """(n, condition, cell) with respect to what the network is told -> (n, cell) per K of the SST, 0 over land."""
    found = gradient[:, 0] / conditions.SST_STD
    if gradient.shape[1] > 1:
        found = found + gradient[:, 1] / SST_ANOMALY_KELVIN
    return np.where(np.isnan(kelvin), 0.0, found)
