"""The climate of a run: the sea that its atmosphere saw, and what forced it beside."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.records import ForcingSpec
from xr_cbottle.bottle.schema import is_member_name
from xr_cbottle.draw import conditions
from xr_cbottle.fields.series import Series, at_times, constant
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.fields.sst_offset import SstOffset
from xr_cbottle.training import run_sources
from xr_cbottle.training.data_config import DataConfig
from xr_cbottle.training.source_config import SourceConfig
from xr_cbottle.training.sst_condition import write_packed

_OFFSET, _PATTERN, _SEA = "sst_offset", "sst_pattern", "sst_forcing"
"""Attributes of files: K that the sea is warmer, the name of the pattern of that, and of the file of the sea itself."""


@dataclass(frozen=True, eq=False)
class RunClimate:
    """The climate of a run.

    Attributes
    ----------
    sst
        The sea that its atmosphere saw.
    forcings
        Series by name.
    specs
        How networks and climatology are told of them.
    """

    sst: SeaSurfaceTemperature
    forcings: Mapping[str, Series] = field(default_factory=dict)
    specs: Mapping[str, ForcingSpec] = field(default_factory=dict)

    def told(self, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float64]:
        """(n, forcing) that networks and climatology are told at (n,) times."""
        return conditions.forced(self.specs, self.forcings, times)


def write_climates(config: DataConfig, base: SeaSurfaceTemperature, folder: Path) -> None:
    """Write what makes the climate of every run of a configuration into a folder, for `read_climates`.

    Raises
    ------
    ValueError
        If a run does not say how strong a forcing was, or two of its files say different things.
    """
    runs = [_described(source, config, base, folder / f"sst_{i}.nc") for i, source in enumerate(config.sources)]
    ranges = {}
    known = {} if config.standardised_as is None else open_bottle(_place(config.standardised_as)).manifest.forcings
    for name in config.forcings:
        learnt = [_range(source, run["forcings"][name]) for source, run in zip(config.sources, runs, strict=True)]
        if name in known:  # networks are told of it as those of the bottle
            ranges[name] = known[name].low, known[name].high
            if min(low for low, _ in learnt) < known[name].low or max(high for _, high in learnt) > known[name].high:
                raise ValueError(
                    f"data: standardised_as is {config.standardised_as}, which has learnt {name} from "
                    f"{known[name].low:g} to {known[name].high:g}, and the sources go beyond that: take them out"
                )
            continue
        reference = config.forcings[name].reference
        ranges[name] = min(*(low for low, _ in learnt), reference), max(*(high for _, high in learnt), reference)
        if not ranges[name][0] < ranges[name][1]:
            raise ValueError(
                f"data: {name} is {reference:g} in all runs: what it does cannot be told; add a run with another, or "
                "take it out of forcings"
            )
    (folder / "climates.json").write_text(json.dumps({"runs": runs, "ranges": ranges}))


def read_climates(
    config: DataConfig, base: SeaSurfaceTemperature, folder: Path
) -> tuple[dict[str, ForcingSpec], tuple[RunClimate, ...]]:
    """Read what `write_climates` wrote: how forcings are told, and the climate of each source."""
    stored = json.loads((folder / "climates.json").read_text())
    specs = {}
    for name, one in sorted(config.forcings.items()):
        low, high = stored["ranges"][name]
        specs[name] = ForcingSpec(
            one.units, low, high, one.reference, (one.reference,), (), one.transform, one.long_name
        )
    climates = []
    for run in stored["runs"]:
        sst = base
        if run["sst"] is not None:
            with xr.open_dataset(folder / run["sst"]) as dataset:
                sst = SeaSurfaceTemperature.from_dataset(dataset.load(), config.zoom, "sst")
        offset = None if run["offset"] is None else SstOffset(np.array(run["offset"]), run["offset_name"])
        series = {name: at_times(one["times"], one["values"], one["name"]) for name, one in run["forcings"].items()}
        climates.append(RunClimate(sst.changed(offset), series, specs))
    return specs, tuple(climates)


def _described(source: SourceConfig, config: DataConfig, base: SeaSurfaceTemperature, path: Path) -> dict[str, Any]:
    """The climate of a source as JSON can have it; a sea of its own is written to a path."""
    (attrs, differing), forced = _attributes(source), _forced(source, config)
    own_sea = source.sst or (None if source.sst_offset is not None else _sea_beside(source, attrs))
    if own_sea is not None:
        with run_sources.open_path(own_sea) as dataset:
            own = SeaSurfaceTemperature.from_dataset(dataset, config.zoom)
            write_packed(own, path, base.land)  # the land of a run is that of the bottle
    given = source.sst_offset if source.sst_offset is not None or own_sea is not None else attrs.get(_OFFSET)
    if differing and own_sea is None and source.sst_offset is None:
        raise ValueError(
            f"source {source.label!r}: its files differ in {', '.join(differing)}: make a source of each run, or give "
            "the sea as sst"
        )
    if given is not None and source.sst_offset is None and attrs.get(_PATTERN, "uniform") != "uniform":
        raise ValueError(
            f"source {source.label!r}: the offset of its sea is {attrs[_PATTERN]}, by its attribute {_PATTERN}: give "
            "that field as sst_offset, or the sea itself as sst"
        )
    offset = None if given is None else SstOffset.of(_place(given), config.zoom)
    forcings = {}
    for name, one in config.forcings.items():
        if name in source.forcings:
            series = Series.of(_place(source.forcings[name]), name, one.units)
            series.check_covers(np.datetime64(source.start, "s"), np.datetime64(source.end, "s"), name)
        elif name in forced:
            series = forced[name]
        else:
            raise ValueError(
                f"source {source.label!r}: neither its forcings nor the attribute {name}_{one.units} of its files say "
                f"what {name} was: give it under forcings"
            )
        forcings[name] = {
            "times": np.datetime_as_string(series.times).tolist(), "values": series.values.tolist(),
            "name": series.name,
        }  # fmt: skip
    return {
        "label": source.label,
        "sst": None if own_sea is None else path.name,
        "offset": None if offset is None else offset.kelvin.tolist(),
        "offset_name": None if offset is None else offset.name,
        "forcings": forcings,
    }


def _attributes(source: SourceConfig) -> tuple[dict[str, Any], list[str]]:
    """What the files of a source say of its sea, and in which of it they differ."""
    found: dict[str, set[Any]] = {}
    for _, attributes, _ in _opened(source):
        for name in (_OFFSET, _PATTERN, _SEA):
            value = attributes.get(name)
            if value is not None:
                found.setdefault(name, set()).add(value.item() if isinstance(value, np.generic) else value)
    differing = [name for name, values in found.items() if len(values) > 1]
    return {name: next(iter(values)) for name, values in found.items() if len(values) == 1}, differing


def _forced(source: SourceConfig, config: DataConfig) -> dict[str, Series]:
    """What the files of a source say of its forcings: each value from the first to the last time of its file."""
    found: dict[str, list[tuple[np.datetime64, float]]] = {}
    for _, attributes, times in _opened(source):
        for name, one in config.forcings.items():
            value = attributes.get(f"{name}_{one.units}")
            if value is not None:
                found.setdefault(name, []).extend([(times.min(), float(value)), (times.max(), float(value))])
    made = {}
    for name, pairs in found.items():
        if len({value for _, value in pairs}) == 1:
            made[name] = constant(pairs[0][1], name, config.forcings[name].units)
        else:
            known = dict(sorted(pairs))
            made[name] = at_times(np.array(list(known)), list(known.values()), "of the files")
    return made


def _opened(source: SourceConfig) -> Iterator[tuple[str, dict[str, Any], npt.NDArray[np.datetime64]]]:
    """Address, attributes and times of the files of a source that have times of it."""
    for address in run_sources.addresses(source):
        with run_sources.opened(source, address) as instants:
            if len(instants.wanted):
                yield address, instants.attributes, instants.times[instants.wanted].astype("datetime64[s]")


def _sea_beside(source: SourceConfig, attributes: Mapping[str, Any]) -> str | None:
    """Path of the sea that the files of a source name, if it lies beside them."""
    name = attributes.get(_SEA)
    if not isinstance(name, str) or not is_member_name(name):
        return None
    path = Path(run_sources.addresses(source)[0]).parent / name
    return str(path) if path.exists() else None


def _range(source: SourceConfig, one: Mapping[str, Any]) -> tuple[float, float]:
    """Smallest and largest value in what a run teaches."""
    end = source.validation_start or source.end
    series = at_times(one["times"], one["values"], one["name"])
    return series.range(np.datetime64(source.start, "s"), np.datetime64(max(end, source.start), "s"))


def _place(value: Any) -> Any:
    return run_sources.expanded(value) if isinstance(value, str) else value
