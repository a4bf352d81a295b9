"""Configuration of packing that all kinds of networks share: which weights, how exactly, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from xr_cbottle.bottle.checkpoint import DISK_TYPES
from xr_cbottle.training.parsing import check_choices


@dataclass(frozen=True, kw_only=True)
class PackingConfig:
    """Packing of a network into a bottle.

    Attributes
    ----------
    dtype
        Precision of the weights in the file: float32, float16 or bfloat16.
    weights
        The moving average, or, better after a short run whose learning rate fell to 0, the weights themselves.
    trained_on
        What else is to be known of the training; kept in the manifest.
    """

    section = "part"  # of the file, for messages; no field, for it is no key

    dtype: str = "float16"
    weights: Literal["average", "last"] = "average"
    trained_on: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choices(self, self.section)
        if self.dtype not in DISK_TYPES:
            raise ValueError(f"{self.section}: dtype is {self.dtype!r}, must be one of {', '.join(DISK_TYPES)}")
