"""intake's door: ``intake.open_catalog(xr_cbottle.catalog.MAIN).gcm(zoom=3, seed=7).to_dask()``.

One class for intake 0.7 and 2, which both know `intake.source.base.DataSource`. What the parameters of a catalog
are is up to the catalog; whatever they do not name goes on to the engine.
"""

from __future__ import annotations

import difflib
import functools
import operator
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np
from intake.source.base import DataSource, Schema

from xr_cbottle import __version__
from xr_cbottle.base.plain_text import inert, one_line
from xr_cbottle.cube import chunks as chunking
from xr_cbottle.cube.checks import is_absent
from xr_cbottle.cube.keywords import KEYWORDS, from_text

if TYPE_CHECKING:
    import xarray as xr

    from xr_cbottle.cube.cube import Cube

_INSTALLED = Path(__file__).resolve().parent / "catalogs"
MAIN = str((_INSTALLED if _INSTALLED.is_dir() else _INSTALLED.parents[1] / "catalogs") / "main.yaml")
"""Path of the catalog that comes with the package: inside it when installed, beside it in a checkout."""

_OWN = ("urlpath", "chunks", "drop_variables", "metadata", "storage_options")


class CbottleSource(DataSource):  # type: ignore[misc]  # intake has no types
    """A bottle as an entry of an intake catalog, ``driver: cbottle``. Nothing is drawn until values are read.

    Parameters
    ----------
    urlpath
        Path, URL or name of a bottle.
    chunks
        ``{}``, ``"auto"``, a number of times or ``{"time": n, "member": m}``: dask arrays of one graph, in which
        each block is drawn once for all variables. None: lazy arrays without dask. ``"auto"`` is ``{}``, the
        chunks that cost least: dask's own choice would make one of all times.
    drop_variables
        Variables to leave out.
    metadata
        Of the catalog's entry.
    storage_options
        None: fsspec's configuration holds those of URLs.
    **keywords
        Those of `xr_cbottle.Cube`. They may be text, as templates of a catalog make it; empty text, or None,
        is a keyword not given, and ``members=0`` is no dimension ``member``.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If a keyword's value is wrong.
    """

    name = "cbottle"
    container = "xarray"
    version = __version__
    partition_access = True

    def __init__(
        self,
        urlpath: Any,
        chunks: Any = {},  # noqa: B006  what yaml() shows
        drop_variables: str | Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        storage_options: Mapping[str, Any] | None = None,
        **keywords: Any,
    ) -> None:
        # A copy: what discover() adds to it is not part of the entry.
        super().__init__(metadata=dict(metadata or {}))
        if storage_options:
            raise ValueError("storage_options is not for bottles: give them in fsspec's configuration")
        self._check_names(keywords, ())
        values = {name: from_text(name, value) for name, value in keywords.items()}
        self.urlpath, self.drop_variables, self.chunks = urlpath, drop_variables, chunking.from_text(chunks)
        self.keywords = {name: value for name, value in values.items() if value is not None}
        self._given: dict[str, Any] = {}

    # The entry -------------------------------------------------------------------------------------------------

    def configure_new(self, **kwargs: Any) -> CbottleSource:
        """Make the source again with other parameters; those given before are kept.

        Raises
        ------
        TypeError
            If a parameter is unknown; it lists the known ones.
        ValueError
            If a value is wrong.
        """
        # intake forgets parameters that are no argument, makes 1 of 1.5, and text of a range.
        exact = {name: from_text(name, value) for name, value in kwargs.items()}
        kwargs = {name: value if exact[name] is None else exact[name] for name, value in kwargs.items()}
        given = {**self._given, **kwargs}
        given = {name: value for name, value in given.items() if name not in KEYWORDS or not is_absent(value)}
        if self._entry is None:
            made = type(self)(*self._captured_init_args, **{**self._captured_init_kwargs, **kwargs})
        else:
            declared, used = self._parameters()
            self._check_names(given, [*declared, *sorted(used - {"CATALOG_DIR"})])
            made = self._entry(**given)
            made._entry = self._entry
        made._given = given
        return made

    __call__ = get = configure_new

    def _parameters(self) -> tuple[list[str], set[str]]:
        """Names of the parameters that the entry declares, and those that its arguments use."""
        from jinja2 import Environment, meta

        described, used = self.describe(), set()
        pending = [described["args"]]
        while pending:
            value = pending.pop()
            if isinstance(value, Mapping):
                pending += value.values()
            elif isinstance(value, (list, tuple, set)):
                pending += value
            elif isinstance(value, str):
                used |= meta.find_undeclared_variables(Environment().parse(value))
        return [parameter["name"] for parameter in described["user_parameters"]], used

    def _yaml(self) -> dict[str, Any]:
        """As intake's, but what YAML has no word for, such as a user's SST, is told and not written out."""
        described: dict[str, Any] = super()._yaml()
        arguments = described["sources"][self.name]["args"]
        for name, value in arguments.items():
            if not isinstance(value, (str, int, float, list, tuple, dict, NoneType)):
                arguments[name] = one_line(value, 80)
        return described

    def _check_names(self, given: Iterable[str], declared: Iterable[str]) -> None:
        known = list(dict.fromkeys([*declared, *KEYWORDS, *_OWN]))
        unknown = [name for name in given if name not in known]
        if unknown:
            close = difflib.get_close_matches(unknown[0], known, n=1)
            raise TypeError(
                f"unknown parameter {', '.join(unknown)}: {self.name} takes {', '.join(known)}"
                + (f"; did you mean {close[0]}?" if close else "")
            )

    def _check_entry(self) -> None:
        """Refuse an entry of which intake would drop a parameter without a word."""
        if self._entry is None:
            return
        declared, used = self._parameters()
        # A whole catalog's parameters are not for each of its entries.
        shared = set(getattr(self.cat, "user_parameters", ())) - set(KEYWORDS)
        dropped = [name for name in declared if name not in used | shared]
        if dropped:
            lines = ", ".join(name + ': "{{ ' + name + ' }}"' for name in dropped)
            raise ValueError(
                f"the catalog's entry {self.name} declares {', '.join(dropped)} and its args do not use it, so that "
                f"intake drops it: add to args {lines}"
            )

    # The data --------------------------------------------------------------------------------------------------

    @functools.cached_property
    def cube(self) -> Cube:
        """The cube that it opens."""
        from xr_cbottle.cube.cube import Cube, warn_of_means

        self._check_entry()
        cube = Cube(self.urlpath, **self.keywords)
        warn_of_means(cube)
        return cube

    def to_dask(self) -> xr.Dataset:
        """The data set, in the chunks of this source; nothing is drawn."""
        return self._open(self.chunks)

    def read_chunked(self) -> xr.Dataset:
        """Make the data set in the chunks of this source, like `to_dask`, which has the same result."""
        return self.to_dask()

    def read(self) -> xr.Dataset:
        """The whole data set, drawn.

        Raises
        ------
        ValueError
            If these are more instants than ``max_instants``.
        """
        cube = self.cube
        needed = cube.spec.axis.count * cube.spec.axis.instants_per_value * len(cube.spec.members or (0,))
        if needed > cube.reading.max_instants:
            raise ValueError(
                f"{self.name}.read() would draw all {needed} instants of the data set, and max_instants is "
                f"{cube.reading.max_instants}: take .to_dask() and select what you need, choose longer steps or fewer "
                f"members, or give max_instants={needed}"
            )
        return self._drawn({})

    def _get_partition(self, i: int) -> xr.Dataset:
        """Block ``i`` of members and times, drawn; all times of the first member come first."""
        cube = self.cube
        times = cube.layout.values_per_batch
        member, block = divmod(operator.index(i), -(-cube.spec.axis.count // times))
        part = {"time": slice(block * times, (block + 1) * times), "member": slice(member, member + 1)}
        return self._drawn(part)

    def _open(self, chunks: Any) -> xr.Dataset:
        import xarray as xr

        cube: Any = self.cube
        return xr.open_dataset(cube, engine="cbottle", chunks=chunks, drop_variables=self.drop_variables)

    def _drawn(self, part: Mapping[str, slice]) -> xr.Dataset:
        """A part of the data set with values: each instant drawn once for all variables, with one progress bar."""
        cube = self.cube
        selections = {name: cube.layout.select(name, part) for name in cube.variables(self.drop_variables)}
        values = cube.read(selections)
        ds = self._open(None).isel(part, missing_dims="ignore")
        for name in selections:
            ds.variables[name].data = values[name]
        return ds

    def _get_schema(self) -> Schema:
        ds, cube = self._open(None), self.cube
        blocks = -(-cube.spec.axis.count // cube.layout.values_per_batch) * len(cube.spec.members or (0,))
        contents = {
            "dims": {str(dim): size for dim, size in ds.sizes.items()},
            "data_vars": {str(name): [str(c) for c in ds[name].coords] for name in ds.data_vars},
            "coords": tuple(str(name) for name in ds.coords),
        }
        # YAML, which a catalog is written as, has no numbers of numpy.
        told = {key: value.item() if isinstance(value, np.generic) else value for key, value in ds.attrs.items()}
        return Schema(datashape=None, dtype=None, shape=None, npartitions=blocks, extra_metadata=inert(contents | told))

    def _close(self) -> None:
        self.__dict__.pop("cube", None)
        self._schema = None
