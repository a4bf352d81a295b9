"""The climate that a data set is asked for: a sea, an offset of it, and forcings; and how far from training it is.

What lies outside of the range of training is said, in attributes and by a warning. What lies far outside is refused
unless it is asked for by ``extrapolate=True``.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.base.plain_text import one_line, shown
from xr_cbottle.bottle.manifest import Manifest, unforced
from xr_cbottle.bottle.records import ConditionSpec, ForcingSpec
from xr_cbottle.grid.time_axis import TimeAxis

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import Bottle
    from xr_cbottle.fields.series import Series
    from xr_cbottle.fields.sst import SeaSurfaceTemperature
    from xr_cbottle.fields.sst_offset import SstOffset

FAR = 0.5
"""What is farther outside than this share of the range that was learnt is refused, unless it is asked for."""
_SLIGHT = 0.01
"""Share of the range that may be left without a word."""
_MOST_TIMES = 120
WEAK = (
    "was not trained under other seas, and its response to an offset of the sea surface temperature is too weak "
    "(under a sea 2 K warmer the tas of gcm, label jcm, rises by 1.08 K, and that of JCM itself by 1.91 K): do not "
    "read a climate change from it"
)
"""What is known of bottles without a response to the sea."""


class OutsideTraining(UserWarning):
    """A climate was asked for that is outside of what a bottle has learnt."""


@dataclass(frozen=True, eq=False)
class AskedClimate:
    """The sea and the forcings that a user asks for.

    Attributes
    ----------
    sst
        The user's sea surface temperature; None for the bottle's.
    offset
        What is added to it, or to the bottle's; None for nothing.
    forcings
        Series by name of those that are not the bottle's own.
    extrapolate
        Whether what is far outside of training is taken.
    """

    sst: SeaSurfaceTemperature | None = None
    offset: SstOffset | None = None
    forcings: Mapping[str, Series] = field(default_factory=dict)
    extrapolate: bool = False

    @classmethod
    def of(cls, manifest: Manifest, keywords: Mapping[str, Any]) -> AskedClimate:
        """Read the keywords ``sst``, ``sst_offset``, ``co2``, ``forcings`` and ``extrapolate``.

        Raises
        ------
        ValueError
            If a value is none that they take, or the bottle has no such forcing.
        """
        sst, offset = keywords["sst"], keywords["sst_offset"]
        if sst is not None or offset is not None:
            from xr_cbottle.fields.sst_offset import is_offset

            if isinstance(sst, str) and is_offset(sst):
                if offset is not None:
                    raise ValueError(f"sst is {shown(sst)} and sst_offset is given too: give one of them")
                offset, sst = sst.replace(" ", ""), None
        given = _given(manifest, keywords)
        return cls(
            _opened_sst(sst, manifest.zoom), _opened_offset(offset, manifest.zoom), given, keywords["extrapolate"]
        )

    def series(self, manifest: Manifest) -> dict[str, Series]:
        """The series of every forcing of a bottle: the user's, or its own."""
        own = manifest.forcings
        return {name: self.forcings.get(name) or spec.series(name) for name, spec in own.items()}

    def outside(self, bottle: Bottle, axis: TimeAxis) -> tuple[str, ...]:
        """Say what of the climate is outside of what a bottle has learnt, by how much.

        Parameters
        ----------
        bottle
            The bottle. Its own sea is read only if an offset or a user's sea is asked for, and if it is here.
        axis
            Times of the data set.

        Returns
        -------
        Sentences without a full stop.

        Raises
        ------
        ValueError
            If a series does not cover the times, or something is far outside and ``extrapolate`` is not asked for.
        """
        first, last = _span(axis)
        found = []
        for name, series in self.series(bottle.manifest).items():
            series.check_covers(first, last, name)
            spec = bottle.manifest.forcings[name]
            low, high = series.range(first, last)
            if spec.transform == "log2" and low <= 0:
                raise ValueError(f"{name} is {low:g} {spec.units}: it must be a positive number")
            found.append(self._beyond(name, _told(spec, low, high), spec.learnt, _in_units(spec, low, high)))
        found.append(self._sea(bottle, axis))
        return tuple(sentence for sentence in found if sentence)

    def _sea(self, bottle: Bottle, axis: TimeAxis) -> str:
        if self.sst is None and self.offset is None:
            return ""
        manifest = bottle.manifest
        if not manifest.sea_range:
            return f"{manifest.name} {WEAK}" if self.offset is not None else ""
        if _is_absent(bottle, manifest.climatology) or (self.sst is None and _is_absent(bottle, manifest.sst)):
            return ""
        learnt = manifest.sea_range[0], manifest.sea_range[1]
        sst = self.sst or bottle.sst()
        anomaly = _anomalies(sst.changed(self.offset), *bottle.mean_sea(), axis)
        low, high = float(anomaly.min()), float(anomaly.max())
        words = f"{low:+.2f} to {high:+.2f} K from the mean year (learnt: {learnt[0]:+.2f} to {learnt[1]:+.2f} K)"
        return self._beyond("the global mean of the sea", (low, high), learnt, words, "K")

    def _beyond(
        self, name: str, reached: tuple[float, float], learnt: tuple[float, float], words: str, unit: str = ""
    ) -> str:
        """Sentence on a range that is not within another; nothing if it is."""
        width = learnt[1] - learnt[0]
        distance = max(learnt[0] - reached[0], reached[1] - learnt[1])
        if distance <= _SLIGHT * width:
            return ""
        much = f"{distance:.2f} {unit}" if unit else f"{distance / width:.0%} of the range"
        said = f"{name} is {words}, {much} outside of what was learnt"
        if distance > FAR * width and not self.extrapolate:
            raise ValueError(
                f"{said}, which is far: nothing is known of how good the bottle is there; choose another climate, or "
                "ask for it by extrapolate=True"
            )
        return said


