"""Pictures of a report in their order, each with a sentence that says how to read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle import diagnostics, plot
from xr_cbottle.evaluation import climate_pictures, curves, pictures, response_targets
from xr_cbottle.evaluation.label_comparison import Comparison
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.response_targets import Climate
from xr_cbottle.evaluation.variability_targets import last_degree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Those that maps are drawn of, as far as they are there.
MAPPED = (
    Quantity("tas"), Quantity("pr"), Quantity("psl"), Quantity("rlut"), Quantity("rsut"), Quantity("prw"),
    Quantity("ua", 25000), Quantity("zg", 50000),
)  # fmt: skip
SPECTRA = (
    Quantity("tas"), Quantity("psl"), Quantity("pr"), Quantity("uas"), Quantity("rlut"), Quantity("ta", 85000),
    Quantity("ua", 25000), Quantity("zg", 50000),
)  # fmt: skip
ZONAL = (Quantity("tas"), Quantity("pr"), Quantity("psl"), Quantity("ua", 25000))
SEASONAL = (Quantity("tas"), Quantity("pr"))
QUANTILES = (Quantity("tas"), Quantity("uas"), Quantity("pr"), Quantity("psl"))
_SPREAD = plot.Style("viridis", "positive")
_SLOPE = plot.Style("RdBu_r", "symmetric")


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes
    ----------
    chapter, title, sentence
        Where it belongs, what it is, and how to read it.
    png
        The picture.
    """

    chapter: str
    title: str
    sentence: str
    png: bytes


def of_label(comparison: Comparison, names: tuple[str, str], coast: npt.ArrayLike | None) -> Iterator[Picture]:
    """All pictures of one label.

    Parameters
    ----------
    comparison
        Its results.
    names
        Of bottle and reference.
    coast
        (cell,) land whose outline is drawn.
    """
    yield from _means(comparison, names, coast)
    yield from _cycles(comparison, names)
    yield from _variability(comparison, names, coast)
    yield from _distributions(comparison, names)
    yield from _answers(comparison, names, coast)
    yield from climates(comparison, names, coast)


def of_difference(
    labels: tuple[str, str], climates: Mapping[tuple[str, str], Climate], coast: npt.ArrayLike | None
) -> Iterator[Picture]:
    """Maps of one label minus another."""
    for quantity in response_targets.DIFFERING:
        both = [climates.get((label, quantity.key)) for label in reversed(labels)]
        if both[0] is not None and both[1] is not None:
            minuend, subtrahend = both[0], both[1]
            sides = (minuend.bottle - subtrahend.bottle, minuend.reference - subtrahend.reference)
            yield _picture(
                "Between labels", f"{labels[1]} minus {labels[0]}: {quantity.long_name}",
                "What one model has more than the other in the mean: a bottle that has learned both shows the same.",
                pictures.between_labels(quantity, labels, sides, coast),
            )  # fmt: skip


def _means(comparison: Comparison, names: tuple[str, str], coast: npt.ArrayLike | None) -> Iterator[Picture]:
    for quantity, ds in _there(comparison, MAPPED):
        sides = _sides(ds["mean"].sel(season="annual"))
        yield _picture(
            "Mean", f"Mean {quantity.long_name}",
            f"Mean over the compared instants: {names[1]}, {names[0]} and their difference, whose colours have a scale "
            "of their own.",
            pictures.maps(quantity, sides, names, coast),
        )  # fmt: skip
    found = _there(comparison, ZONAL)
    if found:
        yield _picture(
            "Mean", "Zonal means",
            "Means around circles of latitude, of all instants and of two seasons. The lines should lie on each other.",
            curves.zonal(found, names),
        )  # fmt: skip


def _cycles(comparison: Comparison, names: tuple[str, str]) -> Iterator[Picture]:
    for quantity, ds in _there(comparison, SEASONAL):
        yield _picture(
            "Cycles", f"Year of {quantity.long_name}",
            "Means of the calendar months in bands of latitude; each panel has a scale of its own.",
            curves.seasonal(quantity, ds, names),
        )  # fmt: skip
    found = _there(comparison, SEASONAL)
    if found:
        yield _picture(
            "Cycles", "Latitude and month",
            "Zonal means by month (Hovmoeller diagrams): the march of the seasons and of the tropical rain.",
            curves.hovmoeller(found, names),
        )  # fmt: skip
    days = [(q, ds) for q, ds in _there(comparison, (Quantity("rsds"), *SEASONAL)) if "day" in ds]
    if days:
        yield _picture(
            "Cycles", "Mean day",
            "By local solar time. A model without a diurnal cycle has level lines, but for what few instants leave.",
            curves.diurnal(days, names),
        )  # fmt: skip


