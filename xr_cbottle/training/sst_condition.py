"""The sea surface temperature of a run, in the form in which a bottle carries it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from xr_cbottle.fields import reader
from xr_cbottle.fields.channels import VARIABLES
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.fields.units import conversion
from xr_cbottle.grid import healpix
from xr_cbottle.training import run_sources
from xr_cbottle.training.data_config import DataConfig
from xr_cbottle.training.source_config import SourceConfig, SstConfig


def write_sst(config: DataConfig, path: Path, *, progress: bool = False) -> None:
    """Write the monthly SST (K, NaN over land) as packed netCDF.

    Parameters
    ----------
    config
    path
        The file to write.
    progress
        Show a bar, if a source is read for it.

    Raises
    ------
    ValueError
        If the variable is not there or is no SST.
    """
    spec = config.sst
    if spec.source is None:
        assert spec.path is not None
        sst, land = _stored(spec.path, spec.variable), None
    else:
        source = next(source for source in config.sources if source.label == spec.source)
        sst, land = monthly_means(source, spec, progress=progress)
    if spec.land_path is not None:
        land = _stored(spec.land_path, spec.land_variable)
    if land is not None:
        sst = sst.where(_on_the_same(land, sst) < spec.land_threshold)
    write_packed(SeaSurfaceTemperature.from_dataset(sst, config.zoom), path)


def write_packed(monthly: SeaSurfaceTemperature, path: Path, land: np.ndarray | None = None) -> None:
    """Write an SST on its cells as packed netCDF, NaN over land, and in (cell,) others that are land."""
    values = monthly.values if land is None else np.where(land, np.nan, monthly.values)
    packed = xr.Dataset(
        {"sst": (("time", "cell"), values, dict(units="K", standard_name="sea_surface_temperature"))},
        coords={"time": monthly.times.astype("datetime64[ns]")},
        attrs={"healpix_nside": healpix.nside(monthly.zoom), "healpix_order": "nest"},
    )
    encoding = dict(dtype="int16", scale_factor=0.002, add_offset=300.0, _FillValue=-32768, zlib=True, complevel=9,
                    shuffle=True)  # fmt: skip
    packed.to_netcdf(path, encoding={"sst": encoding})


def monthly_means(
    source: SourceConfig, spec: SstConfig, *, progress: bool = False
) -> tuple[xr.DataArray, xr.DataArray | None]:
    """Monthly means of a source's variable, and the land fraction if it has one.

    Returns
    -------
    (month, cell) K on the source's own cells, each month at its middle, however many instants it has; and (cell,).
    """
    from tqdm import tqdm

    sums: dict[np.datetime64, np.ndarray] = {}
    counts: dict[np.datetime64, int] = {}
    land = None
    places = run_sources.addresses(source)
    for address in tqdm(places, desc=f"sst {source.label}", unit="file", disable=not progress):
        with run_sources.opened(source, address) as instants:
            land = instants.constant(spec.land_variable) if land is None else land
            for part in instants.blocks():
                values, units = instants.variable(spec.variable, part)
                factor, offset = _to_kelvin(units, source.label, spec.variable)
                kelvin = values.astype(np.float64) * factor + offset
                months = instants.times[part].astype("datetime64[M]")
                for month in np.unique(months):
                    chosen = months == month
                    sums[month] = sums.get(month, 0.0) + kelvin[chosen].sum(0)
                    counts[month] = counts.get(month, 0) + int(chosen.sum())
    if not sums:
        raise ValueError(f"sst: source {source.label!r} has no instant from {source.start} to {source.end}")
    months = np.array(sorted(sums), "datetime64[M]")
    begins, ends = (m.astype("datetime64[s]") for m in (months, months + 1))
    means = np.stack([sums[month] / counts[month] for month in months]).astype(np.float32)
    middles = (begins + (ends - begins) // 2).astype("datetime64[ns]")
    sst = xr.DataArray(means, {"time": middles}, ("time", "cell"), spec.variable, {"units": "K"})
    return sst, None if land is None else xr.DataArray(land, dims="cell")


def _to_kelvin(units: str, label: str, variable: str) -> tuple[float, float]:
    try:
        return conversion(units or "K", VARIABLES["sst"].units)
    except ValueError as error:
        raise ValueError(f"sst: {variable!r} of source {label!r}: {error}") from None


def _stored(path: str, name: str) -> xr.DataArray:
    """(time, cell NEST) or (time, lat, lon) of a variable of a file, or without time, read."""
    with run_sources.open_path(path) as opened:
        if name not in opened:
            raise ValueError(f"{path} has no variable {name!r}; it has {sorted(map(str, opened.data_vars))}")
        return reader.in_order(reader.read_field(reader.as_dataset(opened, path), name, f"{path}: ", 90.0))


def _on_the_same(land: xr.DataArray, sst: xr.DataArray) -> xr.DataArray:
    """The land fraction, where it lies on the cells of the SST."""
    land = land.isel(time=0, drop=True) if "time" in land.dims else land
    same = land.dims == sst.dims[1:] and land.shape == sst.shape[1:]
    if not same or any(not np.array_equal(land[dim], sst[dim]) for dim in land.dims if dim in land.coords):
        raise ValueError(
            f"sst: the land fraction has {land.size} cells and the SST {sst[0].size}: they must lie on the same"
        )
    return land
