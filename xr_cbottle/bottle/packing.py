"""Making bottles: packing files into one, and inferring a manifest for a checkpoint that came without."""

from __future__ import annotations

import dataclasses
import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.bottle import archive
from xr_cbottle.bottle.architecture import PATCH_ARCHITECTURES, BatchInfo, ModelConfig
from xr_cbottle.bottle.checkpoint import digest, read_part_specs
from xr_cbottle.bottle.download import base_name
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.location import MANIFEST
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.records import (
    BRIDGE,
    CONDITIONS,
    IN_TIME,
    VIDEO,
    ConditionSpec,
    GapsSpec,
    LabelSpec,
    PartSpec,
    StaticSpec,
    SuperresSpec,
    TimeSpec,
)
from xr_cbottle.bottle.schema import is_url

#: Channels ERA5 has not (README of cBottle): under its label they are drawn as ICON's.
ERA5_MASKED = ("rlut", "rsut", "rsds")
Spec = TypeVar("Spec", PartSpec, ConditionSpec, GapsSpec, StaticSpec)
#: Labels that are offered by number when a checkpoint does not say what they mean.
_MOST_LABELS = 16


def pack(
    out: str | os.PathLike[str],
    manifest: Manifest,
    part_files: Sequence[str | os.PathLike[str]],
    sst_file: str | os.PathLike[str] | None = None,
    climatology_file: str | os.PathLike[str] | None = None,
    coherence_file: str | os.PathLike[str] | None = None,
    gaps_file: str | os.PathLike[str] | None = None,
    static_file: str | os.PathLike[str] | None = None,
) -> Path:
    """Write a bottle as one file; equal inputs give equal bytes.

    Parameters
    ----------
    out
        The ``.cbottle`` to make or replace; it appears whole or not at all.
    manifest
        Its digests and sizes are filled in here. A location that is a URL becomes the name of the file in it.
    part_files
        One cBottle v1 checkpoint for each of ``manifest.parts``, in that order.
    sst_file
        The netCDF file of ``manifest.sst``; None if that is None.
    climatology_file
        The netCDF file of ``manifest.climatology``; None if that is None.
    coherence_file
        The netCDF file of ``manifest.coherence``; None if that is None.
    gaps_file
        The netCDF file of ``manifest.gaps``; None if that is None.
    static_file
        The netCDF file of ``manifest.static``; None if that is None.

    Raises
    ------
    BottleError
        Files that are not v1 checkpoints, or do not fit the manifest.
    ValueError
        Another number of files than the manifest names.
    """
    if len(part_files) != len(manifest.parts):
        raise ValueError(
            f"part_files must have one file for each of {len(manifest.parts)} parts, got {len(part_files)}"
        )
    files = dict(zip(CONDITIONS, (sst_file, climatology_file, coherence_file, gaps_file, static_file), strict=True))
    for name, file in files.items():
        if (file is None) != (getattr(manifest, name) is None):
            raise ValueError(f"{name}_file must be given if and only if the manifest has {name}")
    members: dict[str, str | os.PathLike[str]] = {}

    def packed(spec: Spec, file: str | os.PathLike[str]) -> Spec:
        name = base_name(spec.location) if is_url(spec.location) else spec.location
        if name in members or name == MANIFEST:
            raise BottleError(f"bottle.json: location {name!r} names two files; every file must have a name of its own")
        members[name] = file
        return dataclasses.replace(spec, location=name, sha256=digest(file), size=os.path.getsize(file))

    for spec, file in zip(manifest.parts, part_files, strict=True):
        check_part(manifest, *read_part_specs(file), os.fspath(file), spec)
    parts = tuple(packed(spec, file) for spec, file in zip(manifest.parts, part_files, strict=True))
    conditions: dict[str, Any] = {
        name: packed(getattr(manifest, name), file) for name, file in files.items() if file is not None
    }
    manifest = dataclasses.replace(manifest, parts=parts, **conditions)
    with archive.replacing(out) as temporary, zipfile.ZipFile(temporary, "w") as target:
        archive.add_member(target, MANIFEST, manifest.to_json().encode())
        for name, file in members.items():
            archive.add_member(target, name, file)
    return Path(out)


def check_part(
    manifest: Manifest, config: ModelConfig, info: BatchInfo, what: str, spec: PartSpec | None = None
) -> None:
    """Check that a part makes what its manifest says: a coarse one, or that of a specification.

    Raises
    ------
    BottleError
        Another zoom, other channels, or fewer labels; a super-resolution that is no patch network, or has other
        patches.
    """
    if spec is not None and spec.superres is not None:
        _check_superres(spec.superres, config, info, what)
        return
    if config.zoom != manifest.zoom:
        raise BottleError(
            f"{what}: this part is of zoom {config.zoom} and the manifest says {manifest.zoom}; they must agree"
        )
    if info.channels != manifest.channels:
        raise BottleError(
            f"{what}: this part makes other channels than the manifest says ({', '.join(info.channels)}); "
            "they must agree"
        )
    frames = spec.video.frames if spec is not None and spec.video is not None else 1
    if config.time_length != frames:
        made = "single instants" if config.time_length == 1 else f"a video of {config.time_length} frames"
        asked = "single instants" if frames == 1 else f"windows of {frames} frames"
        raise BottleError(f"{what}: this part draws {made} and the manifest says {asked}; they must agree")
    more, told = _conditions_in_time(manifest, spec)
    wanted = base_conditions(manifest) + more
    if config.condition_channels != wanted:
        alone = manifest.climatology is None
        why = "is told the SST alone" if alone else "with a climatology is told the SST and its anomaly"
        why += f", and {', '.join(manifest.forcings)}" if manifest.forcings else ""
        why += told
        raise BottleError(
            f"{what}: this part takes {config.condition_channels} conditions, but a bottle that {why}: it must take "
            f"{wanted}"
        )
    between = spec.in_time(spec.role) if spec is not None and spec.role in IN_TIME else None
    known = manifest.labels if between is None else [name for name in manifest.labels if name in between.labels]
    most = max((manifest.labels[name].index for name in known), default=-1)
    if most >= config.label_dim:
        raise BottleError(
            f"{what}: this part knows {config.label_dim} labels and the manifest uses index {most}; they must agree"
        )


