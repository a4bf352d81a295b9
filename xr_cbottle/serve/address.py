"""The part of a URL that names a data set: ``P1D_mean_s7_m0-3_z3_wlatents_lera5``.

A sea 2 K warmer and carbon dioxide of 560 ppmv, or of an experiment, are ``_k+2`` and ``_c560`` or ``_cssp245``, before
the label.

Numbers, steps and members are written in one way only, and in any other refused: caches along the way then keep
one copy of what is there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xr_cbottle.base.plain_text import shown
from xr_cbottle.cube.checks import MOST_MEMORY
from xr_cbottle.draw.defaults import FROM_STATES, INDEPENDENT, LATENTS
from xr_cbottle.fields.series import PATHWAYS
from xr_cbottle.grid.time_axis import METHODS, format_period, parse_period

MOST_MEMBERS = 4096
"""An address names at most as many."""

_NUMBER = "0|[1-9][0-9]{0,18}"  # ASCII digits, canonical, and no more of them than 64 bits have
DECIMAL = r"(?:0|[1-9][0-9]{0,6})(?:\.[0-9]{0,2}[1-9])?"
"""A number that need not be whole, as a regular expression; canonical too: no zeros at its end."""

_ADDRESS = re.compile(
    rf"(?P<time>P[0-9DTHMS]{{2,20}})_(?P<method>[a-z]{{1,8}})_s(?P<seed>{_NUMBER})"
    rf"_m(?P<first>{_NUMBER})(?:-(?P<last>{_NUMBER}))?_z(?P<zoom>{_NUMBER})"
    rf"(?:_k(?P<kelvin>[+-]{DECIMAL}))?(?:_c(?P<co2>{DECIMAL}|{'|'.join(PATHWAYS)}))?"
    r"(?:_w(?P<coherence>none|latents|bridge|video|P[0-9DTHMS]{2,20}))?(?:_l(?P<label>.{1,64}))?"
)
_KELVIN, _CO2 = re.compile(f"[+-]{DECIMAL}"), re.compile(DECIMAL)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_+-]|\.(?!\.))*")
_LONGEST_STEP = 36525 * 86400
_EXAMPLES = "PT6H_inst_s0_m0_z4, P1D_mean_s7_m0-3_z3_wlatents_lera5 or PT6H_inst_s0_m0_z4_k+2_c560"


@dataclass(frozen=True)
class Address:
    """Which data set of a bottle.

    Attributes
    ----------
    time
        ISO-8601 step between its times.
    time_method
        ``inst`` or ``mean``.
    seed
        Of all the noise.
    members
        Numbers of its members, at least two and one after the other, along a leading dimension; one number:
        that member without the dimension; None: the same of member 0.
    zoom
        HEALPix level.
    label
        Data set that is imitated; None for the bottle's default.
    kelvin
        What the sea is warmer than the bottle's, as it is written: ``+2``; None for nothing.
    co2
        Carbon dioxide, as it is written: ppmv or an experiment; None for the bottle's.
    coherence
        ``none``, ``latents``, ``bridge``, ``video``, or the ISO-8601 duration that noise lasts; None: the bottle's.

    Raises
    ------
    ValueError
        If a value cannot be written in an address.
    """

    time: str
    time_method: str
    seed: int
    members: tuple[int, ...] | None
    zoom: int
    label: str | None = None
    kelvin: str | None = None
    co2: str | None = None
    coherence: str | None = None

    def __post_init__(self) -> None:
        period = format_period(_step(self.time))
        if period != self.time:
            raise ValueError(f"the step {self.time} is written {period} in an address")
        if self.time_method not in METHODS:
            raise ValueError(f"{_short(self.time_method)} is no time method: choose one of {', '.join(METHODS)}")
        _check("seed", self.seed, 2**63)
        _check("zoom", self.zoom, 30)
        if self.members is not None:
            _check_members(self.members)
        if self.label is not None and (len(self.label) > 64 or not _LABEL.fullmatch(self.label)):
            raise ValueError(
                f"{_short(self.label)} cannot be a label in an address: letters, digits and . _ + - can, at most 64"
            )
        if self.kelvin is not None and not (_KELVIN.fullmatch(self.kelvin) and float(self.kelvin)):
            raise ValueError(
                f"{_short(self.kelvin)} cannot be an offset in an address: write K as +2 or -0.5, and not 0"
            )
        if self.co2 is not None and not (self.co2 in PATHWAYS or _CO2.fullmatch(self.co2)):
            raise ValueError(f"{_short(self.co2)} cannot be co2 in an address: write ppmv as 560, or an experiment")
        if self.coherence not in (None, INDEPENDENT, LATENTS, *FROM_STATES):
            _check_memory(self.coherence)
        if self.members == (0,):  # as the cube has it
            object.__setattr__(self, "members", None)

    def __str__(self) -> str:
        numbers = self.members or (0,)
        members = f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
        label = "" if self.label is None else f"_l{self.label}"
        kelvin = "" if self.kelvin is None else f"_k{self.kelvin}"
        co2 = "" if self.co2 is None else f"_c{self.co2}"
        weather = "" if self.coherence is None else f"_w{self.coherence}"
        return f"{self.time}_{self.time_method}_s{self.seed}_m{members}_z{self.zoom}{kelvin}{co2}{weather}{label}"

    @property
    def has_member_dimension(self) -> bool:
        """Whether the data set has a leading dimension ``member``."""
        return self.members is not None and len(self.members) > 1

    def keywords(self) -> dict[str, Any]:
        """Keywords of `xr_cbottle.Cube`.

        A single member other than 0 comes with a dimension from a cube; `xr_cbottle.serve.hierarchy.Hierarchy` leaves
        it out with ``member_dimension=False``.
        """
        return {
            "time": self.time,
            "time_method": self.time_method,
            "seed": self.seed,
            "members": None if self.members is None else list(self.members),
            "zoom": self.zoom,
            "label": self.label,
            **({} if self.kelvin is None else {"sst_offset": float(self.kelvin)}),
            **({} if self.co2 is None else {"co2": self.co2}),
            "coherence": self.coherence,
        }


def parse(text: str) -> Address:
    """The address that a text is; `str` of it is the text again.

    Raises
    ------
    ValueError
        If it is none, or one that is written in another way.
    """
    match = _ADDRESS.fullmatch(text) if len(text) <= 256 else None
    if match is None:
        raise ValueError(
            f"{_short(text)} is no address of a data set: write the step, the time method, seed, member or members, "
            f"zoom and perhaps a warmer sea, carbon dioxide, coherence and a label as in {_EXAMPLES}, and other "
            "numbers without signs and leading zeros"
        )
    first, last = int(match["first"]), int(match["last"] or match["first"])
    if match["last"] is not None and last <= first:
        raise ValueError(f"{_short(text)} names no range of members: write m{first} for that one, or m0-3 for four")
    _check("the last member", last, 2**32)
    if last - first >= MOST_MEMBERS:
        raise ValueError(f"{_short(text)} names {last - first + 1} members: an address names at most {MOST_MEMBERS}")
    return Address(
        time=match["time"],
        time_method=match["method"],
        seed=int(match["seed"]),
        members=tuple(range(first, last + 1)),
        zoom=int(match["zoom"]),
        label=match["label"],
        kelvin=match["kelvin"],
        co2=match["co2"],
        coherence=match["coherence"],
    )


def _step(text: str) -> int:
    seconds = parse_period(text) if len(text) <= 21 and text.isascii() else 0
    if not 0 < seconds <= _LONGEST_STEP:
        raise ValueError(f"{_short(text)} cannot be a step in an address: write for example PT1H, PT6H or P1D")
    return seconds


def _check_memory(text: str) -> None:
    seconds = parse_period(text) if len(text) <= 21 and text.isascii() else 0
    if not 0 < seconds <= MOST_MEMORY:
        raise ValueError(
            f"{_short(text)} cannot be a coherence in an address: write none, latents, bridge, video, or such as P2D"
        )
    if format_period(seconds) != text:
        raise ValueError(f"the coherence {text} is written {format_period(seconds)} in an address")


def _check_members(members: Sequence[int]) -> None:
    if not 1 <= len(members) <= MOST_MEMBERS:
        raise ValueError(f"{len(members)} members are not 1 to {MOST_MEMBERS}, as an address names them")
    _check("a member", members[-1], 2**32)
    _check("a member", members[0], 2**32)
    if tuple(members) != tuple(range(members[0], members[0] + len(members))):
        raise ValueError(f"the members {_short(members)} do not follow each other, as those of an address do")


def _check(name: str, value: int, end: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < end:
        raise ValueError(f"{name} is {_short(value)}: in an address it is an integer from 0 to {end - 1}")


def _short(value: object) -> str:
    return shown(value, form=ascii)
