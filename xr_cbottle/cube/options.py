"""How values are read: where finished instants are kept, how much at once, and what is shown meanwhile."""

from __future__ import annotations

import operator
import os
from dataclasses import dataclass
from typing import Any

from xr_cbottle.cube.spec import MAX_INSTANTS


@dataclass(frozen=True)
class Reading:
    """How values are read; none of it changes them. `Cube` describes the fields."""

    cache_size: int | None = None
    cache_dir: str | None = None
    max_instants: int = MAX_INSTANTS
    progress: bool | None = None


def make_reading(
    cache_size: int | str | None,
    cache_dir: str | os.PathLike[str] | None,
    max_instants: int,
    progress: bool | None,
) -> Reading:
    """Settings from keywords.

    Raises
    ------
    ValueError
        If one is wrong; it lists the right values.
    """
    size = cache_size
    if isinstance(size, str):
        from dask.utils import parse_bytes

        try:
            size = parse_bytes(size)
        except ValueError:
            size = -1
    if size is not None and (isinstance(size, (bool, float)) or not hasattr(size, "__index__") or size < 0):
        raise ValueError(f"cache_size is {cache_size!r}: give bytes, or text such as '2 GiB'; 0 keeps nothing")
    if isinstance(max_instants, bool) or not hasattr(max_instants, "__index__") or max_instants < 1:
        raise ValueError(f"max_instants is {max_instants!r}: it must be an integer of at least 1")
    if progress not in (None, True, False):
        raise ValueError(f"progress is {progress!r}: choose True, False, or None for a bar on a terminal")
    if cache_dir is not None:
        if not isinstance(cache_dir, (str, os.PathLike)) or os.path.isfile(cache_dir):
            raise ValueError(f"cache_dir is {cache_dir!r}: give the path of a folder")
        cache_dir = os.path.abspath(os.path.expanduser(os.fspath(cache_dir)))
    return Reading(None if size is None else operator.index(size), cache_dir, operator.index(max_instants), progress)


def progress_bar(total: int, progress: bool | None, unit: str = "instant") -> Any:
    """A bar for some instants or tiles: on a terminal or in a notebook, or as asked."""
    from tqdm.auto import tqdm

    disable = None if progress is None else not progress
    return tqdm(total=total, unit=unit, desc="drawing", leave=False, disable=disable)
