"""Humidity of air: how much vapour it can hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

DRY_OVER_VAPOUR = 0.622
"""Gas constant of dry air over that of water vapour, 1."""


def saturation(kelvin: Floats, pascals: float) -> Floats:
    """Specific humidity of saturated air over liquid water, kg kg-1.

    Vapour pressure of Bolton (1980), "The computation of equivalent potential temperature", Mon. Wea. Rev. 108, 1046,
    eq. 10: within 0.3 % from -35 to 35 degC. Where water would boil, and there is vapour only, it is 1.

    Parameters
    ----------
    kelvin
        Temperature, any shape.
    pascals
        Pressure.
    """
    # Bolton's pole lies at 29.65 K: no air is as cold, but a network may draw anything.
    celsius = np.maximum(np.asarray(kelvin, np.float64), 100.0) - 273.15
    vapour = 611.2 * np.exp(17.67 * celsius / (celsius + 243.5))
    dry = np.maximum(pascals - (1 - DRY_OVER_VAPOUR) * vapour, DRY_OVER_VAPOUR * vapour)
    return np.minimum(DRY_OVER_VAPOUR * vapour / dry, 1.0)
