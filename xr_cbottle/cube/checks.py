"""Values of keywords: checks that say what is allowed, and values from the text of a catalog or a command line."""

from __future__ import annotations

import ast
import datetime
import operator
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xr_cbottle.base.plain_text import shown
from xr_cbottle.bottle.limits import NUM_STEPS
from xr_cbottle.bottle.sampler import first_not_descending
from xr_cbottle.draw.defaults import FROM_STATES, INDEPENDENT, LATENTS

MOST_MEMORY = 366 * 86400
"""Seconds that noise may last: what lasts longer than a year is a matter of the sea."""

Check = Callable[[str, Any], Any]
"""From name and value to the value as it is used."""
Parse = Callable[[str, str], Any]
"""From name and text to the value."""

_HIGHEST_NOISE = 1e5
"""No network is trained beyond; far above it float32 has no signal left. NVIDIA's go to 800."""


# Checks -------------------------------------------------------------------------------------------------------------


def is_integer(value: Any) -> bool:
    """Whether a value is an integer, of Python or numpy, and no truth value."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))


def integer(name: str, value: Any, low: int, end: int) -> int:
    """An integer from ``low`` to before ``end``; anything else is a ValueError that says so."""
    if not is_integer(value) or not low <= value < end:
        allowed = f"an integer from {low} to {end - 1}" if end - 1 > low else str(low)
        raise ValueError(f"{name} is {shown(value)}: it must be {allowed}")
    return operator.index(value)


def within(low: int, end: int) -> Check:
    """Make a check for integers from ``low`` to before ``end``."""
    return lambda name, value: integer(name, value, low, end)


def one_of(words: Sequence[str]) -> Check:
    """Make a check for one of some words."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"{name} is {shown(value)}: choose one of {', '.join(words)}")
        return value

    return check


def positive(name: str, value: Any) -> float:
    """Check a positive number."""
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and 0 < value <= _HIGHEST_NOISE:
        return float(value)
    raise ValueError(f"{name} is {shown(value)}: it must be a positive number of at most {_HIGHEST_NOISE:g}")


def levels(name: str, values: Any) -> tuple[float, ...]:
    """Check noise levels: two or more positive numbers, each less than the one before."""
    try:
        numbers = () if isinstance(values, (str, bytes)) else tuple(positive(name, value) for value in values)
    except TypeError:
        numbers = ()
    if not 2 <= len(numbers) <= NUM_STEPS or first_not_descending(numbers) is not None:
        allowed = f"2 to {NUM_STEPS} noise levels, each less than the one before"
        raise ValueError(f"{name} is {shown(values)}: give {allowed}")
    return numbers


def members(name: str, members: Any) -> tuple[int, ...]:
    """Check how many members, or their numbers, and return the numbers."""
    if is_integer(members):
        if not 1 <= members <= 2**20:
            raise ValueError(f"members is {shown(members)}: give how many, at least 1, or a list of member numbers")
        return tuple(range(operator.index(members)))
    try:
        numbers = tuple(integer("a member", m, 0, 2**32) for m in members)
    except TypeError:
        raise ValueError(f"members is {shown(members)}: give how many, or a list of member numbers") from None
    if not numbers or len(set(numbers)) < len(numbers) or isinstance(members, (str, bytes)):
        raise ValueError(f"members is {shown(members)}: give at least one member number, and each once")
    return numbers


def byte_count(name: str, size: Any) -> int:
    """Check a number of bytes, also as text such as ``2 GiB``."""
    number = size
    if isinstance(size, str):
        from dask.utils import parse_bytes

        try:
            number = parse_bytes(size)
        except ValueError:
            number = -1
    if not is_integer(number) or number < 0:
        raise ValueError(f"{name} is {shown(size)}: give bytes, or text such as '2 GiB'; 0 keeps nothing")
    return operator.index(number)


def folder(name: str, path: Any) -> str:
    """Check the path of a folder, and make it absolute."""
    if not isinstance(path, (str, os.PathLike)) or os.path.isfile(path):
        raise ValueError(f"{name} is {shown(path)}: give the path of a folder")
    return os.path.abspath(os.path.expanduser(os.fspath(path)))


def count(name: str, value: Any) -> int:
    """Check an integer of at least 1."""
    if not is_integer(value) or value < 1:
        raise ValueError(f"{name} is {shown(value)}: it must be an integer of at least 1")
    return operator.index(value)


