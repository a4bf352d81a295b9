"""Chunks that a user asks for, in any of the forms that xarray, dask and catalogs have for them."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from typing import Any

from xr_cbottle.base.plain_text import shown
from xr_cbottle.cube.checks import is_absent, is_integer

_MOST_CHUNKS = 10**6


def lengths(chunks: Any, dims: Iterable[str]) -> dict[str, int]:
    """Lengths of chunks along some dimensions; -1 is all of one. What is not named costs least as it is.

    Parameters
    ----------
    chunks
        ``{}``, ``"auto"``, a number of times, or ``{dimension: length}`` where None and ``"auto"`` are no choice.
    dims
        Names of the dimensions.

    Raises
    ------
    ValueError
        If it is nothing of the kind.
    """
    names = tuple(dims)
    asked = {} if isinstance(chunks, str) and chunks == "auto" else {"time": chunks} if is_integer(chunks) else chunks
    known = isinstance(asked, Mapping) and set(asked) <= set(names)
    chosen = {dim: n for dim, n in asked.items() if n is not None and not _is_auto(n)} if known else {}
    if not known or not all(is_integer(n) and (n >= 1 or n == -1) for n in chosen.values()):
        raise ValueError(
            f"chunks is {shown(chunks)}: give {{}}, a number of times, or lengths of {', '.join(names)}, each an "
            "integer of at least 1, or -1 for all"
        )
    return {dim: int(n) for dim, n in chosen.items()}


def _is_auto(length: Any) -> bool:
    return isinstance(length, str) and length == "auto"


def from_text(chunks: Any) -> Any:
    """Chunks of a catalog, whose templates make text of them; None if they were not given.

    No dimension is left to dask, whose own choice would make one chunk of all times: ``"auto"`` is ``{}``.

    Raises
    ------
    ValueError
        If it is nothing of the kind.
    """
    asked = chunks
    if isinstance(chunks, str) and not is_absent(chunks):
        try:
            asked = ast.literal_eval(chunks.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            asked = chunks.strip()
    if is_absent(asked):
        return None
    if isinstance(asked, Mapping):
        return {dim: n for dim, n in asked.items() if n != "auto"}
    if asked == "auto":
        return {}
    if not is_integer(asked):
        raise ValueError(f"chunks is {shown(chunks)}: give {{}}, 'auto', None, a number of times, or {{'time': n}}")
    return {"time": int(asked)}


def check_number(name: str, sizes: Mapping[Any, int], preferred: Mapping[str, int], chunks: Mapping[Any, Any]) -> None:
    """Refuse chunks that cut levels or cells into more pieces than any graph can hold.

    A single number means as many in every dimension to xarray: ``chunks=10`` makes ten million of decades of hours.

    Raises
    ------
    ValueError
        If there are more than a million, and they are smaller than what is drawn at once.
    """
    cut = {dim: _cut(n, sizes[dim]) for dim, n in chunks.items() if dim in sizes}
    count = math.prod(parts for parts, _ in cut.values())
    split = [dim for dim, (_, longest) in cut.items() if dim in ("pressure", "cell") and longest < preferred[dim]]
    if split and count > _MOST_CHUNKS:
        raise ValueError(
            f"these chunks cut {name} into {count} pieces, along {' and '.join(split)} too: name the dimension, as in "
            "chunks={'time': 10}, or give chunks={}"
        )


def _cut(length: Any, size: int) -> tuple[int, int]:
    """How many chunks there are along a dimension, and the longest of them; what is no length is one chunk."""
    if isinstance(length, tuple) and length:
        return len(length), max(length)
    return (-(-size // length), int(length)) if is_integer(length) and 0 < length < size else (1, size)
