"""Shape of a distribution beyond mean and spread: standardised anomalies, their kurtosis, and how many lie far out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of, units
from xr_cbottle.diagnostics.grid import bare
from xr_cbottle.diagnostics.means import require_time


def month_climate(field: xr.DataArray) -> xr.Dataset:
    """Mean of each month of the year, and deviation from it, by which `standardised` measures any sample.

    Parameters
    ----------
    field
        (time, ..., cell).

    Returns
    -------
    ``mean`` (month, ..., cell), months 1 to 12, NaN for those that the field lacks; ``deviation`` (..., cell), the
    standard deviation over all times of the anomalies from these, both in the field's unit and in double precision;
    ``instants`` (month,), of how many times the means are.
    """
    require_time(field)
    known = bare(field).astype(np.float64)
    months = known["time"].dt.month.drop_vars("time")
    means = known.groupby("time.month").mean("time").reindex(month=np.arange(1, 13))
    deviation = (known - means.sel(month=months).drop_vars("month")).std("time")
    instants = xr.DataArray(np.bincount(months.values, minlength=13)[1:], {"month": means["month"]}, ["month"])
    unit, name = units(field), name_of(field)
    return xr.Dataset(
        {
            "mean": described(means.transpose("month", ...), f"mean month of {name}", unit),
            "deviation": described(deviation, f"deviation of {name} from the mean month", unit),
            "instants": described(instants, "instants of each month", "1"),
        }
    )


def standardised(
    field: xr.DataArray, climate: xr.DataArray | xr.Dataset | None = None, *, inside: bool | None = None
) -> xr.DataArray:
    """Anomalies from the mean month of the year, over their standard deviation at each cell.

    Parameters
    ----------
    field
        (time, ..., cell).
    climate
        Data whose mean months and deviations are taken, (time, ..., cell) with the same cells, or what `month_climate`
        makes of them: the simulation's, so that two samples are measured by the same. The field itself if None.
    inside
        Whether the field's times are among those of the climate. Each is then measured by all the others, as a time of
        another sample is: else its anomaly, which it has drawn towards itself, would be too small, and rare values too
        rare. By default only if the climate is the field's own.

    Returns
    -------
    (time, ..., cell) in double precision, without a unit; NaN where the climate does not vary, and in months of the
    year that it lacks.
    """
    require_time(field)
    known = field if climate is None else climate
    known = known if isinstance(known, xr.Dataset) else month_climate(known)
    months = field["time"].dt.month.drop_vars("time")
    anomaly = bare(field).astype(np.float64) - known["mean"].sel(month=months).drop_vars("month")
    variance = known["deviation"] ** 2
    if climate is None if inside is None else inside:
        there = known["instants"].sel(month=months).drop_vars("month")
        without = (there / (there - 1)).where(there > 1)
        total = int(known["instants"].sum())
        variance = ((total * variance - anomaly**2 * without) / (total - 1)).clip(min=0)
        anomaly = anomaly * without
    result = anomaly / (variance.where(variance > 0) ** 0.5)
    return described(result.transpose(*field.dims), f"standardised anomaly of {name_of(field)}", "1")


def kurtosis(field: xr.DataArray, dim: str | Sequence[str] = ("time", "cell")) -> xr.DataArray:
    """Fourth moment about the mean over the square of the second: 3 of a Gaussian, more where values lie far out.

    Parameters
    ----------
    field
        E.g. `standardised` anomalies.
    dim
        Over what.

    Returns
    -------
    Without ``dim``, missing values left out; NaN where nothing varies.
    """
    over = [dim] if isinstance(dim, str) else list(dim)
    squares = (field.astype(np.float64) - field.mean(over, dtype=np.float64)) ** 2
    second = squares.mean(over)
    result = (squares * squares).mean(over) / second.where(second > 0) ** 2
    return described(result, f"kurtosis of {name_of(field)} over {' and '.join(over)}", "1")


def exceedance(field: xr.DataArray, limit: float, dim: str | Sequence[str] = ("time", "cell")) -> xr.DataArray:
    """Share of the values beyond a limit: above it if it is positive, below it if it is negative.

    Parameters
    ----------
    field
        E.g. `standardised` anomalies, of which a Gaussian has 0.00135 beyond 3.
    limit
        In the field's unit.
    dim
        Over what.

    Returns
    -------
    Without ``dim``, a fraction of the values that are known.
    """
    over = [dim] if isinstance(dim, str) else list(dim)
    there = field > limit if limit >= 0 else field < limit
    return described(
        there.sum(over) / field.notnull().sum(over), f"share of {name_of(field)} beyond {limit:g}", "1", limit=limit
    )
