"""Instants of a bottle, drawn once and kept beside the report.

What is kept is a zarr store for each set of instants, named by the digest of all that its values are a function of:
a second evaluation with the same settings draws nothing, and an interrupted one goes on.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.cube import writer
from xr_cbottle.draw.defaults import INDEPENDENT
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.reference import StoredReference, open_stored
from xr_cbottle.fields import channels
from xr_cbottle.grid import healpix, time_axis

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import Bottle
    from xr_cbottle.cube.cube import Cube
    from xr_cbottle.fields.sst import SeaSurfaceTemperature

NONE: Mapping[str, Any] = MappingProxyType({})
#: What the response to the sea surface temperature is made of.
RESPONSE = ("tas", "pr", "ts", "sst")


@dataclass(frozen=True)
class Drawing:
    """Drawing from a bottle: which bottle, how it is sampled, where drawn instants are kept.

    Attributes
    ----------
    bottle
        The open bottle.
    folder
        Where drawn instants are kept.
    zoom
        HEALPix level at which they are kept.
    keywords
        Others of `xr_cbottle.Cube`: sampler settings, seed, precision, device.
    progress
        Whether to show a bar; None: on a terminal.
    """

    bottle: Bottle
    folder: Path
    zoom: int
    keywords: dict[str, Any]
    progress: bool | None = None

    def on_axis(self, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
        """Positions of the times that the bottle has instants of."""
        spec = self.bottle.manifest.time
        start, end, step = time_axis.range_of(spec.start, spec.end, spec.step)
        seconds = times.astype("datetime64[s]").astype(np.int64)
        return np.flatnonzero((seconds >= start) & (seconds <= end) & ((seconds - start) % step == 0))

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Quantities that the bottle makes."""
        return tuple(
            Quantity(name, pressure)
            for name, layout in channels.variables(self.bottle.manifest.channels, self.bottle.manifest.own).items()
            for pressure in layout.pressures or (None,)
        )

    def units(self, quantity: Quantity) -> str:
        """Unit in which the bottle makes a quantity."""
        return quantity.units

    def draw(
        self,
        label: str | None,
        times: npt.NDArray[np.datetime64],
        variables: Sequence[str] | None = None,
        climate: Mapping[str, Any] = NONE,
    ) -> StoredReference:
        """The fields of a label at some times, from the folder as far as they are there.

        Parameters
        ----------
        label
            Of the bottle; None if it has none.
        times
            (time,) instants of the bottle.
        variables
            Names of those to keep, as far as the bottle has them; all if None.
        climate
            Keywords of `xr_cbottle.Cube` that ask for another climate: sst, sst_offset, co2, extrapolate.
        """
        cube = self._cube(label, times, climate)
        names = [name for name in cube.layouts if variables is None or name in variables]
        what = "all" if variables is None else "-".join(names)
        out = self.folder / f"{self.bottle.manifest.name}_{label or 'bottle'}_{what}_{cube.spec.token[:20]}.zarr"
        if not out.exists():
            # A chunk is one batch: what an interruption costs is the batch that it meets.
            writer.write(cube, out, names, times_per_chunk=cube.layout.values_per_batch, progress=self.progress)
        return open_stored([str(out)])

    def outside(
        self, label: str | None, times: npt.NDArray[np.datetime64], climate: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Sentences of the bottle on a climate that is outside of what it has learnt; nothing is drawn.

        Raises
        ------
        ValueError
            If it refuses it.
        """
        return self._cube(label, times, climate).spec.outside

    def _cube(self, label: str | None, times: npt.NDArray[np.datetime64], climate: Mapping[str, Any]) -> Cube:
        from xr_cbottle.cube.climate import OutsideTraining
        from xr_cbottle.cube.cube import Cube

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OutsideTraining)  # the report says it: see `outside`
            # What is written to a store need not stay in memory.
            return Cube(
                self.bottle, zoom=self.zoom, time=times, label=label, max_instants=sys.maxsize, cache_size=0,
                progress=False, **{"coherence": INDEPENDENT, **self.keywords, **climate},
            )  # fmt: skip

    def land(self) -> npt.NDArray[np.bool_] | None:
        """(cell,) True over land at the zoom: where the bottle's SST has no value; None if it has no SST."""
        sst = self._sst
        if sst is None:
            return None
        return healpix.coarsen(sst.land.astype(np.float64), self.bottle.manifest.zoom - self.zoom) > 0.5

    def sea(self, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float64] | None:
        """(time, cell) sea surface temperature that the bottle draws under, K, NaN over land; None if it has none."""
        sst = self._sst
        if sst is None:
            return None
        values = sst.at(times.astype("datetime64[s]")).astype(np.float64)
        return np.asarray(healpix.coarsen(values, self.bottle.manifest.zoom - self.zoom, spread=True))

    @functools.cached_property
    def _sst(self) -> SeaSurfaceTemperature | None:
        from xr_cbottle.fields.sst import SeaSurfaceTemperature

        manifest = self.bottle.manifest
        if manifest.sst is None:
            return None
        return SeaSurfaceTemperature.from_dataset(self.bottle.sst_dataset(), manifest.zoom, manifest.sst.variable)
