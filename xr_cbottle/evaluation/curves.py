"""Pictures of a comparison that are no maps: spectra, zonal means, cycles, distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.evaluation.pictures import COLOURS, DIFFERENCE, Look, canvas, symmetric
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.tail_targets import QUANTILES
from xr_cbottle.evaluation.variability_targets import SPECTRUM

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Portraits = Sequence[tuple[Quantity, xr.Dataset]]
_LINES = {"bottle": "-", "reference": "--"}


def lines(ax: Axes, x: npt.ArrayLike, sides: xr.DataArray, names: tuple[str, str], factor: float = 1.0) -> None:
    """A line for each side; ``names`` are those of bottle and reference."""
    for side, name in zip(("bottle", "reference"), names, strict=True):
        ax.plot(x, sides.sel(side=side).values * factor, _LINES[side], color=COLOURS[side], lw=1.7, label=name)


def spectra(portraits: Portraits, names: tuple[str, str], last: int) -> Figure:
    """Power spectra, and below each the ratio with the target and the reference's own difference."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    columns = min(4, len(portraits))
    rows = -(-len(portraits) // columns)
    figure, axes = canvas(2 * rows, columns, (3.2, 1.7), gridspec_kw={"height_ratios": [2, 1.2] * rows})
    for ax in axes.flat:
        ax.set_axis_off()
    for i, (quantity, ds) in enumerate(portraits):
        above, below = (axes[2 * (i // columns) + k, i % columns] for k in (0, 1))
        degree = ds["degree"].values
        lines(above, degree, ds["spectrum"], names)
        above.set(yscale="log", title=quantity.title, xticklabels=[])
        below.axhspan(*SPECTRUM, color="0.9", lw=0)
        below.axvline(last, color="0.6", lw=0.8, ls=":")
        if "spectrum_noise" in ds:
            below.plot(degree, ds["spectrum_noise"], color="0.6", lw=1)
        ratio = ds["spectrum"].sel(side="bottle") / ds["spectrum"].sel(side="reference")
        below.plot(degree, ratio, color=COLOURS["bottle"], lw=1.7)
        below.set(ylim=(0.4, 1.6), xlabel="degree")
        for ax in (above, below):
            ax.set_axis_on()
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.tick_params(labelsize=8)
        below.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        above.xaxis.set_major_formatter(NullFormatter())
        if i % columns == 0:
            above.set_ylabel("power")
            below.set_ylabel("ratio")
    axes[0, 0].legend(frameon=False, fontsize=8, loc="lower left")
    return figure


def zonal(portraits: Portraits, names: tuple[str, str]) -> Figure:
    """Zonal means of the year, and of both seasons where they are known."""
    seasons = [str(s) for s in portraits[0][1]["season"].values]
    figure, axes = canvas(len(portraits), len(seasons), (3.9, 1.9), sharex=True, sharey="row")
    for row, (quantity, ds) in zip(axes, portraits, strict=True):
        look = Look.of(quantity.name, ds.attrs["units"])
        for ax, season in zip(row, seasons, strict=True):
            lines(ax, ds["lat"].values, ds["zonal"].sel(season=season), names, look.factor)
            ax.grid(color="0.9")
            ax.set(xlim=(-90, 90), xticks=np.arange(-90, 91, 30))
        row[0].set_ylabel(f"{quantity.title}\n({look.units})")
    for ax, season in zip(axes[0], seasons, strict=True):
        ax.set_title(season)
    for ax in axes[-1]:
        ax.set_xlabel("latitude")
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


def seasonal(quantity: Quantity, ds: xr.Dataset, names: tuple[str, str]) -> Figure:
    """Monthly means of six zonal bands, the northern ones above."""
    figure, axes = canvas(2, 3, (4.2, 2.1), sharex=True)
    look = Look.of(quantity.name, ds.attrs["units"])
    for ax, band in zip(axes.flat, ds["band"].values[::-1], strict=True):
        lines(ax, ds["month"].values, ds["bands"].sel(band=band), names, look.factor)
        ax.set_title(str(band), fontsize="medium")
        ax.set(xticks=range(1, 13), xticklabels=list("JFMAMJJASOND"))
        ax.grid(color="0.9")
    for row in axes:
        row[0].set_ylabel(f"{quantity.title} ({look.units})")
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


def diurnal(portraits: Portraits, names: tuple[str, str]) -> Figure:
    """The mean day by local solar time."""
    figure, axes = canvas(1, len(portraits), (4.4, 3.0))
    for ax, (quantity, ds) in zip(axes[0], portraits, strict=True):
        look = Look.of(quantity.name, ds.attrs["units"])
        lines(ax, ds["hour"].values, ds["day"], names, look.factor)
        ax.set_title(quantity.title + str(ds["day"].attrs.get("where", "")), fontsize="medium")
        ax.set(xlim=(0, 24), xticks=range(0, 25, 6), xlabel="local solar time (h)", ylabel=look.units)
        _not_closer(ax, 2.0 if look.units == "K" else 0.2 * abs(float(ds["day"].mean())) * look.factor)
        ax.grid(color="0.9")
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


def _not_closer(ax: Axes, least: float) -> None:
    """Widen the range of an axis, so that noise does not look like a cycle."""
    low, high = ax.get_ylim()
    if high - low < least:
        ax.set_ylim((low + high - least) / 2, (low + high + least) / 2)


def quantile_quantile(portraits: Portraits, names: tuple[str, str]) -> Figure:
    """Quantiles of the one side over those of the other; on the line they are the same."""
    figure, axes = canvas(1, len(portraits), (3.3, 3.2))
    for ax, (quantity, ds) in zip(axes[0], portraits, strict=True):
        look = Look.of(quantity.name, ds.attrs["units"])
        mine, theirs = (ds["quantile"].sel(side=side).values * look.factor for side in ("bottle", "reference"))
        ends = [min(mine[0], theirs[0]), max(mine[-1], theirs[-1])]
        ax.plot(ends, ends, color="0.6", lw=1)
        ax.plot(theirs, mine, ".", ms=4, color=COLOURS["bottle"])
        marked = np.searchsorted(ds["q"].values, np.array(QUANTILES) - 1e-9)
        ax.plot(theirs[marked], mine[marked], "o", ms=6, mfc="none", color=COLOURS["bottle"])
        ax.set(title=f"{quantity.title} ({look.units})", xlabel=names[1], aspect="equal")
        ax.grid(color="0.9")
    axes[0, 0].set_ylabel(names[0])
    return figure


def hovmoeller(portraits: Portraits, names: tuple[str, str]) -> Figure:
    """Zonal means by month: reference, bottle and their difference."""
    figure, axes = canvas(len(portraits), 3, (4.2, 2.8), sharex=True, sharey=True)
    for row, (quantity, ds) in zip(axes, portraits, strict=True):
        look = Look.of(quantity.name, ds.attrs["units"])
        mine, theirs = (ds["months"].sel(side=side).values.T * look.factor for side in ("bottle", "reference"))
        low, high = (function([mine, theirs]) for function in (np.nanmin, np.nanmax))
        if look.style.span == "symmetric":
            low, high = -max(-low, high), max(-low, high)
        difference = mine - theirs
        columns = (
            (theirs, names[1], (low, high), look.style.cmap),
            (mine, names[0], (low, high), look.style.cmap),
            (difference, f"{names[0]} - {names[1]}", symmetric(difference), DIFFERENCE),
        )
        for ax, (values, title, limits, cmap) in zip(row, columns, strict=True):
            shown = ax.pcolormesh(
                ds["month"].values,
                ds["lat"].values,
                values,
                shading="nearest",
                cmap=cmap,
                vmin=limits[0],
                vmax=limits[1],
            )
            bar = figure.colorbar(shown, ax=ax, pad=0.02)
            bar.set_label(look.units)
            ax.set_title(f"{quantity.title}: {title}", fontsize="medium")
            ax.set(xticks=range(1, 13), xticklabels=list("JFMAMJJASOND"), yticks=np.arange(-90, 91, 30))
        row[0].set_ylabel("latitude")
    return figure


def joint(pairs: Sequence[tuple[Quantity, Quantity, xr.DataArray]], names: tuple[str, str]) -> Figure:
    """Joint densities: the reference as shades, the bottle as lines at the same densities."""
    figure, axes = canvas(1, len(pairs), (3.5, 3.3))
    for ax, (first, second, density) in zip(axes[0], pairs, strict=True):
        x, y = Look.of(first.name), Look.of(second.name)
        mine, theirs = (density.sel(side=side).values.T for side in ("bottle", "reference"))
        across, up = density["first"].values * x.factor, density["second"].values * y.factor
        levels = _holding(theirs, (0.95, 0.8, 0.5, 0.2))
        if len(levels) > 1:
            ax.contourf(across, up, theirs, levels=[*levels, max(float(theirs.max()), levels[-1] * 1.01)], cmap="Greys")
            ax.contour(across, up, mine, levels=levels, colors=COLOURS["bottle"], linewidths=1.1)
        likeness = [float(density["correlation"].sel(side=side)) for side in ("bottle", "reference")]
        ax.set(xlabel=f"{first.title} ({x.units})", ylabel=f"{second.title} ({y.units})")
        ax.set_title(f"correlation {likeness[0]:.2f} ({names[1]} {likeness[1]:.2f})", fontsize="small")
    return figure


def _holding(density: npt.NDArray[np.float64], shares: Sequence[float]) -> list[float]:
    """Densities above which these shares of everything lie, ascending."""
    ordered = np.sort(density.ravel())[::-1]
    total = ordered.cumsum()
    if not total[-1]:
        return []
    found = [float(ordered[np.searchsorted(total, share * total[-1])]) for share in shares]
    return sorted({value for value in found if value > 0})
