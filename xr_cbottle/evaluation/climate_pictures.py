"""Pictures of another climate: the response of temperature as maps, of several quantities by latitude, and trends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xr_cbottle import diagnostics, plot
from xr_cbottle.evaluation.climate_change import TAS, Change, Trends
from xr_cbottle.evaluation.pictures import COLOURS, DIFFERENCE, Look, canvas, draw_map, rms, symmetric
from xr_cbottle.evaluation.quantity import Quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BY_LATITUDE = (TAS, Quantity("ta", 25000), Quantity("pr"), Quantity("rlut"))
_ZONES = 18
_SPAN = "RdBu_r"


def response_maps(changes: tuple[Change, Change], names: tuple[str, str], coast: npt.ArrayLike | None) -> Figure:
    """Response of near-surface temperature: of the simulation, of the bottle, and their difference.

    Parameters
    ----------
    changes
        Of bottle and simulation.
    names
        Of bottle and simulation.
    coast
        (cell,) land whose outline is drawn.
    """
    figure, axes = canvas(1, 3, (4.4, 3.0))
    mine, theirs = (np.asarray(one.change["tas"].values, np.float64) for one in changes)
    limits = symmetric(np.concatenate([mine, theirs]))
    for ax, values, name in zip(axes[0], (theirs, mine), reversed(names), strict=False):
        title = f"{name}, mean {np.nanmean(values):+.2f} K"
        draw_map(ax, values, "K", coast, title, limits, _SPAN)
    difference = mine - theirs
    draw_map(
        axes[0, 2], difference, "K", coast, f"{names[0]} - {names[1]}, RMS {rms(difference):.2g}",
        symmetric(difference), DIFFERENCE,
    )  # fmt: skip
    return figure


def by_latitude(changes: tuple[Change, Change], names: tuple[str, str]) -> Figure:
    """Zonal means of the response of several quantities, of both."""
    shown = [one for one in BY_LATITUDE if all(one.key in side.change for side in changes)]
    figure, axes = canvas(1, len(shown), (3.4, 2.8))
    for ax, quantity in zip(axes[0], shown, strict=True):
        look = Look.of(quantity.name)
        for side, name, line, colour in zip(changes, names, ("-", "--"), COLOURS.values(), strict=True):
            zonal = diagnostics.zonal_mean(side.change[quantity.key], _ZONES)
            ax.plot(zonal["lat"], zonal * look.factor, line, color=colour, lw=1.7, label=name)
        ax.axhline(0, color="0.6", lw=0.8)
        ax.set(xlim=(-90, 90), xticks=np.arange(-90, 91, 30), xlabel="latitude", ylabel=_unit(look))
        ax.set_title(quantity.title, fontsize="medium")
        ax.grid(color="0.9")
        ax.tick_params(labelsize=8)
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


def trends(both: tuple[Trends, Trends, Trends], names: tuple[str, str], coast: npt.ArrayLike | None) -> Figure:
    """Temperature of the globe in each year, and maps of its trends."""
    figure, axes = canvas(1, 3, (4.4, 3.0))
    named = zip(both, (*names, f"{names[0]}, told of no change"), ("-", "--", ":"), strict=True)
    for (one, name, line), colour in zip(named, (*COLOURS.values(), "0.5"), strict=True):
        axes[0, 0].plot(list(one.years), list(one.years.values()), line, marker=".", color=colour, label=name)
    axes[0, 0].set(ylabel="tas (K)")
    axes[0, 0].set_title("mean of the globe", fontsize="medium")
    axes[0, 0].legend(frameon=False, fontsize=8)
    mine, theirs = (np.asarray(one.tas.values, np.float64) for one in both[:2])
    limits = symmetric(np.concatenate([mine, theirs]))
    for ax, values, name in zip(axes[0, 1:], (theirs, mine), reversed(names), strict=True):
        draw_map(ax, values, "K decade-1", coast, f"trend, {name}", limits, _SPAN)
    return figure


def _unit(look: Look) -> str:
    """Unit of a difference: a kelvin is one, whatever the zero point of the scale."""
    return "K" if isinstance(look.style, plot.Style) and look.units in ("°C", "degC") else look.units
