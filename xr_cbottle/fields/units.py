"""Units of data sets of others into ours, as straight lines: ours = theirs * factor + offset."""

from __future__ import annotations

import functools
import re
import tokenize
from typing import NamedTuple

from xr_cbottle.fields.channels import GRAVITY

_TEMPERATURE = re.compile(r"°?\s*(?:deg(?:rees?)?)?[\s_]*(c|k|f)(?:elsius|elvin|ahrenheit)?")
_DIMENSIONLESS = frozenset(
    {"", "-", "~", "0-1", "0 - 1", "(0-1)", "(0 - 1)", "none", "frac", "fraction", "proportion", "unitless",
     "dimensionless"}
)  # fmt: skip
_WORDS = {
    "kg": "kg", "pascal": "Pa", "pascals": "Pa", "pa": "Pa", "hpa": "hPa", "hectopascal": "hPa", "hectopascals": "hPa",
    "mb": "hPa", "mbar": "hPa", "millibar": "hPa", "millibars": "hPa", "watt": "W", "watts": "W", "w": "W",
    "joule": "J", "joules": "J", "sec": "s", "secs": "s", "hr": "hour", "hrs": "hour", "h": "hour", "d": "day",
    "gpm": "m", "wm": "W m",
}  # fmt: skip
"""Words that pint does not know, or takes for something else (``mb`` is a millibarn), in whatever letters."""
_LONGEST = 100  # what is longer is not looked at
_SCALED = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)(?:\s+(.+))?")
_OF_WATER = re.compile(r"\s+of\s+(?:liquid\s+)?water(?:\s+equivalent)?|\s+water\s+equivalent|\b(?:geo)?potential\s+")
#: What turns a quantity into another: water of 1000 kg m-3 for depths of it, gravity for geopotential.
_BRIDGES = {
    ("[length] / [time]", "[mass] / [length] ** 2 / [time]"): (1000.0, "kg m-3"),
    ("[length]", "[mass] / [length] ** 2"): (1000.0, "kg m-3"),
    ("[length] ** 2 / [time] ** 2", "[length]"): (1 / GRAVITY, "s2 m-1"),
}
_SUMS = {"J m-2": "W m-2", "m": "m s-1", "mm": "mm s-1", "kg m-2": "kg m-2 s-1"}


class Conversion(NamedTuple):
    """A straight line between units: wanted = given * factor + offset."""

    factor: float = 1.0
    offset: float = 0.0


#: Those of nearly every file, so that pint (a second to import) is not needed for them.
_PLAIN = {("degC", "K"): Conversion(1.0, 273.15), ("hPa", "Pa"): Conversion(100.0), ("percent", "1"): Conversion(0.01)}


#: What pint raises at texts that are no units, beside its own errors.
_UNREADABLE = (
    tokenize.TokenError, ValueError, AssertionError, TypeError, AttributeError, RecursionError, ArithmeticError,
)  # fmt: skip


@functools.cache
def conversion(given: str, wanted: str) -> Conversion:
    """Factor and offset that turn values of one unit into values of another.

    Depths of liquid water become masses per area (``mm day-1`` -> ``kg m-2 s-1``) and geopotential becomes
    geopotential height (``m2 s-2`` -> ``m``).

    Parameters
    ----------
    given
        Unit as CF writes it, or as others do: ``mm/day``, ``kg m**-2``, ``degrees C``.
    wanted
        Unit of a `xr_cbottle.fields.channels.Variable`.

    Raises
    ------
    ValueError
        If there is no such conversion, or ``given`` is no unit.
    """
    if len(given) > _LONGEST:
        raise ValueError(f"{given[:20]!r}... is not a unit that can be read")
    plain = spelled(given)
    if plain == spelled(wanted):
        return Conversion()
    if (plain, wanted) in _PLAIN:
        return _PLAIN[plain, wanted]
    if (scaled := _SCALED.fullmatch(plain)) and float(scaled[1]) != 1:
        unscaled = conversion(scaled[2] or "1", wanted)
        if unscaled.offset:
            raise ValueError(f"{given!r} is not a unit that can be read")
        return Conversion(float(scaled[1]) * unscaled.factor)
    import pint
    from cf_xarray.units import units

    try:
        unit, target = units.Unit(plain), units.Unit(wanted)
        bridge = _BRIDGES.get((str(unit.dimensionality), str(target.dimensionality)))

        def converted(value: float) -> float:
            quantity = units.Quantity(value, unit) * (units.Quantity(*bridge) if bridge else 1)
            return float(quantity.to(target).magnitude)

        offset = converted(0.0)
        return Conversion(converted(1.0) if offset == 0 else (converted(1e6) - offset) / 1e6, offset)
    except pint.DimensionalityError:
        raise ValueError(f"{given!r} cannot be converted to {wanted!r}: they measure different things") from None
    except (pint.PintError, *_UNREADABLE):
        raise ValueError(f"{given!r} is not a unit that can be read") from None


def is_unit(text: str) -> bool:
    """Whether a text is a unit that can be read."""
    import pint
    from cf_xarray.units import units

    try:
        return len(text) <= _LONGEST and units.Unit(spelled(text)) is not None
    except (pint.PintError, *_UNREADABLE):
        return False


def rate_of(units: str, wanted: str) -> str | None:
    """The unit of the rate, if some units are those of a sum over time where a rate is wanted; else None."""
    rate = _SUMS.get(spelled(units))
    try:
        return rate if rate is not None and conversion(rate, wanted) else None
    except ValueError:
        return None


def spelled(units: str) -> str:
    """Units spelled as CF does where others spell them in their own way: ``Deg C`` -> ``degC``."""
    text = " ".join(units.replace("**", "").replace("^", "").replace("{", "").replace("}", "").split())
    lower = text.lower()
    if match := _TEMPERATURE.fullmatch(lower):
        return {"c": "degC", "k": "K", "f": "degF"}[match[1]]
    if lower in _DIMENSIONLESS:
        return "1"
    text = "percent" if text == "%" else _OF_WATER.sub("", text)
    return re.sub(r"[A-Za-z_]+", lambda word: _WORDS.get(word[0].lower(), word[0]), text)
