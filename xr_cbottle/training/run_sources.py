"""Data sets as a run sees them: found, opened, and their variables made channels on the network's cells.

An *address* is what one step along time is read from: a file, a URL, or an entry of a catalog.
"""

from __future__ import annotations

import contextlib
import glob
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.bottle.schema import is_url
from xr_cbottle.fields import channels as channel_names
from xr_cbottle.fields.channels import NONE_OF_ITS_OWN, Variable
from xr_cbottle.grid import healpix
from xr_cbottle.training.source_config import SourceConfig, StoreConfig, VariableConfig
from xr_cbottle.training.source_reader import StoredSource, to_zoom

Array = npt.NDArray[Any]


def addresses(store: StoreConfig) -> tuple[str, ...]:
    """Addresses that a store is made of, in the order of time.

    Raises
    ------
    FileNotFoundError
        If a pattern matches no file.
    """
    if store.catalog is not None:
        return (store.where,)
    found: list[str] = []
    for pattern in store.files:
        pattern = expanded(pattern)
        matches = [pattern] if is_url(pattern) else sorted(glob.glob(pattern))
        if not matches:
            raise FileNotFoundError(f"{_whose(store)}no file matches {pattern!r}")
        found += matches
    return tuple(found)


def fingerprint(paths: Sequence[str]) -> dict[str, list[int]]:
    """Sizes and times of change of those that are local: what is behind a URL or in a catalog is not looked at."""
    stats = {path: os.stat(path) for path in map(expanded, paths) if os.path.exists(path)}
    return {path: [stat.st_size, stat.st_mtime_ns] for path, stat in stats.items()}


def expanded(path: str) -> str:
    """A path with ``~`` and environment variables replaced."""
    return os.path.expanduser(os.path.expandvars(path))


def open_path(path: str) -> xr.Dataset:
    """A netCDF file or zarr folder by its path or URL, lazily."""
    path = expanded(path)
    if is_url(path) and not path.partition("?")[0].endswith((".nc", ".nc4", ".h5")):
        return xr.open_zarr(path, chunks=None)
    if is_url(path):
        import fsspec

        return xr.open_dataset(fsspec.open(path).open(), engine="h5netcdf")
    return xr.open_zarr(path, chunks=None) if os.path.isdir(path) else xr.open_dataset(path)


def open_entry(store: StoreConfig) -> xr.Dataset:
    """The entry of a catalog with its parameters, lazily.

    Raises
    ------
    ValueError
        If there is no such entry, or it has no such parameter or value.
    """
    import intake

    assert store.catalog is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # intake's own
        try:
            entry = intake.open_catalog(expanded(store.catalog))[store.entry]
        except KeyError:
            raise ValueError(f"the catalog {store.catalog} has no entry {store.entry!r}") from None
        about = entry.describe()
        known = [parameter["name"] for parameter in about.get("user_parameters", ())]
        unknown = sorted(set(store.parameters) - set(known))
        # The driver of bottles takes the engine's keywords too; others drop what they do not know, or fail oddly.
        if unknown and "cbottle" not in np.atleast_1d(about["driver"]):
            raise ValueError(f"{store.where} has no parameter(s) {unknown}; it has {known}")
        if store.parameters and type(entry).__module__.startswith("intake_xarray") and _ignores_parameters():
            raise ValueError(
                f"{store.where}: intake-xarray {metadata.version('intake-xarray')} ignores parameters without a word; "
                "pip install 'intake-xarray<2'"
            )
        try:
            dataset = entry(**store.parameters).to_dask()
        except (ValueError, TypeError) as error:
            raise ValueError(f"{store.where} with parameters {store.parameters}: {error}") from error
    if not isinstance(dataset, xr.Dataset):
        raise ValueError(f"{store.where} is not a data set of xarray")
    return dataset


@contextlib.contextmanager
def opened(source: SourceConfig, address: str) -> Iterator[Instants]:
    """The instants of a source at one of its addresses, with what its other stores have of them."""
    with contextlib.ExitStack() as stack:
        first = _stored(source, [address], source.label, stack)
        others = [_stored(also, addresses(also), source.label, stack) for also in source.also]
        yield Instants(source, first, others)


