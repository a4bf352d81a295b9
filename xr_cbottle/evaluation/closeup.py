"""Pictures of refined fields: a region side by side, spectra at the added scales, and the tails of distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle import diagnostics, plot
from xr_cbottle.evaluation.pictures import Look, canvas, png
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.refinement import BILINEAR, TRUTH, bands
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's blue, vermilion, green and purple, beside black.
_COLOURS = ("#d55e00", "#009e73", "#cc79a7")
_PIXELS = 600


@dataclass(frozen=True)
class Box:
    """A region of longitudes and latitudes, degrees; west may be negative and is less than east."""

    west: float
    east: float
    south: float
    north: float

    def __post_init__(self) -> None:
        if not (self.west < self.east <= self.west + 360 and -90 <= self.south < self.north <= 90):
            raise ValueError(
                f"the box is {self.west:g} to {self.east:g} east and {self.south:g} to {self.north:g} north: it must "
                "go from west to east and from south to north, within 360 and -90 to 90 degrees"
            )

    def pixels(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(y, x) longitude and latitude of the middles of pixels that are as high as wide at the box's middle."""
        high = max(2, round(_PIXELS * (self.north - self.south) / (self.east - self.west) * self.aspect))
        lon = self.west + (np.arange(_PIXELS) + 0.5) * (self.east - self.west) / _PIXELS
        lat = self.south + (np.arange(high) + 0.5) * (self.north - self.south) / high
        return tuple(np.meshgrid(lon, lat))  # type: ignore[return-value]

    @property
    def aspect(self) -> float:
        """Ratio of height to width of a degree as drawn: that of the middle of the box."""
        return float(1 / np.cos(np.deg2rad((self.south + self.north) / 2)))


def land(lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """(row, column) bool mask of land, to an arc minute (global-land-mask, of NASA's GLOBE)."""
    from global_land_mask import globe

    return np.asarray(globe.is_land(lat, (lon + 180) % 360 - 180))


def maps(fields: Mapping[str, xr.Dataset], names: Sequence[str], box: Box, *, coast: bool = True) -> Figure:
    """A region, a row for each variable and a column for each way; pixels show the cells that they lie in.

    Parameters
    ----------
    fields
        {title: (cell,) variables}; zooms may differ. The last, which should be the truth, gives the colours.
    names
        Variables to show, each with the same colours in all columns.
    box
        The region.
    coast
        Whether to draw coasts.
    """
    import healpy

    lon, lat = box.pixels()
    on_land = land(lon, lat) if coast else None
    shape = (box.north - box.south) / (box.east - box.west) * box.aspect
    figure, axes = canvas(len(names), len(fields), (3.0, max(1.2, 2.75 * shape)))
    extent = (box.west, box.east, box.south, box.north)
    for i, (row, name) in enumerate(zip(axes, names, strict=True)):
        look = Look.of(name)
        images = []
        for ds in fields.values():
            n = healpix.nside(diagnostics.zoom(ds[name]))
            cells = healpy.ang2pix(n, lon % 360, lat, nest=True, lonlat=True)
            images.append(ds[name].values.astype(np.float64)[cells] * look.factor)
        low, high = plot.limits_of(images[-1], look.style)
        for j, (ax, title, image) in enumerate(zip(row, fields, images, strict=True)):
            shown = ax.imshow(
                image, extent=extent, origin="lower", interpolation="nearest", aspect=box.aspect,
                cmap=look.style.cmap, vmin=low, vmax=high,
            )  # fmt: skip
            if on_land is not None:
                ax.contour(on_land, levels=[0.5], extent=extent, origin="lower", colors="0.15", linewidths=0.6)
            ax.tick_params(labelsize=7)
            if i == 0:
                ax.set_title(title, fontsize="medium")
            if i < len(names) - 1:
                ax.set_xticklabels([])
            if j > 0:
                ax.set_yticklabels([])
        row[0].set_ylabel(name)
        bar = figure.colorbar(shown, ax=list(row), pad=0.01, shrink=0.9, extend="both")
        bar.set_label(look.units, fontsize="small")
        bar.ax.tick_params(labelsize=7)
    return figure


def spectra(found: xr.Dataset, native: int, zoom: int, band: tuple[float, float]) -> Figure:
    """Power spectra of a portrait, and below each the ratio to the truth; ``band`` of it is shaded grey."""
    names = found["variable"].values.tolist()
    figure, axes = canvas(2, len(names), (3.1, 1.9), gridspec_kw={"height_ratios": [2, 1.5]})
    first = next(iter(bands(native, zoom).values()))[0]
    truth = found.sel(field=TRUTH)
    shown = found["degree"].values[1 : 2 * healpix.nside(zoom)]
    for (above, below), name in zip(axes.T, names, strict=True):
        look = Look.of(name)
        for field, style in _styles(found).items():
            line = found["spectrum"].sel(field=field, variable=name, degree=shown)
            above.plot(shown, line * look.factor**2, label=field, **style)
            if field != TRUTH:
                below.plot(shown, line / truth["spectrum"].sel(variable=name, degree=shown), **style)
        below.axhspan(*band, color="0.9", lw=0)
        above.set(xscale="log", yscale="log", title=f"{Quantity(name).title} ({look.units})$^2$")
        below.set(xscale="log", ylim=(0, 2), xlabel="degree")
        for ax in (above, below):
            ax.axvline(first, color="0.6", lw=0.8, ls=":")
            ax.set_xlim(4, shown[-1] + 1)
            _plain_degrees(ax)
    axes[0, 0].set_ylabel("power")
    axes[1, 0].set_ylabel("ratio to the truth")
    axes[0, 0].legend(frameon=False, fontsize=8, loc="lower left")
    return figure


def quantiles(found: xr.Dataset) -> Figure:
    """Differences of quantiles from the truth's in its standard deviations; the levels on a logit axis."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    names = found["variable"].values.tolist()
    figure, axes = canvas(1, len(names), (3.1, 2.7))
    for ax, name in zip(axes[0], names, strict=True):
        one = found.sel(variable=name)
        truth = one.sel(field=TRUTH)
        for field, style in _styles(found).items():
            apart = (one["quantile"].sel(field=field) - truth["quantile"]) / truth["std"]
            ax.plot(found["level"], apart, label=field, **style)
        ax.set_xscale("logit")
        ax.xaxis.set_major_locator(FixedLocator([0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999]))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))
        ax.set(title=Quantity(name).title, xlabel="quantile (%)")
        ax.tick_params(labelsize=8)
        ax.grid(color="0.92")
    axes[0, 0].set_ylabel("difference / std of the truth")
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


def _styles(found: xr.Dataset) -> dict[str, dict[str, str | float]]:
    styles: dict[str, dict[str, str | float]] = {}
    fields = found["field"].values.tolist()
    drawn = [field for field in fields if field not in (TRUTH, BILINEAR)]
    for field in fields:
        if field == TRUTH:
            styles[field] = {"color": "#222222", "ls": "--", "lw": 1.7, "zorder": 3}
        elif field == BILINEAR:
            styles[field] = {"color": "#0072b2", "ls": "-", "lw": 1.5}
        else:
            styles[field] = {"color": _COLOURS[drawn.index(field) % len(_COLOURS)], "ls": "-", "lw": 1.5}
    return styles


def _plain_degrees(ax: Axes) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    ax.xaxis.set_major_locator(FixedLocator([5, 10, 20, 40]))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.tick_params(labelsize=8)


def write(folder: Path, figures: Mapping[str, Figure]) -> None:
    """Each figure as a PNG of its name."""
    for name, figure in figures.items():
        (folder / f"{name}.png").write_bytes(png(figure))