def warn(sentences: tuple[str, ...]) -> None:
    """Warn of what is outside of what a bottle has learnt, at the line that called this package."""
    if not sentences:
        return
    text = f"{'; '.join(sentences)}: the mean follows a straight line there, and nothing is proved"
    if len(sentences) == 1 and WEAK in sentences[0]:
        text = sentences[0]
    warnings.warn(one_line(text, 1000), OutsideTraining, stacklevel=_caller())


def _caller() -> int:
    """How far above `warn` the first frame is that is neither ours nor xarray's."""
    inside = (os.path.dirname(os.path.dirname(os.path.abspath(__file__))), f"{os.sep}xarray{os.sep}")
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_code.co_filename.startswith(inside[0]) or inside[1] in frame.f_code.co_filename
    ):
        frame, level = frame.f_back, level + 1
    return level


def _given(manifest: Manifest, keywords: Mapping[str, Any]) -> dict[str, Series]:
    """Series of the forcings that were asked for."""
    asked = keywords["forcings"] or {}
    if not isinstance(asked, Mapping):
        raise ValueError(f"forcings is {shown(asked)}: give a mapping from names to numbers or series")
    if keywords["co2"] is not None:
        if "co2" in asked:
            raise ValueError("co2 is given twice, as co2 and in forcings: give it once")
        asked = {**asked, "co2": keywords["co2"]}
    unknown = [str(name) for name in asked if name not in manifest.forcings]
    if unknown:
        raise ValueError(one_line(unforced(manifest, unknown), 500))
    if not asked:
        return {}
    from xr_cbottle.fields.series import Series

    made = {}
    for name, value in asked.items():
        spec = manifest.forcings[name]
        made[name] = Series.of(value, name, spec.units)
        if spec.transform == "log2" and not (made[name].values > 0).all():
            raise ValueError(f"{name} is {made[name].values.min():g} {spec.units}: it must be a positive number")
    return made


def _opened_sst(given: Any, zoom: int) -> SeaSurfaceTemperature | None:
    if given is None:
        return None
    from xr_cbottle.fields.sst import SeaSurfaceTemperature

    return SeaSurfaceTemperature.open(given, zoom)


def _opened_offset(given: Any, zoom: int) -> SstOffset | None:
    if given is None:
        return None
    from xr_cbottle.fields.sst_offset import SstOffset

    return SstOffset.of(given, zoom)


def _span(axis: TimeAxis) -> tuple[np.datetime64, np.datetime64]:
    """First and last instant of an axis."""
    seconds = axis.seconds if axis.listed is not None else np.array([axis.start, axis.start + axis.step * axis.count])
    last = int(seconds.max()) - (axis.step if axis.listed is None else 0)
    before = axis.step if axis.method == "mean" else 0
    return np.datetime64(int(seconds.min()) - before, "s"), np.datetime64(last, "s")


def _told(spec: ForcingSpec, low: float, high: float) -> tuple[float, float]:
    a, b = spec.predictor([low, high]).tolist()
    return a, b


def _in_units(spec: ForcingSpec, low: float, high: float) -> str:
    reached = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
    return f"{reached} {spec.units} (learnt: {spec.low:.6g} to {spec.high:.6g} {spec.units})"


def _is_absent(bottle: Bottle, spec: ConditionSpec | None) -> bool:
    """Whether a file of a bottle would have to be fetched first."""
    return spec is not None and spec.location in bottle.missing(superres=False)


def _anomalies(
    sst: SeaSurfaceTemperature, mean_year: npt.NDArray[Any], weights: npt.NDArray[Any], axis: TimeAxis
) -> npt.NDArray[np.float64]:
    """Global means of a sea from its mean year, (n,) K, at times of an axis: all, or some spread over it."""
    from xr_cbottle.bottle.climate_response import projected
    from xr_cbottle.bottle.climatology import departure

    first, last = (time.astype(np.int64) for time in _span(axis))
    if axis.count <= _MOST_TIMES:
        seconds = axis.seconds
    else:
        seconds = np.linspace(int(first), int(last), _MOST_TIMES).astype(np.int64)
    times = seconds.astype("datetime64[s]")
    return np.asarray(projected(departure(sst.at(times), times, mean_year), weights)[:, 0], np.float64)
