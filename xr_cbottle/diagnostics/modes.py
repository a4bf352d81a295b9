"""The patterns in which a field varies most: empirical orthogonal functions."""

from __future__ import annotations

import numpy as np
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of, units
from xr_cbottle.diagnostics.grid import bare, lonlat
from xr_cbottle.diagnostics.means import require_time


def eofs(psl: xr.DataArray, modes: int = 5, latitudes: tuple[float, float] = (-90.0, 90.0)) -> xr.Dataset:
    """Leading empirical orthogonal functions, by xeofs.

    Parameters
    ----------
    psl
        (time, cell), e.g. monthly `anomalies` of sea-level pressure; the mean over time is taken away here. Cells that
        have no value at any time are left out. It is brought into memory: a decomposition needs all of it.
    modes
        How many.
    latitudes
        South and north end of the region, in degrees: (20, 90) for the northern annular mode.

    Returns
    -------
    ``pattern`` (mode, cell) in the field's unit: its change with one standard deviation of the score, NaN outside of
    the region; ``score`` (mode, time), of mean 0 and standard deviation 1; ``explained_variance`` (mode), a fraction,
    and ``explained_variance_error``, its sampling error for independent instants, sqrt(2 / n) of it (North et al. 1982,
    Mon. Wea. Rev. 110, 699): modes that lie closer together than that are mixed. Of both signs, that which makes the
    greatest magnitude of a pattern positive.

    Raises
    ------
    ValueError
        If there are other dimensions than time and cell, or fewer instants than modes and one more.
    """
    import xeofs

    require_time(psl)
    if set(psl.dims) != {"time", "cell"}:
        raise ValueError(f"EOFs are of a field (time, cell), not ({', '.join(map(str, psl.dims))}): select a level")
    south, north = latitudes
    _, lat = lonlat(psl)
    inside = np.flatnonzero((lat >= south) & (lat <= north))
    count = psl.sizes["time"]
    if not 1 <= modes < min(count, len(inside) + 1):
        raise ValueError(
            f"{modes} modes need more than {modes} instants and cells: there are {count} and {len(inside)}"
        )
    field = bare(psl).transpose("time", "cell").isel(cell=inside).astype(np.float64).compute()
    labels = np.arange(psl.sizes["cell"])
    field = field.assign_coords(cell=inside)
    model = xeofs.single.EOF(n_modes=modes, solver="full").fit(field, dim="time")
    deviation = np.sqrt(model.explained_variance())
    pattern = (model.components() * deviation).reindex(cell=labels)
    score = model.scores(normalized=False) / deviation
    sign = np.sign(pattern.isel(cell=abs(pattern).fillna(0).argmax("cell")))
    sign = sign.drop_vars("cell", errors="ignore")
    ratio = model.explained_variance_ratio()
    name = name_of(psl)
    result = {
        "pattern": described(pattern * sign, f"EOF of {name}", units(psl)).transpose("mode", "cell"),
        "score": described(score * sign, f"normalised score of an EOF of {name}", "1").transpose("mode", "time"),
        "explained_variance": described(ratio, f"share of the variance of {name}", "1"),
        "explained_variance_error": described(ratio * np.sqrt(2 / count), "sampling error of the share", "1"),
    }
    attrs = {"instants": count, "south": south, "north": north}
    return xr.Dataset({key: part.drop_attrs().assign_attrs(part.attrs) for key, part in result.items()}, attrs=attrs)