def base_conditions(manifest: Manifest) -> int:
    """Number of fields that a network of instants is told: the SST, and with a climatology its anomaly and forcings."""
    return 1 if manifest.climatology is None else 2 + len(manifest.forcings)


def bridge_conditions(manifest: Manifest) -> int:
    """Number of fields that a bridge is told beside: two states, whether they are there, and how far they lie."""
    return 2 * len(manifest.channels) + 3


def video_conditions(manifest: Manifest) -> int:
    """Number of fields that a video network is told beside: the given frames, and which of them there are."""
    return len(manifest.channels) + 1


def _conditions_in_time(manifest: Manifest, spec: PartSpec | None) -> tuple[int, str]:
    """How many fields more a part is told than a coarse one, and which in words."""
    role = None if spec is None else spec.role
    if role == BRIDGE:
        return bridge_conditions(manifest), ", and a bridge of the states before and after"
    return (video_conditions(manifest), ", and a video of the given frames") if role == VIDEO else (0, "")


def _check_superres(spec: SuperresSpec, config: ModelConfig, info: BatchInfo, what: str) -> None:
    if config.architecture not in PATCH_ARCHITECTURES:
        raise BottleError(
            f"{what}: this part is a {config.architecture} and super-resolution is done by "
            f"{' or '.join(PATCH_ARCHITECTURES)}; "
            "give it the role coarse, or another file"
        )
    if config.zoom != spec.zoom:
        raise BottleError(
            f"{what}: this part is of zoom {config.zoom} and the manifest says {spec.zoom}; they must agree"
        )
    if info.channels != spec.channels:
        raise BottleError(
            f"{what}: this part makes other channels than the manifest says ({', '.join(info.channels)}); "
            "they must agree"
        )
    if config.condition_channels != 2 * len(spec.channels):
        raise BottleError(
            f"{what}: this part is told {config.condition_channels} fields; super-resolution of {len(spec.channels)} "
            f"channels is told {2 * len(spec.channels)}, the coarse ones around and those of the globe"
        )
    if config.img_resolution != spec.patch:
        raise BottleError(
            f"{what}: the patches of this part have {config.img_resolution} cells along an edge and the manifest says "
            f"{spec.patch}; they must agree"
        )


def inferred(path: Path, config: ModelConfig, info: BatchInfo) -> Manifest:
    """The manifest of a checkpoint that came alone.

    Zoom and channels are the checkpoint's. A ``unet_hpx64`` with labels has the published ones: icon (0) and
    era5 (1, without radiation); another network's are ``label0``, ``label1`` and so on. Its sea surface
    temperature is not known: drawing needs ``sst=``. The time axis is the published one, 1940 to 2022,
    hourly; the sampler's settings are the published ones.

    Raises
    ------
    BottleError
        A network that does not make a field from noise and SST alone: super-resolution, video.
    """
    if config.architecture in PATCH_ARCHITECTURES or config.time_length > 1 or config.condition_channels > 1:
        kind = "video" if config.time_length > 1 else "super-resolution"
        raise BottleError(f"{path}: this is a {kind} network, which makes no data set by itself; open a coarse one")
    labels: dict[str, LabelSpec] = {}
    if config.architecture == "unet_hpx64" and config.label_dim > 1:
        masked = tuple(channel for channel in info.channels if channel in ERA5_MASKED)
        labels = {"icon": LabelSpec(0), "era5": LabelSpec(1, masked, "icon" if masked else None)}
    elif config.label_dim > 0:
        labels = {f"label{i}": LabelSpec(i) for i in range(min(config.label_dim, _MOST_LABELS))}
    return Manifest(
        name=re.sub(r"[^A-Za-z0-9._-]|^[._-]+", "", path.stem)[:100] or "checkpoint",
        title=f"cBottle v1 checkpoint {one_line(path.name, 200)}",
        summary="Its manifest was inferred: labels, times and sampler settings are the published model's.",
        zoom=config.zoom,
        channels=info.channels,
        parts=(PartSpec("coarse", 0.0, "part.checkpoint"),),
        time=TimeSpec("1940-01-01T00:00:00", "2022-12-31T23:00:00", "PT1H"),
        labels=labels,
    )