class Instants:
    """The instants that all stores of a source have.

    Attributes
    ----------
    times
        (n,) datetime64[ns]. Those that all stores have.
    wanted
        (m,) int. Those from the source's start to its end.
    """

    def __init__(self, source: SourceConfig, first: StoredSource, others: Sequence[StoredSource]) -> None:
        self.source, self.stores = source, (first, *others)
        have = np.ones(len(first.times), bool)
        for other in others:
            have &= np.isin(first.times, other.times)
        self._places = [np.flatnonzero(have)]
        self.times = first.times[self._places[0]]
        for other in others:
            order = np.argsort(other.times, kind="stable")
            self._places.append(order[np.searchsorted(other.times, self.times, sorter=order)])
        start, end = np.datetime64(source.start, "ns"), np.datetime64(source.end, "ns")
        self.wanted = np.flatnonzero((self.times >= start) & (self.times < end))

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the first store."""
        return dict(self.stores[0].datasets[0].attrs)

    def blocks(self) -> Iterator[Array]:
        """`wanted`, in parts along the chunks of the first store."""
        length = self.stores[0].block
        number = self._places[0][self.wanted] // length
        return (part for part in np.split(self.wanted, np.flatnonzero(np.diff(number)) + 1) if len(part))

    def read(
        self, chosen: Array, names: Sequence[str], zoom: int, own: Mapping[str, Variable] = NONE_OF_ITS_OWN
    ) -> Array:
        """Values of channels.

        Parameters
        ----------
        chosen
            (n,) int. Places in ``times``.
        names
            Channels; those that the source lists as missing are NaN.
        zoom
            HEALPix level of the result, the stored one or coarser.
        own
            Variables that the configuration defines.

        Returns
        -------
        (n, channel, cell) float32 in the channels' own units, NEST order.

        Raises
        ------
        ValueError
            If a variable, level, unit or cell is not there.
        """
        out = np.full((len(chosen), len(names), healpix.n_cells(zoom)), np.nan, np.float32)
        groups: dict[tuple[int, str], list[tuple[int, channel_names.Channel, VariableConfig]]] = {}
        for index, name in enumerate(names):
            if name not in self.source.missing:
                channel = channel_names.parse(name, own)
                number, variable = self._find(channel)
                groups.setdefault((number, variable.name), []).append((index, channel, variable))
        for (number, variable_name), members in groups.items():
            store, places = self.stores[number], self._places[number][chosen]
            levels = [channel.level for _, channel, _ in members]
            fields, spread = store.fields(variable_name, places, levels), store.spreads(variable_name)
            for (index, channel, variable), field in zip(members, fields, strict=True):
                values = store.converted(field, variable, channel.variable) / np.float32(channel.factor)
                out[:, index] = to_zoom(values, zoom, store.name, spread)
        return out

    def described(self, name: str, zoom: int, own: Mapping[str, Variable] = NONE_OF_ITS_OWN) -> str:
        """Words about where a channel is, such as ``t at 85000 Pa in K``; reads metadata alone.

        Raises
        ------
        ValueError
            If a variable, level, unit or cell is not there.
        """
        channel = channel_names.parse(name, own)
        number, stored = self._find(channel)
        return self.stores[number].described(stored, channel, zoom)

    def variable(self, name: str, chosen: Array) -> tuple[Array, str]:
        """(n, cell) float32 and the unit of a variable without levels by the name it is stored under."""
        for store, places in zip(self.stores, self._places, strict=True):
            if name in store:
                return store.fields(name, places[chosen], [None])[0], store.units(name)
        raise ValueError(f"{self.stores[0].name} has no variable {name!r}")

    def constant(self, name: str) -> Array | None:
        """(cell,) of a variable without time; None if there is none."""
        for store in self.stores:
            if name in store and not store.has_time(name):
                return store.fields(name, np.zeros(1, int), [None])[0][0]
        return None

    def _find(self, channel: channel_names.Channel) -> tuple[int, VariableConfig]:
        """The store that has a channel, and its name there."""
        looked_for = []
        for number, store in enumerate(self.stores):
            if (variable := store.find(channel)) is not None:
                return number, variable
            said = store.variables.get(channel.name) or store.variables.get(channel.variable.name)
            looked_for.append(channel.variable.name if said is None else said.name)
        raise ValueError(
            f"{' and '.join(store.name for store in self.stores)} has no variable {looked_for[0]!r} for channel "
            f"{channel.name!r}; list the channel under 'missing' of source {self.source.label!r}, or take it out, "
            "or say under 'variables' what it is called"
        )


def _whose(store: StoreConfig) -> str:
    return f"source {store.label!r}: " if isinstance(store, SourceConfig) else ""


def _ignores_parameters() -> bool:
    return int(metadata.version("intake-xarray").partition(".")[0]) >= 2


def _stored(store: StoreConfig, paths: Sequence[str], label: str, stack: contextlib.ExitStack) -> StoredSource:
    """Data sets at the addresses of a store, open until the stack is left."""
    entry = store.catalog is not None
    datasets = [stack.enter_context(open_entry(store) if entry else open_path(path)) for path in paths]
    name = paths[0] if len(paths) == 1 else f"{paths[0]} to {paths[-1]}"
    return StoredSource(datasets, f"source {label!r}: {name}", store.variables)
