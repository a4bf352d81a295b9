"""Sensitivities: what a kelvin of the sea, anywhere, does to a weighted sum of what a bottle draws."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.cube import cache
from xr_cbottle.cube.cache import Deliver
from xr_cbottle.cube.chunked import ChunkedVariable
from xr_cbottle.cube.climate import AskedClimate
from xr_cbottle.cube.cube import Cube
from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.cube.layout import Layout
from xr_cbottle.cube.lazy import LazyVariable
from xr_cbottle.cube.reading import Reading
from xr_cbottle.cube.sources import DrawnInstants, Gappy
from xr_cbottle.cube.xarray_internals import LazilyIndexedArray, unwrapped
from xr_cbottle.fields.channels import VariableLayout
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.grid import healpix
from xr_cbottle.grid.time_axis import TimeAxis

if TYPE_CHECKING:
    import xarray as xr

_OF_SEA = "sst"


def sensitivity(da: xr.DataArray, weights: xr.DataArray | None = None) -> xr.DataArray:
    """Differentiate a weighted sum of what a bottle draws with respect to the sea, for each month and cell.

    It is the gradient of the very function that the bottle is, through all steps of its sampler, and exact. It is that
    of one realisation each: take the mean over members and times, of 30 or more. Nothing is drawn before that.

    Parameters
    ----------
    da
        A variable of a data set of a bottle, not read yet, or some members, times, levels or cells of it; such as
        ``ds.rlut.sel(time="1990-07")``. Instants, at the bottle's own zoom or a coarser one.
    weights
        What its values are multiplied by before they are summed over cells, and levels if there are any; (cell,) or
        (pressure, cell), with coordinates where they are not all of them. None: the mean over the cells of ``da``.
        Cells without a value count for nothing, as in xarray.

    Returns
    -------
    ([member,] time, month, cell) float32 dask array at the bottle's own zoom, in units of the variable per K: the
    derivative of each instant's sum with respect to the monthly mean SST, of the months that its time lies between.
    The mean over time is then the derivative of the mean. Missing over land, which tells the network nothing.

    Raises
    ------
    ValueError
        If it is not known what drew the array, if its values are no instants, or weights do not fit it.
    """
    lazy = _drawn(da)
    layout, source = lazy.reader.layout, lazy.reader.source
    assert isinstance(source, DrawnInstants)
    sea = _sea(source)
    given = _weights(da, weights, layout, lazy.name, _missing(source, layout.variables[lazy.name], sea))
    spec = layout.spec
    seconds = np.atleast_1d(da["time"].values).astype("datetime64[s]").astype(np.int64).tolist()
    members = None if "member" not in da.dims else tuple(np.atleast_1d(da["member"].values).tolist())
    number = int(da["member"].values) if "member" in da.coords and members is None else layout.member
    spec = dataclasses.replace(
        spec, axis=TimeAxis(seconds[0], 1, len(seconds), 1, "inst", tuple(seconds)), members=members,
        zoom=spec.native_zoom, given=f"gradient {hashlib.sha256(given.tobytes()).hexdigest()}",
    )  # fmt: skip
    gradients = SeaGradients(source.bottle, spec, source.climate, source.reading, given)
    cube = Cube.over(gradients, source.bottle, spec, source.reading, {}, number)
    by_time = cube.to_dataset({})[_OF_SEA]
    return _described(_by_month(by_time, sea), da, lazy, cube)


@dataclass(frozen=True, eq=False)
class SeaGradients:
    """Gradients of weighted sums of instants, made and kept like instants.

    Attributes
    ----------
    bottle, spec, climate, reading
        As of `DrawnInstants`.
    weights
        (channel, cell NEST).
    """

    bottle: Bottle
    spec: Any
    climate: AskedClimate
    reading: Reading
    weights: npt.NDArray[np.float64]

    as_variables = False
    channels = (_OF_SEA,)

    @functools.cached_property
    def _drawn(self) -> DrawnInstants:
        return DrawnInstants(self.bottle, self.spec, self.climate, self.reading)

    @property
    def land(self) -> npt.NDArray[np.bool_] | None:
        """(native cell,) where the sea surface temperature that drives the model is missing."""
        return self._drawn.land

    @property
    def gaps(self) -> Gappy:
        """None: sensitivities to the sea are everywhere."""
        return {}

    def gather(
        self, keys: Sequence[Key], deliver: Deliver, *, following: Sequence[Key] = (), passing: bool = False
    ) -> None:
        """Give each gradient to ``deliver`` once, in any order; what is nowhere yet is drawn."""
        disk = self.reading.disk((1, healpix.n_cells(self.spec.native_zoom)))
        cache.shared().gather(
            keys, self.draw, deliver, batch=self.spec.batch_size, disk=disk, share=self.reading.share(passing)
        )

    def draw(self, keys: Sequence[Key]) -> list[Field]:
        """Gradients, (1, cell) per K, drawn now; imports torch."""
        from xr_cbottle.draw import gradient
        from xr_cbottle.draw.emulator import Instant

        instants = [Instant(key.label, key.seed, key.member, np.datetime64(key.seconds, "s")) for key in keys]
        found = gradient.of_sea(self._drawn.emulator(), instants, self.weights)
        return [one[None].astype(np.float32) for one in found]


def _drawn(da: xr.DataArray) -> LazyVariable:
    """The variable of a cube that an array is, or is part of."""
    import xarray as xr

    if not isinstance(da, xr.DataArray):
        raise ValueError(f"sensitivity takes a variable of a data set of a bottle, not {type(da).__name__}")
    variable = da.variable
    data = unwrapped(variable._data)
    lazy = variable._recipe.lazy if isinstance(variable, ChunkedVariable) else None
    if isinstance(data, LazilyIndexedArray) and isinstance(data.array, LazyVariable):
        lazy = data.array
    if lazy is None:
        raise ValueError(
            f"{da.name} does not say what drew it: give a variable of an open data set of a bottle, not yet loaded and "
            "not the result of a calculation"
        )
    spec = lazy.reader.layout.spec
    if not isinstance(lazy.reader.source, DrawnInstants):
        raise ValueError(
            f"{da.name} is not drawn at the bottle's own zoom: open the bottle with zoom={spec.native_zoom} or less"
        )
    if spec.guide is not None:
        raise ValueError(f"{da.name} is steered to an event: open the bottle without guide")
    if spec.tree is not None:
        raise ValueError(
            f"{da.name} is drawn between other instants: open the bottle without coherence={spec.coherence!r}"
        )
    if spec.axis.instants_per_value > 1:
        raise ValueError(f"{da.name} is a mean over time: open the bottle with time_method='inst', and take the mean")
    return lazy


def _missing(
    source: DrawnInstants, variable: VariableLayout, sea: SeaSurfaceTemperature
) -> dict[int, npt.NDArray[np.bool_]]:
    """{channel: (native cell,) where readers find no value} of the channels of a variable that have such cells."""
    gaps, names = source.gaps, source.channels
    land = sea.land if variable.variable.ocean_only else None
    found = {}
    for channel in variable.channels:
        masks = [mask for mask in (gaps.get(names[channel]), land) if mask is not None and mask.any()]
        if masks:
            found[channel] = np.logical_or.reduce(masks)
    return found


def _weights(
    da: xr.DataArray,
    weights: xr.DataArray | None,
    layout: Layout,
    name: str,
    missing: Mapping[int, npt.NDArray[np.bool_]],
) -> npt.NDArray[np.float64]:
    """(channel, cell NEST) what channels are multiplied by before they are summed."""
    import xarray as xr

    variable, steps = layout.variables[name], layout.spec.native_zoom - layout.spec.zoom
    mine = {"cell": np.atleast_1d(da["cell"].values)}
    if variable.pressures is not None:
        mine["pressure"] = np.atleast_1d(da["pressure"].values)
    there = xr.DataArray(np.ones([len(axis) for axis in mine.values()]), mine, tuple(mine))
    given = (there if weights is None else _aligned(weights, there)) * xr.ones_like(there)
    levels: Any = variable.pressures or (0,)
    out = np.zeros((len(layout.channels), healpix.n_cells(layout.spec.native_zoom)))
    for level, channel in zip(levels, variable.channels, strict=True):
        if variable.pressures is None or level in mine["pressure"]:
            one = given if variable.pressures is None else given.sel(pressure=level)
            wanted = np.zeros(layout.sizes["cell"])
            wanted[mine["cell"]] = one.transpose("cell").values
            known = ~missing.get(channel, np.zeros(out.shape[1], bool))
            if weights is None:  # each was 1: the mean of those that have values
                wanted /= max(1, int(np.count_nonzero(wanted[known.reshape(len(wanted), -1).any(1)])))
            out[channel] = spread(variable.factor * wanted, known, steps)
    return out


def spread(weights: npt.NDArray[np.float64], known: npt.NDArray[np.bool_], steps: int) -> npt.NDArray[np.float64]:
    """Weights of means of cells, shared out to the cells they are means of: the transpose of `healpix.coarsen`.

    Parameters
    ----------
    weights
        (coarse cell NEST,)
    known
        (cell NEST,) which have values; the others are in no mean.
    steps
        How many zooms lie between the two.

    Returns
    -------
    (cell NEST,)
    """
    at_zooms = [known]
    for _ in range(steps):
        at_zooms.append(np.asarray(at_zooms[-1].reshape(-1, 4).any(1)))
    out = np.where(at_zooms.pop(), weights, 0.0)
    for finer in reversed(at_zooms):
        quads = finer.reshape(-1, 4)
        out = (quads * (out / np.maximum(quads.sum(1), 1))[:, None]).ravel()
    return out


def _aligned(weights: xr.DataArray, there: xr.DataArray) -> xr.DataArray:
    """Weights on the cells and levels of an array, 0 where they have none."""
    import xarray as xr

    if not isinstance(weights, xr.DataArray) or not set(weights.dims) <= set(there.dims) or "cell" not in weights.dims:
        raise ValueError(
            f"weights must be a DataArray of the dimensions {' and '.join(map(str, there.dims))}, or of cell alone"
        )
    for dim in weights.dims:
        if dim not in weights.coords and weights.sizes[dim] != there.sizes[dim]:
            raise ValueError(
                f"weights have {weights.sizes[dim]} of {dim} without a coordinate and the array {there.sizes[dim]}: "
                "give the coordinate"
            )
    labelled = weights.assign_coords({dim: there[dim] for dim in weights.dims if dim not in weights.coords})
    if not np.isfinite(labelled.values).all():
        raise ValueError("weights have missing values: set them to 0, for example with .fillna(0)")
    outside = [dim for dim in labelled.dims if not np.isin(labelled[dim].values, there[dim].values).all()]
    if outside:
        raise ValueError(f"weights have {outside[0]}s that the array has not: select those of the array")
    return labelled.reindex({dim: there[dim] for dim in labelled.dims}, fill_value=0.0).astype(np.float64)


def _sea(source: DrawnInstants) -> SeaSurfaceTemperature:
    manifest = source.bottle.manifest
    if source.climate.sst is not None:
        return source.climate.sst
    spec = manifest.sst
    bottle = source.bottle.settled(sst=True)
    return SeaSurfaceTemperature.from_dataset(bottle.sst_dataset(), manifest.zoom, spec.variable if spec else None)


def _by_month(by_time: xr.DataArray, sea: SeaSurfaceTemperature) -> xr.DataArray:
    """Derivatives by the sea of a time -> by the months that it is interpolated between."""
    import xarray as xr

    share = sea.shares(by_time["time"].values)
    used = np.flatnonzero(share.any(0))
    months = sea.times[used].astype("datetime64[ns]")
    shares = xr.DataArray(share[:, used].astype(np.float32), {"time": by_time["time"], "month": months},
                          ("time", "month"))  # fmt: skip
    return (by_time * shares.chunk({"time": by_time.chunksizes["time"]})).transpose(..., "month", "cell")


def _described(gradient: xr.DataArray, da: xr.DataArray, lazy: LazyVariable, cube: Cube) -> xr.DataArray:
    variable, spec = lazy.reader.layout.variables[lazy.name].variable, cube.spec
    unit = "K-1" if variable.units == "1" else f"{variable.units} K-1"
    result = gradient.rename(f"{lazy.name}_sensitivity")
    result.attrs = {
        "long_name": f"derivative of a weighted sum of {variable.long_name} with respect to sea surface temperature",
        "units": unit, "bottle": cube.bottle.manifest.name, "bottle_digest": f"sha256:{spec.digest}",
        "label": spec.label or "", "seed": spec.seed, "grid_mapping": "crs",
        "comment": "of the noise of each member and time, which stays as it is; with respect to one cell",
    }  # fmt: skip
    result["month"].attrs = {"long_name": "month whose mean sea surface temperature is changed"}
    return result
