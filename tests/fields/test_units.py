"""Units and names of others: what UDUNITS makes of them, what it cannot read, and what is not guessed."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xr_cbottle.fields import channels, names, units


@pytest.mark.parametrize(
    ("theirs", "wanted", "value", "ours"),
    [
        *((text, "K", 20.0, 293.15) for text in ("degC", "Deg C", "degrees C", "degrees Celsius", "C", "°C")),
        *((text, "K", 20.0, 20.0) for text in ("K", "Kelvin", "degK", "degrees_K", "deg_k")),
        ("degF", "K", 68.0, 293.15),
        *((text, "Pa", 1013.25, 101325.0) for text in ("hPa", "mb", "mbar", "millibars", "hectoPascals", "HPa")),
        *((text, "Pa", 3.0, 3.0) for text in ("Pa", "Pascal", "Pascals", "pascals")),
        *((text, "m s-1", 3.0, 3.0) for text in ("m s**-1", "m/s", "m/sec", "m s^-1", "m s^{-1}", "meters per second")),
        ("knots", "m s-1", 1.0, 0.5144444444444445),
        ("m  s-1", "kg m-2 s-1", 1e-6, 1e-3),
        *((text, "kg m-2 s-1", 86.4, 1e-3) for text in ("mm day-1", "mm/d", "mm/day", "mm per day", "kg m-2 day-1")),
        ("mm/h", "kg m-2 s-1", 3.6, 1e-3),
        *((text, "kg m-2 s-1", 2.0, 2.0) for text in ("kg m**-2 s**-1", "kg s-1 m-2", "kg.m-2.s-1", "Kg/m^2/s")),
        ("mm", "kg m-2", 3.0, 3.0),
        ("Kg/m^2", "kg m-2", 3.0, 3.0),
        *((text, "1", 35.0, 0.35) for text in ("%", "percent")),
        *((text, "1", 0.35, 0.35) for text in ("1", "(0 - 1)", "0-1", "fraction", "Fraction", "none", "unitless", "~")),
        *((text, "m", 9.80665, 1.0) for text in ("m**2 s**-2", "m2/s2", "J kg-1")),
        *((text, "m", 5.0, 5.0) for text in ("gpm", "geopotential meters", "metres")),
        *((text, "W m-2", 5.0, 5.0) for text in ("W m^-2", "W/m2", "watts/m2", "Watts/m^2", "w/m**2")),
        *((text, "kg kg-1", 5.0, 0.005) for text in ("g kg-1", "g/kg", "grams/kg")),
        *((text, "Pa s-1", 5.0, 5.0) for text in ("Pa/s", "pa/sec", "Pascal/s")),
    ],
)  # fmt: skip
def test_conversions(theirs: str, wanted: str, value: float, ours: float) -> None:
    factor, offset = units.conversion(theirs, wanted)
    assert value * factor + offset == pytest.approx(ours, rel=1e-12)


@pytest.mark.parametrize(
    ("theirs", "wanted", "says"),
    [
        ("K", "Pa", "different things"),
        ("m", "kg m-2 s-1", "different things"),
        ("J m-2", "W m-2", "different things"),
        ("", "K", "different things"),
        ("wibble", "K", "not a unit that can be read"),
        ("m (((", "m", "not a unit that can be read"),
        ("(" * 10**5, "m", "not a unit that can be read"),
    ],
)
def test_what_is_not_known_is_not_guessed(theirs: str, wanted: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        units.conversion(theirs, wanted)
    assert "\n" not in str(caught.value)


@given(
    st.sampled_from(["g", "kg", "kilogram"]), st.sampled_from(["m", "meter", "metre", "cm"]),
    st.sampled_from(["s", "second", "h", "hour", "day", "d", "min"]), st.sampled_from([" ", ".", "*"]),
    st.sampled_from(["", "^", "**"]), st.permutations([0, 1, 2]),
)  # fmt: skip
def test_what_udunits_reads_is_read_like_it(
    mass: str, length: str, time: str, between: str, power: str, order: list[int]
) -> None:
    cf_units = pytest.importorskip("cf_units")
    parts = [mass, f"{length}{power}-2", f"{time}{power}-1"]
    text = between.join(parts[i] for i in order)
    expected = cf_units.Unit(text).convert(1.0, "kg m-2 s-1")
    assert units.conversion(text, "kg m-2 s-1") == (pytest.approx(expected, rel=1e-9), 0.0)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        *itertools.product(("Pa", "pascals", "hPa", "millibar", "kPa", "mbar", "atm", "bar", "dbar"), ("Pa",)),
        *itertools.product(("K", "kelvin", "celsius", "degree_Celsius", "degF", "degC", "deg_C", "degK"), ("K",)),
        *itertools.product(("m/s", "km/h", "knot", "kt", "cm s-1", "meter/second", "km hour-1"), ("m s-1",)),
        *itertools.product(("1", "%", "percent", "1e-3", "g/kg", "kg/kg"), ("1",)),
        *itertools.product(("W m-2", "watt/m2", "mW cm-2", "J s-1 m-2", "kW/m^2"), ("W m-2",)),
    ],
)
def test_single_units_are_those_of_udunits(text: str, wanted: str) -> None:
    cf_units = pytest.importorskip("cf_units")
    factor, offset = units.conversion(text, wanted)
    for value in (0.0, 1.0, 300.0):
        assert value * factor + offset == pytest.approx(cf_units.Unit(text).convert(value, wanted), rel=1e-9)


def test_sums_over_time() -> None:
    assert units.rate_of("m", "kg m-2 s-1") == "m s-1"
    assert units.rate_of("J m**-2", "W m-2") == "W m-2"
    assert units.rate_of("mm", "kg m-2") is None


def test_every_variable_keeps_its_own_units_and_its_name() -> None:
    for variable in channels.VARIABLES.values():
        assert units.conversion(f" {variable.units}*1 ", variable.units) == (1.0, 0.0)
    assert set(names.VARIABLES) <= set(channels.VARIABLES)
    others = [name for known in names.VARIABLES.values() for name in known]
    assert len(others) == len(set(others))
    assert not set(others) & set(channels.VARIABLES)


def test_common_units_need_no_library() -> None:
    """Of the drawing: an SST in degC must not wait a second for pint."""
    code = (
        "import sys; from xr_cbottle.fields import units; "
        "[units.conversion(a, b) for a, b in (('degrees C', 'K'), ('Kelvin', 'K'), ('millibars', 'Pa'), ('%', '1'))]; "
        "import xr_cbottle, xr_cbottle.backend; sys.exit('pint' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
