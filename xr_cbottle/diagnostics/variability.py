"""Variability of a field in time: in all, and by time scale where its times are a series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of, squared, units
from xr_cbottle.diagnostics.means import require_time


def standard_deviation(field: xr.DataArray) -> xr.DataArray:
    """Standard deviation over time (n - 1 in the denominator): seasons, times of day and weather together.

    (time, ..., cell) -> (..., cell), in the field's unit, missing values left out.
    """
    require_time(field)
    # xarray's var in double precision: the squares of pressures in single precision leave three digits.
    result = field.astype(np.float64).std("time", ddof=1)
    return described(result, f"standard deviation of {name_of(field)} over time", units(field)).rename(field.name)


def submonthly_variance(field: xr.DataArray) -> xr.DataArray:
    """Variance of the instants about the mean of their own month: weather and the day, without seasons and years.

    Parameters
    ----------
    field
        (time, ...), two instants or more in some month. Those of a month with one instant do not count.

    Returns
    -------
    (...) in the square of the field's unit: without bias, however few instants a month has.

    Raises
    ------
    ValueError
        If no month has two instants.
    """
    require_time(field)
    month = field["time"].values.astype("datetime64[M]").astype(np.int64)
    _, number, counts = np.unique(month, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(counts[number] > 1)
    if not kept.size:
        raise ValueError("no month has two instants, between which it could vary")
    groups = field.isel(time=kept).astype(np.float64).assign_coords(month=("time", month[kept])).groupby("month")
    squares = ((groups - groups.mean("time")) ** 2).sum("time", skipna=False)
    result = squares / (len(kept) - int((counts > 1).sum()))
    return described(result, f"variance of {name_of(field)} within months", squared(units(field))).rename(field.name)


def variability_by_time_scale(field: xr.DataArray, periods: Sequence[float] = (2.0, 10.0, 90.0)) -> xr.DataArray:
    """Standard deviation in bands of periods, of a regular time series.

    Only for what evolves in time: independent instants, such as a bottle draws, have a white spectrum, which says
    nothing of time scales.

    Parameters
    ----------
    field
        (time, ...), times at a regular step, nothing missing (a series with NaN gives NaN).
    periods
        Edges between the bands in days, ascending; the first band has all shorter periods and the last all longer.

    Returns
    -------
    (band, ...) in the field's unit, with coordinates ``shortest`` and ``longest`` of each band in days. The squares
    add up to the total variance (n in the denominator): the series' own periodogram, without taper, so that a trend
    or an annual cycle is in the longest band, and leaks a little.
    """
    require_time(field)
    edges = np.asarray(periods, float)
    if edges.ndim != 1 or not len(edges) or (edges <= 0).any() or (np.diff(edges) <= 0).any():
        raise ValueError("periods must be edges in days, positive and ascending, such as (2, 10, 90)")
    steps = np.diff(field["time"].values.astype("datetime64[ns]").astype(np.int64))
    if len(steps) < 2 or steps.min() <= 0 or steps.max() - steps.min() > 1e-6 * steps.max():
        raise ValueError("time scales need three or more times at one regular step: select such a series first")
    frequency = np.fft.rfftfreq(len(steps) + 1, steps[0] / 86400e9)  # per day
    number = np.searchsorted(edges, 1 / np.maximum(frequency, 1e-12), side="right")
    result = xr.apply_ufunc(
        _band_deviations,
        field.chunk(time=-1) if field.chunks is not None else field,
        input_core_dims=[["time"]],
        output_core_dims=[["band"]],
        kwargs={"number": number, "bands": len(edges) + 1},
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"band": len(edges) + 1}},
    )
    days = {"units": "days"}
    result = result.transpose("band", ...).assign_coords(
        shortest=("band", np.r_[0.0, edges], days), longest=("band", np.r_[edges, np.inf], days)
    )
    meaning = f"standard deviation of {name_of(field)} by period"
    return described(result, meaning, units(field), comment="of a coherent series; meaningless for independent draws")


def _band_deviations(values: npt.NDArray[np.floating], number: npt.NDArray[np.int64], bands: int) -> np.ndarray:
    """(..., time) -> (..., band): roots of the sums of the periodogram over each band, the mean left out."""
    n = values.shape[-1]
    values = np.asarray(values, np.float64)
    power = np.abs(np.fft.rfft(values - values.mean(-1, keepdims=True), axis=-1) / n) ** 2
    power[..., 1 : (n + 1) // 2] *= 2  # frequencies that also stand for their negatives
    power[..., 0] = 0
    sums = [power[..., number == band].sum(-1) for band in range(bands)]
    return np.sqrt(np.stack(sums, -1))
