"""The cube: everything a bottle stands for as lazy arrays, of which a read draws the instants it touches."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.core.indexing import CopyOnWriteArray, MemoryCachedArray

from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.cube import cache, graph, metadata
from xr_cbottle.cube.assembly import FineTarget, Target
from xr_cbottle.cube.chunked import ChunkedVariable
from xr_cbottle.cube.disk import DiskTier
from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.cube.lazy import CubeVariable, FineDataset, LazyVariable
from xr_cbottle.cube.options import Reading, make_reading, progress_bar
from xr_cbottle.cube.pieces import Mosaic
from xr_cbottle.cube.selection import Selection
from xr_cbottle.cube.spec import MAX_INSTANTS, CubeSpec, make_spec
from xr_cbottle.fields import channels
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    from xr_cbottle.draw.conditions import SeaSurfaceTemperature
    from xr_cbottle.draw.emulator import Emulator


class Cube:
    """A data set that a bottle stands for. Nothing is drawn, and torch is not imported, until values are read.

    Parameters
    ----------
    bottle
        Path, URL or name of a bottle, or an open `Bottle`.
    zoom
        HEALPix level, 0 to the bottle's own (the default): coarser ones are exact 4-cell means. Above it, up to that
        of its super-resolution if it has one, are the variables which that makes; those below the finest are means of
        it, not of the native zoom.
    time
        ISO-8601 step (``"PT6H"``, any multiple of the bottle's, which is the default), explicit times
        (string, datetime64, list, index, DataArray), or a slice of times, with a step if need be.
    time_method
        ``"inst"``; or ``"mean"``: the mean of all instants of the step that ends at the time.
    members
        How many members, or a list of their numbers: adds a dimension. None: member 0 without one.
    seed
        Of all the noise, 0 <= seed < 2**63.
    label
        Data set to imitate; the bottle's default if None.
    num_steps, sigma_min, sigma_max
        Sampler settings; the bottle's defaults if None.
    solver
        ``"heun"``, two evaluations of the network a step, or ``"dpmpp_2m"``, one; the bottle's default if None.
    sst
        Your own SST: path, Dataset, DataArray or `SeaSurfaceTemperature`. Times are then those it covers.
    sr_mode
        Above the native zoom: ``"tiles"``, of which a read draws those that it touches; or ``"global"``, the globe
        at once.
    sr_network
        Above the native zoom: ``"distilled"``, a few steps, or ``"full"``; the first that the bottle has if None.
    precision
        Of the network: float32, tf32, bfloat16 or float16.
    device
        Torch's name of a device; chosen where values are read if None.
    batch_size
        Instants drawn at once; all batches are padded to it, because the last bits depend on it.
    weights
        Local copies of the bottle's files, see `open_bottle`.
    cache_size
        Bytes of finished instants to keep in memory, or text such as ``"2 GiB"``. By default a quarter of
        the memory, at most 4 GiB, shared by all data sets of the process.
    cache_dir
        Folder in which to keep finished instants, for other processes and another day.
    max_instants
        A single read of more is refused.
    progress
        Whether long reads show a progress bar; None: on a terminal or in a notebook.

    Raises
    ------
    ValueError
        If a value is wrong; it lists the right ones.
    BottleNotFound, BottleError
        If the bottle is not there, or not what it should be.
    """

    def __init__(
        self,
        bottle: str | os.PathLike[str] | Bottle,
        *,
        zoom: int | None = None,
        time: Any = None,
        time_method: str = "inst",
        members: int | Sequence[int] | None = None,
        seed: int = 0,
        label: str | None = None,
        num_steps: int | None = None,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
        solver: str | None = None,
        sst: Any = None,
        sr_mode: str = "tiles",
        sr_network: str | None = None,
        precision: str = "float32",
        device: Any = None,
        batch_size: int | None = None,
        weights: Any = None,
        cache_size: int | str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        max_instants: int = MAX_INSTANTS,
        progress: bool | None = None,
    ) -> None:
        asked = {k: v for k, v in locals().items() if k not in ("self", "bottle", "weights", "__class__")}
        if isinstance(bottle, Bottle):
            if weights is not None:
                raise ValueError("weights is for a bottle that is opened here: give it to open_bottle")
            self.bottle = bottle
        else:
            self.bottle = open_bottle(bottle, weights=weights)
        self.reading = make_reading(cache_size, cache_dir, max_instants, progress)
        self.sst = self._sst(sst)
        of_values = {k: v for k, v in asked.items() if k not in Reading.__dataclass_fields__ and k != "sst"}
        self.spec = make_spec(self.bottle.manifest, self.bottle.digest, sst=self.sst, **of_values)
        self._asked = metadata.keywords(of_values)

    def _sst(self, given: Any) -> SeaSurfaceTemperature | None:
        if given is None:
            return None
        from xr_cbottle.draw.conditions import SeaSurfaceTemperature

        return SeaSurfaceTemperature.open(given, self.bottle.manifest.zoom)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.bottle, self.spec, self.sst, self.reading, self._asked)

    def __dask_tokenize__(self) -> str:
        return self.spec.token

    def __repr__(self) -> str:
        sizes = ", ".join(f"{k}: {v}" for k, v in self.sizes.items())
        return f"<Cube of {self.bottle.manifest.name!r}, ({sizes}), {len(self.layouts)} variables>"

    @functools.cached_property
    def layouts(self) -> dict[str, channels.VariableLayout]:
        """The variables, by name."""
        return channels.variables(self.spec.fine.channels if self.spec.fine else self.instant_channels)

    @property
    def instant_channels(self) -> tuple[str, ...]:
        """Channels of an instant, in their order."""
        return self.bottle.manifest.channels

    @functools.cached_property
    def mosaic(self) -> Mosaic | None:
        """What draws above the native zoom; None up to it."""
        return None if self.spec.fine is None else Mosaic(self)

    @functools.cached_property
    def pressures(self) -> tuple[int, ...]:
        """The pressure axis in Pa, ascending; empty if no variable has levels."""
        return channels.pressure_axis(self.layouts)

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each dimension."""
        members = {} if self.spec.members is None else {"member": len(self.spec.members)}
        pressure = {"pressure": len(self.pressures)} if self.pressures else {}
        return {**members, "time": self.spec.axis.count, **pressure, "cell": healpix.n_cells(self.spec.zoom)}

    @property
    def values_per_batch(self) -> int:
        """How many times of the axis one batch of instants makes; above the native zoom tiles are drawn one by one."""
        if self.spec.fine is not None:
            return 1
        return max(1, self.spec.batch_size // self.spec.axis.instants_per_value)

    def dims(self, name: str) -> tuple[str, ...]:
        """Dimensions of a variable."""
        has_levels = self.layouts[name].pressures is not None
        return tuple(dim for dim in self.sizes if dim != "pressure" or has_levels)

    def emulator(self) -> Emulator:
        """The emulator that draws, loaded once for this process; imports torch."""
        from xr_cbottle.draw import emulator

        spec = self.spec
        return emulator.get(
            self.bottle,
            device=spec.device,
            precision=spec.precision,
            sampler=emulator.Sampler(*spec.sampler),
            batch_size=spec.batch_size,
            sst=self.sst,
        )

    def read(self, selections: Mapping[str, Selection]) -> dict[str, npt.NDArray[np.float32]]:
        """Values of variables, from each instant that they touch once.

        Parameters
        ----------
        selections
            What to read of each variable, see `xr_cbottle.cube.selection.select`.

        Returns
        -------
        {variable name: values}, in the shape of its selection.

        Raises
        ------
        ValueError
            If these are more instants, or above the native zoom more pieces of them, than ``max_instants``.
        """
        per_value = self.spec.axis.instants_per_value
        needed = max((len(s.pairs) for s in selections.values()), default=0) * per_value
        if needed > self.reading.max_instants:
            raise ValueError(
                f"this read takes {needed} instants to draw and max_instants is {self.reading.max_instants}: read "
                "fewer times or members, read in pieces with chunks={}, or open with a larger max_instants"
            )
        kind = Target if self.spec.fine is None else FineTarget
        targets = {name: kind(self, name, selection) for name, selection in selections.items()}
        wanted: dict[Key, list[tuple[Target, int]]] = {}
        for target in targets.values():
            for group, (member, time) in enumerate(target.selection.pairs.tolist()):
                for piece in target.pieces(group):
                    for key in self.keys(member, time, piece):
                        wanted.setdefault(key, []).append((target, group))
        if len(wanted) > self.reading.max_instants:
            raise ValueError(
                f"this read takes {len(wanted)} tiles to draw and max_instants is {self.reading.max_instants}: read "
                "fewer cells, times or members, read in pieces with chunks={}, or open with a larger max_instants"
            )

        def deliver(key: Key, field: Field) -> None:
            for target, group in wanted[key]:
                target.fill(group, field, key.piece)

        if wanted:
            self.gather(list(wanted), deliver)
        return {name: target.finished() for name, target in targets.items()}

    def keys(self, member: int, time: int, piece: int | None = None) -> list[Key]:
        """The instants, or one piece of them, that a time of a member, given by their positions, is made of."""
        spec = self.spec
        number = 0 if spec.members is None else spec.members[member]
        namespace = spec.namespace if piece is None else spec.fine_namespace
        return [
            Key(namespace, spec.label, spec.seed, number, seconds, piece)
            for seconds in spec.axis.instants(time).tolist()
        ]

    @property
    def instant_cache(self) -> cache.InstantCache:
        """Where its finished instants are kept."""
        return cache.shared(self.reading.cache_size)

    def gather(self, keys: Sequence[Key], deliver: Callable[[Key, Field], None]) -> None:
        """Give instants, or pieces, to ``deliver``, each once and in any order; what is nowhere yet is drawn."""
        pieces = self.mosaic is not None and bool(keys) and keys[0].piece is not None
        few = 2 if pieces else 2 * self.spec.batch_size
        unit = "tile" if pieces else "instant"
        bar = progress_bar(len(keys), self.reading.progress, unit) if len(keys) > few else None

        def delivered(key: Key, field: Field) -> None:
            deliver(key, field)
            if bar is not None:
                bar.update()

        try:
            if pieces and self.mosaic is not None:
                self.mosaic.gather(keys, delivered)
            else:
                self.gather_instants(keys, delivered)
        finally:
            if bar is not None:
                bar.close()

    def gather_instants(self, keys: Sequence[Key], deliver: Callable[[Key, Field], None]) -> None:
        """As `gather`, of whole instants, without a bar."""
        disk = None
        if self.reading.cache_dir is not None:
            shape = len(self.instant_channels), healpix.n_cells(self.spec.native_zoom)
            disk = DiskTier(self.reading.cache_dir, shape)
        self.instant_cache.gather(keys, self._draw, deliver, batch=self.spec.batch_size, disk=disk)

    def _draw(self, keys: Sequence[Key]) -> list[Field]:
        from xr_cbottle.draw.emulator import Instant

        fields = self.emulator().draw_instants(
            [Instant(key.label, key.seed, key.member, np.datetime64(key.seconds, "s")) for key in keys]
        )
        # Copies: a view would keep the whole batch in memory as long as one of its instants.
        return [np.array(field, np.float32) for field in fields]

    @functools.cached_property
    def _land(self) -> npt.NDArray[np.bool_] | None:
        """(native cell,) where the SST that drives the model is missing."""
        sst = self.sst or self.emulator().sst
        return None if sst is None else sst.land

    def variables(self, drop_variables: str | Iterable[str] | None = None) -> list[str]:
        """Names of the variables, without some."""
        dropped = _names(drop_variables)
        return [name for name in self.layouts if name not in dropped]

    def lazy_dataset(self, drop_variables: str | Iterable[str] | None = None) -> xr.Dataset:
        """The data set as a backend gives it to xarray: each variable an array that draws when it is indexed."""
        names = self.variables(drop_variables)
        lazy = [LazyVariable(self, name, tuple(names)) for name in names]
        return self._dataset({one.name: CubeVariable.of(one) for one in lazy}, drop_variables)

    def to_dataset(
        self,
        chunks: int | str | Mapping[str, int] | None = None,
        *,
        drop_variables: str | Iterable[str] | None = None,
    ) -> xr.Dataset:
        """The data set.

        Parameters
        ----------
        chunks
            None: lazy arrays, as `xarray.open_dataset` makes them. ``{}``, ``"auto"``, a number of times or
            ``{"time": n, "member": m}``: dask arrays of one graph, in which one task draws all variables of a
            block. A job on many variables then draws each instant once, also when it is larger than any cache
            or spread over machines.
        drop_variables
            Variables to leave out; they cost nothing either way.

        Raises
        ------
        ValueError
            If the chunks split levels or cells, which are drawn together.
        """
        if chunks is not None and self.spec.fine is not None:
            return self.lazy_dataset(drop_variables).chunk(graph.fine_chunks(self, chunks))
        if chunks is not None:
            names, blocks = self.variables(drop_variables), graph.parse_chunks(self, chunks)
            lazy = [LazyVariable(self, name, tuple(names)) for name in names]
            return self._dataset({one.name: ChunkedVariable.of(one, blocks) for one in lazy}, drop_variables)
        ds = self.lazy_dataset(drop_variables)
        for variable in ds.variables.values():  # as xarray does with what a backend gives it
            if isinstance(variable, CubeVariable):
                variable._data = MemoryCachedArray(CopyOnWriteArray(variable._data))  # type: ignore[assignment]
        return ds

    def _dataset(self, variables: Mapping[str, xr.Variable], drop_variables: str | Iterable[str] | None) -> xr.Dataset:
        manifest = self.bottle.manifest
        for name, variable in variables.items():
            variable.attrs = metadata.variable_attrs(self.layouts[name], self.spec, manifest)
            variable.encoding = metadata.encoding(self.dims(name), self.sizes, self.values_per_batch, self.spec)
        levels = any(self.layouts[name].pressures for name in variables)
        coords, others = metadata.coordinates(self.spec, self.pressures if levels else (), _names(drop_variables))
        ds = xr.Dataset({**variables, **others}, coords, metadata.global_attrs(self.spec, manifest, self._asked))
        ds = ds.set_coords(list(others))  # not as coords before, which would make base variables of them
        ds.encoding["source"] = self.bottle.path
        ds.set_close(self.close)
        if self.spec.fine is None:
            return ds
        coarse = channels.variables(self.instant_channels)
        sentence = metadata.absence(manifest.name, self.spec, tuple(self.layouts))
        absent = {name: sentence for name in coarse if name not in self.layouts}
        return FineDataset.of(ds, absent) if absent else ds

    def close(self) -> None:
        """Nothing to close: no file stays open, and what is in memory is shared."""


def _restore(
    bottle: Bottle,
    spec: CubeSpec,
    sst: SeaSurfaceTemperature | None,
    reading: Reading,
    asked: dict[str, str],
) -> Cube:
    cube = Cube.__new__(Cube)
    cube.bottle, cube.spec, cube.sst, cube.reading, cube._asked = bottle, spec, sst, reading, asked
    return cube


def _names(names: str | Iterable[str] | None) -> set[str]:
    return {names} if isinstance(names, str) else set(names or ())
