"""Odds of an event in what a bottle draws, from draws that are steered to it."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.cube.checks import count
from xr_cbottle.cube.cube import Cube
from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.draw.events import Guide, as_guide
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import xarray as xr

_FEW = 0.1


def probability(
    event: Any, bottle: str | os.PathLike[str] | Bottle, time: Any, *, samples: int = 200, **keywords: Any
) -> xr.Dataset:
    """Estimate how likely an event is in what a bottle draws, without bias, from draws that are steered to it.

    A rare event needs many plain draws to be seen at all. Steered ones see it often, and each counts by its exact
    weight: the mean of the weight where the event happens is its probability in the bottle that is not steered.

    Parameters
    ----------
    event
        One of `xr_cbottle.events`, such as ``cyclone(140, 20)``, in a `Guide` to choose how strongly draws are steered;
        or a torch function of the state.
    bottle
        Path, URL or name of a bottle, or an open `Bottle`.
    time
        A time or several, as the keyword of a data set.
    samples
        Draws of each time: members from 0 on.
    **keywords
        Those of `xr_cbottle.Cube`, such as ``label`` and ``seed``.

    Returns
    -------
    Over time: ``probability`` with ``standard_error``; ``mean_weight``, 1 but for chance; ``effective_samples``, how
    many plain draws the weights are worth; ``steered``, how often the event happened in the draws.

    Warns
    -----
    UserWarning
        If the weights of a time are worth less than a tenth of its draws: steer less.
    """
    import xarray as xr

    if "zoom" in keywords:
        raise TypeError("probability is of instants at the bottle's own zoom: leave zoom out")
    guide = as_guide("event", event)
    cube = Cube(bottle, guide=guide, time=time, members=count("samples", samples), **keywords)
    size, there = cube.spec.axis.count, _there(cube)
    found = np.array([_of_time(cube, guide, position, there) for position in range(size)])
    few = found[:, 3] < _FEW * samples
    if few.any():
        warnings.warn(
            f"the weights of {int(few.sum())} of {size} times are worth less than {_FEW:.0%} of the draws: steer less, "
            f"with a strength below {guide.strength:g}",
            stacklevel=2,
        )
    names = ("probability", "standard_error", "mean_weight", "effective_samples", "steered")
    ds = xr.Dataset({name: ("time", column) for name, column in zip(names, found.T, strict=True)},
                    {"time": cube.spec.axis.values})  # fmt: skip
    attrs = cube.to_dataset().attrs
    kept = (
        "bottle",
        "bottle_digest",
        "label",
        "seed",
        "guide",
        "sampler",
        "num_steps",
        "license",
        "xr_cbottle_version",
    )
    return ds.assign_attrs({**{name: attrs[name] for name in kept if name in attrs}, "samples": samples})


def _there(cube: Cube) -> npt.NDArray[np.bool_]:
    """(channel, cell) True where the label that is drawn has values."""
    from xr_cbottle.draw import steering

    manifest, gaps = cube.bottle.manifest, cube.source.gaps
    none = np.zeros(healpix.n_cells(manifest.zoom), bool)
    known = ~np.stack([gaps.get(name, none) for name in manifest.channels])
    return steering.present(manifest, known, cube.source.land)


def _of_time(cube: Cube, guide: Guide, position: int, there: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Probability, its standard error, mean weight, effective samples, and share of draws in which it happened."""
    from xr_cbottle.draw import steering

    number = len(cube.spec.members or ())
    keys = [cube.layout.keys(member, position)[0] for member in range(number)]
    seen: dict[Key, tuple[float, bool]] = {}

    def deliver(key: Key, field: Field) -> None:
        seen[key] = float(field[-1, 0]), steering.happened(guide.event, field[:-1], cube.bottle.manifest, there)

    cube.gather(keys, deliver)
    weights = np.exp([seen[key][0] for key in keys])
    there = np.array([seen[key][1] for key in keys])
    event = weights * there
    error = event.std(ddof=1) / np.sqrt(number) if number > 1 else np.nan
    effective = weights.sum() ** 2 / (weights**2).sum()
    return np.array([event.mean(), error, weights.mean(), effective, there.mean()])
