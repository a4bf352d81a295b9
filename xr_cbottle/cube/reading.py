"""How values are read: where finished fields are kept, how much one read may draw, and what is shown meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xr_cbottle.cube.disk import DiskTier
from xr_cbottle.cube.keywords import MOST_INSTANTS
from xr_cbottle.cube.shares import Share


@dataclass(frozen=True)
class Reading:
    """Settings of reading, none of which changes values; `xr_cbottle.cube.keywords` describes them."""

    cache_size: int | None = None
    cache_dir: str | None = None
    cache_dir_size: int | None = None
    max_instants: int = MOST_INSTANTS
    progress: bool | None = None

    @classmethod
    def of(cls, keywords: Mapping[str, Any]) -> Reading:
        """Settings from checked keywords."""
        return cls(**{name: keywords[name] for name in cls.__dataclass_fields__})

    def share(self, passing: bool = False) -> Share:
        """The share of the memory in which finished fields are kept."""
        return Share(self.cache_size, passing)

    def disk(self, shape: tuple[int, int]) -> DiskTier | None:
        """The folder of finished fields of a shape, if there is one."""
        return None if self.cache_dir is None else DiskTier(self.cache_dir, shape, self.cache_dir_size)


def progress_bar(total: int, progress: bool | None, unit: str = "instant") -> Any:
    """A bar for some instants or tiles: on a terminal or in a notebook, or as asked."""
    from tqdm.auto import tqdm

    disable = None if progress is None else not progress
    return tqdm(total=total, unit=unit, desc="drawing", leave=False, disable=disable)
