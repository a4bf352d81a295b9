"""The climate of a run: the sea that its atmosphere saw, and what forced it beside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.bottle.manifest import ForcingSpec
from xr_cbottle.draw import conditions
from xr_cbottle.fields.series import Series, at_times
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.fields.sst_offset import SstOffset
from xr_cbottle.training import run_sources
from xr_cbottle.training.config import DataConfig
from xr_cbottle.training.source_config import SourceConfig
from xr_cbottle.training.sst_condition import write_packed

_OFFSET = "sst_offset"


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
    for name in config.forcings:
        learnt = [_range(source, run["forcings"][name]) for source, run in zip(config.sources, runs, strict=True)]
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
    """What `write_climates` wrote: how forcings are told, and the climate of each source."""
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
    attrs = _attributes(source, config)
    if source.sst is not None:
        with run_sources.open_path(source.sst) as dataset:
            own = SeaSurfaceTemperature.from_dataset(dataset, config.zoom)
            write_packed(own, path, base.land)  # the land of a run is that of the bottle
    given = source.sst_offset if source.sst_offset is not None or source.sst is not None else attrs.get(_OFFSET)
    offset = None if given is None else SstOffset.of(_place(given), config.zoom)
    forcings = {}
    for name, one in config.forcings.items():
        key = f"{name}_{one.units}"
        value = source.forcings.get(name, attrs.get(key))
        if value is None:
            raise ValueError(
                f"source {source.label!r}: neither its forcings nor the attribute {key} of its files say what {name} "
                "was: give it under forcings"
            )
        series = Series.of(_place(value), name, one.units)
        series.check_covers(np.datetime64(source.start, "s"), np.datetime64(source.end, "s"), name)
        forcings[name] = {
            "times": np.datetime_as_string(series.times).tolist(), "values": series.values.tolist(),
            "name": series.name,
        }  # fmt: skip
    return {
        "label": source.label,
        "sst": None if source.sst is None else path.name,
        "offset": None if offset is None else offset.kelvin.tolist(),
        "offset_name": None if offset is None else offset.name,
        "forcings": forcings,
    }


def _attributes(source: SourceConfig, config: DataConfig) -> dict[str, Any]:
    """What the files of a source say of its climate."""
    wanted = [_OFFSET, *(f"{name}_{one.units}" for name, one in config.forcings.items())]
    found: dict[str, Any] = {}
    for address in run_sources.addresses(source):
        with run_sources.opened(source, address) as instants:
            if not len(instants.wanted):
                continue
            for name in wanted:
                value = instants.attributes.get(name)
                if value is None:
                    continue
                value = value.item() if isinstance(value, np.generic) else value
                if found.setdefault(name, value) != value:
                    raise ValueError(
                        f"source {source.label!r}: its files differ in {name} ({found[name]} and {value}): make a "
                        "source of each run"
                    )
    return found


def _range(source: SourceConfig, one: Mapping[str, Any]) -> tuple[float, float]:
    """Smallest and largest value in what a run teaches."""
    end = source.validation_start or source.end
    series = at_times(one["times"], one["values"], one["name"])
    return series.range(np.datetime64(source.start, "s"), np.datetime64(max(end, source.start), "s"))


def _place(value: Any) -> Any:
    return run_sources.expanded(value) if isinstance(value, str) else value
