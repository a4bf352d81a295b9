"""What a server may be told: where it listens, how it draws, and how much it does for whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xr_cbottle.cube.keywords import KEYWORDS, checked

_LEAST = {
    "port": 0, "max_waiting": 1, "max_cost": 1, "max_data_sets": 1, "max_requests": 1, "loading_wait": 0, "stop_wait": 0
}  # fmt: skip

OF_DATA = tuple(name for name, keyword in KEYWORDS.items() if keyword.serve)
"""Keywords of data sets that a server takes."""


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
    data
        Keywords of `xr_cbottle.Cube` for all data sets; `OF_DATA` names those that a server takes.
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
    data: Mapping[str, Any] = field(default_factory=dict)
    quiet: bool = False

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value: Any = getattr(self, name)
            number = isinstance(value, int) or (isinstance(value, float) and name.endswith("_wait"))
            if not number or isinstance(value, bool) or not least <= value < 2**31:
                raise ValueError(f"{name} is {value!r}: it must be a number of at least {least}")
        if self.port > 65535:
            raise ValueError(f"port is {self.port}: ports are 0 to 65535")
        checked(self.data, "a server", OF_DATA)

    @property
    def keywords(self) -> dict[str, Any]:
        """Keywords of `xr_cbottle.Cube` for every data set."""
        given = {name: value for name, value in self.data.items() if name != "weights"}
        return {**given, "max_instants": self.max_cost, "progress": False}

    @property
    def alter_values(self) -> bool:
        """Whether the values differ from those that the bottle's digest stands for."""
        changed = (name for name, value in self.data.items() if value != KEYWORDS[name].default)
        return any(KEYWORDS[name].group == "sampler" for name in changed)
