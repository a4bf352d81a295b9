"""Observations of stations assimilated: globes that a bottle draws given what was observed of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.base.plain_text import shown
from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.cube import checks
from xr_cbottle.cube import keywords as keyword
from xr_cbottle.cube.cube import Cube
from xr_cbottle.cube.instant_figures import figure
from xr_cbottle.cube.own_data import OWN_KEYWORDS, cube_of, described, instants_of
from xr_cbottle.draw.own_work import ASSIMILATION, DEFAULT_BACKGROUND_STRENGTH, DEFAULT_DRAWS, Assimilation
from xr_cbottle.fields import channels
from xr_cbottle.fields.coarse_fields import read_given
from xr_cbottle.fields.observations import brought_to_surface, read_observations
from xr_cbottle.fields.observed_times import ObservedTimes, about

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

MOST_DRAWS = 1024
_LONGEST_WINDOW = 86400


@dataclass(frozen=True, eq=False)
class AskedAnalysis:
    """Settings of an analysis, as a user says them and not checked: the parameters of `assimilate`."""

    label: str | None
    time: Any
    window: Any
    method: str
    errors: Mapping[str, float] | None
    representativeness: str | int | Mapping[str, float]
    strength: float
    draws: int
    members: int | Sequence[int] | None
    orography: xr.DataArray | xr.Dataset | None = None

    def work(self, bottle: Bottle, has_background: bool) -> Assimilation:
        """Work to be done, checked.

        Raises
        ------
        ValueError
            If the bottle has no such label, or a value is not allowed.
        """
        return Assimilation(
            bottle.manifest.label(self.label),
            checks.one_of(ASSIMILATION)("method", self.method),
            checks.integer("draws", self.draws, 8, MOST_DRAWS + 1),
            checks.positive("strength", self.strength) if has_background else None,
            _representativeness(self.representativeness, bottle),
        )


@keyword.documented(names=OWN_KEYWORDS)
def assimilate(
    background: xr.Dataset | None,
    observations: pd.DataFrame | xr.Dataset,
    bottle: str | os.PathLike[str] | Bottle,
    *,
    label: str | None = None,
    time: Any = None,
    window: Any = "1h",
    method: str = "diffusion",
    errors: Mapping[str, float] | None = None,
    representativeness: str | int | Mapping[str, float] = "estimated",
    orography: xr.DataArray | xr.Dataset | None = None,
    strength: float = DEFAULT_BACKGROUND_STRENGTH,
    draws: int = DEFAULT_DRAWS,
    members: int | Sequence[int] | None = 8,
    chunks: Any = None,
    **keywords: Any,
) -> xr.Dataset:
    """Draw globes given what stations observed of them: an ensemble of analyses. Nothing is drawn until it is read.

    Each member is a draw from what is probable given the observations and their errors, so that the spread of members
    says how well each field is known. The observations see four cells with bilinear weights.

    Parameters
    ----------
    background
        An earlier analysis or a forecast of the same times, all of the globe, which members are drawn near to; None
        starts from the climate of the label. A data set as of `infill`; its missing values are those of the climate.
    observations
        A long table with columns lat, lon, time, variable, value and error, and where they are needed level (Pa or
        hPa), height (m) and units; the same as a data set along a dimension; or a data set of CF's discrete sampling
        geometries, with errors as variables such as ``tas_error``.
    bottle
        Path, URL or name of a bottle, or an open `Bottle`.
    label
        Data set whose states are drawn; the bottle's default if None.
    time
        One time or several of the analysis; None: those of the background, or each at which something was observed.
    window
        Duration about a time in which what was observed counts for it, such as ``"3h"``; its half before and after.
    method
        ``diffusion``: the network draws, corrected by the observations at each noise level. ``enoi``: plain draws are
        corrected once, by optimal interpolation, which is cheaper and does not tell as much.
    errors
        Standard errors by variable, in our units, of observations that do not say theirs.
    representativeness
        Errors beside those of the instruments, as cells are large: ``estimated`` from how the bottle's fields vary
        with scale, by variable in its units, or 0 for none.
    orography
        Height of the surface in m, as `infill` takes fields. Temperatures near the surface are brought to it from the
        heights of the stations by 6.5 K per km; without it heights are not looked at.
    strength
        Noise level that is added to a background before it is drawn anew, in units of the network, whose data have a
        deviation of 0.5: how wrong it may be.
    draws
        From how many plain draws it is learnt which errors go together, 8 to 1024: once for each label in a process.
    members
        How many members, or a list of their numbers; None is member 0 without a dimension.
    chunks
        None: lazy arrays; ``{}``: dask arrays of a batch of members and times; or lengths.
    {keywords}

    Returns
    -------
    (member, time, cell) or (member, time, pressure, cell) float32 of all variables of the bottle. Beside them:
    ``observation_count``, and by what was observed ``representativeness_error``, in its unit, and ``misfit``, the root
    mean square of observations less analysis, over their whole error.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If the observations lie outside the globe or lack errors, or something is not what it takes; one sentence says
        what is.
    """
    asked = keyword.checked(keywords, "assimilate", OWN_KEYWORDS)
    analysis = AskedAnalysis(
        label, time, window, method, errors, representativeness, strength, draws, members, orography
    )  # fmt: skip
    cube = assimilated(background, observations, bottle, asked, analysis)
    result = described_analysis(cube, cube.to_dataset(_chunks(cube, chunks)), background)
    return _with_figures(cube, result, chunks)


def assimilated(
    background: xr.Dataset | None,
    observations: pd.DataFrame | xr.Dataset,
    bottle: str | os.PathLike[str] | Bottle,
    asked: Mapping[str, Any],
    analysis: AskedAnalysis,
) -> Cube:
    """The cube behind `assimilate`, for what is asked of an analysis; ``asked`` are all other keywords, checked."""
    opened = bottle if isinstance(bottle, Bottle) else open_bottle(bottle, weights=asked["weights"])
    manifest = opened.manifest
    work = analysis.work(opened, background is not None)
    seen = read_observations(observations, manifest.channels, manifest.name, analysis.errors, manifest.own)
    if analysis.orography is not None:
        seen = brought_to_surface(seen, analysis.orography, manifest.channels, manifest.zoom)
    first = None
    if background is not None:
        first = read_given(
            background, manifest.channels, manifest.zoom, manifest.name, with_holes=True, own=manifest.own
        )
    given = about(seen, _seconds(analysis.time), _half(analysis.window), first)
    numbers = None if analysis.members is None else checks.members("members", analysis.members)
    return cube_of(given, opened, work, {**asked, "members": numbers})


def described_analysis(cube: Cube, result: xr.Dataset, background: xr.Dataset | None) -> xr.Dataset:
    """The data set of a cube with attributes that say what was assimilated."""
    import xarray as xr

    result = described(cube, result, xr.Dataset() if background is None else background)
    given, work = _parts(cube)
    result.attrs["observed_variables"] = " ".join(_names(cube))
    result.attrs["window_seconds"] = np.int32(2 * given.half)
    if work.representativeness is None:
        result.attrs["representativeness"] = "estimated, see representativeness_error"
    else:
        manifest = cube.bottle.manifest
        known = channels.variables(manifest.channels, manifest.own)
        said = [f"{name} {value:g} {known[name].variable.units}" for name, value in work.representativeness]
        result.attrs["representativeness"] = ", ".join(said) or "none"
    return result


def _parts(cube: Cube) -> tuple[ObservedTimes, Assimilation]:
    """What is given, and what is done."""
    made = instants_of(cube)
    assert isinstance(made.given, ObservedTimes)
    assert isinstance(made.work, Assimilation)
    return made.given, made.work


def _observed(cube: Cube) -> list[int]:
    """Numbers of the channels that are observed."""
    given, _ = _parts(cube)
    return [int(one) for one in np.unique(given.observations.channel)]


def _names(cube: Cube) -> list[str]:
    """Names of what is observed: the variable, with hPa after it on levels."""
    parsed = [channels.parse(cube.bottle.manifest.channels[c], cube.bottle.manifest.own) for c in _observed(cube)]
    return [one.variable.name + ("" if one.level is None else str(one.level // 100)) for one in parsed]


def _with_figures(cube: Cube, result: xr.Dataset, chunks: Any) -> xr.Dataset:
    """With variables that say what was observed, and how well the analysis fits it."""
    layout = dataclasses.replace(cube.layout, spec=dataclasses.replace(cube.spec, fine=None))
    count, observed = len(cube.bottle.manifest.channels), _observed(cube)
    columns: dict[str, Any] = {
        "observation_count": 0,
        "representativeness_error": [1 + c for c in observed],
        "misfit": [1 + count + c for c in observed],
    }
    made = {name: figure(layout, cube.instants, at, _MEANINGS[name], "observed") for name, at in columns.items()}
    if chunks is not None:
        made = {
            name: one.chunk({dim: result.chunksizes[dim] for dim in one.dims if dim in result.chunksizes})
            for name, one in made.items()
        }
    names = ("observed", _names(cube), {"long_name": "what was observed, with hPa after it on levels"})
    return result.assign(made).assign_coords(observed=names)


_MEANINGS: dict[str, dict[str, Any]] = {
    "observation_count": {"long_name": "number of observations", "units": "1"},
    "representativeness_error": {
        "long_name": "error of observations for what cells do not hold, mean over stations",
        "comment": "in the unit of the variable",
    },
    "misfit": {
        "long_name": "root mean square of observation less analysis, over the error of the observation",
        "units": "1",
    },
}


# Values that are given ------------------------------------------------------------------------------------------------


def _chunks(cube: Cube, chunks: Any) -> Any:
    """Chunks of as many members as fill a batch, where nobody chose and there are few times."""
    sizes = cube.sizes
    if chunks != {} or "member" not in sizes:
        return chunks
    return {"member": min(sizes["member"], max(1, cube.spec.batch_size // sizes["time"]))}


def _seconds(time: Any) -> npt.NDArray[np.int64] | None:
    if time is None:
        return None
    from xr_cbottle.fields import dates

    try:
        times = np.atleast_1d(np.asarray(time, "datetime64[ns]"))
    except (ValueError, TypeError):
        raise ValueError(f"time is {shown(time)}: give one time or a list, such as '1990-01-15T06'") from None
    whole = dates.each_once(dates.datetimes(times.ravel(), "time"), "time").astype("datetime64[s]")
    return whole.astype(np.int64)


def _half(window: Any) -> int:
    """Half of a window in seconds."""
    import pandas as pd

    try:
        seconds = pd.Timedelta(window).total_seconds()
    except (ValueError, TypeError):
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST_WINDOW:
        raise ValueError(f"window is {shown(window)}: give a duration of at most a day, such as '1h', or '0s'")
    return int(seconds // 2)


def _representativeness(value: Any, bottle: Bottle) -> tuple[tuple[str, float], ...] | None:
    if isinstance(value, str) and value == "estimated":
        return None
    if isinstance(value, Mapping):
        known = channels.variables(bottle.manifest.channels, bottle.manifest.own)
        for name, error in value.items():
            if name not in known or not isinstance(error, (int, float, np.number)) or not error >= 0:
                raise ValueError(
                    f"representativeness[{name!r}] is {shown(error)}: give errors of at least 0 of variables of "
                    f"{bottle.manifest.name}, {', '.join(known)}"
                )
        return tuple(sorted((str(name), float(error)) for name, error in value.items()))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0:
        return ()
    raise ValueError(
        f"representativeness is {shown(value)}: choose 'estimated', errors by variable such as {{'psl': 100}}, or 0"
    )
