"""Units of other data sets into ours, as straight lines: value * factor + offset."""

from __future__ import annotations

import functools
from typing import NamedTuple

from xr_cbottle.fields.channels import GRAVITY

#: Spellings that udunits does not know, or takes for something else (``mb`` is a millibarn).
SPELLINGS = {
    "c": "degC", "deg c": "degC", "degree c": "degC", "degrees c": "degC", "celsius": "degC", "kelvin": "K",
    "degk": "K", "mb": "hPa", "hectopascal": "hPa", "hectopascals": "hPa", "m of water equivalent": "m",
    "watts/m2": "W m-2", "w/m2": "W m-2", "w/m**2": "W m-2", "fraction": "1", "(0 - 1)": "1", "(0-1)": "1",
    "0-1": "1", "0 - 1": "1", "-": "1", "none": "1", "dimensionless": "1", "~": "1", "": "1",
}  # fmt: skip
#: What turns a quantity into another: water of 1000 kg m-3 for depths of it, gravity for geopotential.
_BRIDGES = {
    ("[length] / [time]", "[mass] / [length] ** 2 / [time]"): (1000.0, "kg m-3"),
    ("[length]", "[mass] / [length] ** 2"): (1000.0, "kg m-3"),
    ("[length] ** 2 / [time] ** 2", "[length]"): (1 / GRAVITY, "s2 m-1"),
}


class Conversion(NamedTuple):
    """wanted = given * factor + offset."""

    factor: float = 1.0
    offset: float = 0.0


@functools.cache
def conversion(given: str, wanted: str) -> Conversion:
    """What turns values of one unit into values of another.

    Depths of liquid water become masses per area (``mm day-1`` -> ``kg m-2 s-1``) and geopotential becomes
    geopotential height (``m2 s-2`` -> ``m``).

    Parameters
    ----------
    given, wanted : str
        Units as CF writes them, or as others do: ``mm/day``, ``kg m**-2``, ``degrees C``.

    Raises
    ------
    ValueError
        If there is no such conversion, or ``given`` is no unit.
    ModuleNotFoundError
        If the units differ and pint or cf_xarray is not installed.
    """
    given = SPELLINGS.get(given.strip().lower(), given.strip())
    if given == wanted:
        return Conversion()
    import pint
    from cf_xarray.units import units

    try:
        unit, target = units.Unit(given), units.Unit(wanted)
        bridge = _BRIDGES.get((str(unit.dimensionality), str(target.dimensionality)))
        at_0, at_1 = (units.Quantity(x, unit) for x in (0.0, 1.0))
        if bridge is not None:
            at_0, at_1 = (x * units.Quantity(*bridge) for x in (at_0, at_1))
        low, high = (float(x.to(target).magnitude) for x in (at_0, at_1))
    except pint.DimensionalityError:
        raise ValueError(f"{given!r} cannot be converted to {wanted!r}: they measure different things") from None
    except (pint.PintError, ValueError, AssertionError, TypeError):
        raise ValueError(f"{given!r} is not a unit that can be read") from None
    return Conversion(high - low, low)
