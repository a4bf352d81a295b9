"""How long drawing takes on this machine, by a trial of what makes up nearly all of it."""

from __future__ import annotations

import time

import numpy as np

from xr_cbottle.draw import noise
from xr_cbottle.draw.arithmetic import drawing
from xr_cbottle.draw.emulator import Emulator
from xr_cbottle.draw.resolver import Resolver
from xr_cbottle.grid import healpix

_WHEN = np.datetime64("2000-01-01", "s")


def seconds_of_a_batch(emulator: Emulator, label: str | None, when: np.datetime64 = _WHEN) -> float:
    """Seconds that one batch of instants takes: one evaluation of the network is timed, and what surrounds them all.

    Parameters
    ----------
    emulator, label
        What draws, and the data set that it imitates.
    when
        A time that the bottle covers.
    """
    times = np.full(emulator.batch_size, when, "datetime64[s]")
    shape = len(emulator.channels), healpix.n_cells(emulator.zoom)
    with drawing(emulator.precision):
        begin = time.perf_counter()
        latents = [noise.normals(shape, seed=0, stage="coarse", member=i, time=when) for i in range(len(times))]
        around = time.perf_counter() - begin
        with emulator.batch(times) as (batch, inputs):
            sigmas = emulator.sampler.levels()
            state = batch.put(np.stack(latents)).double() * sigmas[0]
            denoise = emulator.denoise(label, **inputs)
            batch.back(denoise(state, sigmas[0]))  # the first one prepares what others find
            begin = time.perf_counter()
            drawn = batch.back(denoise(state, sigmas[0]))  # it comes back from the device, which is then done
            network = time.perf_counter() - begin
        begin = time.perf_counter()
        emulator.physical(drawn, label, times)
        around += time.perf_counter() - begin
    return emulator.sampler.evaluations * network + around


def seconds_of_a_tile(resolver: Resolver) -> float:
    """Seconds that one tile of a fine instant takes: one is drawn, of coarse fields that are their means."""
    coarse = np.repeat(resolver.center[:, None], healpix.n_cells(resolver.coarse_zoom), axis=1).astype(np.float32)
    begin = time.perf_counter()
    resolver.draw_tile(coarse, resolver.tiling.count // 2, seed=0, member=0, time=_WHEN)
    return time.perf_counter() - begin
