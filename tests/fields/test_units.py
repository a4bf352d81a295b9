"""Units and names: what is in the table is right, and what is not is not guessed."""

from __future__ import annotations

import pytest

from xr_cbottle.fields import channels, units


@pytest.mark.parametrize(
    ("theirs", "wanted", "value", "ours"),
    [
        ("degC", "K", 20.0, 293.15),
        ("K", "K", 20.0, 20.0),
        ("hPa", "Pa", 1013.25, 101325.0),
        ("m s**-1", "m s-1", 3.0, 3.0),
        ("m  s-1", "kg m-2 s-1", 1e-6, 1e-3),
        ("mm day-1", "kg m-2 s-1", 86.4, 1e-3),
        ("mm/h", "kg m-2 s-1", 3.6, 1e-3),
        ("kg m**-2 s**-1", "kg m-2 s-1", 2.0, 2.0),
        ("%", "1", 35.0, 0.35),
        ("(0 - 1)", "1", 0.35, 0.35),
        ("m**2 s**-2", "m", 9.80665, 1.0),
        ("W m^-2", "W m-2", 5.0, 5.0),
        ("g kg-1", "kg kg-1", 5.0, 0.005),
    ],
)
def test_conversions(theirs: str, wanted: str, value: float, ours: float) -> None:
    convert = units.conversion(theirs, wanted)
    assert convert is not None
    assert value * convert[0] + convert[1] == pytest.approx(ours)


@pytest.mark.parametrize(("theirs", "wanted"), [("K", "Pa"), ("m", "kg m-2 s-1"), ("J m-2", "W m-2"), ("", "K")])
def test_what_is_not_known_is_not_guessed(theirs: str, wanted: str) -> None:
    assert units.conversion(theirs, wanted) is None


def test_sums_over_time() -> None:
    assert units.accumulated("m", "kg m-2 s-1") == "m s-1"
    assert units.accumulated("J m**-2", "W m-2") == "W m-2"
    assert units.accumulated("mm", "kg m-2") is None


def test_every_variable_keeps_its_own_units() -> None:
    for variable in channels.VARIABLES.values():
        assert units.conversion(variable.units, variable.units) == (1.0, 0.0)
        assert variable.units in units.known(variable.units)
    assert set(units.NAMES) <= set(channels.VARIABLES)
    others = [name for names in units.NAMES.values() for name in names]
    assert len(others) == len(set(others))
    assert not set(others) & set(channels.VARIABLES)
