"""Packing: labels are added to a bottle that is there, whose own were kept while the new ones were learnt."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.bottle.coherence import Coherence
from xr_cbottle.bottle.gaps import Gaps
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.records import COARSE, BoundSpec, ConditionSpec, GapsSpec
from xr_cbottle.bottle.repacking import STATIC, repack
from xr_cbottle.bottle.static_fields import StaticFields
from xr_cbottle.grid import healpix
from xr_cbottle.training.coherent_bottle import NAME as COHERENCE
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
    like: Mapping[str, str] = MappingProxyType({}),
    climatology: Climatology | None = None,
    gaps: Gaps | None = None,
) -> Path:
    """Write a bottle with new labels and the networks that know them; its sea, forcings and other parts stay.

    Its coherence stays too: of old labels as it was, and a new one is given that of the label which it is like.

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
    like
        {new label: old one that its network began as}; the default label of ``bottle`` where it says nothing.
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
    lasting = bottle.coherence()
    if lasting is not None:
        lenders = _lenders(lasting.labels, labels, like, old.default_label)
        files[COHERENCE] = folder / COHERENCE
        with_lent(lasting, lenders).write(files[COHERENCE])
        known_of = old.trained_on.get(COHERENCE)
        lent = {label: f"as {lender}" for label, lender in lenders.items() if label not in old.labels}
        facts = {**(known_of if isinstance(known_of, Mapping) else {}), **lent}
        changed = dataclasses.replace(
            changed, coherence=ConditionSpec(COHERENCE), trained_on={**changed.trained_on, COHERENCE: facts}
        )
    static = bottle.static_fields()
    if static is not None and old.static is not None:
        files[STATIC] = folder / STATIC
        _with_rows(static, tuple(labels)).write(files[STATIC])
        changed = dataclasses.replace(changed, static=dataclasses.replace(old.static, location=STATIC))
    return repack(out, bottle, changed, files)


def _lenders(
    known: Sequence[str], labels: Iterable[str], like: Mapping[str, str], default: str | None
) -> dict[str, str]:
    """{label: label of a bottle's coherence whose weather it has}: its own, or that of the label which it is like."""
    usual = default if default is not None and default in known else known[0]
    return {label: label if label in known else like.get(label, usual) for label in labels}


def with_lent(known: Coherence, lenders: Mapping[str, str]) -> Coherence:
    """Coherence of some labels, each with what another has of the label that lends it: {label: lender}."""
    rows = [known.labels.index(lender) for lender in lenders.values()]
    return dataclasses.replace(known, labels=tuple(lenders), share=known.share[rows], speed=known.speed[rows])


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
