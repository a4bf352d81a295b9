"""Packing a bottle again: the same files under a changed manifest, or with some of them replaced."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.bottle.download import base_name
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.packing import pack
from xr_cbottle.bottle.records import (
    COARSE,
    CONDITIONS,
    IN_TIME,
    ROLES,
    ConditionSpec,
    FieldSpec,
    PartSpec,
    StaticSpec,
)
from xr_cbottle.bottle.static_fields import StaticFields, opened

STATIC = "static.nc"
"""Member of a bottle with the fields that do not change in time."""


def repack(
    out: str | os.PathLike[str],
    bottle: Bottle,
    manifest: Manifest,
    replaced: Mapping[str, str | os.PathLike[str]] | None = None,
) -> Path:
    """Write a bottle as one file under a changed manifest; its other files are copied byte for byte.

    Parameters
    ----------
    out
        The ``.cbottle`` to make; it appears whole or not at all, and may be the bottle's own file.
    bottle
        The bottle that has the files. Those that are URLs are fetched.
    manifest
        What is written of it.
    replaced
        Files that come from elsewhere, by their locations in ``manifest``.

    Raises
    ------
    BottleError, FetchError
        As `Bottle.open_file` and `pack`.
    """
    with tempfile.TemporaryDirectory() as folder:

        def file(spec: PartSpec | ConditionSpec | None, name: str) -> str | os.PathLike[str] | None:
            if spec is None:
                return None
            if replaced is not None and spec.location in replaced:
                return replaced[spec.location]
            path = Path(folder) / name
            with contextlib.closing(bottle.open_file(spec)) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            return path

        parts = [path for i, part in enumerate(manifest.parts) if (path := file(part, str(i))) is not None]
        conditions = (
            file(getattr(manifest, name), name) for name in CONDITIONS
        )  # in the order in which `pack` takes them
        return pack(out, manifest, parts, *conditions)


def with_networks(manifest: Manifest, other: Bottle, folder: Path) -> tuple[Manifest, dict[str, Path]]:
    """The manifest of a bottle with the networks that another has beside the coarse ones, and their files.

    Parameters
    ----------
    manifest
        Of a bottle that lacks networks of these roles, or has others.
    other
        A bottle with networks of super-resolution, a bridge or a video network. Those that are URLs are fetched.
    folder
        Where the files are copied to.

    Returns
    -------
    The manifest, and the files by their locations in it, as `repack` takes them.

    Raises
    ------
    ValueError
        If the other bottle has no such networks.
    BottleError
        If they do not fit: another zoom, or channels that the bottle lacks.
    """
    taken = [part for part in other.manifest.parts if part.role != COARSE]
    if not taken:
        raise ValueError(
            f"{other.manifest.name} has no networks but coarse ones: give a bottle with super-resolution or a bridge"
        )
    if other.manifest.zoom != manifest.zoom:
        raise BottleError(
            f"the networks of {other.manifest.name} begin at zoom {other.manifest.zoom}, and {manifest.name} has zoom "
            f"{manifest.zoom}; they must agree"
        )
    in_time = [role for role in IN_TIME if role in {part.role for part in taken}]
    if in_time and _climatology(other.manifest) != _climatology(manifest):
        raise BottleError(
            f"the {in_time[0]} of {other.manifest.name} draws anomalies from its own climatology, and {manifest.name} "
            f"has another; train a {in_time[0]} for it"
        )
    files, parts = {}, []
    for i, part in enumerate(taken):
        name = base_name(part.location)
        files[name] = folder / f"network-{i}"
        with contextlib.closing(other.open_file(part)) as source, open(files[name], "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        parts.append(dataclasses.replace(part, location=name))
    roles = {part.role for part in taken}
    said = {part.location: base_name(part.location) for part in taken}
    trained = {
        name: other.manifest.trained_on[place] for place, name in said.items() if place in other.manifest.trained_on
    }
    kept = [part for part in manifest.parts if part.role not in roles]
    ordered = tuple(sorted((*kept, *parts), key=lambda part: ROLES.index(part.role)))
    return dataclasses.replace(manifest, parts=ordered, trained_on={**manifest.trained_on, **trained}), files


def with_static(manifest: Manifest, given: Sequence[str], folder: Path) -> tuple[Manifest, Path]:
    """The manifest of a bottle with static fields, and the file that `repack` puts into the bottle as `STATIC`.

    Parameters
    ----------
    manifest
        Of a bottle that has none, or others.
    given
        ``LABEL=FILE`` for each label, or one ``FILE`` for all: netCDF of fields (cell,) in nested order at the bottle's
        zoom, with ``units``. Every label must have the same fields.
    folder
        Where the file is made.

    Raises
    ------
    ValueError
        If a label has no file or two, or the files are not alike.
    """
    labels = tuple(manifest.labels) or ("",)
    files = dict.fromkeys(labels, given[0]) if len(given) == 1 and _label_of(given[0], labels) is None else {}
    for one in given if not files else ():
        label = _label_of(one, labels)
        if label is None or label in files:
            raise ValueError(
                f"--static {one}: give LABEL=FILE once for each of {', '.join(labels)}, or one FILE for all"
            )
        files[label] = one.partition("=")[2]
    if lacking := [label for label in labels if label not in files]:
        raise ValueError(f"--static lacks {', '.join(lacking)}: give LABEL=FILE for each label, or one FILE for all")
    found = {label: opened(path, manifest.zoom) for label, path in files.items()}
    first = found[labels[0]]
    for label, ds in found.items():
        if set(ds.data_vars) != set(first.data_vars):
            raise ValueError(f"{files[label]} has other fields than {files[labels[0]]}: every label must have the same")
    values = {str(name): np.stack([found[label][name].values for label in labels]) for name in first.data_vars}
    about = {
        name: FieldSpec(*(str(first[name].attrs.get(key, "")) for key in ("units", "long_name", "standard_name")))
        for name in values
    }
    path = folder / STATIC
    StaticFields(labels, values).write(path)
    return dataclasses.replace(manifest, static=StaticSpec(STATIC, variables=about)), path


def _climatology(manifest: Manifest) -> str | None:
    return None if manifest.climatology is None else manifest.climatology.sha256


def _label_of(given: str, labels: Sequence[str]) -> str | None:
    label, equals, _ = given.partition("=")
    return label if equals and label in labels else None
