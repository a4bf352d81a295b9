"""World maps of HEALPix fields.

Each pixel of a map shows the cell that it lies in, so that what is seen is what the data set has. The maps are
in Mollweide's projection, which keeps areas; a cartopy ``GeoAxes`` may be given for any other. Coasts are those
of the field's own land, where it is given: nothing is downloaded. matplotlib is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from xr_cbottle.fields.cells import find_cells
from xr_cbottle.fields.channels import VARIABLES
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Floats = npt.NDArray[np.float64]
_MISSING = "0.85"  # light grey


@dataclass(frozen=True)
class Style:
    """How a quantity is drawn.

    Attributes
    ----------
    cmap
        matplotlib's name of a colour map.
    span
        Whether colours run over the field's own range, from zero up, or as far on both sides of zero.
    factor, units
        From the data set's unit to the one on the colour bar; None keeps it.
    """

    cmap: str
    span: Literal["range", "positive", "symmetric"] = "range"
    factor: float = 1.0
    units: str | None = None


_WARMTH = Style("RdYlBu_r")
_WIND = Style("RdBu_r", "symmetric")
_WATER = Style("YlGnBu", "positive")
_STYLES = {
    "air_temperature": _WARMTH,
    "surface_temperature": _WARMTH,
    "sea_surface_temperature": _WARMTH,
    "eastward_wind": _WIND,
    "northward_wind": _WIND,
    "lagrangian_tendency_of_air_pressure": _WIND,
    "precipitation_flux": Style("YlGnBu", "positive", 86400.0, "mm day-1"),
    "water_evapotranspiration_flux": Style("YlGnBu", "positive", 86400.0, "mm day-1"),
    "specific_humidity": Style("YlGnBu", "positive", 1000.0, "g kg-1"),
    "atmosphere_mass_content_of_water_vapor": _WATER,
    "atmosphere_mass_content_of_cloud_liquid_water": Style("Blues_r", "positive"),
    "atmosphere_mass_content_of_cloud_ice": Style("Blues_r", "positive"),
    "cloud_area_fraction": Style("Blues_r", "positive"),
    "sea_ice_area_fraction": Style("Blues_r", "positive"),
    "air_pressure_at_mean_sea_level": Style("viridis", factor=0.01, units="hPa"),
    "surface_air_pressure": Style("viridis", factor=0.01, units="hPa"),
    "toa_outgoing_longwave_flux": Style("magma"),
}
_PLAIN = Style("viridis")


def map(
    field: xr.DataArray,
    *,
    ax: Axes | None = None,
    land: npt.ArrayLike | None = None,
    title: str | None = None,
    limits: tuple[float, float] | None = None,
    cmap: str | None = None,
    width: int = 1200,
) -> Axes:
    """Draw a field on the globe.

    Parameters
    ----------
    field
        (cell,) HEALPix, of any zoom; dimensions of length one may be there too. NEST order, unless its
        attributes or coordinates say another. Its attributes choose colours and give the colour bar its unit.
    ax
        matplotlib Axes, or a cartopy GeoAxes; a new figure if None.
    land
        (cell,) True over land, NEST, of any zoom: its outline is drawn. See `land_of`.
    title
        By default the long name, pressure, time and member.
    limits
        Lowest and highest colour, in the unit of the colour bar.
    cmap
        matplotlib's name of a colour map.
    width
        Pixels of the image from west to east.

    Returns
    -------
    The Axes.

    Raises
    ------
    ValueError
        If the field has other dimensions, or not the cells of a whole globe.
    """
    import matplotlib.pyplot as plt

    values = _cells(field)
    if ax is None:
        _, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
    style = style_of(field)
    values = values * style.factor
    low, high = limits or limits_of(values, style)
    colours = plt.get_cmap(cmap or style.cmap).with_extremes(bad=_MISSING)
    lon, lat, extent = _pixels(ax, width)
    inside = np.isfinite(lon)
    image = np.full(lon.shape, np.nan)
    image[inside] = values[_cell_at(lon[inside], lat[inside], values.size)]
    shown = ax.imshow(
        np.ma.masked_invalid(image), extent=extent, origin="lower", interpolation="nearest",
        cmap=colours, vmin=low, vmax=high,
    )  # fmt: skip
    if not hasattr(ax, "projection"):  # a GeoAxes has a frame of its own
        _draw_frame(ax, shown)
    if land is not None:
        _draw_coast(ax, np.asarray(land, np.float64), lon, lat, extent)
    extend = _extend(values, low, high)
    bar = ax.figure.colorbar(shown, ax=ax, orientation="horizontal", shrink=0.6, pad=0.03, aspect=40, extend=extend)
    bar.set_label(style.units or str(field.attrs.get("units", "")))
    ax.set_title(describe(field) if title is None else title, fontsize="medium")
    return ax


def panel(
    ds: xr.Dataset,
    names: Sequence[str],
    *,
    columns: int = 2,
    land: npt.ArrayLike | None = None,
    title: str | None = None,
    width: int = 900,
) -> Figure:
    """Draw maps of several variables of one time beside each other.

    Parameters
    ----------
    ds
        A data set whose variables are (cell,) fields: select a time, and a pressure, first.
    names
        Variables to draw.
    columns
        How many maps in a row.
    land, width
        As in `map`.
    title
        Of the whole; by default the bottle, time, member, label and seed.

    Returns
    -------
    The figure.

    Raises
    ------
    ValueError
        If a name is not a variable of the data set, and as in `map`.
    """
    import matplotlib.pyplot as plt

    unknown = [name for name in names if name not in ds]
    if unknown or not names:
        known = ", ".join(str(name) for name in ds.data_vars)
        raise ValueError(f"there is no variable {', '.join(unknown)!r} to draw: choose among {known}")
    rows = -(-len(names) // columns)
    size = (5.2 * columns, 3.1 * rows + 0.4)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for ax, name in zip(axes.flat, names, strict=False):
        map(ds[name], ax=ax, land=land, title=describe(ds[name], when=False), width=width)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    figure.suptitle(title if title is not None else ", ".join([origin(ds), *_when(ds)]))
    return figure


def describe(field: xr.DataArray, *, when: bool = True) -> str:
    """Long name and pressure of a field; with `when` also its time and member."""
    parts = [str(field.attrs.get("long_name") or field.name or "field")]
    # A selected pressure stays as a coordinate on variables that have none.
    variable = VARIABLES.get(str(field.name))
    has_level = variable is None or variable.on_pressure
    if has_level and "pressure" in field.coords and field["pressure"].size == 1:
        parts[0] += f" at {field['pressure'].item() / 100:g} hPa"
    return ", ".join(parts + (_when(field) if when else []))


def origin(ds: xr.Dataset) -> str:
    """The bottle, label and seed of a data set on one line."""
    parts = [str(ds.attrs["bottle"])] if "bottle" in ds.attrs else []
    return ", ".join(parts + [f"{key} {ds.attrs[key]}" for key in ("label", "seed") if key in ds.attrs])


def style_of(field: xr.DataArray) -> Style:
    """How a quantity is drawn, by its attribute ``standard_name``."""
    return _STYLES.get(str(field.attrs.get("standard_name")), _PLAIN)


def limits_of(values: npt.NDArray[np.floating], style: Style) -> tuple[float, float]:
    """Lowest and highest colour: all but the outermost hundredth of the cells."""
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(known, (1, 99)))
    if style.span == "symmetric":
        low, high = -max(-low, high), max(-low, high)
    elif style.span == "positive":
        low = 0.0
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def save(draw: Callable[[], Figure | SubFigure], out: Path) -> None:
    """Draw a figure without a display and write it as a picture.

    Parameters
    ----------
    draw
        Makes the figure.
    out
        The picture; its folder is made if need be.
    """
    import matplotlib.pyplot as plt

    before = plt.get_backend()
    plt.switch_backend("agg")
    try:
        figure = draw().figure
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=130)
        plt.close(figure)
    finally:
        plt.switch_backend(before)


def land_of(sst: xr.Dataset | xr.DataArray, zoom: int) -> npt.NDArray[np.bool_]:
    """(cell,) where a sea surface temperature has no value, NEST order: what `map` takes as land."""
    from xr_cbottle.fields.sst import SeaSurfaceTemperature

    return SeaSurfaceTemperature.from_dataset(sst, zoom).land


def _when(data: xr.Dataset | xr.DataArray) -> list[str]:
    parts = []
    if "time" in data.coords and data["time"].size == 1:
        time = np.datetime_as_string(data["time"].values.reshape(()), unit="m")
        parts.append(str(time).replace("T", " ") + " UTC")
    if "member" in data.coords and data["member"].size == 1:
        parts.append(f"member {data['member'].item()}")
    return parts


def _cells(field: xr.DataArray) -> Floats:
    """(cell,) values of a field of the whole globe, NEST order."""
    field = field.squeeze()
    if field.ndim != 1:
        rest = ", ".join(str(dim) for dim in field.dims[:-1]) or "cell"
        raise ValueError(
            f"a map shows one field and this has dimensions {field.dims}: choose one of {rest} with isel or sel"
        )
    return np.asarray(find_cells(field, str(field.dims[0])).nested(np.asarray(field.values, np.float64)))


def _extend(values: Floats, low: float, high: float) -> Literal["neither", "min", "max", "both"]:
    """At which ends of the colour bar there is more."""
    below, above = bool((values < low).any()), bool((values > high).any())
    return "both" if below and above else "min" if below else "max" if above else "neither"


def _pixels(ax: Axes, width: int) -> tuple[Floats, Floats, tuple[float, float, float, float]]:
    """(y, x) longitude and latitude in degrees of the pixels of a map, NaN outside the globe; and its edges."""
    projection = getattr(ax, "projection", None)
    if projection is not None:
        ax.set_global()  # type: ignore[attr-defined]
        (west, east), (south, north) = ax.get_xlim(), ax.get_ylim()
    else:
        west, east, south, north = -2.0, 2.0, -1.0, 1.0
    height = max(1, round(width * (north - south) / (east - west)))
    x, y = np.meshgrid(_centres(west, east, width), _centres(south, north, height))
    if projection is None:
        return *_mollweide(x, y), (west, east, south, north)
    from cartopy.crs import PlateCarree

    lon, lat, _ = np.moveaxis(PlateCarree().transform_points(projection, x, y), -1, 0)
    return np.where(np.isfinite(lat), lon, np.nan), lat, (west, east, south, north)


def _centres(low: float, high: float, n: int) -> Floats:
    return low + (np.arange(n) + 0.5) * (high - low) / n


def _mollweide(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Longitude and latitude of points of Mollweide's ellipse, whose half axes are 2 and 1; NaN outside."""
    outside = (x / 2) ** 2 + y**2 >= 1
    angle = np.arcsin(np.clip(y, -1, 1))
    lat = np.rad2deg(np.arcsin((2 * angle + np.sin(2 * angle)) / np.pi))
    lon = 90 * x / np.where(outside, 1.0, np.cos(angle))
    return np.where(outside, np.nan, lon), np.where(outside, np.nan, lat)


