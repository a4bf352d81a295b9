"""Physical balances that a simulation keeps without being asked: does what was drawn keep them too?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.diagnostics.attributes import described
from xr_cbottle.diagnostics.grid import bare, global_mean, lonlat, zoom
from xr_cbottle.diagnostics.means import require_time
from xr_cbottle.diagnostics.spectra import ring
from xr_cbottle.fields.channels import GRAVITY
from xr_cbottle.grid import healpix

GAS_CONSTANT = 287.05
"""Of dry air, J kg-1 K-1."""
LATENT_HEAT = 2.501e6
"""Of vaporisation at 0 degC, J kg-1."""
EARTH_RADIUS = 6.371e6
"""m"""
ROTATION = 7.292e-5
"""Angular velocity of the Earth, s-1."""
SOLAR_CONSTANT = 1361.0
"""Irradiance at one astronomical unit, W m-2 (Kopp and Lean 2011, doi:10.1029/2010GL045777)."""


def hydrostatic_residual(ds: xr.Dataset) -> xr.Dataset:
    """Thickness between neighbouring pressure levels against the temperature between them.

    Parameters
    ----------
    ds
        ``zg`` in m, ``ta`` in K and, if it is there, ``hus`` in kg kg-1, (time, pressure, cell), two levels or more.

    Returns
    -------
    (time, layer, cell) in m: ``thickness`` of each layer; ``expected`` = R / g * mean virtual temperature *
    ln(p1 / p2), the mean being that of both levels, exact where temperature is linear in ln p between them;
    ``residual``, their difference. ``lower`` and ``upper`` pressures of the layers are coordinates. Where levels are
    far apart (850 and 500 hPa) the residual of a simulation is tens of metres, and where a level lies below the ground
    it depends on what the simulation writes there (hundreds): compare with the simulation's, not with zero.
    """
    zg, ta = (_on_levels(ds, name) for name in ("zg", "ta"))
    moist = "hus" in ds
    virtual = ta * (1 + 0.608 * _on_levels(ds, "hus")) if moist else ta
    if zg.sizes["pressure"] < 2:
        raise ValueError("hydrostatic balance needs two pressure levels or more")
    zg, virtual = xr.align(zg, virtual, join="inner")
    pressure = zg["pressure"].values.astype(float)

    def between(field: xr.DataArray, below: bool) -> xr.DataArray:
        part = field.isel(pressure=slice(1, None) if below else slice(None, -1))
        return part.drop_vars("pressure").rename(pressure="layer")

    thickness = between(zg, False) - between(zg, True)
    depth = xr.DataArray(GAS_CONSTANT / GRAVITY * np.log(pressure[1:] / pressure[:-1]), dims="layer")
    expected = (between(virtual, False) + between(virtual, True)) / 2 * depth
    pascal = {"units": "Pa"}
    coords = {"upper": ("layer", pressure[:-1], pascal), "lower": ("layer", pressure[1:], pascal)}
    comment = "virtual temperature" if moist else "temperature: hus is absent, so that moist layers look too thick"
    return xr.Dataset(
        {
            "thickness": described(thickness, "thickness of the layer", "m"),
            "expected": described(expected, "hydrostatic thickness of the layer", "m", comment=comment),
            "residual": described(thickness - expected, "thickness minus hydrostatic", "m", comment=comment),
        }
    ).assign_coords(coords)


def geostrophic_residual(
    ds: xr.Dataset, pressure: float = 50000, tropics: float = 20.0, degrees: int | None = None
) -> xr.Dataset:
    """Wind against the geostrophic wind of the height of a pressure level.

    Parameters
    ----------
    ds
        ``zg`` in m, ``ua`` and ``va`` in m s-1, (time, pressure, cell).
    pressure
        Of the level, Pa.
    tropics
        Up to this latitude on both sides of the equator there is no geostrophic wind, and the result is NaN.
    degrees
        Largest degree of the spherical harmonics of which the gradient is taken (healpy.alm2map_der1); 2 nside by
        default, fewer for smoother fields.

    Returns
    -------
    (..., cell) in m s-1: ``ug`` = -g/f dz/dy and ``vg`` = g/f dz/dx, ``u_residual`` and ``v_residual``, the wind minus
    them.
    """
    zg, ua, va = (_level(ds, name, pressure) for name in ("zg", "ua", "va"))
    n = healpix.nside(zoom(zg))
    lmax = 2 * n if degrees is None else degrees
    if not 1 <= lmax < 3 * n:
        raise ValueError(f"degrees must lie between 1 and {3 * n - 1} at zoom {zoom(zg)}, got {degrees}")
    eastward, northward = xr.apply_ufunc(
        _gradient,
        zg.chunk(cell=-1) if zg.chunks is not None else zg,
        input_core_dims=[["cell"]],
        output_core_dims=[["cell"], ["cell"]],
        kwargs={"n": n, "lmax": lmax},
        dask="parallelized",
        output_dtypes=[np.float64, np.float64],
    )
    _, lat = lonlat(zg)
    coriolis = lat.copy(data=2 * ROTATION * np.sin(np.deg2rad(lat.values))).where(abs(lat) > tropics)
    factor = GRAVITY / coriolis / EARTH_RADIUS
    ug, vg = -northward * factor, eastward * factor
    attrs = {"pressure": float(pressure), "tropics": tropics, "degrees": lmax}
    return xr.Dataset(
        {
            "ug": described(ug, "eastward geostrophic wind", "m s-1", **attrs),
            "vg": described(vg, "northward geostrophic wind", "m s-1", **attrs),
            "u_residual": described(ua - ug, "eastward wind minus geostrophic", "m s-1", **attrs),
            "v_residual": described(va - vg, "northward wind minus geostrophic", "m s-1", **attrs),
        }
    )


def geostrophic_correlation(
    ds: xr.Dataset, pressure: float = 50000, tropics: float = 20.0, degrees: int | None = None
) -> xr.DataArray:
    """Correlation over time and cells of the anomalies of the wind with those of the geostrophic wind.

    Parameters
    ----------
    ds, pressure, tropics, degrees
        As in `geostrophic_residual`; the mean over ``time`` is taken away from both winds.

    Returns
    -------
    A number without a unit: of both components together, 1 where every instant's wind is geostrophic.
    """
    require_time(ds)
    found = geostrophic_residual(ds, pressure, tropics, degrees)
    winds: list[xr.DataArray] = []
    geostrophic: list[xr.DataArray] = []
    for name in ("u", "v"):
        of_height = found[f"{name}g"]
        for kept, wind in ((winds, found[f"{name}_residual"] + of_height), (geostrophic, of_height)):
            kept.append(wind - wind.mean("time"))
    first, second = (xr.concat(parts, "component") for parts in (winds, geostrophic))
    result = (first * second).mean() / ((first**2).mean() * (second**2).mean()) ** 0.5
    return described(result, f"correlation of wind with geostrophic wind at {pressure / 100:g} hPa", "1")


def water_budget(ds: xr.Dataset) -> xr.Dataset:
    """Global means of precipitation and, if there is ``hfls``, of evaporation and of the difference.

    Parameters
    ----------
    ds
        ``pr`` in kg m-2 s-1 and, if it is there, ``hfls`` in W m-2, positive upward, (time, cell).

    Returns
    -------
    (time,) in kg m-2 s-1: ``precipitation``, ``evaporation`` = hfls / 2.501e6 J kg-1, and ``residual`` = precipitation
    minus evaporation, which is 0 in the mean over years. Without ``hfls`` the last two are absent, and the attribute
    ``absent`` says so.
    """
    precipitation = global_mean(bare(_variable(ds, "pr")))
    unit = "kg m-2 s-1"
    budget = {"precipitation": described(precipitation, "global mean precipitation", unit)}
    if "hfls" not in ds:
        return xr.Dataset(budget, attrs={"absent": "hfls, without which there is no budget of water"})
    evaporation = global_mean(bare(ds["hfls"])) / LATENT_HEAT
    budget["evaporation"] = described(evaporation, "global mean evaporation", unit)
    budget["residual"] = described(precipitation - evaporation, "global mean precipitation minus evaporation", unit)
    return xr.Dataset(budget)


def radiation_budget(ds: xr.Dataset, solar_constant: float = SOLAR_CONSTANT) -> xr.Dataset:
    """Global means of the radiation at the top of the atmosphere, and the net of it.

    Parameters
    ----------
    ds
        ``rsut``, ``rlut`` and, if it is there, ``rsdt``, in W m-2, (time, cell).
    solar_constant
        For `insolation` if there is no ``rsdt``, W m-2. Take the simulation's: 7 W m-2 of it are 1.75 of the net.

    Returns
    -------
    (time,) in W m-2: ``rsdt``, ``rsut``, ``rlut`` and ``net`` = rsdt - rsut - rlut, downward. The attributes of
    ``rsdt`` say where it comes from.
    """
    rsut, rlut = (global_mean(bare(_variable(ds, name))) for name in ("rsut", "rlut"))
    if "rsdt" in ds:
        rsdt, source = global_mean(bare(ds["rsdt"])), "the data set"
    else:
        require_time(ds)
        rsdt = xr.DataArray(insolation(ds["time"].values, solar_constant), {"time": ds["time"].values}, ["time"])
        source = f"the distance of the sun, with {solar_constant:g} W m-2 at one astronomical unit"
    unit = "W m-2"
    return xr.Dataset(
        {
            "rsdt": described(rsdt, "global mean TOA incoming shortwave flux", unit, source=source),
            "rsut": described(rsut, "global mean TOA outgoing shortwave flux", unit),
            "rlut": described(rlut, "global mean TOA outgoing longwave flux", unit),
            "net": described(rsdt - rsut - rlut, "global mean TOA net downward flux", unit, source_of_rsdt=source),
        }
    )


def insolation(times: npt.NDArray[np.datetime64], solar_constant: float = SOLAR_CONSTANT) -> npt.NDArray[np.float64]:
    """(time,) global mean insolation at the top of the atmosphere, W m-2.

    A quarter of the irradiance at the sun's distance, at any hour: the disk that the Earth shows to the sun is always
    a quarter of its surface. Distance by Meeus, Astronomical Algorithms (1998), chapter 25, within 1e-4; a simulation
    may have an orbit of its own.
    """
    centuries = (times.astype("datetime64[s]") - np.datetime64("2000-01-01T12", "s")) / np.timedelta64(
        36525 * 86400, "s"
    )
    eccentricity = 0.016708634 - 0.000042037 * centuries
    anomaly = np.deg2rad(357.52911 + 35999.05029 * centuries)
    centre = 1.914602 * np.sin(anomaly) + 0.019993 * np.sin(2 * anomaly) + 0.000289 * np.sin(3 * anomaly)
    distance = (1 - eccentricity**2) / (1 + eccentricity * np.cos(anomaly + np.deg2rad(centre)))
    return solar_constant / 4 / distance**2


def _variable(ds: xr.Dataset, name: str) -> xr.DataArray:
    if name not in ds:
        raise ValueError(f"this balance needs {name}, and the data set has only {', '.join(map(str, ds.data_vars))}")
    return ds[name]


def _on_levels(ds: xr.Dataset, name: str) -> xr.DataArray:
    """A variable with its pressures ascending, in double precision."""
    field = _variable(ds, name)
    if "pressure" not in field.dims or "pressure" not in field.coords:
        raise ValueError(f"{name} needs a dimension pressure with its levels in Pa")
    zoom(field)
    return bare(field).sortby("pressure").astype(np.float64)


def _level(ds: xr.Dataset, name: str, pressure: float) -> xr.DataArray:
    field = _on_levels(ds, name)
    levels = field["pressure"].values
    if pressure not in levels:
        raise ValueError(f"{name} has no level at {pressure:g} Pa: choose one of {', '.join(f'{p:g}' for p in levels)}")
    return field.sel(pressure=pressure, drop=True)


def _gradient(
    values: npt.NDArray[np.float64], n: int, lmax: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(..., cell) -> eastward and northward derivative on the unit sphere, each (..., cell) in NEST order."""
    import healpy

    rows = ring(values, n).reshape(-1, values.shape[-1])
    east, north = np.full_like(rows, np.nan), np.full_like(rows, np.nan)
    for i, row in enumerate(rows):
        if np.isfinite(row).all():
            # The mean has no gradient; without it single digits of a height of 5500 m are not lost.
            alm = healpy.map2alm(row - row.mean(), lmax=lmax, iter=3, pol=False)
            _, by_colatitude, by_longitude = healpy.alm2map_der1(alm, n, lmax=lmax)
            north[i], east[i] = -by_colatitude, by_longitude
    nest = healpy.nest2ring(n, np.arange(values.shape[-1]))
    return east[:, nest].reshape(values.shape), north[:, nest].reshape(values.shape)
