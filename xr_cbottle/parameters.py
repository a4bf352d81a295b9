"""Parameters of an intake catalog into keywords, exactly: a template makes text of whatever it is given."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Mapping
from typing import Any

_INTEGERS = frozenset(["zoom", "seed", "num_steps", "batch_size", "max_instants"])
_NUMBERS = frozenset(["sigma_min", "sigma_max"])
_NOTHING = ("", "None", "none", "null")


def absent(value: Any) -> bool:
    """Whether a value is None, or what a template makes of a parameter that nobody gave."""
    return value is None or (isinstance(value, str) and value.strip() in _NOTHING)


def exact(name: str, value: Any) -> Any:
    """A keyword's value, exactly, if it came as text; None if it was not given.

    Raises
    ------
    ValueError
        If it is nothing of the kind.
    """
    if absent(value):
        return None
    if name in _INTEGERS:
        return _integer(name, value)
    if name in _NUMBERS and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise ValueError(f"{name} is {value!r}: it must be a positive number") from None
    if name == "progress" and isinstance(value, str) and value.title() in ("True", "False"):
        return value.title() == "True"
    if name == "members":
        return _members(value)
    return value


def _members(value: Any) -> Any:
    members = _literal(value)
    if isinstance(members, str):
        raise ValueError(f"members is {value!r}: give how many, or a list of member numbers such as [0, 3]")
    if hasattr(members, "__iter__"):
        return [_integer("a member", member) for member in members]
    # A catalog's parameter of type int cannot be null.
    return _integer("members", members) or None


def _integer(name: str, value: Any) -> int:
    number = int(value) if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]+\s*", value) else value
    if isinstance(number, float) and math.isfinite(number) and number == int(number):
        number = int(number)
    if not hasattr(number, "__index__") or isinstance(number, bool):
        raise ValueError(f"{name} is {value!r}: it must be an integer")
    return operator.index(number)


def chunks_of(chunks: Any) -> Any:
    """xarray's chunks, in which no dimension is left to dask."""
    asked = _literal(chunks)
    if absent(asked):
        return None
    if isinstance(asked, Mapping):
        return {dim: n for dim, n in asked.items() if n != "auto"}
    if asked == "auto":
        return {}
    if not hasattr(asked, "__index__") or isinstance(asked, bool):
        raise ValueError(f"chunks is {chunks!r}: give {{}}, 'auto', None, a number of times, or {{'time': n}}")
    return {"time": operator.index(asked)}


def _literal(value: Any) -> Any:
    """What text stands for, if it is a number, a list or a mapping; else the value itself."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        return value
