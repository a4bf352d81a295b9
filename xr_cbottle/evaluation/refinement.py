"""Distance of refined fields from a truth that was coarsened before: spectra, spread, quantiles, errors.

A *way* is one of making fine fields of coarse ones: bilinear interpolation, a bottle's full network, its distilled one.
All of them are given the exact means of the truth over four, sixteen... cells, so that only what is finer is made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle import diagnostics
from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.cube.downscaling import downscale
from xr_cbottle.draw.fine import NETWORKS
from xr_cbottle.evaluation.tail_targets import QUANTILES
from xr_cbottle.grid import healpix

TRUTH, BILINEAR = "truth", "bilinear"
#: Of which the curves are drawn; those of `QUANTILES`, which are judged, are among them.
LEVELS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99, 0.997, 0.999)

Floats = npt.NDArray[np.float64]


def averaged(ds: xr.Dataset, zoom: int) -> xr.Dataset:
    """Means over the cells of a coarser zoom, with the attributes of the variables."""
    steps = diagnostics.zoom(ds) - zoom
    return _on_cells(ds, lambda values: healpix.coarsen(values, steps))


def interpolated(ds: xr.Dataset, zoom: int) -> xr.Dataset:
    """Bilinear interpolation to the centres of the cells of a finer zoom."""
    native = diagnostics.zoom(ds)
    return _on_cells(ds, lambda values: healpix.resample(values, native, zoom))


def networks(bottle: Bottle) -> list[str]:
    """Networks of super-resolution that a bottle has, as ``sr_network`` takes them, the full one first."""
    roles = {part.role for part in bottle.manifest.parts}
    return [name for name in ("full", "distilled") if NETWORKS[name] in roles]


def drawn(coarse: xr.Dataset, bottle: Bottle, network: str, *, members: int = 0, **keywords: Any) -> xr.Dataset:
    """Coarse fields super-resolved to the finest zoom, in memory.

    Parameters
    ----------
    coarse
        (time, cell) on the bottle's native zoom.
    bottle, network
        Whose network, and which.
    members
        How many, which adds a dimension; 0 for one without it.
    **keywords
        As for `xr_cbottle.downscale`, such as ``seed``.
    """

    def one(member: int) -> xr.Dataset:
        fine = downscale(coarse, bottle, sr_network=network, member=member, **keywords)
        return fine[[str(name) for name in coarse.data_vars]].load()

    if not members:
        return one(0)
    return xr.concat([one(member) for member in range(members)], "member", combine_attrs="override")


def ways(
    coarse: xr.Dataset, bottle: Bottle, zoom: int, chosen: Sequence[str], **keywords: Any
) -> dict[str, xr.Dataset]:
    """A coarse field refined by bilinear interpolation and by some networks of a bottle, with keywords of `drawn`."""
    refined = {network: drawn(coarse, bottle, network, **keywords) for network in chosen}
    return {BILINEAR: interpolated(coarse, zoom), **refined}


def _on_cells(ds: xr.Dataset, change: Any) -> xr.Dataset:
    # Coordinates along cells are those of the old ones.
    ds = ds.drop_vars([name for name, coord in ds.coords.items() if "cell" in coord.dims])
    return xr.apply_ufunc(
        change, ds, input_core_dims=[["cell"]], output_core_dims=[["cell"]], exclude_dims={"cell"}, keep_attrs=True
    )


def bands(native: int, zoom: int) -> dict[str, tuple[int, int]]:
    """First and last degree of the added scales, in two parts: those that the fine cells resolve well, and the last.

    From twice the coarse nside, the largest degree of the coarse cells, to two thirds of that of the fine ones, and
    from there to one less than it. Zoom 4 to 5: 32 to 42 and 43 to 63.
    """
    first, last = 2 * healpix.nside(native), 2 * healpix.nside(zoom) - 1
    middle = 2 * (last + 1) // 3
    return {f"{a}-{b}": (a, b) for a, b in ((first, middle), (middle + 1, last))}


def portrait(truth: xr.Dataset, ways: Mapping[str, xr.Dataset], native: int) -> xr.Dataset:
    """Figures of the truth and of each way.

    Parameters
    ----------
    truth
        (time, cell) variables in memory.
    ways
        {name: the same variables at the same times, (time, cell) or (member, time, cell)}.
    native
        HEALPix level of the coarse fields.

    Returns
    -------
    On (field, variable), where fields are the truth and the ways, in the units of the variables: ``spectrum``
    (degree), mean over times and members; ``quantile`` (level), of all values; ``std``, of all values; ``fine_std``,
    of what is left without the means over coarse cells; ``rmse``, of a member; ``crps``, fair for members and
    the mean absolute error of a way that has none, NaN for one member; ``coarse_error``, RMS difference of the means
    over coarse cells from those of the truth; ``coarse_std``, of these.

    Raises
    ------
    ValueError
        If a way has not the variables, times or cells of the truth.
    """
    names = [str(name) for name in truth.data_vars]
    for way, ds in ways.items():
        lacking = [name for name in names if name not in ds]
        if lacking:
            raise ValueError(f"{way} has no {', '.join(lacking)}: it is compared in all variables of the truth")
        if not np.array_equal(ds["time"].values, truth["time"].values) or ds.sizes["cell"] != truth.sizes["cell"]:
            raise ValueError(f"{way} has other times or cells than the truth: give the same ones")
    fields = {TRUTH: truth, **ways}
    rows = [xr.concat([_portrait(ds[n], truth[n], native) for n in names], "variable") for ds in fields.values()]
    return xr.concat(rows, "field").assign_coords(field=list(fields), variable=names)


def _portrait(field: xr.DataArray, truth: xr.DataArray, native: int) -> xr.Dataset:
    steps = diagnostics.zoom(truth) - native
    ensemble = "member" in field.dims
    spectrum = diagnostics.power_spectrum(field)
    values, exact = (one.transpose(..., "time", "cell").values.astype(np.float64) for one in (field, truth))
    coarse, exact_coarse = healpix.coarsen(values, steps), healpix.coarsen(exact, steps)
    error = values - exact
    if not ensemble:
        crps = float(np.abs(error).mean())
    elif field.sizes["member"] > 1:
        crps = float(diagnostics.crps(field, truth).mean())
    else:
        crps = np.nan
    return xr.Dataset(
        {
            "spectrum": spectrum.mean("member") if ensemble else spectrum,
            "quantile": ("level", np.quantile(values, LEVELS)),
            "std": values.std(),
            "fine_std": _rms(values - np.repeat(coarse, 4**steps, -1)),
            "rmse": _rms(error),
            "crps": crps,
            "coarse_error": _rms(coarse - exact_coarse),
            "coarse_std": exact_coarse.std(),
        },
        {"level": np.array(LEVELS)},
    )


def figures(found: xr.Dataset, native: int, zoom: int) -> dict[str, dict[str, dict[str, Any]]]:
    """{variable: {way: figures}} of a portrait: plain numbers, with ratios to the truth.

    ``spectrum`` is the ratio of the power in each of `bands`; ``spectrum_distance`` the mean |ln ratio| over their
    degrees; ``quantile_distance`` the mean distance of the judged quantiles from the truth's and ``coarse_error`` that
    of the coarse means, both over the truth's standard deviation (of coarse cells for the second).
    """
    parts = bands(native, zoom)
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for name in found["variable"].values.tolist():
        truth = found.sel(field=TRUTH, variable=name)
        table[name] = {}
        for way in found["field"].values.tolist():
            one = found.sel(field=way, variable=name)
            judged = one["quantile"].sel(level=list(QUANTILES))
            row: dict[str, Any] = {
                "std": float(one["std"]),
                "fine_std": float(one["fine_std"]),
                "quantiles": {f"{100 * q:g} %": float(v) for q, v in zip(QUANTILES, judged.values, strict=True)},
            }
            if way != TRUTH:
                apart = np.abs(judged - truth["quantile"].sel(level=list(QUANTILES)))
                row |= {
                    "spectrum_ratio": {part: _ratio(one, truth, *ends) for part, ends in parts.items()},
                    "spectrum_distance": _distance(one, truth, parts),
                    "std_ratio": float(one["std"] / truth["std"]),
                    "fine_std_ratio": float(one["fine_std"] / truth["fine_std"]),
                    "quantile_distance": float(apart.mean() / truth["std"]),
                    "rmse": float(one["rmse"]),
                    "crps": float(one["crps"]) if np.isfinite(one["crps"]) else None,
                    "coarse_error": float(one["coarse_error"] / one["coarse_std"]),
                }
            table[name][way] = row
    return table


def lines(table: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Figures as a table of text: ratios to the truth, distances in its standard deviations, errors in its units."""
    heads = ("variable", "way", "spectrum", "std", "fine std", "quantiles", "RMSE", "CRPS", "coarse error")
    rows = [heads]
    for name, ways in table.items():
        for way, row in ways.items():
            if way != TRUTH:
                crps = "-" if row["crps"] is None else f"{row['crps']:.3g}"
                ratios = " ".join(f"{ratio:.2f}" for ratio in row["spectrum_ratio"].values())
                rows.append((
                    name, way, ratios, f"{row['std_ratio']:.3f}", f"{row['fine_std_ratio']:.3f}",
                    f"{row['quantile_distance']:.3f}", f"{row['rmse']:.3g}", crps, f"{row['coarse_error']:.4f}",
                ))  # fmt: skip
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text with their columns aligned."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def power(one: xr.Dataset, first: int, last: int) -> float:
    """Variance in some degrees, both ends included."""
    part = one["spectrum"].sel(degree=slice(first, last))
    return float(((2 * part["degree"] + 1) * part).sum() / (4 * np.pi))


def _ratio(one: xr.Dataset, other: xr.Dataset, first: int, last: int) -> float:
    return power(one, first, last) / power(other, first, last)


def _distance(one: xr.Dataset, truth: xr.Dataset, parts: Mapping[str, tuple[int, int]]) -> float:
    ends = [end for part in parts.values() for end in part]
    added = slice(min(ends), max(ends))
    ratio = one["spectrum"].sel(degree=added) / truth["spectrum"].sel(degree=added)
    return float(np.abs(np.log(ratio)).mean())


def nearer(table: Mapping[str, Mapping[str, Mapping[str, Any]]], ways: Sequence[str]) -> dict[str, dict[str, Any]]:
    """{way: {figure: variables in which it is nearer to the truth than bilinear interpolation}}."""
    keys = ("spectrum_distance", "quantile_distance", "crps")
    return {
        way: {
            key: [
                name for name, row in table.items() if row[way][key] is not None and row[way][key] < row[BILINEAR][key]
            ]
            for key in keys
        }
        for way in ways
    }


def _rms(values: Floats) -> float:
    return float(np.sqrt((values**2).mean()))