def coherence(name: str, value: Any) -> str | int | None:
    """Check a coherence: ``none``, ``latents``, ``bridge``, ``video``, or a duration, which becomes whole seconds.

    None is the bottle's own: see `xr_cbottle.cube.spec.settled_coherence`.
    """
    if value is None or (isinstance(value, str) and value in (INDEPENDENT, LATENTS, *FROM_STATES)):
        return value
    seconds = _duration(value)
    if not MOST_MEMORY >= seconds >= 1 or seconds % 1:
        raise ValueError(
            f"{name} is {shown(value)}: choose none, latents, bridge, video, or how long weather lasts, a positive "
            f"duration of whole seconds such as '2D' or 'PT36H', of at most {MOST_MEMORY // 86400} days"
        )
    return int(seconds)


def _duration(value: Any) -> float:
    """Seconds of a duration, as an object or as text of ISO 8601 or pandas; 0 if it is none."""
    import pandas as pd

    kinds = (str, datetime.timedelta, np.timedelta64)
    # A bare number would be nanoseconds to pandas.
    if not isinstance(value, kinds) or (isinstance(value, str) and not re.search("[A-Za-z]", value[:40])):
        return 0.0
    try:
        length = pd.Timedelta(value)
        return 0.0 if length is pd.NaT else length / pd.Timedelta(seconds=1)
    except (ValueError, OverflowError, TypeError):
        return 0.0


def flag(name: str, value: Any) -> bool:
    """Check True or False."""
    if value not in (True, False):
        raise ValueError(f"{name} is {shown(value)}: choose True, False, or None for a bar on a terminal")
    return bool(value)


def truth(name: str, value: Any) -> bool:
    """Check True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} is {shown(value)}: choose True or False")
    return bool(value)


def text(name: str, value: Any) -> str:
    """Return the text of a value."""
    return str(value)


def as_is(name: str, value: Any) -> Any:
    """Return a value as it is: it is checked where the bottle is known."""
    return value


# Text ---------------------------------------------------------------------------------------------------------------


def parse_integer(name: str, text: str) -> int:
    """Read an integer."""
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,20}\s*", text):
        raise ValueError(f"{name} is {shown(text)}: it must be an integer")
    return int(text)


def parse_number(name: str, text: str) -> float:
    """Read a number."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} is {shown(text)}: it must be a positive number") from None


def parse_levels(name: str, text: str) -> list[float]:
    """Read noise levels: ``80,20,4,0.5`` or ``[80, 20, 4, 0.5]``."""
    inner = text.strip().removeprefix("[").removesuffix("]")
    try:
        return [float(number) for number in inner.split(",")]
    except ValueError:
        raise ValueError(f"{name} is {shown(text)}: give noise levels with commas, such as 80,20,4,0.5") from None


def parse_members(name: str, text: str) -> int | list[int]:
    """How many, or the numbers of some: ``5``, ``0,2,5`` or ``[0, 2, 5]``; 0 is no dimension ``member``."""
    wrong = ValueError(f"{name} is {shown(text)}: give how many, or a list of member numbers such as 0,2,5")
    if re.fullmatch(r"\s*[0-9]{1,20}\s*", text):
        return int(text)
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise wrong from None
    if not isinstance(found, (list, tuple)) or not found:
        raise wrong
    return list(found)


def parse_times(name: str, text: str) -> Any:
    """A step, a time, several with commas, or START/END with or without /STEP."""
    if "/" in text:
        parts = text.split("/")
        if len(parts) > 3 or not all(parts):
            raise ValueError(f"{name} is {shown(text)}: write START/END or START/END/STEP")
        return slice(*parts)
    return text.split(",") if "," in text else text


def parse_flag(name: str, text: str) -> bool:
    """Read True or False."""
    if text.title() not in ("True", "False"):
        raise ValueError(f"{name} is {shown(text)}: choose True, False, or leave it out")
    return text.title() == "True"


def parse_forcings(name: str, text: str) -> dict[str, str]:
    """Read ``co2=560,ch4=1800``: names, and numbers, experiments or paths."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    found = {key.strip(): value.strip() for key, _, value in pairs}
    if len(found) < len(pairs) or not all(key and value for key, value in found.items()):
        raise ValueError(f"{name} is {shown(text)}: write NAME=VALUE, several with commas, such as co2=560,ch4=1800")
    return found


def is_absent(value: Any) -> bool:
    """Whether a value is None, or what a template makes of a parameter that nobody gave."""
    return value is None or (isinstance(value, str) and value.strip() in ("", "None", "none", "null"))


def whole(name: str, value: Any) -> int:
    """An integer, also where a template made 1.0 of 1."""
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if not is_integer(number):
        raise ValueError(f"{name} is {shown(value)}: it must be an integer")
    return operator.index(number)
