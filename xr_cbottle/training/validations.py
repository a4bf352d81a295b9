"""Validation losses of a run over its images: smoothed, when they were lowest, and whether they fall no more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

SMOOTHED = 3
"""Validations whose mean is looked at."""
BEST = "best"
"""Name of the state that was best over all noise levels; of one range of them ``best-LOW-HIGH``."""


class Validations:
    """Losses of held-out images so far: the last few, and the lowest mean of these with the images seen then.

    There is one series for all noise levels together, `BEST`, and one for each range of them.
    """

    def __init__(self) -> None:
        self.recent: dict[str, list[float]] = {}
        self.lowest: dict[str, tuple[int, float]] = {}

    def add(self, images: int, entry: Mapping[str, Any]) -> list[str]:
        """Note what `xr_cbottle.training.loop.validate` found after so many images; gives the series that are best."""
        by_range = {f"{BEST}-{name}": loss for name, loss in entry["validation_by_sigma"].items()}
        better = []
        for name, loss in {BEST: entry["validation"], **by_range}.items():
            self.recent[name] = [*self.recent.get(name, ()), loss][-SMOOTHED:]
            mean = float(np.mean(self.recent[name]))
            if name not in self.lowest or mean < self.lowest[name][1]:
                self.lowest[name] = images, mean
                better.append(name)
        return better

    def stalled(self, images: int, patience: int | None) -> bool:
        """Whether the loss over all noise levels was lowest ``patience`` images ago or earlier; not if that is None."""
        return patience is not None and BEST in self.lowest and images - self.lowest[BEST][0] >= patience

    def state_dict(self) -> dict[str, Any]:
        """Series as the state of a run keeps them."""
        return {"recent": self.recent, "lowest": {name: list(found) for name, found in self.lowest.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what was kept."""
        self.recent = {name: [*losses] for name, losses in state["recent"].items()}
        self.lowest = {name: (int(images), float(loss)) for name, (images, loss) in state["lowest"].items()}


def is_best(name: str) -> bool:
    """Whether a text is the name of a state that is kept because it was best."""
    return re.fullmatch(rf"{BEST}(-[\d.]+-[\d.]+)?", name) is not None
