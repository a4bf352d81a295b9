"""The networks of bottles in memory: loaded once in a process for each device and precision.

All networks of a device are in one store, which is bounded in bytes. Who draws takes them from there each time and
holds no network itself: one that was let go is loaded again when it is needed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from xr_cbottle.base.forks import Lock
from xr_cbottle.bottle.architecture import BatchInfo
from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.bottle.climatology import Climatology
from xr_cbottle.bottle.records import BRIDGE, COARSE, VIDEO
from xr_cbottle.draw import devices
from xr_cbottle.draw.arithmetic import loading
from xr_cbottle.draw.defaults import PRECISIONS
from xr_cbottle.draw.memory import process_memory
from xr_cbottle.draw.once import Once
from xr_cbottle.network import edm, unet
from xr_cbottle.network.fitting import check_fit

#: The part of a device's memory that networks may take.
SHARE = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """The networks of a bottle on a device, and the statistics of their channels.

    Attributes
    ----------
    experts
        (sigma_min, denoiser), descending: see `xr_cbottle.network.edm.expert`.
    scales, center
        (channel,) physical = normalised * scale + centre, if there is no climatology.
    climatology
        What the networks draw anomalies from, if they do.
    label_dim
        Length of the one-hot vector of labels.
    device
        Where the networks are.
    lock
        Held by who draws.
    """

    experts: tuple[tuple[float, edm.Denoiser], ...]
    scales: npt.NDArray[np.float64]
    center: npt.NDArray[np.float64]
    climatology: Climatology | None
    label_dim: int
    device: torch.device
    lock: Lock = dataclasses.field(default_factory=Lock)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the networks' weights."""
        return self.experts[0][1].dtype

    @property
    def nbytes(self) -> int:
        """Memory that weights and statistics take, bytes."""
        return _network_bytes(denoiser for _, denoiser in self.experts) + _array_bytes(self.climatology)


@dataclasses.dataclass(frozen=True, eq=False)
class PatchModel:
    """A patch network of a bottle on a device, and the statistics of its channels."""

    denoiser: edm.Denoiser
    info: BatchInfo

    @property
    def nbytes(self) -> int:
        """Memory that weights and statistics take, bytes."""
        return _network_bytes([self.denoiser])


def _network_bytes(denoisers: Iterable[edm.Denoiser]) -> int:
    networks = [denoiser.network for denoiser in denoisers]
    return sum(t.nbytes for network in networks for kind in (network.parameters(), network.buffers()) for t in kind)


def _array_bytes(record: Any) -> int:
    """Bytes of all arrays in a dataclass, and in those that it holds."""
    if isinstance(record, np.ndarray):
        return record.nbytes
    if not dataclasses.is_dataclass(record):
        return 0
    return sum(_array_bytes(getattr(record, field.name)) for field in dataclasses.fields(record))


def choose_device(device: str | torch.device | None) -> torch.device:
    """Choose a device that is there: the GPU if none is asked for and there is one.

    Where there are several and none is asked for, the processes of a machine share them out, see
    `xr_cbottle.draw.devices`.

    Raises
    ------
    ValueError
        If torch does not know the device or does not see it.
    RuntimeError
        If it is a GPU that this process cannot use, because it was forked from one that uses it.
    """
    if device is None:
        device = devices.chosen_gpu(torch.cuda.device_count()) if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = torch.device("meta")
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device is {str(device)!r}: use cpu, cuda or cuda:N")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device is {str(device)!r}, but torch sees {torch.cuda.device_count()} GPUs: use cpu")
    if chosen.type == "cuda" and torch.cuda._is_in_bad_fork():
        raise RuntimeError(
            "this process was forked from one that uses the GPU, which CUDA does not allow: start processes with "
            "spawn or forkserver, or use device='cpu'"
        )
    return chosen


