"""Settings of a server: where it listens, how it draws, and how much it does for whom."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xr_cbottle.cube.keywords import KEYWORDS, checked

_LEAST = {
    "port": 0, "max_waiting": 1, "max_cost": 1, "max_data_sets": 1, "max_requests": 1, "max_connections": 1,
    "loading_wait": 0, "stop_wait": 0, "client_wait": 0
}  # fmt: skip

OF_DATA = tuple(name for name, keyword in KEYWORDS.items() if keyword.serve)
"""Keywords of data sets that a server takes."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_ORIGIN = re.compile(r"\*|https?://[A-Za-z0-9.\[\]:-]{1,253}")


def is_local(host: str) -> bool:
    """Whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class Settings:
    """Settings of a server.

    Attributes
    ----------
    host, port
        Where it listens; port 0 is any that is free.
    allow_host
        Names by which it may be called, beside ``localhost`` and addresses. Without any, and if it listens to other
        machines too: all names.
    cors
        Origin of pages that may read it, such as ``https://gridlook.example``; ``"*"`` for any page, None for its own.
    embed
        Origin of pages that may show its page in a frame, such as ``https://notes.example``; None for its own.
    max_waiting
        Instants of one bottle that may wait to be drawn; who comes then is told to come again later. Clients take
        turns, and of a client with much more in the queue than another who comes, the newest make room.
    max_cost
        Instants that one chunk may be made of: the longest mean, in steps of the bottle.
    max_data_sets
        Data sets that are kept open, those used longest ago let go.
    max_requests
        Requests for chunks that may be under way, half of them of one client.
    max_connections
        Connections that may be open, if the process may open as many files. The idle ones of whoever has most make
        room for others.
    loading_wait
        Seconds that a request waits for the networks of a bottle to be loaded.
    client_wait
        Seconds for which a client is waited for: to send a request, or to take in some of an answer.
    stop_wait
        Seconds that a server which is being stopped gives to what it is drawing.
    data
        Keywords of `xr_cbottle.Cube` for all data sets; `OF_DATA` names those that a server takes.
    quiet
        No line for each request.

    Raises
    ------
    ValueError
        If a setting is wrong. Those of the data sets are checked with the bottles.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    allow_host: Sequence[str] = ()
    cors: str | None = "*"
    embed: str | None = None
    max_waiting: int = 64
    max_cost: int = 48
    max_data_sets: int = 64
    max_requests: int = 1000
    max_connections: int = 1000
    loading_wait: float = 30
    client_wait: float = 10
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
        for name in [self.allow_host] if isinstance(self.allow_host, str) else self.allow_host:
            if not _NAME.fullmatch(name):
                raise ValueError(f"allow_host is {name!r}: give names such as data.example.org, without a port")
        if self.cors is not None and not _ORIGIN.fullmatch(self.cors):
            raise ValueError(f"cors is {self.cors!r}: give an origin such as https://gridlook.example, '*', or None")
        if self.embed is not None and (self.embed == "*" or not _ORIGIN.fullmatch(self.embed)):
            raise ValueError(f"embed is {self.embed!r}: give an origin such as https://notes.example, or None")

    @property
    def hosts(self) -> frozenset[str] | None:
        """Names by which it may be called, beside ``localhost`` and addresses; None for any."""
        given = [self.allow_host] if isinstance(self.allow_host, str) else self.allow_host
        if not given and not is_local(self.host):
            return None
        return frozenset(name.lower() for name in (*given, self.host))

    @property
    def keywords(self) -> dict[str, Any]:
        """Keywords of `xr_cbottle.Cube` for every data set."""
        given = {name: value for name, value in self.data.items() if name != "weights"}
        return {**given, "max_instants": self.max_cost, "progress": False}

    @property
    def alter_values(self) -> bool:
        """Whether the values differ from those that the bottle's digest stands for."""
        given = {name: value for name, value in self.data.items() if value is not None}
        records = {name: KEYWORDS[name] for name in given if KEYWORDS[name].group == "sampler"}
        return any(one.default is None or given[name] != one.default for name, one in records.items())
