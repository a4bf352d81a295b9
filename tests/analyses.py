"""Ten analyses as notebooks of the hackathon write them for a stored run: a catalog, xarray, easygems, matplotlib.

Nothing here knows of xr_cbottle. Each function takes an entry of an intake catalog, such as ``cat["icon"]``, and a
folder for its files, and returns what a reader of the notebook would look at as a few numbers and short lists.
``python -m tests.analyses CATALOG ENTRY FOLDER [KEYWORDS]`` runs them all and prints the figures as JSON.

Axes are always given: easygems would download coastlines for axes of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cartopy.crs as ccrs
import easygems.healpix as egh
import healpy
import matplotlib
import numpy as np
import xarray as xr

matplotlib.use("Agg")
import matplotlib.pyplot as plt

JANUARY = slice("1990-01-11", "1990-01-18")
JULY = slice("1990-07-10", "1990-07-17")
WEEKS = slice("1990-06-24", "1990-07-17")  # 24 days
DAY = "1990-07-10T00:00"

CP, LV, G, RADIUS = 1004.6, 2.5008e6, 9.80665, 6.371e6


def get_nn_lon_lat_index(nside, lons, lats):
    """The cell that each point of a grid of longitudes and latitudes lies in, as easy.gems shows it."""
    lons2, lats2 = np.meshgrid(lons, lats)
    return xr.DataArray(
        healpy.ang2pix(nside, lons2, lats2, nest=True, lonlat=True),
        coords=[("lat", lats), ("lon", lons)],
    )


def maps(entry, folder):
    """Maps of one day with `healpix_show`, and contours over one of them."""
    ds = entry(zoom=4, time="P1D").to_dask()
    snapshot = ds.sel(time=DAY)
    projection = ccrs.Robinson(central_longitude=-135.58)
    fig, axes = plt.subplots(2, 2, figsize=(8, 4), subplot_kw={"projection": projection}, layout="constrained")
    figures = {}
    for ax, name in zip(axes.flat, ["tas", "pr", "rlut", "psl"], strict=True):
        ax.set_global()
        image = egh.healpix_show(snapshot[name], ax=ax, cmap="inferno")
        fig.colorbar(image, ax=ax, label=snapshot[name].units)
        ax.set_title(snapshot[name].long_name)
        picture = np.ma.masked_invalid(image.get_array())
        middle, edge = picture.shape[0] // 2, picture.shape[0] // 10
        figures[name] = {
            "min": picture.min(),
            "max": picture.max(),
            "equator": picture[middle].mean(),
            "poles": (picture[:edge].mean() + picture[-edge:].mean()) / 2,
            "filled": picture.count() / picture.size,
        }
    egh.healpix_contour(snapshot.zg.sel(pressure=50000), ax=axes[0, 0], levels=8, colors="white", linewidths=0.5)
    fig.suptitle(str(snapshot.time.values)[:16])
    fig.savefig(folder / "maps.png")
    plt.close(fig)
    return figures


def zonal_mean_bands(entry, folder):
    """Zonal means of two seasons: of each ring of cells, and of bands of ten degrees."""
    ds = entry(zoom=4, time="P1D").to_dask().pipe(egh.attach_coords)
    january = ds[["tas", "pr", "uas"]].sel(time=JANUARY).mean("time")
    july = ds[["tas", "pr", "uas"]].sel(time=JULY).mean("time")
    rings = july.groupby("lat").mean()
    bins = np.arange(-90, 91, 10)
    bands = xr.concat([january, july], xr.Variable("season", ["DJF", "JJA"]))
    bands = bands.groupby_bins(ds.lat, bins, labels=bins[:-1] + 5).mean()
    jet = ds.ua.sel(time=JULY, pressure=25000).mean("time").groupby_bins(ds.lat, bins, labels=bins[:-1] + 5).mean()

    fig, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
    for ax, name in zip(axes, ["tas", "pr", "uas"], strict=True):
        rings[name].plot(ax=ax)
        bands[name].plot.line(ax=ax, x="lat_bins", add_legend=name == "tas")
    fig.savefig(folder / "zonal_means.png")
    plt.close(fig)
    return {
        "latitudes": bands.lat_bins.values,
        "rings": rings.sizes["lat"],
        "warmest_ring": float(rings.tas.idxmax("lat")),
        "coldest_ring": float(rings.tas.idxmin("lat")),
        "tas_january": bands.tas.sel(season="DJF").values,
        "tas_july": bands.tas.sel(season="JJA").values,
        "pr_july_mm_per_day": bands.pr.sel(season="JJA").values * 86400,
        "jet_july": jet.values,
    }


def hovmoeller(entry, folder):
    """Rain against latitude and time, and outgoing longwave radiation against longitude and time at the equator."""
    ds = entry(zoom=4, time="P1D", chunks="auto").to_dask().pipe(egh.attach_coords)
    bins = np.arange(-90, 91, 15)
    pr = ds.pr.sel(time=WEEKS).groupby_bins(ds.lat, bins, labels=bins[:-1] + 7.5).mean() * 86400
    tropics = ds.rlut.sel(time=WEEKS).where(abs(ds.lat) < 10, drop=True)
    sectors = np.arange(0, 361, 30)
    rlut = tropics.groupby_bins(tropics.lon, sectors, right=False, labels=sectors[:-1] + 15).mean()
    pr, rlut = pr.compute(), rlut.compute()

    fig, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    pr.plot(ax=axes[0], x="time", cmap="Blues", vmin=0, cbar_kwargs={"label": "mm day-1"})
    rlut.plot(ax=axes[1], y="time", cmap="inferno")
    fig.savefig(folder / "hovmoeller.png")
    plt.close(fig)
    return {
        "days": pr.sizes["time"],
        "wettest_latitude": pr.idxmax("lat_bins").values,
        "mean_mm_per_day": pr.mean("time").values,
        "rlut_by_longitude": rlut.mean("time").values,
        "missing": int(pr.isnull().sum() + rlut.isnull().sum()),
    }


def energy_transport(entry, folder):
    """Northward transport of moist static energy: a flux on levels, integrated over pressure and around the globe."""
    ds = entry(zoom=3, time="P1D", chunks={}).to_dask().pipe(egh.attach_coords)
    ds = ds[["ta", "va", "zg", "hus"]].sel(time=slice("1990-01-11", "1990-01-18"))
    mse = CP * ds.ta + G * ds.zg + LV * ds.hus
    bins = np.arange(-90, 91, 10)

    def zonal(da):
        return da.groupby_bins(ds.lat, bins, labels=bins[:-1] + 5).mean().rename(lat_bins="lat")

    v, h = zonal(ds.va), zonal(mse)
    eddies = (zonal(ds.va * mse) - v * h).mean("time")
    v, h = v.mean("time").compute(), h.mean("time").compute()
    depth = float(ds.pressure.max() - ds.pressure.min())
    # No net flow of mass across a latitude: what the few levels and days leave of it is taken away.
    overturning = (v - v.integrate("pressure") / depth) * h
    around = 2 * np.pi * RADIUS * np.cos(np.deg2rad(h.lat))
    transport = ((overturning + eddies).integrate("pressure") / G * around / 1e15).compute()
    by_eddies = eddies.transpose("lat", "pressure").values
    trapezoid = np.trapezoid(by_eddies, x=ds.pressure.values, axis=1) / G * around.values / 1e15

    fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
    transport.plot(ax=ax, x="lat", label="total")
    ax.plot(h.lat, trapezoid, label="eddies")
    ax.set_ylabel("PW")
    ax.legend()
    fig.savefig(folder / "energy_transport.png")
    plt.close(fig)
    return {
        "latitudes": h.lat.values,
        "total_PW": transport.values,
        "eddies_PW": trapezoid,
        "mse_kJ_per_kg": (h.integrate("pressure") / depth / 1e3).values,
    }


def tracking_files(entry, folder):
    """What TempestExtremes wants: few variables on longitudes and latitudes, one netCDF file a month."""
    ds = entry(zoom=4, time="P1D").to_dask()
    ds = ds.sel(time=slice("1990-06-28", "1990-07-03"))
    lons, lats = np.arange(0, 360, 5.0), np.arange(-87.5, 90, 5.0)
    idx = get_nn_lon_lat_index(egh.get_nside(ds), lons, lats)
    out = ds[["psl", "uas", "vas"]].isel(cell=idx)
    for level in (25000, 50000):
        out[f"zg{level // 100}"] = ds.zg.sel(pressure=level, drop=True).isel(cell=idx)
    out["sfcWind"] = np.hypot(out.uas, out.vas).assign_attrs(units="m s-1", long_name="surface wind speed")
    out = out.drop_vars(["cell", "cell_ids", "crs"], errors="ignore")
    out.lat.attrs = {"units": "degrees_north", "standard_name": "latitude"}
    out.lon.attrs = {"units": "degrees_east", "standard_name": "longitude"}
    for month, of_month in out.groupby("time.month"):
        of_month.to_netcdf(
            folder / f"tracking_1990{month:02d}.nc",
            encoding={"time": {"units": "hours since 1990-01-01", "dtype": "float64"}},
            unlimited_dims=["time"],
        )

    names = sorted(path.name for path in folder.glob("tracking_*.nc"))
    with xr.open_mfdataset([folder / name for name in names]) as both:
        lows = both.psl.min(["lat", "lon"])
        first = both.psl.isel(time=0).load()
        place = first[first.argmin(["lat", "lon"])]
        thickness = (both.zg250 - both.zg500).mean(["time", "lon"])
        return {
            "files": names,
            "times": [len(xr.open_dataset(folder / name).time) for name in names],
            "variables": sorted(both.data_vars),
            "units": both.psl.units,
            "deepest_hPa": lows.values / 100,
            "deepest_latitude": float(place.lat),
            "strongest_wind": float(both.sfcWind.max()),
            "thickness_equator": float(thickness.sel(lat=[-2.5, 2.5]).mean()),
            "thickness_poles": float(thickness.sel(lat=[-87.5, 87.5]).mean()),
        }


def rain_belt(entry, folder):
    """Where it rains more than at nine of ten places in the tropics, and how far that moves with the seasons."""
    ds = entry(zoom=4, time="P1D").to_dask().pipe(egh.attach_coords)
    fig, axes = plt.subplots(1, 2, figsize=(8, 3), subplot_kw={"projection": ccrs.PlateCarree()})
    figures = {}
    for ax, (season, days) in zip(axes, {"january": JANUARY, "july": JULY}.items(), strict=True):
        tropics = ds[["pr", "rlut", "prw"]].sel(time=days).where(abs(ds.lat) < 30, drop=True)
        mean = tropics.mean("time").compute()
        threshold = mean.pr.quantile(0.9)
        belt = mean.where(mean.pr > threshold, drop=True)
        figures[season] = {
            "cells": belt.sizes["cell"],
            "of": mean.sizes["cell"],
            "threshold_mm_per_day": float(threshold) * 86400,
            "latitude": float(belt.lat.weighted(belt.pr).mean()),
            "share_of_rain": float(belt.pr.sum() / mean.pr.sum()),
            "rlut_inside": float(belt.rlut.mean()),
            "rlut_outside": float(mean.rlut.where(mean.pr <= threshold).mean()),
            "prw_inside": float(belt.prw.mean()),
            "prw_outside": float(mean.prw.where(mean.pr <= threshold).mean()),
        }
        ax.set_extent([-180, 180, -30, 30], ccrs.PlateCarree())
        image = egh.healpix_show(
            egh.broadcast_array(belt.pr * 86400), ax=ax, cmap="Blues", vmin=0, nest=egh.is_nested(ds)
        )
        figures[season]["coloured"] = np.isfinite(np.ma.filled(image.get_array(), np.nan)).mean()
    fig.savefig(folder / "rain_belt.png")
    plt.close(fig)
    return figures


def stratocumulus(entry, folder):
    """Cloud and stability over the cold eastern edges of the subtropical oceans (Klein and Hartmann 1993)."""
    regions = {  # west, east, south, north
        "peruvian": [-95, -75, -25, -10],
        "namibian": [-5, 15, -25, -10],
        "californian": [-135, -115, 15, 30],
        "canarian": [-40, -20, 15, 30],
    }
    ds = entry(zoom=4, time="P1D").to_dask().pipe(egh.attach_coords)
    ds = ds.sel(time=JULY)
    theta = ds.ta.sel(pressure=85000) * (100000 / 85000) ** 0.286
    stability = theta - ds.tas * (100000 / ds.psl) ** 0.286
    tropics = abs(ds.lat) < 30
    edges = np.arange(0, 301, 20)
    fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
    figures = {
        "tropics": {
            "rsut": float(ds.rsut.where(tropics).mean()),
            "pr_mm_per_day": float(ds.pr.where(tropics).mean()) * 86400,
            "stability": float(stability.where(tropics).mean()),
            "ts": float(ds.ts.where(tropics).mean()),
        }
    }
    for name, extent in regions.items():
        region = egh.select_extent(ds[["rsut", "pr", "clt", "ts"]], extent)
        counts, _ = np.histogram(region.rsut, bins=edges)
        ax.stairs(counts / counts.sum(), edges, label=name)
        figures[name] = {
            "cells": region.sizes["cell"],
            "rsut": float(region.rsut.mean()),
            "rsut_spread": float(region.rsut.std()),
            "clt": float(region.clt.mean()),
            "pr_mm_per_day": float(region.pr.mean()) * 86400,
            "ts": float(region.ts.mean()),
            "stability": float(stability.sel(cell=region.cell).mean()),
            "rsut_p90": float(region.rsut.quantile(0.9)),
            "histogram": counts,
        }
    ax.set_xlabel("reflected shortwave / W m-2")
    ax.legend()
    fig.savefig(folder / "stratocumulus.png")
    plt.close(fig)
    return figures


def regridding(entry, folder):
    """The cells nearest to the points of a grid of longitudes and latitudes, for those who want such a grid."""
    ds = entry(zoom=4, time="P1D").to_dask()
    idx = get_nn_lon_lat_index(egh.get_nside(ds), np.linspace(-180, 177.5, 144), np.linspace(-88.75, 88.75, 72))
    remapped = ds[["tas", "ta"]].sel(time=JULY).isel(cell=idx)
    weights = np.cos(np.deg2rad(remapped.lat))
    coarse = entry(zoom=0, time="P1D").to_dask()
    fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
    remapped.tas.isel(time=0).plot(ax=ax, cmap="inferno")
    fig.savefig(folder / "regridding.png")
    plt.close(fig)
    return {
        "shape": list(remapped.ta.shape),
        "mean_of_grid": remapped.tas.weighted(weights).mean(["lat", "lon"]).values,
        "mean_of_cells": ds.tas.sel(time=JULY).mean("cell").values,
        "mean_of_twelve_cells": coarse.tas.sel(time=JULY).mean("cell").values,
        "ta_by_level": remapped.ta.weighted(weights).mean(["time", "lat", "lon"]).values,
        "one_point": float(remapped.tas.isel(time=0).sel(lat=0, lon=-150, method="nearest")),
        "its_cell": int(idx.sel(lat=0, lon=-150, method="nearest")),
    }


def equatorial_waves(entry, folder):
    """Power of outgoing longwave radiation by wavenumber and frequency, and the Kelvin waves filtered from it.

    As Wheeler and Kiladis (1999), on one window of 24 days between 15S and 15N.
    """
    ds = entry(zoom=4, time="P1D", chunks={}).to_dask()
    lons, lats = np.arange(0, 360, 5.0), np.arange(-13.75, 15, 2.5)
    idx = get_nn_lon_lat_index(egh.get_nside(ds), lons, lats)
    rlut = ds.rlut.sel(time=WEEKS).isel(cell=idx).compute()
    anomaly = rlut - rlut.mean("time")
    symmetric = (anomaly + anomaly.isel(lat=slice(None, None, -1)).values) / 2
    taper = xr.DataArray(np.hanning(anomaly.sizes["time"]), dims="time")

    # fft in longitude makes exp(+ikx) of positive k: eastward waves have frequencies of the other sign.
    spectrum = np.fft.fft2((symmetric * taper).transpose("lat", "time", "lon").values, axes=(1, 2))
    frequency = np.fft.fftfreq(anomaly.sizes["time"], d=1.0)
    wavenumber = np.fft.fftfreq(lons.size, d=1 / lons.size)
    power = xr.DataArray(
        np.fft.fftshift((abs(spectrum) ** 2).mean(0)) / symmetric[0].size / anomaly.sizes["time"],
        coords=[("frequency", np.fft.fftshift(-frequency)), ("wavenumber", np.fft.fftshift(wavenumber))],
    ).sortby("frequency")
    background = power
    for _ in range(3):
        background = background.rolling(frequency=3, wavenumber=3, center=True, min_periods=1).mean()

    f, k = np.meshgrid(-frequency, wavenumber, indexing="ij")
    eastward = (k >= 1) & (k <= 14) & (f >= 1 / 20) & (f <= 1 / 2.5)
    kelvin = eastward | ((k <= -1) & (k >= -14) & (-f >= 1 / 20) & (-f <= 1 / 2.5))
    filtered = np.fft.ifft2(np.where(kelvin, spectrum, 0), axes=(1, 2))

    fig, ax = plt.subplots(figsize=(5, 3), layout="constrained")
    (power / background).sel(frequency=slice(0, 0.5), wavenumber=slice(-15, 15)).plot(ax=ax, cmap="magma_r")
    fig.savefig(folder / "equatorial_waves.png")
    plt.close(fig)
    east = power.sel(frequency=slice(0.05, 0.4), wavenumber=slice(1, 14)).sum()
    west = power.sel(frequency=slice(0.05, 0.4), wavenumber=slice(-14, -1)).sum()
    slow = power.sel(frequency=slice(0.05, 0.2), wavenumber=slice(1, 14)).mean()
    fast = power.sel(frequency=slice(0.3, 0.45), wavenumber=slice(1, 14)).mean()
    return {
        "rlut": float(rlut.mean()),
        "spread": float(anomaly.std()),
        "east_over_west": float(east / west),
        "slow_over_fast": float(slow / fast),
        "largest_over_background": float((power / background).max()),
        "kelvin_share_of_variance": float(np.var(filtered.real) / np.var((symmetric * taper).values)),
        "imaginary": float(abs(filtered.imag).max()),
    }


def whole_snapshot(entry, folder):
    """Everything at one time in a netCDF file, and what is read back from it."""
    ds = entry(zoom=4, time="P1D").to_dask()
    ds.sel(time=DAY).to_netcdf(folder / "snapshot.nc")
    with xr.open_dataset(folder / "snapshot.nc") as back:
        return {
            "variables": sorted(back.data_vars),
            "time": str(back.time.values),
            "means": {name: back[name].mean("cell").values for name in sorted(back.data_vars)},
            "units": {name: back[name].units for name in sorted(back.data_vars)},
            "grid": {k: v for k, v in back.crs.attrs.items() if k in ("grid_mapping_name", "healpix_order")},
            "pressure": back.pressure.values,
        }


ANALYSES = [
    maps, zonal_mean_bands, hovmoeller, energy_transport, tracking_files,
    rain_belt, stratocumulus, regridding, equatorial_waves, whole_snapshot,
]  # fmt: skip


def plain(value):
    """Figures as JSON knows them; floats stay what they are, to the last bit."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def run(entry, folder, chosen=ANALYSES):
    """The figures of all analyses, or of some, by name."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return {analysis.__name__: plain(analysis(entry, folder)) for analysis in chosen}


def main():
    """Run on an entry (a name, dotted if it is in a nested catalog) with some keywords given before any other."""
    import intake

    catalog, name, folder, *keywords = sys.argv[1:]
    entry = intake.open_catalog(catalog)
    for part in name.split("."):
        entry = entry[part]
    if keywords:
        entry = entry(**json.loads(keywords[0]))
    figures = run(entry, folder)
    print(json.dumps({"intake": intake.__version__, "torch": "torch" in sys.modules, "figures": figures}))


if __name__ == "__main__":
    main()
