"""Small bottles for the tests: whole, with random weights and an SST that looks like one."""

from __future__ import annotations

import dataclasses
import functools
import json
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from xr_cbottle.bottle import checkpoint, location, open_bottle, packing
from xr_cbottle.bottle.architecture import BatchInfo, ModelConfig
from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.bottle.coherence import Coherence
from xr_cbottle.bottle.gaps import Gaps
from xr_cbottle.bottle.manifest import Manifest, SamplerDefaults
from xr_cbottle.bottle.records import (
    BridgeSpec,
    ConditionSpec,
    FieldSpec,
    GapsSpec,
    LabelSpec,
    PartSpec,
    StaticSpec,
    SuperresSpec,
    TimeSpec,
    VideoSpec,
)
from xr_cbottle.bottle.static_fields import StaticFields

#: Fewest evaluations of the network with which the climate is still one: 4 steps from where weather appears.
QUICK_SAMPLER = {"num_steps": 4, "sigma_max": 5.0}
CHANNELS = ("T850", "T500", "U850", "Z500", "tas", "pr", "rlut", "sst")
#: (centre, scale) of the channels that tests use; others have (0, 1).
_STATISTICS = {
    "T850": (280.0, 15.0), "T500": (252.0, 12.0), "U850": (1.5, 8.0), "V850": (0.0, 5.0), "Z500": (54e3, 3e3),
    "tas": (286.0, 15.6), "pr": (1.7e-5, 1.1e-4), "rlut": (243.6, 42.0), "rsut": (88.9, 128.3),
    "rsds": (190.0, 250.0), "uas": (-0.15, 5.2), "sst": (287.7, 15.6), "pres_msl": (101100.0, 1300.0),
    "clt": (0.6, 0.4), "Q850": (6e-3, 4e-3),
}  # fmt: skip


def batch_info(channels: Sequence[str]) -> BatchInfo:
    """Statistics of channels."""
    pairs = [_STATISTICS.get(name, (0.0, 1.0)) for name in channels]
    return BatchInfo(tuple(channels), tuple(s for _, s in pairs), tuple(c for c, _ in pairs))


def small_config(
    zoom: int = 2, channels: int = len(CHANNELS), labels: int = 2, width: int = 16, conditions: int = 1
) -> ModelConfig:
    """The smallest `unet_healpix` that has every kind of layer."""
    return ModelConfig(
        architecture="unet_healpix", model_channels=width, label_dim=labels, out_channels=channels,
        level=zoom, channel_mult=(1, 2), attn_resolutions=(2 ** (zoom - 1),), num_blocks=1,
        condition_channels=conditions,
    )  # fmt: skip


def video_config(config: ModelConfig, frames: int) -> ModelConfig:
    """The network of windows of frames that goes with a coarse one."""
    conditions = config.condition_channels + config.out_channels + 1
    return dataclasses.replace(config, condition_channels=conditions, time_length=frames)


def patch_config(zoom: int, channels: int, size: int = 16, width: int = 4, position: int = 4) -> ModelConfig:
    """The smallest patch network of super-resolution: the published one is as narrow, but takes ten times as long."""
    return ModelConfig(
        architecture="unet_patch", model_channels=width, label_dim=0, out_channels=channels, level=zoom,
        condition_channels=2 * channels, position_embed_channels=position, img_resolution=size,
        channel_mult=(1, 2), num_blocks=1,
    )  # fmt: skip


def random_state(config: ModelConfig, seed: int = 0) -> dict:
    """Weights that keep activations of order one; they depend on `seed` and the names, nothing else."""
    import torch

    from xr_cbottle.network import unet

    state = {}
    for name, tensor in unet.build(config).state_dict().items():
        kept = tensor.clone().contiguous()
        if kept.numel() and not name.endswith("resample_filter"):
            rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
            values = rng.standard_normal(tuple(kept.shape), dtype=np.float32)
            if kept.ndim > 1 and not name.endswith("pos_embed"):
                values /= np.sqrt(np.prod(kept.shape[1:]))
            else:
                values = 0.1 * values + (1.0 if name.endswith("weight") else 0.0)
            kept = torch.from_numpy(np.ascontiguousarray(values, np.float32))
        state[name] = kept
    return state


