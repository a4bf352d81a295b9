"""Channels of a network and the variables that users read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from xr_cbottle.fields import channels

COARSE = [f"{x}{p}" for x in "UVTZ" for p in (1000, 850, 700, 500, 300, 200, 50, 10)] + (
    ["tcwv", "cllvi", "clivi", "tas", "uas", "vas", "rlut", "rsut", "pres_msl", "pr", "rsds", "sst", "sic"]
)


def test_geopotential_becomes_height():
    z = channels.parse("Z850")
    assert (z.variable.name, z.level, z.variable.units) == ("zg", 85000, "m")
    assert z.factor == pytest.approx(1 / 9.80665)


def test_cbottle_channels_as_variables():
    layouts = channels.variables(COARSE)
    assert list(layouts) == (
        [
            "ua",
            "va",
            "ta",
            "zg",
            "prw",
            "clwvi",
            "clivi",
            "tas",
            "uas",
            "vas",
            "rlut",
            "rsut",
            "psl",
            "pr",
            "rsds",
            "sst",
            "siconc",
        ]
    )
    assert layouts["ta"].pressures == (1000, 5000, 20000, 30000, 50000, 70000, 85000, 100000)
    assert [COARSE[i] for i in layouts["ta"].channels][:2] == ["T10", "T50"]
    assert layouts["tas"].pressures is None
    assert layouts["tas"].channels == (COARSE.index("tas"),)
    assert {name for name, v in layouts.items() if v.variable.ocean_only} == {"sst", "siconc"}


@pytest.mark.parametrize("name", [*COARSE, "Q500", "clt", "ts", "wap500", "hfls"])
def test_channel_name_is_the_inverse_of_parse(name):
    channel = channels.parse(name)
    assert channels.channel_name(channel.variable.name, channel.level) == name


def test_variables_own_names_are_channels_too():
    assert channels.parse("psl").variable.name == "psl"
    zg = channels.parse("zg500")
    assert (zg.variable.name, zg.level, zg.factor) == ("zg", 50000, 1.0)


def test_every_variable_has_attributes():
    for variable in channels.VARIABLES.values():
        assert all(variable.attrs.values()), variable.name
        assert {"units", "long_name"} <= set(variable.attrs)


def test_different_levels_share_one_axis():
    layouts = channels.variables(["T850", "T500", "U500", "U250", "tas"])
    assert channels.pressure_axis(layouts) == (25000, 50000, 85000)
    assert layouts["ua"].pressures == (25000, 50000)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: channels.parse("X850"), "unknown channel 'X850'"),
        (lambda: channels.parse("T"), "pressure in hPa"),
        (lambda: channels.parse("ta"), "pressure in hPa"),
        (lambda: channels.parse("T0"), "unknown channel"),
        (lambda: channels.parse("tas850"), "unknown channel"),
        (lambda: channels.variables(["psl", "pres_msl"]), "another channel is already"),
        (lambda: channels.variables(["Z500", "zg850"]), "differ in unit"),
        (lambda: channels.channel_name("temp"), "choose one of ua"),
        (lambda: channels.channel_name("ta"), "needs a pressure in Pa"),
        (lambda: channels.channel_name("ta", 85050), "multiple of 100"),
        (lambda: channels.channel_name("tas", 85000), "no pressure levels"),
    ],
)
def test_errors(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_needs_nothing():
    code = "import sys, xr_cbottle.fields.channels; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
