"""What a server may be told: where it listens, how it draws, and how much it does for whom."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

_LEAST = {
    "port": 0, "max_waiting": 1, "max_cost": 1, "max_data_sets": 1, "max_requests": 1, "loading_wait": 0, "stop_wait": 0
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Settings of a server.

    Attributes
    ----------
    host, port
        Where it listens; port 0 is any that is free.
    max_waiting
        Instants of one bottle that may wait to be drawn; who comes then is told to come again later.
    max_cost
        Instants that one chunk may be made of: the longest mean, in steps of the bottle.
    max_data_sets
        Data sets that are kept open, those used longest ago let go.
    max_requests
        Requests for chunks that may be under way.
    loading_wait
        Seconds that a request waits for the networks of a bottle to be loaded.
    stop_wait
        Seconds that a server which is being stopped gives to what it is drawing.
    device, precision, num_steps, sigma_min, sigma_max, solver, batch_size, cache_size, cache_dir, weights
        As in `xr_cbottle.Cube`, for all data sets.
    quiet
        No line for each request.

    Raises
    ------
    ValueError
        If a number is wrong. Those of the data sets are checked with the bottles.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    max_waiting: int = 64
    max_cost: int = 48
    max_data_sets: int = 64
    max_requests: int = 1000
    loading_wait: float = 30
    stop_wait: float = 10
    device: str | None = None
    precision: str = "float32"
    num_steps: int | None = None
    sigma_min: float | None = None
    sigma_max: float | None = None
    solver: str | None = None
    batch_size: int | None = None
    cache_size: int | str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    weights: Any = None
    quiet: bool = False

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value: Any = getattr(self, name)
            number = isinstance(value, int) or (isinstance(value, float) and name.endswith("_wait"))
            if not number or isinstance(value, bool) or not least <= value < 2**31:
                raise ValueError(f"{name} is {value!r}: it must be a number of at least {least}")
        if self.port > 65535:
            raise ValueError(f"port is {self.port}: ports are 0 to 65535")

    @property
    def keywords(self) -> dict[str, Any]:
        """Keywords of `xr_cbottle.Cube` for every data set."""
        names = (
            "device", "precision", "num_steps", "sigma_min", "sigma_max", "solver", "batch_size", "cache_size",
            "cache_dir",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names} | {"max_instants": self.max_cost, "progress": False}

    @property
    def alter_values(self) -> bool:
        """Whether the values differ from those that the bottle's digest stands for."""
        given = (self.num_steps, self.sigma_min, self.sigma_max, self.solver, self.batch_size)
        return any(value is not None for value in given) or self.precision != "float32"
