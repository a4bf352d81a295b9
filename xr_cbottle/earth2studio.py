"""Earth2Studio's door: ``earth2studio.data.fetch_data(xr_cbottle.earth2studio.BottleData("gcm"), time, variable)``.

Earth2Studio calls any object a data source that takes times and its own names of variables, and gives an array on
latitudes and longitudes. It need not be installed here.
"""

from __future__ import annotations

import asyncio
import os
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from xr_cbottle.cube.cube import Cube
from xr_cbottle.cube.keywords import Keywords, documented, with_keywords
from xr_cbottle.fields.channels import GRAVITY
from xr_cbottle.grid.regular import RegularGrid

if TYPE_CHECKING:
    import xarray as xr

    from xr_cbottle.bottle.bottle import Bottle

_SURFACE = {
    "t2m": "tas", "skt": "ts", "msl": "psl", "u10m": "uas", "v10m": "vas", "tcwv": "prw", "tcc": "clt", "sst": "sst",
    "sic": "siconc", "tclw": "clwvi", "tciw": "clivi",
}  # fmt: skip
"""Earth2Studio's names, of its lexicon, of what is on one level, and ours."""
_LEVELS = {"t": ("ta", 1.0), "u": ("ua", 1.0), "v": ("va", 1.0), "q": ("hus", 1.0), "z": ("zg", GRAVITY)}
"""Its letters of what is on pressure levels: our name, and the factor from our unit to its."""


class BottleData:
    """A bottle as a data source of Earth2Studio: arrays (time, variable, lat, lon).

    Parameters
    ----------
    bottle
        Path, URL or name of a bottle, or an open `Bottle`.
    spacing
        Degrees between points: latitudes from 90 to -90, longitudes from 0. It must divide 180.
    {keywords}
    """

    @documented()
    def __init__(
        self, bottle: str | os.PathLike[str] | Bottle, spacing: float = 1.0, **keywords: Unpack[Keywords]
    ) -> None:
        if keywords.get("members") is not None:
            raise ValueError("Earth2Studio's arrays have no members: leave members out, and take one source a seed")
        cube = Cube(bottle, **keywords)
        self._ds, self._layouts = cube.lazy_dataset(), cube.layouts
        count = round(180 / spacing)
        if count < 1 or abs(count * spacing - 180) > 1e-6:
            raise ValueError(f"180 degrees are no whole number of {spacing:g} degrees: give one that divides them")
        lat, lon = np.linspace(90, -90, count + 1), np.arange(2 * count) * (180 / count)
        self._grid = RegularGrid(lat.astype(np.float64), lon.astype(np.float64), (180 / count, 180 / count))
        self._weights = self._grid.weights(cube.spec.zoom)

    def __call__(self, time: Any, variable: Any) -> xr.DataArray:
        """Draw fields.

        Parameters
        ----------
        time
            A time or several, in UTC: datetime, datetime64 or text.
        variable
            A name or several of Earth2Studio's lexicon, such as ``t2m`` or ``u850``.

        Returns
        -------
        (time, variable, lat, lon) float32, in the units of the lexicon.

        Raises
        ------
        ValueError
            If the bottle has no such time or variable.
        """
        import pandas as pd
        import xarray as xr

        times = pd.DatetimeIndex([time] if isinstance(time, (str, datetime, np.datetime64)) else list(time))
        names = [str(name) for name in ([variable] if isinstance(variable, str) else variable)]
        fields = {name: self._field(name) for name in names}
        known = self._ds.indexes["time"]
        absent = [str(one) for one in times if one not in known]
        if absent:
            raise ValueError(f"the bottle has no {', '.join(absent)}: its times go from {known[0]} to {known[-1]}")
        parts = xr.Dataset({name: field.drop_vars("pressure", errors="ignore") for name, (field, _) in fields.items()})
        drawn = parts.sel(time=times).load()  # each instant once, for all variables
        values = np.stack([self._weights.apply(drawn[name].values) * factor for name, (_, factor) in fields.items()], 1)
        coords = {"time": times, "variable": names, "lat": self._grid.lat, "lon": self._grid.lon}
        return xr.DataArray(values.astype(np.float32), coords, ("time", "variable", "lat", "lon"))

    async def fetch(self, time: Any, variable: Any) -> xr.DataArray:
        """Draw fields in a thread, as Earth2Studio's own sources fetch theirs; see ``__call__``."""
        return await asyncio.to_thread(self, time, variable)

    @property
    def variables(self) -> list[str]:
        """Names of Earth2Studio's lexicon that the bottle has."""
        on_levels = [
            f"{letter}{pressure // 100}"
            for letter, (ours, _) in _LEVELS.items()
            if ours in self._layouts
            for pressure in self._layouts[ours].pressures or ()
        ]
        return [*(theirs for theirs, ours in _SURFACE.items() if ours in self._layouts), *on_levels]

    def _field(self, name: str) -> tuple[xr.DataArray, float]:
        """The field of a name of Earth2Studio's, and the factor to its unit."""
        if name not in self.variables:
            raise ValueError(f"the bottle has no {name!r}: choose among {', '.join(self.variables)}")
        if name in _SURFACE:
            return self._ds[_SURFACE[name]], 1.0
        match = re.fullmatch(r"([a-z])(\d+)", name)
        assert match is not None  # as `variables` makes them
        ours, factor = _LEVELS[match[1]]
        return self._ds[ours].sel(pressure=100 * int(match[2])), factor


BottleData.__doc__ = with_keywords(BottleData.__doc__)
