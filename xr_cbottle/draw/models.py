"""The networks of bottles in memory: loaded once in a process for each device and precision."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from xr_cbottle.bottle.architecture import BatchInfo
from xr_cbottle.bottle.bottle import Bottle
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.cube.keywords import PRECISIONS
from xr_cbottle.network import edm, unet

DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_MODELS_IN_MEMORY = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """The networks of a bottle on a device, and the statistics of their channels."""

    experts: tuple[tuple[float, edm.Denoiser], ...]
    scales: npt.NDArray[np.float64]
    center: npt.NDArray[np.float64]
    label_dim: int
    device: torch.device
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)


class Once:
    """Things made once by whoever asks first, while others wait; those used longest ago are let go.

    If making fails or is interrupted, that is the maker's alone: the next who waits tries again.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}
        self._made: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What is kept under ``key``, made by ``make`` if it is not there."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._made:
                    self._made.move_to_end(key)
                    return self._made[key]
            made = make()
            with self._lock:
                self._made[key] = made
                while len(self._made) > self._most:
                    self._made.popitem(last=False)
            return made

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._made.clear()


def choose_device(device: str | torch.device | None) -> torch.device:
    """A device that is there: the GPU if none is asked for and there is one."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = torch.device("meta")
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device is {str(device)!r}: use cpu, cuda or cuda:N")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device is {str(device)!r}, but torch sees {torch.cuda.device_count()} GPUs: use cpu")
    return chosen


def load_model(bottle: Bottle, device: torch.device, precision: str) -> Model:
    """The bottle's networks on a device, loaded once in a process for each device and precision.

    Raises
    ------
    ValueError
        If the precision is unknown.
    BottleError
        If a part is damaged, or is a network that does not make instants.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}: choose one of {', '.join(PRECISIONS)}")
    return _models.get((bottle.digest, str(device), precision), lambda: _load_model(bottle, device, precision))


def _load_model(bottle: Bottle, device: torch.device, precision: str) -> Model:
    experts = []
    for i, spec in enumerate(bottle.manifest.coarse):  # the first of the parts
        part = bottle.read_part(i)
        if part.config.time_length != 1:
            raise BottleError(
                f"{bottle.path}: part {i} is a video network; only networks of single instants are drawn."
            )
        net = unet.build(part.config).eval()
        net.load_state_dict(part.state, strict=True)
        net.requires_grad_(False).to(device=device, dtype=DTYPES[precision])
        experts.append((spec.sigma_min, edm.Denoiser(net)))
    return Model(tuple(experts), np.array(part.info.scales), np.array(part.info.center), part.config.label_dim, device)


def load_superres(bottle: Bottle, part: int, device: torch.device, precision: str) -> tuple[edm.Denoiser, BatchInfo]:
    """A bottle's patch network on a device and the statistics of its channels, loaded once as `load_model`.

    Parameters
    ----------
    part
        Number of the part.
    """

    def load() -> tuple[edm.Denoiser, BatchInfo]:
        read = bottle.read_part(part)
        # Empty, as its position embedding alone may have a GB: that of the checkpoint takes its place.
        with torch.device("meta"):
            net = unet.build(read.config).eval()
        net.load_state_dict(read.state, strict=True, assign=True)
        net.requires_grad_(False).to(device=device, dtype=DTYPES[precision])
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return edm.Denoiser(net), read.info

    return _superres.get((bottle.digest, part, str(device), precision), load)


_models = Once(_MODELS_IN_MEMORY)
_superres = Once(_MODELS_IN_MEMORY)
