"""A demonstration of a bottle in a minute: open it, draw a few instants, say what they cost, and map one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

_VARIABLES = ("tas", "pr", "psl", "rlut")


def show(name: str, picture: str | os.PathLike[str]) -> None:
    """Print the data set of a bottle, what a few of its instants cost, and write maps of one.

    Parameters
    ----------
    name
        Of a bottle.
    picture
        PNG to write.
    """
    import xarray as xr

    from xr_cbottle import plot
    from xr_cbottle.bottle import facts
    from xr_cbottle.cube.cube import Cube

    begin = time.perf_counter()
    ds = xr.open_dataset(name, engine="cbottle")
    opened = time.perf_counter() - begin
    print(f'>>> ds = xr.open_dataset("{name}", engine="cbottle")  # {1000 * opened:.0f} ms\n{ds}\n')
    cube = Cube(name)
    found = facts.facts(cube.bottle)
    print(f"It stands for {facts.size(found['virtual_bytes'])} a member; its file has {facts.size(cube.bottle.size)}.")

    begin = time.perf_counter()
    emulator = cube.emulator()
    ready = time.perf_counter() - begin
    times = _times(ds.time.values, cube.spec.batch_size)
    names = [n for n in _VARIABLES if n in ds] or [n for n in cube.layouts if cube.layouts[n].pressures is None][:4]
    few = ds[names].sel(time=times, method="nearest").load()
    seconds = time.perf_counter() - begin - ready
    count = len(times)
    print(
        f"{count} instants of {found['channels']} global fields took {seconds:.1f} s ({seconds / count:.2f} s each, "
        f"{emulator.sampler.evaluations} evaluations of the network on {emulator.model.device}), after {ready:.1f} s "
        "for torch and the weights."
    )
    if "tas" in few:
        means = few.tas.mean("cell").groupby("time.month").mean()
        words = (
            f"{mean:.1f} K on {day:.10}"
            for mean, day in zip(means.values, times[:: len(times) // 2].astype(str), strict=False)
        )
        print(f"Global mean of tas: {', '.join(words)}.")
    plot.save(lambda: plot.panel(few.isel(time=0), names, land=emulator.sst.land), Path(picture))
    print(f"Maps: {picture}")


def _times(axis: np.ndarray, count: int) -> np.ndarray:
    """As many instants as are drawn at once, half of them on a day of January and half on one of July."""
    each = max(1, count // 2)
    year = axis[len(axis) // 2].astype("datetime64[Y]").astype("datetime64[M]")
    clock = np.timedelta64(14, "D") + np.arange(each) * np.timedelta64(86400 // each, "s")
    days = [(year + month).astype("datetime64[s]") for month in (0, 6)]
    return np.concatenate([day + clock for day in days]).astype("datetime64[ns]")