def write_random_part(path: Path, config: ModelConfig, channels: Sequence[str], seed: int = 0) -> Path:
    """A v1 checkpoint with random weights."""
    path.write_bytes(_random_part(config, tuple(channels), seed))
    return path


@functools.lru_cache(32)
def _random_part(config: ModelConfig, channels: tuple[str, ...], seed: int) -> bytes:
    """The checkpoint's bytes: nearly every file of tests makes a bottle, and most of them the same networks."""
    with tempfile.TemporaryDirectory() as folder:
        path = checkpoint.write_part(Path(folder, "part"), config, batch_info(channels), random_state(config, seed))
        return path.read_bytes()


def sst_cells(zoom: int, start: str = "1980-01-01", months: int = 24) -> xr.Dataset:
    """`sst(time, cell)` in K at mid-months: warm at the equator, with a season, NaN on two continents."""
    from xr_cbottle.grid import healpix

    lon, lat = healpix.lonlat(zoom)
    first = np.datetime64(start, "M")
    time = (first + np.arange(months)).astype("datetime64[ns]") + np.timedelta64(15, "D")
    phase = 2 * np.pi * (np.arange(months) + (first.astype(int) % 12)) / 12
    values = 301 - 28 * np.sin(np.deg2rad(lat)) ** 2 - 4 * np.outer(np.cos(phase), np.sin(np.deg2rad(lat)))
    values[:, (lon > 20) & (lon < 70) & (lat > -20)] = np.nan
    attrs = {"units": "K", "long_name": "sea surface temperature"}
    return xr.Dataset({"sst": (("time", "cell"), values.astype(np.float32), attrs)}, {"time": time})