def _cell_at(lon: Floats, lat: Floats, cells: int) -> npt.NDArray[np.int64]:
    import healpy

    return healpy.ang2pix(healpy.npix2nside(cells), lon, lat, nest=True, lonlat=True)


def _draw_frame(ax: Axes, shown: Any) -> None:
    from matplotlib.patches import Ellipse

    frame = Ellipse((0, 0), 4, 2, fill=False, edgecolor="0.3", linewidth=0.8)
    ax.add_patch(frame)
    shown.set_clip_path(frame)
    ax.set_axis_off()
    ax.set(xlim=(-2.01, 2.01), ylim=(-1.01, 1.01))


def _draw_coast(ax: Axes, land: Floats, lon: Floats, lat: Floats, extent: tuple[float, ...]) -> None:
    """Where interpolated land is one half."""
    import healpy

    if land.ndim != 1 or healpix.zoom_of(land.size) is None:
        raise ValueError(f"land has the shape {land.shape}: it must be (cell,) of a whole HEALPix globe")
    inside = np.isfinite(lon)
    fraction = np.full(lon.shape, np.nan)
    fraction[inside] = healpy.get_interp_val(land, lon[inside], lat[inside], nest=True, lonlat=True)
    ax.contour(
        np.ma.masked_invalid(fraction), levels=[0.5], extent=extent, origin="lower", colors="0.15", linewidths=0.6
    )