def load_model(bottle: Bottle, device: torch.device, precision: str) -> Model:
    """Give a bottle's networks on a device, loaded once in a process for each device and precision.

    Raises
    ------
    ValueError
        If the precision is unknown.
    BottleError
        If a part is damaged, or is a network that does not make instants.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}: choose one of {', '.join(PRECISIONS)}")
    key = (bottle.digest, str(device), precision)
    return store(device).get(key, lambda: _load_model(bottle, device, precision))


def load_bridge(bottle: Bottle, device: torch.device, precision: str) -> Model:
    """Give a bottle's networks between two states on a device, loaded once in a process for each device and precision.

    Raises
    ------
    ValueError
        If the precision is unknown, or the bottle has no bridge.
    BottleError
        If a part is damaged, or is a network that does not make instants.
    """
    if not bottle.manifest.bridges:
        raise ValueError(f"{bottle.manifest.name} has no network that bridges two states: choose a bottle that has")
    key = (bottle.digest, str(device), precision, BRIDGE)
    return store(device).get(key, lambda: _load_model(bottle, device, precision, BRIDGE))


def load_video(bottle: Bottle, device: torch.device, precision: str) -> Model:
    """Give a bottle's video networks on a device, loaded once in a process for each device and precision.

    Raises
    ------
    ValueError
        If the precision is unknown, or the bottle has no video network.
    BottleError
        If a part is damaged, or is a network that does not make such windows.
    """
    if not bottle.manifest.videos:
        raise ValueError(f"{bottle.manifest.name} has no video network: choose a bottle that has")
    files = tuple(bottle.file_digest(i) for i, spec in enumerate(bottle.manifest.parts) if spec.role == VIDEO)
    key = (bottle.digest, str(device), precision, VIDEO, files)
    return store(device).get(key, lambda: _load_model(bottle, device, precision, VIDEO))


def load_superres(bottle: Bottle, part: int, device: torch.device, precision: str) -> PatchModel:
    """Give a bottle's patch network on a device, loaded once in a process for each device and precision.

    Parameters
    ----------
    bottle, device, precision
        As for `load_model`.
    part
        Number of the part.
    """
    key = (bottle.digest, str(device), precision, part, bottle.file_digest(part))
    return store(device).get(key, lambda: _load_superres(bottle, part, device, precision))


def _load_model(bottle: Bottle, device: torch.device, precision: str, role: str = COARSE) -> Model:
    climatology = bottle.climatology()
    experts = []
    with loading():
        for i, spec in enumerate(bottle.manifest.parts):
            if spec.role != role:
                continue
            part = bottle.read_part(i)
            check_fit(part.config, part.state, f"{bottle.path}: {spec.location}")
            net = unet.build(part.config).eval()
            net.load_state_dict(part.state, strict=True)
            net.requires_grad_(False).to(device=device, dtype=_dtype(precision))
            experts.append((spec.sigma_min, edm.Denoiser(net)))
    scales, center = np.array(part.info.scales), np.array(part.info.center)
    return Model(tuple(experts), scales, center, climatology, part.config.label_dim, device)


def _load_superres(bottle: Bottle, part: int, device: torch.device, precision: str) -> PatchModel:
    with loading():
        read = bottle.read_part(part)
        check_fit(read.config, read.state, f"{bottle.path}: {bottle.manifest.parts[part].location}")
        # Empty, as its position embedding alone may have a GB: that of the checkpoint takes its place.
        net = unet.build(read.config, empty=True).eval()
        net.load_state_dict(read.state, strict=True, assign=True)
        net.requires_grad_(False).to(device=device, dtype=_dtype(precision))
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return PatchModel(edm.Denoiser(net), read.info)


def _dtype(precision: str) -> torch.dtype:
    """Type of the weights; TF32 is float32 that a GPU multiplies in another way."""
    return getattr(torch, {"tf32": "float32"}.get(precision, precision))


def store(device: torch.device) -> Once:
    """Store of the networks that are in the memory of a device, bounded in bytes."""
    return _stores.get(
        (device.type, device.index or 0), lambda: Once(SHARE * _memory(device), lambda networks: networks.nbytes)
    )


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return process_memory()


_stores = Once(math.inf)