def synthetic_bottle(
    path: str | Path,
    zoom: int = 2,
    channels: Sequence[str] = CHANNELS,
    labels: Mapping[str, LabelSpec] | None = None,
    seed: int = 0,
    sigma_mins: Sequence[float] = (0.0,),
    climatology: Climatology | None = None,
    conditions: int | None = None,
    superres: Mapping[str, SuperresSpec] | None = None,
    coherence: Coherence | None = None,
    static: StaticFields | None = None,
    bridge: BridgeSpec | None = None,
    video: VideoSpec | None = None,
    gaps: Gaps | None = None,
    **fields,
) -> Path:
    """Pack a whole ``.cbottle`` of a small network with random weights.

    Parameters
    ----------
    path
        The file to make.
    zoom, channels
        Of the network; at least zoom 2.
    labels
        By default a (0) and b (1, without rlut if there is one).
    seed
        Of the weights.
    sigma_mins
        One expert for each, descending to 0.
    climatology
        To draw anomalies from.
    conditions
        Fields that the network is told, if not those of the bottle.
    superres
        {role: specification} of networks above the zoom; see `fine_specs`.
    coherence
        How long its noise lasts.
    static
        Its fields that do not change in time, in metres.
    bridge
        Of a network between two states, which the bottle then has too.
    video
        Of a network of windows of frames, which the bottle then has too.
    gaps
        Cells in which its labels have no values.
    **fields
        Others of the manifest, such as ``name``, ``time`` or ``sampler``.
    """
    if labels is None:
        masked = tuple(name for name in channels if name == "rlut")
        labels = {"a": LabelSpec(0), "b": LabelSpec(1, masked, "a" if masked else None)}
    config = small_config(
        zoom, len(channels), max((spec.index for spec in labels.values()), default=-1) + 1,
        conditions=conditions or (1 if climatology is None else 2 + len(fields.get("forcings", ()))),
    )  # fmt: skip
    defaults = dict(
        name=Path(path).stem, title="a synthetic bottle", licence="CC0-1.0", summary="random weights",
        time=TimeSpec("1980-01-01", "1981-12-31T18:00:00", "PT6H"),
        sampler=SamplerDefaults(num_steps=3, sigma_max=80.0),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        files = [write_random_part(Path(folder, f"{i}"), config, channels, seed + i) for i in range(len(sigma_mins))]
        sst_cells(zoom).to_netcdf(Path(folder, "sst.nc"), engine="h5netcdf")
        parts = tuple(PartSpec("coarse", low, f"coarse_{i}.checkpoint") for i, low in enumerate(sigma_mins))
        about = None
        if climatology is not None:
            about = Path(folder, "climatology.nc")
            climatology.write(about)
        for i, (role, spec) in enumerate((superres or {}).items()):
            fine = patch_config(spec.zoom, len(spec.channels), spec.patch)
            files.append(write_random_part(Path(folder, role), fine, spec.channels, seed + 100 + i))
            parts += (PartSpec(role, 0.0, f"{role}.checkpoint", superres=spec),)
        if bridge is not None:
            told = dataclasses.replace(config, condition_channels=config.condition_channels + 2 * len(channels) + 3)
            files.append(write_random_part(Path(folder, "bridge"), told, channels, seed + 50))
            parts += (PartSpec("bridge", 0.0, "bridge.checkpoint", bridge=bridge),)
        if video is not None:
            told = video_config(config, video.frames)
            files.append(write_random_part(Path(folder, "video"), told, channels, seed + 60))
            parts += (PartSpec("video", 0.0, "video.checkpoint", video=video),)
        manifest = Manifest(
            zoom=zoom, channels=tuple(channels), labels=labels, parts=parts, sst=ConditionSpec("sst.nc"),
            climatology=about and ConditionSpec("climatology.nc"),
            coherence=coherence and ConditionSpec("coherence.nc"), static=static and static_spec(static),
            gaps=gaps and GapsSpec("gaps.nc", shares=gaps.shares),
            **{**defaults, **fields},
        )  # fmt: skip
        lasting = None
        if coherence is not None:
            lasting = Path(folder, "coherence.nc")
            coherence.write(lasting)
        constant = None
        if static is not None:
            constant = Path(folder, "static.nc")
            static.write(constant)
        absent = None
        if gaps is not None:
            absent = Path(folder, "gaps.nc")
            gaps.write(absent)
        return packing.pack(
            path, manifest, files, Path(folder, "sst.nc"), about, lasting, gaps_file=absent, static_file=constant
        )


def static_spec(static: StaticFields) -> StaticSpec:
    """What a manifest says of static fields in metres."""
    about = {name: FieldSpec("m", f"field {name}", "surface_altitude") for name in static.values}
    return StaticSpec("static.nc", variables=about)


def fine_specs(
    zoom: int = 5, channels: Sequence[str] = ("tas", "pr", "sst"), patch: int = 16, overlap: int = 8
) -> dict[str, SuperresSpec]:
    """Super-resolution of some channels, with Heun's method in 2 steps and distilled to 2."""
    shape = dict(zoom=zoom, channels=tuple(channels), patch=patch, overlap=overlap)
    return {
        "superres": SuperresSpec(sampler=SamplerDefaults(2, 0.01, 80.0), **shape),
        "superres-distilled": SuperresSpec(sigmas=(80.0, 2.0), window=1.0, **shape),
    }


def icon_manifest(base_url: str, name: str = "icon") -> Manifest:
    """The bundled manifest of NVIDIA's coarse model with its URLs moved to another server."""
    original = open_bottle("icon").manifest
    moved = {spec.location: base_url.rstrip("/") + spec.location.partition("/main")[2] for spec in original.files}
    parts = tuple(dataclasses.replace(spec, location=moved[spec.location]) for spec in original.coarse)
    sst = dataclasses.replace(original.sst, location=moved[original.sst.location])
    return dataclasses.replace(original, name=name, parts=parts, sst=sst)


def icon_files(folder: Path, width: int = 16) -> Path:
    """Files named and laid out like NVIDIA's, with all 45 channels, few model channels, random weights.

    Those of super-resolution are not among them: at zoom 10 their position embedding alone has a gigabyte.
    """
    manifest = open_bottle("icon").manifest
    config = ModelConfig(model_channels=width, out_channels=len(manifest.channels))
    for i, spec in enumerate(manifest.coarse):
        path = folder.joinpath(*spec.location.split("/")[-2:])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_random_part(path, config, manifest.channels, seed=i)
    latlon_sst().to_netcdf(folder / "amip_midmonth_sst.nc", engine="h5netcdf")
    return folder


def latlon_sst(start: str = "1940-01-01", months: int = 12 * 83) -> xr.Dataset:
    """`tosbcs(time, lat, lon)` in degC at mid-months on 10 degrees, with a continent, like PCMDI's."""
    lat, lon = np.arange(-85.0, 90, 10), np.arange(5.0, 360, 10)
    time = (np.datetime64(start, "M") + np.arange(months)).astype("datetime64[ns]") + np.timedelta64(15, "D")
    season = np.cos(2 * np.pi * np.arange(months) / 12)[:, None, None]
    values = 28 - 28 * np.sin(np.deg2rad(lat))[:, None] ** 2 - 4 * season * np.sin(np.deg2rad(lat))[:, None]
    values = np.broadcast_to(values, (months, lat.size, lon.size)).astype(np.float32).copy()
    values[:, 8:14, 2:7] = np.nan
    return xr.Dataset(
        {"tosbcs": (("time", "lat", "lon"), values, {"units": "degC"})},
        {"time": time, "lat": lat, "lon": lon},
    )


def read_json(path: Path) -> dict:
    """A manifest's text as plain values, to be spoiled by a test."""
    return json.loads(path.read_text())


def quick_gcm(folder: Path) -> Path:
    """The bundled bottle `gcm` with `QUICK_SAMPLER`, for ``XR_CBOTTLE_PATH``: values of a climate within seconds.

    Parameters
    ----------
    folder
        Where ``gcm.cbottle``, a folder, is made.

    Returns
    -------
    The bottle.
    """
    place = folder / "gcm.cbottle"
    with zipfile.ZipFile(location.bundled_folder() / "gcm.cbottle") as bottle:
        bottle.extractall(place)
    manifest = json.loads((place / "bottle.json").read_text())
    manifest["sampler"] |= QUICK_SAMPLER
    (place / "bottle.json").write_text(json.dumps(manifest))
    return place


def light_gcm(folder: Path) -> Path:
    """The bundled bottle `gcm` with small networks that know nothing, for ``XR_CBOTTLE_PATH``: what it says and a sea
    and a climatology are its own, and values are those of a climate plus noise, within a second.

    Parameters
    ----------
    folder
        Where ``gcm.cbottle``, a file, is made.

    Returns
    -------
    The bottle.
    """
    original = open_bottle("gcm")
    manifest = dataclasses.replace(original.manifest, sampler=SamplerDefaults(**QUICK_SAMPLER))
    with (
        tempfile.TemporaryDirectory() as scratch,
        zipfile.ZipFile(location.bundled_folder() / "gcm.cbottle") as bundled,
    ):
        bundled.extractall(scratch)
        for seed, spec in enumerate(manifest.parts):
            path = Path(scratch, spec.location)
            config, info = checkpoint.read_part_specs(path)
            narrow = dataclasses.replace(config, model_channels=8 if spec.superres is None else 4)
            state = random_state(narrow, seed)
            for name in (name for name in state if "_aux_conv" in name):
                state[name] = 0.1 * state[name]  # nearly all that is drawn is what the noise makes
            checkpoint.write_part(path, narrow, info, state)
        files = [Path(scratch, spec.location) for spec in manifest.parts]
        others = (manifest.sst, manifest.climatology, manifest.coherence, manifest.gaps, manifest.static)
        return packing.pack(
            folder / "gcm.cbottle", manifest, files, *(spec and Path(scratch, spec.location) for spec in others)
        )
