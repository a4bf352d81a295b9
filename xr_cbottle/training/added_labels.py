"""Packing: labels are added to a bottle that is there, whose own were kept while the new ones were learnt."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.bottle.gaps import Gaps
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.records import COARSE, BoundSpec, ConditionSpec, GapsSpec
from xr_cbottle.bottle.repacking import STATIC, repack
from xr_cbottle.bottle.static_fields import StaticFields
from xr_cbottle.grid import healpix
from xr_cbottle.training.known_climatology import with_calibration

CLIMATOLOGY, GAPS = "climatology.nc", "gaps.nc"


def pack_added(
    out: str | os.PathLike[str],
    bottle: Bottle,
    new: Manifest,
    parts: Mapping[str, Path],
    folder: Path,
    *,
    default_label: str | None = None,
    climatology: Climatology | None = None,
    gaps: Gaps | None = None,
) -> Path:
    """Write a bottle with new labels and the networks that know them; its sea, forcings and other parts stay.

    Parameters
    ----------
    out
        The ``.cbottle``; it appears whole or not at all, and may be that of ``bottle``.
    bottle
        That has the old labels.
    new
        Manifest of a bottle of the new labels alone.
    parts
        Files of its networks by their locations.
    folder
        For files that are made on the way.
    default_label
        The label when none is asked for; that of ``bottle`` if None.
    climatology
        Of all labels, without the old calibration; None if the networks draw fields.
    gaps
        Of the new labels.
    """
    old = bottle.manifest
    labels, files = {**old.labels, **new.labels}, dict(parts)
    changed = dataclasses.replace(
        new,
        labels=labels,
        default_label=default_label or old.default_label,
        parts=(*new.parts, *(part for part in old.parts if part.role != COARSE)),
        variables={**old.variables, **new.variables},
        nonnegative=tuple(dict.fromkeys([*old.nonnegative, *new.nonnegative])),
        bounds=bounds_of_all(old.bounds, new.bounds),
        sst=old.sst,
        forcings=old.forcings,
        sea_range=old.sea_range,
        static=old.static,
        trained_on={**_of_other_parts(old), **new.trained_on},
    )
    known = bottle.climatology()
    if climatology is not None and known is not None:
        files[CLIMATOLOGY] = folder / f"all_{CLIMATOLOGY}"
        with_calibration(climatology, known).write(files[CLIMATOLOGY])
        changed = dataclasses.replace(changed, climatology=ConditionSpec(CLIMATOLOGY))
    every = _gaps(bottle.gaps(), gaps, tuple(labels), old)
    if every is not None:
        files[GAPS] = folder / f"all_{GAPS}"
        every.write(files[GAPS])
    changed = dataclasses.replace(changed, gaps=None if every is None else GapsSpec(GAPS, shares=every.shares))
    static = bottle.static_fields()
    if static is not None and old.static is not None:
        files[STATIC] = folder / STATIC
        _with_rows(static, tuple(labels)).write(files[STATIC])
        changed = dataclasses.replace(changed, static=dataclasses.replace(old.static, location=STATIC))
    return repack(out, bottle, changed, files)


def bounds_of_all(old: Mapping[str, BoundSpec], new: Mapping[str, BoundSpec]) -> dict[str, BoundSpec]:
    """Bounds of old and new labels: the new ones hold, but for the sun, of which each label has its own."""
    found = {**old, **new}
    for name in old.keys() & new.keys():
        sun = {**(old[name].sun or {}), **(new[name].sun or {})}
        found[name] = dataclasses.replace(new[name], sun=sun or None)
    return found


def _of_other_parts(old: Manifest) -> dict[str, object]:
    """What is known of the training of parts that stay."""
    names = {part.location for part in old.parts if part.role != COARSE}
    return {name: facts for name, facts in old.trained_on.items() if name in names}


def _gaps(old: Gaps | None, new: Gaps | None, labels: tuple[str, ...], manifest: Manifest) -> Gaps | None:
    if old is None and new is None:
        return None
    none = np.zeros((len(manifest.channels), healpix.n_cells(manifest.zoom)), bool)
    by_label = {label: one.of(label) for one in (new, old) if one is not None for label in one.labels}
    return Gaps(labels, manifest.channels, np.stack([by_label.get(label, none) for label in labels]))


def _with_rows(static: StaticFields, labels: tuple[str, ...]) -> StaticFields:
    """Static fields with NaN for labels of which they are not known."""
    rows = [static.labels.index(label) if label in static.labels else None for label in labels]
    values = {
        name: np.stack([np.full_like(one[0], np.nan) if row is None else one[row] for row in rows])
        for name, one in static.values.items()
    }
    return StaticFields(labels, values)
