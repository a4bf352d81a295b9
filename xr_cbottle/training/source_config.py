"""Configuration of sources: where the fields that a run learns from are stored, and their names there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class VariableConfig:
    """A stored variable that has another name or unit than xr_cbottle's. A text alone is its name.

    Attributes
    ----------
    name
        What it is called where it is stored.
    units
        Its unit, in place of its attribute ``units`` or for want of one.
    factor
        It is multiplied by this before its unit is converted: -1 turns a flux round, 1/3600 makes a rate of an
        hour's sum (whose ``units`` must then be given).
    """

    name: str
    units: str | None = None
    factor: float = 1.0

    @classmethod
    def from_text(cls, name: str) -> VariableConfig:
        """Make it of a text: only the name is another."""
        return cls(name)


@dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """A data set as files, or as an entry of an intake catalog; exactly one of both.

    On HEALPix cells, or on latitudes and longitudes: see `docs/data-formats.md`.

    Attributes
    ----------
    files
        netCDF files or zarr folders, one after the other in time; globs are expanded and sorted. Or their URLs, which
        fsspec reads with what its own configuration says of them.
    catalog
        Path or URL of an intake catalog.
    entry
        Name of its entry, with dots where catalogs are nested.
    parameters
        Of the entry, such as ``{zoom: 6, time: PT3H}``.
    variables
        xr_cbottle's variable (``tas``) or channel (``T850``) -> what it is called there, or a mapping of name, units
        and factor. Those whose names are known (``t2m``) need not be listed. Units are converted.
    """

    files: tuple[str, ...] = ()
    catalog: str | None = None
    entry: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, VariableConfig] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.files) == (self.catalog is not None):
            raise ValueError("give either files or catalog (with entry and parameters), not both or neither")
        if (self.catalog is None) != (self.entry is None):
            raise ValueError("catalog and entry belong together: give both or neither")
        if self.parameters and self.catalog is None:
            raise ValueError("parameters are those of a catalog's entry: files have none")

    @property
    def where(self) -> str:
        """Place of the data set in words."""
        return ", ".join(self.files) if self.catalog is None else f"{self.catalog}:{self.entry}"


@dataclass(frozen=True)
class SstConfig:
    """The monthly sea surface temperature that conditions the network, and that is packed into the bottle.

    Attributes
    ----------
    path
        A netCDF or zarr data set, ``(time, cell)`` or ``(time, lat, lon)``.
    source
        Instead of ``path``, the label of one of the sources: monthly means are made of its variable, from ``start``
        to ``end``, each standing for the middle of its month.
    variable
        Its variable, as it is called there.
    land_path, land_variable
        Where the land fraction (0 to 1, ``(cell)``) is, if the SST is not NaN over land already. With ``source``
        and without ``land_path`` the variable is looked for beside the SST.
    land_threshold
        Cells with at least this land fraction are land.
    """

    path: str | None = None
    source: str | None = None
    variable: str = "sst"
    land_path: str | None = None
    land_variable: str = "sftlf"
    land_threshold: float = 0.5

    def __post_init__(self) -> None:
        if (self.path is None) == (self.source is None):
            raise ValueError("give either path or source, not both or neither")


@dataclass(frozen=True, kw_only=True)
class SourceConfig(StoreConfig):
    """One data set to imitate, on cells of the network's zoom or finer, or on a grid as fine.

    Several sources of one label are runs of one model, under other seas and forcings.

    Attributes
    ----------
    label
        Its name: what users of the bottle pass as ``label=``.
    also
        Other data sets of the same model, for variables that are not in the first. Instants that all of them have
        are used.
    start, end
        ISO-8601 times; instants with start <= time < end are used.
    validation_start
        Instants from here to ``end`` are kept out of training and measure the validation loss.
    missing
        Channels this data set does not have: NaN, masked in the loss.
    time_jitter_hours
        The network is told a time that differs by up to this (uniform), for data that know no time of day.
    diurnal_harmonics
        Of the climatology (``scale: climatology``): 0 for data that know no time of day.
    forcings
        What forced this run, by the names of ``data: forcings``: a number, an experiment of CMIP6 (``ssp245``) or the
        path of a series. Default: the attribute of its files that is called by name and unit, such as ``co2_ppmv``.
    sst_offset
        What its sea is warmer than that of ``data: sst`` where it is free of ice: K, or the path of a field. Default:
        the attribute ``sst_offset`` of its files, or 0.
    sst
        Path of a sea of its own, instead of that of ``data: sst``; to it ``sst_offset`` is added only if it is given
        here. Default: the file that the attribute ``sst_forcing`` of its files names, if it lies beside them.
    weight
        How often each of its instants comes in an epoch: 2 is twice, 0.5 every other time. ``--dry-run`` says which
        share of the images is its own.
    """

    label: str
    start: str
    end: str
    also: tuple[StoreConfig, ...] = ()
    validation_start: str | None = None
    missing: tuple[str, ...] = ()
    time_jitter_hours: float = 0.0
    diurnal_harmonics: int = 0
    forcings: dict[str, Any] = field(default_factory=dict)
    sst_offset: str | None = None
    sst: str | None = None
    weight: float = 1.0

    def held_out(self, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.bool_]:
        """(n,) which instants training does not see."""
        if self.validation_start is None:
            return np.zeros(len(times), bool)
        return np.asarray(times >= np.datetime64(self.validation_start, "s"))

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except ValueError as error:
            raise ValueError(f"source {self.label!r}: {error}") from None
        for name in ("start", "end", "validation_start"):
            if (value := getattr(self, name)) is not None:
                _time(value, f"source {self.label!r}: {name}")
        if _time(self.start, "start") >= _time(self.end, "end"):
            raise ValueError(f"source {self.label!r}: start {self.start} is not before end {self.end}")
        if not 0 <= self.diurnal_harmonics <= 8:
            raise ValueError(f"source {self.label!r}: diurnal_harmonics is {self.diurnal_harmonics}, must be 0 to 8")
        for name, value in self.forcings.items():
            if isinstance(value, bool) or not isinstance(value, (int, float, str)):
                raise ValueError(f"source {self.label!r}: forcings: {name} is {value!r}: a number, a name or a path")
        if not 0.001 <= self.weight <= 1000:
            raise ValueError(f"source {self.label!r}: weight is {self.weight:g}, must be 0.001 to 1000")
        if not 0 <= self.time_jitter_hours <= 12:
            raise ValueError(f"source {self.label!r}: time_jitter_hours is {self.time_jitter_hours}, must be 0 to 12")


def _time(value: str, where: str) -> np.datetime64:
    try:
        return np.datetime64(value, "s")
    except ValueError as error:
        raise ValueError(f"{where}: {value!r} is not an ISO-8601 time like 1980-01-01") from error
