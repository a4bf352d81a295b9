"""Pictures that are maps, and parts that all pictures share, as matplotlib figures; imported where it is used."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle import plot
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.fields.channels import VARIABLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's vermilion beside black: told apart by everybody, and in grey.
COLOURS = {"bottle": "#d55e00", "reference": "#222222"}
DIFFERENCE = "RdBu_r"
_WIDTH = 520
_DPI = 110


@dataclass(frozen=True)
class Look:
    """Look of a quantity: factor and unit of the picture, and the style of `xr_cbottle.plot`."""

    style: plot.Style
    factor: float
    units: str

    @classmethod
    def of(cls, name: str, units: str = "") -> Look:
        """Look of a variable by name; ``units`` is that of a variable that is not known."""
        known = VARIABLES.get(name)
        attrs = {"units": units} if known is None else known.attrs
        style = plot.style_of(xr.DataArray(0, attrs=attrs))
        return cls(style, style.factor, style.units or attrs["units"])


def png(figure: Figure) -> bytes:
    """A figure as a picture."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI, facecolor="white")
    # A page of fifty pictures is a third as long with a palette of each, and looks the same.
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()


def canvas(rows: int, columns: int, size: tuple[float, float], **keywords: Any) -> tuple[Figure, npt.NDArray[Any]]:
    """A figure of its own, not one of pyplot's, and its (rows, columns) axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **keywords)


def maps(
    quantity: Quantity,
    sides: tuple[xr.DataArray, xr.DataArray],
    names: tuple[str, str],
    land: npt.ArrayLike | None,
    *,
    suffix: str = "",
    style: plot.Style | None = None,
) -> Figure:
    """Reference, bottle and bottle minus reference beside each other.

    Parameters
    ----------
    quantity
        What it is; chooses colours and unit.
    sides
        (cell,) bottle and reference, in the unit of the quantity.
    names
        Of bottle and reference.
    land
        (cell,) whose outline is drawn.
    suffix
        Added to the unit, such as ``" K-1"``.
    style
        Other colours than those of the quantity.
    """
    figure, axes = canvas(1, 3, (4.4, 3.0))
    look = Look.of(quantity.name)
    colours = style or look.style
    mine, theirs = (np.asarray(side.values, np.float64) * look.factor for side in sides)
    limits = plot.limits_of(np.concatenate([mine, theirs]), colours)
    for ax, values, name in zip(axes[0], (theirs, mine), reversed(names), strict=False):
        draw_map(ax, values, look.units + suffix, land, name, limits, colours.cmap)
    difference = mine - theirs
    draw_map(
        axes[0, 2], difference, look.units + suffix, land, f"{names[0]} - {names[1]}, RMS {rms(difference):.2g}",
        symmetric(difference), DIFFERENCE,
    )  # fmt: skip
    return figure


def draw_map(
    ax: Axes, values: npt.ArrayLike, units: str, land: npt.ArrayLike | None, title: str,
    limits: tuple[float, float], cmap: str,
) -> None:  # fmt: skip
    """One map of values that are already in the unit of the colour bar."""
    field = xr.DataArray(np.asarray(values), dims="cell", attrs={"units": units})
    plot.map(field, ax=ax, land=land, title=title, limits=limits, cmap=cmap, width=_WIDTH)


def symmetric(values: npt.ArrayLike) -> tuple[float, float]:
    """Limits as far on both sides of zero, which all but a hundredth of the values keep."""
    known = np.abs(np.asarray(values))
    known = known[np.isfinite(known)]
    most = float(np.percentile(known, 99)) if known.size else 0.0
    return (-most, most) if most > 0 else (-1.0, 1.0)


def rms(values: npt.ArrayLike) -> float:
    """Root mean square of the values that there are."""
    return float(np.sqrt(np.nanmean(np.asarray(values, np.float64) ** 2)))


def modes(eofs: xr.Dataset, names: tuple[str, str], land: npt.ArrayLike | None) -> Figure:
    """Leading patterns of sea-level pressure of both sides, with the variance that they explain."""
    look = Look.of("psl")
    figure, axes = canvas(eofs.sizes["mode"], 2, (4.4, 2.9))
    for row, mode in zip(axes, eofs["mode"].values, strict=True):
        one = eofs.sel(mode=mode)
        limits = symmetric(one["pattern"].values * look.factor)
        for ax, side, name in zip(row, ("reference", "bottle"), reversed(names), strict=True):
            share = 100 * float(one["explained_variance"].sel(side=side))
            title = f"{name}: {share:.0f} %"
            if side == "bottle":
                title += f", pattern correlation {float(one['likeness']):.2f}"
            values = one["pattern"].sel(side=side).values * look.factor
            draw_map(ax, values, look.units, land, title, limits, DIFFERENCE)
    return figure


def between_labels(
    quantity: Quantity, labels: tuple[str, str], sides: tuple[xr.DataArray, xr.DataArray], land: npt.ArrayLike | None
) -> Figure:
    """Second label minus the first, as the simulations have it and as the bottle does."""
    look = Look.of(quantity.name)
    figure, axes = canvas(1, 2, (4.9, 3.2))
    mine, theirs = (side.values * look.factor for side in sides)
    limits = symmetric(np.concatenate([mine, theirs]))
    difference = f"{labels[1]} - {labels[0]}"
    draw_map(axes[0, 0], theirs, look.units, land, f"{difference}, simulations", limits, DIFFERENCE)
    draw_map(axes[0, 1], mine, look.units, land, f"{difference}, bottle", limits, DIFFERENCE)
    return figure