def _variability(comparison: Comparison, names: tuple[str, str], coast: npt.ArrayLike | None) -> Iterator[Picture]:
    for quantity, ds in _there(comparison, MAPPED):
        sides = _sides(ds["standard_deviation"])
        yield _picture(
            "Variability", f"Standard deviation of {quantity.long_name}",
            "Over all instants: seasons, times of day and weather together.",
            pictures.maps(quantity, sides, names, coast, style=_SPREAD),
        )  # fmt: skip
    found = [(q, ds) for q, ds in _there(comparison, SPECTRA) if "spectrum" in ds]
    if found:
        last = last_degree(comparison.sides.reference.zoom)
        yield _picture(
            "Variability", "Angular power spectra",
            "How much of each field lies at which size of pattern: degree 1 is a contrast of hemispheres, degree 20 "
            "patterns of 1000 km. Below, the ratio to the reference: it should stay in the grey band (20 %) up to the "
            "dotted line; the grey line is what the reference shows between two samples of its own.",
            curves.spectra(found, names, last),
        )  # fmt: skip
    if comparison.extras.get("eofs") is not None:
        yield _picture(
            "Variability", "Leading patterns of sea-level pressure",
            "Empirical orthogonal functions of the anomalies from the mean month, for one standard deviation of their "
            "score, and how much of the variance each explains. Neighbours with like shares may change places.",
            pictures.modes(comparison.extras["eofs"], names, coast),
        )  # fmt: skip


def _distributions(comparison: Comparison, names: tuple[str, str]) -> Iterator[Picture]:
    found = _there(comparison, QUANTILES)
    if found:
        yield _picture(
            "Distribution", "Quantiles against quantiles",
            "Of all instants and cells. On the grey line both have the same distribution; circles are the quantiles "
            "that are judged (0.1, 1, 50, 99, 99.9 %).",
            curves.quantile_quantile(found, names),
        )  # fmt: skip
    pairs = [
        (_quantity(first), _quantity(second), density)
        for (first, second), density in comparison.extras.get("joint", {}).items()
    ]
    if pairs:
        yield _picture(
            "Distribution", "Two quantities at a time",
            f"Joint densities over instants and cells: shades are {names[1]}, lines {names[0]}, both at the densities "
            "that hold 20, 50, 80 and 95 % of the reference.",
            curves.joint(pairs, names),
        )  # fmt: skip


def _answers(comparison: Comparison, names: tuple[str, str], coast: npt.ArrayLike | None) -> Iterator[Picture]:
    if comparison.months is None or min(side.years for side in comparison.months) < response_targets.LEAST_YEARS:
        return
    for name in response_targets.ANSWERING:
        if all(name in side.fields for side in comparison.months):
            quantity = Quantity(name)
            bottle, reference = comparison.months
            slopes = (response_targets.slope(bottle, name), response_targets.slope(reference, name))
            likeness = float(diagnostics.pattern_correlation(*slopes))
            yield _picture(
                "Response", f"{quantity.long_name} for each kelvin of Nino 3.4",
                f"Regression of monthly anomalies on the sea surface temperature of the equatorial Pacific. Pattern "
                f"correlation {likeness:.2f}. A bottle's monthly means are of few instants each and therefore noisier.",
                pictures.maps(quantity, slopes, names, coast, suffix=" K-1", style=_SLOPE),
            )  # fmt: skip


def climates(comparison: Comparison, names: tuple[str, str], coast: npt.ArrayLike | None) -> Iterator[Picture]:
    """Pictures of the runs of a label under other climates."""
    for one in comparison.climates_asked:
        what = f"{one.run.name} ({one.run.words})"
        if one.changes is not None and "tas" in one.changes[0].change:
            yield _picture(
                "Another climate", f"Response of near-surface temperature, {what}",
                "What the run has more than the run under the observed sea in the mean of the same instants. The third "
                "map, with colours of its own, is what the bottle answers too much.",
                climate_pictures.response_maps(one.changes, names, coast),
            )  # fmt: skip
            yield _picture(
                "Another climate", f"Response by latitude, {what}",
                "Means of the responses around circles of latitude.",
                climate_pictures.by_latitude(one.changes, names),
            )  # fmt: skip
        if one.trends is not None:
            yield _picture(
                "Another climate", f"Trend of near-surface temperature, {what}",
                "Means of the years that were run, and linear trends at each place; dotted, the bottle under its own "
                "sea at the same instants.",
                climate_pictures.trends(one.trends, names, coast),
            )  # fmt: skip


def _picture(chapter: str, title: str, sentence: str, figure: Figure) -> Picture:
    return Picture(chapter, title[0].upper() + title[1:], sentence, pictures.png(figure))


def _there(comparison: Comparison, wanted: Sequence[Quantity]) -> list[tuple[Quantity, xr.Dataset]]:
    return [(one, comparison.portraits[one.key]) for one in wanted if one.key in comparison.portraits]


def _sides(both: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    return both.sel(side="bottle"), both.sel(side="reference")


def _quantity(key: str) -> Quantity:
    name, _, level = key.partition("_")
    return Quantity(name, int(level) if level else None)


def coast_of(land: npt.NDArray[np.bool_] | None) -> npt.ArrayLike | None:
    """Land whose outline is drawn: that of the data, else that of the bottle that comes with the package."""
    if land is not None:
        return land
    from xr_cbottle.bottle.bottle import open_bottle
    from xr_cbottle.bottle.errors import BottleError, BottleNotFound
    from xr_cbottle.bottle.location import bundled

    for name in bundled():
        try:
            bottle = open_bottle(name)
            if bottle.manifest.sst is not None and not bottle.missing():
                return plot.land_of(bottle.sst_dataset(), bottle.manifest.zoom)
        except (BottleError, BottleNotFound):
            continue
    return None
