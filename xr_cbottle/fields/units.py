"""Units that data may come in, and names that a variable may have, beside ours: a small table, and nothing guessed."""

from __future__ import annotations

from collections.abc import Mapping

from xr_cbottle.fields.channels import GRAVITY

Linear = tuple[float, float]  # factor and offset: ours = theirs * factor + offset

_UNITS: Mapping[str, Mapping[str, Linear]] = {
    "K": {"K": (1, 0), "kelvin": (1, 0), "degK": (1, 0)}
    | dict.fromkeys(("degC", "°C", "celsius", "Celsius", "degree_Celsius", "degrees_Celsius"), (1, 273.15)),
    "Pa": {"Pa": (1, 0)} | dict.fromkeys(("hPa", "mbar", "millibar", "millibars", "mb"), (100, 0)) | {"kPa": (1000, 0)},
    "m s-1": {"m s-1": (1, 0), "m/s": (1, 0), "km h-1": (1 / 3.6, 0), "km/h": (1 / 3.6, 0)},
    "kg m-2": {"kg m-2": (1, 0), "kg/m2": (1, 0), "mm": (1, 0), "g m-2": (1e-3, 0)},
    "kg m-2 s-1": {"kg m-2 s-1": (1, 0), "kg/m2/s": (1, 0)}
    | dict.fromkeys(("mm s-1", "mm/s"), (1, 0))
    | dict.fromkeys(("mm h-1", "mm/h", "mm hr-1", "mm/hr", "kg m-2 h-1"), (1 / 3600, 0))
    | dict.fromkeys(("mm day-1", "mm d-1", "mm/day", "kg m-2 day-1"), (1 / 86400, 0))
    | dict.fromkeys(("m s-1", "m/s"), (1000, 0)),  # a depth of water
    "W m-2": {"W m-2": (1, 0), "W/m2": (1, 0)},
    "m": {"m": (1, 0), "gpm": (1, 0), "m2 s-2": (1 / GRAVITY, 0), "m2/s2": (1 / GRAVITY, 0)},
    "kg kg-1": {"kg kg-1": (1, 0), "kg/kg": (1, 0), "1": (1, 0), "g kg-1": (1e-3, 0), "g/kg": (1e-3, 0)},
    "Pa s-1": {"Pa s-1": (1, 0), "Pa/s": (1, 0), "hPa s-1": (100, 0)},
    "1": dict.fromkeys(("1", "(0 - 1)", "(0-1)", "0-1", "fraction"), (1.0, 0.0))
    | {"%": (0.01, 0), "percent": (0.01, 0)},
}

NAMES: Mapping[str, Mapping[str, float]] = {
    "ua": {"u": 1}, "va": {"v": 1}, "ta": {"t": 1}, "zg": {"z": 1}, "hus": {"q": 1}, "hur": {"r": 1}, "wap": {"w": 1},
    "prw": {"tcwv": 1}, "clwvi": {"cllvi": 1, "tclw": 1}, "clivi": {"tciw": 1}, "tas": {"t2m": 1, "2t": 1},
    "ts": {"skt": 1}, "uas": {"u10": 1, "10u": 1}, "vas": {"v10": 1, "10v": 1}, "sfcWind": {"si10": 1, "10si": 1},
    "psl": {"msl": 1, "pres_msl": 1}, "ps": {"sp": 1}, "pr": {"tp": 1, "mtpr": 1, "avg_tprate": 1, "tprate": 1},
    # Net fluxes of ERA5 are positive downwards, and nothing comes in.
    "rlut": {"mtnlwrf": -1, "avg_tnlwrf": -1, "ttr": -1}, "rsds": {"msdwswrf": 1, "avg_sdswrf": 1, "ssrd": 1},
    "rlds": {"msdwlwrf": 1, "avg_sdlwrf": 1, "strd": 1}, "sst": {"tos": 1, "tosbcs": 1},
    "siconc": {"sic": 1, "ci": 1, "siconca": 1}, "clt": {"tcc": 1},
}  # fmt: skip
"""{our name: {other names: sign}}: those of ERA5 and of cBottle."""

_ACCUMULATED = {"J m-2": "W m-2", "J/m2": "W m-2", "m": "m s-1", "mm": "mm s-1", "kg m-2": "kg m-2 s-1"}


def conversion(units: str, wanted: str) -> Linear | None:
    """Factor and offset from some units to ours; None if the table does not have them.

    Parameters
    ----------
    units
        As an attribute has them; ``m s**-1`` is ``m s-1``.
    wanted
        Units of a `xr_cbottle.fields.channels.Variable`.
    """
    found = _UNITS.get(wanted, {wanted: (1, 0)}).get(plain(units))
    return None if found is None else (float(found[0]), float(found[1]))


def known(wanted: str) -> list[str]:
    """Units from which there is a conversion."""
    return list(_UNITS.get(wanted, {wanted: (1, 0)}))


def accumulated(units: str, wanted: str) -> str | None:
    """The unit of the rate, if some units are those of a sum over time where a rate is wanted."""
    rate = _ACCUMULATED.get(plain(units))
    return rate if rate is not None and conversion(rate, wanted) is not None else None


def plain(units: str) -> str:
    """Units without the stars of exponents and superfluous blanks."""
    return " ".join(units.replace("**", "").replace("^", "").split())
