"""Training bottles: configuration, data, loss and loop. Nothing in the rest of the package imports this."""

from __future__ import annotations

from xr_cbottle.training.config import Config, load

__all__ = ["Config", "load"]
