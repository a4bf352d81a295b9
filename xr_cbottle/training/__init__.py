"""Training bottles: configuration, data, loss and loop. Only the command line imports this."""

from __future__ import annotations

from xr_cbottle.training.config import Config, load

__all__ = ["Config", "load"]
