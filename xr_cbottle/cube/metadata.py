"""The form of the data set: coordinates and attributes that the hackathon's and CF's tools understand."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from xr_cbottle.bottle.sampler import SOLVERS
from xr_cbottle.grid import healpix, time_axis

if TYPE_CHECKING:
    import xarray as xr

    from xr_cbottle.bottle.manifest import Manifest
    from xr_cbottle.cube.spec import CubeSpec
    from xr_cbottle.fields.channels import VariableLayout

# The first in which HEALPix is a grid mapping.
CONVENTIONS = "CF-1.13"
PRECISION_WORDS = {
    "float32": "float32",
    "tf32": "float32 with TF32 products",
    "bfloat16": "bfloat16 network, float64 sampler",
    "float16": "float16 network, float64 sampler",
}


def coordinates(
    spec: CubeSpec, pressures: tuple[int, ...], without: Container[str] = ()
) -> tuple[xr.Coordinates, dict[str, xr.Variable]]:
    """Coordinates with an index: member and pressure (each if there is one), time, cell; and cell_ids and crs.

    Indexes are made here, and other coordinates by the fast path, because xarray imports dask and all that
    hangs on it to look at an ordinary array.
    """
    import pandas as pd
    import xarray as xr
    from xarray.core.indexes import PandasIndex
    from xarray.core.indexing import LazilyIndexedArray

    from xr_cbottle.cube.lazy import HeldVariable, IndexRange

    cells = healpix.n_cells(spec.zoom)
    axes: dict[str, tuple[pd.Index, dict[str, Any]]] = {}
    if spec.members is not None:
        axes["member"] = (
            pd.Index(np.array(spec.members, np.int64)),
            {"long_name": "realisation", "standard_name": "realization", "units": "1"},  # CF has no axis for it
        )
    axes["time"] = (
        pd.DatetimeIndex(spec.axis.values),
        {"long_name": "time", "standard_name": "time", "axis": "T", "units_metadata": "leap_seconds: none"},
    )
    if pressures:
        axes["pressure"] = (
            pd.Index(np.array(pressures, np.int64)),
            {"long_name": "air pressure", "standard_name": "air_pressure", "units": "Pa", "axis": "Z"}
            | {"positive": "down"},
        )
    # A range takes no memory and no time, at any zoom.
    axes["cell"] = (
        pd.RangeIndex(cells),
        {"long_name": "HEALPix cell, nested order", "standard_name": "healpix_index", "units": "1"},
    )
    variables: dict[str, xr.Variable] = {}
    indexes = {}
    for name, (values, attrs) in axes.items():
        if name not in without:
            indexes[name] = PandasIndex(values, name)
            variables |= indexes[name].create_variables()
            variables[name].attrs = attrs
    if "time" in variables:  # written as it is here, whichever part of the axis is written
        variables["time"].encoding = {
            "units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian", "dtype": np.dtype(np.int64)
        }  # fmt: skip
    # Two readers: easygems wants healpix_nside and healpix_order, CF refinement_level and indexing_scheme.
    crs = {
        "long_name": "HEALPix grid, nested order",
        "grid_mapping_name": "healpix",
        "healpix_nside": healpix.nside(spec.zoom),
        "healpix_order": "nest",
        "refinement_level": spec.zoom,
        "indexing_scheme": "nested",
    }
    # xdggs takes all attributes of cell_ids for its grid's, and fails on any other, also on a long_name.
    cell_ids = {"grid_name": "healpix", "level": spec.zoom, "indexing_scheme": "nested"}
    if spec.fine is None:
        numbers: xr.Variable = HeldVariable("cell", np.arange(cells), cell_ids, fastpath=True)
    else:  # of the globe, of which a box may be all that is ever looked at
        numbers = xr.Variable("cell", LazilyIndexedArray(IndexRange(cells)), cell_ids, fastpath=True)
    others = {
        "cell_ids": numbers,
        "crs": HeldVariable((), np.array(1, np.int64), crs, fastpath=True),
    }
    return xr.Coordinates(variables, indexes), {k: v for k, v in others.items() if k not in without}


def variable_attrs(layout: VariableLayout, spec: CubeSpec, manifest: Manifest) -> dict[str, Any]:
    """Attributes of one variable."""
    attrs: dict[str, Any] = {
        **layout.variable.attrs,
        "grid_mapping": "crs",
        "cell_methods": "time: mean" if spec.axis.method == "mean" else "time: point",
    }
    if layout.variable.units == "K":
        attrs["units_metadata"] = "temperature: on_scale"  # and no difference of temperatures
    comments = []
    label = manifest.labels.get(spec.label or "")
    names = manifest.channels if spec.fine is None else spec.fine.channels
    lent = [names[i] for i in layout.channels if label and names[i] in label.masked]
    if lent and label is not None:
        comments.append(f"The data of label {spec.label} had no {', '.join(lent)}: drawn under label {label.donor}.")
    if all(manifest.channels[i] in manifest.nonnegative for i in layout.channels):
        comments.append("Values below 0 are set to 0, and those above scaled to keep the mean over the globe.")
    if layout.variable.ocean_only and (spec.sst or manifest.sst):
        comments.append("Missing where the sea surface temperature that drives the model is missing.")
    if comments:
        attrs["comment"] = " ".join(comments)
    return attrs


def global_attrs(spec: CubeSpec, manifest: Manifest, asked: Mapping[str, str]) -> dict[str, Any]:
    """What made the values, without the moment: the same data set has the same attributes."""
    from xr_cbottle import __version__

    steps, low, high, rho, solver = spec.sampler
    per_value = spec.axis.instants_per_value
    attrs: dict[str, Any] = {
        "Conventions": CONVENTIONS,
        "title": manifest.title or f"Drawn from the bottle {manifest.name}",
        "summary": manifest.summary,
        "source": f"diffusion model, bottle {manifest.name!r}, trained on: {manifest.source or 'unknown'}",
        "references": "; ".join(manifest.references),
        "license": manifest.licence,
        "bottle": manifest.name,
        "bottle_digest": f"sha256:{spec.digest}",
        "bottle_created": manifest.created,
        "label": spec.label or "",
        "seed": spec.seed,
        "sampler": f"{SOLVERS[solver]}, EDM schedule, no churn",
        "num_steps": steps,
        "sigma_min": low,
        "sigma_max": high,
        "rho": rho,
        "precision": PRECISION_WORDS.get(spec.precision, spec.precision),
        "batch_size": spec.batch_size,
        "sst": f"the user's, sha256:{spec.sst}" if spec.sst else ("the bottle's" if manifest.sst else ""),
        "zoom": spec.zoom,
        "native_zoom": manifest.zoom,
        **(spec.fine.attrs() if spec.fine else {}),
        "time_method": (
            f"mean of {per_value} instants every {time_axis.format_period(spec.axis.native)} from one "
            f"{time_axis.format_period(spec.axis.step)} before the time, up to and not including the time"
            if spec.axis.method == "mean"
            else "instants; neighbouring times are independent draws, not an evolution"
        ),
        "instants_per_value": per_value,
        "xr_cbottle_version": __version__,
        "history": f"xr_cbottle {__version__}: opened with "
        + (", ".join(f"{k}={v}" for k, v in asked.items()) or "no keywords"),
    }
    return {k: v for k, v in attrs.items() if v != ""}


def absence(name: str, spec: CubeSpec, there: tuple[str, ...]) -> str:
    """Why a variable of the native zoom is not in a data set above it."""
    return (
        f"super-resolution of {name} makes no such variable: at zoom {spec.zoom} there are {', '.join(there)}; open "
        f"zoom {spec.native_zoom} or coarser for it"
    )


def encoding(dims: tuple[str, ...], sizes: Mapping[str, int], times: int, spec: CubeSpec) -> dict[str, Any]:
    """preferred_chunks: one batch of instants, which makes some times, with all levels and all cells.

    Above the native zoom it is one instant of one tile.
    """
    once = {"time": min(sizes["time"], times), "member": 1}
    if spec.fine is not None:
        once["cell"] = spec.fine.cells(spec.zoom)
    return {"preferred_chunks": {dim: once.get(dim, sizes[dim]) for dim in dims}}


def shortened(value: Any) -> str:
    """A keyword's value on one short line."""
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def keywords(asked: Mapping[str, Any]) -> dict[str, str]:
    """Keywords that are not the default, as text for the history."""
    default = {"time_method": "inst", "seed": 0, "precision": "float32", "sr_mode": "tiles"}
    return {k: shortened(v) for k, v in asked.items() if v is not None and not (k in default and v == default[k])}
