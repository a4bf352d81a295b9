"""Calibration, which mends what a network still gets wrong after its training in what it has drawn.

A network that has seen too few images draws some sizes of patterns too strongly and others too weakly, and heavy rain
too rarely or too often. Both are seen in what it draws at times that it has learnt, and both are mended without
touching the order of things in a field: its spherical harmonics are multiplied by a *gain* for each degree, what is
finer than all of them by one gain for the *rest*, and the
values of a channel are mapped so that their quantiles over all cells and times are those of the data (quantile
mapping, Panofsky and Brier 1958). `xr_cbottle.training.calibrator` finds the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.fields.nonnegative import without_negatives
from xr_cbottle.grid.spherical_harmonics import amplified

if TYPE_CHECKING:
    import xarray as xr

Floats = npt.NDArray[np.floating[Any]]
_DIMS = {
    "gain": ("label", "channel", "degree"),
    "drawn": ("label", "matched", "knot"),
    "known": ("label", "matched", "knot"),
    "rest": ("label", "channel"),
    "scaled": ("label", "matched"),
    "matched": ("matched",),
}
_NEWER = ("rest", "scaled")
"""Which of them the first bottles with a calibration do not have."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Corrections of each label.

    Attributes
    ----------
    gain : (label, channel, degree) float64
        What the spherical harmonics of an anomaly are multiplied by, of degrees from 0.
    matched : (matched,) int64
        Numbers of the channels whose values are mapped.
    drawn, known : (label, matched, knot) float64
        Rising quantiles of the values of these channels, as they are drawn and as they are in the data, in the
        channel's unit.
    rest : (label, channel) float64, or None
        What the rest of an anomaly is multiplied by, which is finer than the last degree; None: nothing, as in bottles
        of before.
    scaled : (label, matched) bool, or None
        Channels that are never negative, and whose mapping goes with the climate: what is below 0 is cut with the
        global mean kept, and what is mapped are the values over the ratio of the climate's mean to the usual one. None:
        none, as in bottles of before. Where spread grows faster than the mean, more is drawn below 0; a mapping that
        makes 0 of it would add it to a warmer climate's rain.
    """

    gain: Floats
    matched: npt.NDArray[np.int64]
    drawn: Floats
    known: Floats
    rest: Floats | None = None
    scaled: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        labels, channels = self.gain.shape[:2] if self.gain.ndim == 3 else (0, 0)
        wrong = (
            self.gain.ndim != 3
            or self.gain.shape[2] < 1
            or self.drawn.ndim != 3
            or self.drawn.shape != self.known.shape
            or self.drawn.shape[:2] != (labels, len(self.matched))
            or (len(self.matched) > 0 and self.drawn.shape[2] < 2)
            or not np.isin(self.matched, np.arange(channels)).all()
            or len(np.unique(self.matched)) < len(self.matched)
        )
        if wrong:
            raise ValueError(
                "a calibration needs gain of (label, channel, degree), different numbers of matched channels, and "
                "drawn and known of (label, matched, knot) with two knots or more"
            )
        if self.rest is not None and self.rest.shape != (labels, channels):
            raise ValueError("a calibration's rest must be of (label, channel)")
        if self.scaled is not None and (self.scaled.shape != self.drawn.shape[:2] or self.scaled.dtype != bool):
            raise ValueError("a calibration's scaled must be of (label, matched), true or false")
        found = [self.gain] if self.rest is None else [self.gain, self.rest]
        if not all(np.isfinite(one).all() and (one > 0).all() for one in found):
            raise ValueError("a calibration's gains must be finite and positive")
        rising = all(np.isfinite(x).all() and (np.diff(x) > 0).all() for x in (self.drawn, self.known))
        if not rising:
            raise ValueError("a calibration's quantiles must be finite and rising")

    def to_variables(self, channels: Sequence[str]) -> dict[str, tuple[tuple[str, ...], Any, dict[str, str]]]:
        """Variables of the file of a climatology, whose channels these are."""
        about = {
            "rest": (self.rest, {"long_name": "gain of what is finer than the last degree", "units": "1"}),
            "scaled": (
                None if self.scaled is None else self.scaled.astype(np.int8),
                {"long_name": "whether the mapping goes with the climate's mean", "flag_values": "0, 1"},
            ),
            "gain": (self.gain, {"long_name": "gain of spherical harmonics", "units": "1"}),
            "matched": ([channels[c] for c in self.matched], {"long_name": "channels that are mapped"}),
            "drawn": (self.drawn, {"long_name": "quantiles as drawn"}),
            "known": (self.known, {"long_name": "quantiles of the data"}),
        }
        return {name: (_DIMS[name], values, words) for name, (values, words) in about.items() if values is not None}

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset, channels: Sequence[str]) -> Calibration | None:
        """Read what `to_variables` gives; None if a data set has none of it.

        Raises
        ------
        KeyError, ValueError
            If a variable is missing, or has another shape.
        """
        if "gain" not in dataset:
            return None
        names = [str(name) for name in dataset["matched"].values] if "matched" in dataset else []
        parts: dict[str, Any] = {
            name: dataset[name].transpose(*dims).values.astype(bool if name == "scaled" else np.float64)
            for name, dims in _DIMS.items()
            if name != "matched" and (name not in _NEWER or name in dataset)
        }
        return cls(matched=np.array([channels.index(name) for name in names], np.int64), **parts)

    def amplified(self, x: Floats, label: int) -> Floats:
        """Anomalies (n, channel, cell NEST) as drawn -> as they should be."""
        return amplified(x, self.gain[label], self.rest_of(label))

    def unamplified(self, x: Floats, label: int) -> Floats:
        """The inverse of `amplified`, to the precision of the transform.

        At zoom 4 with gains from 0.7 to 1.4 that is a root mean square of 1e-5 of the anomalies', and up to 2e-4 of it
        in single cells; with gains as far from 1 as calibration allows, six times as much.
        """
        return amplified(x, 1 / self.gain[label], 1 / self.rest_of(label))

    def rest_of(self, label: int) -> Floats:
        """(channel,) gain of the rest of a label."""
        return np.ones(self.gain.shape[1]) if self.rest is None else self.rest[label]

    def moving(self, label: int) -> list[int]:
        """Numbers of the channels whose mapping goes with the climate of a label."""
        return [] if self.scaled is None else self.matched[self.scaled[label]].tolist()

    def mapped(self, values: Floats, label: int, ratio: Floats | None = None) -> Floats:
        """Values as they are drawn -> with the distribution of the data.

        Parameters
        ----------
        values
            (n, channel, cell) in the channels' units.
        label
            Its number.
        ratio
            (n, channel) of the climate's mean to the usual one, of the channels that are `moving`, and 1 of all others;
            None: 1 of all.

        Returns
        -------
        (n, channel, cell) float64
        """
        return self._mapped(values, self.drawn[label], self.known[label], ratio, self.moving(label))

    def unmapped(self, values: Floats, label: int, ratio: Floats | None = None) -> Floats:
        """The inverse of `mapped`, but for what was below 0."""
        return self._mapped(values, self.known[label], self.drawn[label], ratio, [])

    def _mapped(
        self, values: Floats, given: Floats, wanted: Floats, ratio: Floats | None, cut: Sequence[int]
    ) -> Floats:
        if not len(self.matched):
            return values
        out = np.array(values, np.float64)
        for channel, x, y in zip(self.matched.tolist(), given, wanted, strict=True):
            over = 1.0 if ratio is None else ratio[:, channel, None]
            field = without_negatives(out[:, channel]) if channel in cut else out[:, channel]
            out[:, channel] = over * mapped(field / over, x, y)
        return out


def mapped(values: Floats, given: Floats, wanted: Floats) -> Floats:
    """Map values piecewise linearly, knots on knots.

    Beyond the last knot the last piece goes on, so that a tail is shortened or stretched as it is just before it; below
    the first, values are shifted with it.

    Parameters
    ----------
    values
        Any shape.
    given, wanted : (knot,)
        Rising.
    """
    inside = np.interp(values, given, wanted)
    slope = (wanted[-1] - wanted[-2]) / (given[-1] - given[-2])
    return inside + np.minimum(values - given[0], 0) + slope * np.maximum(values - given[-1], 0)
