"""Change between two climates, and trends, on fields whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from tests import evaluation_data
from xr_cbottle import diagnostics
from xr_cbottle.grid import healpix

LON, LAT = healpix.lonlat(2)
LAND = LON < 120


def cells(values, units="K"):
    return xr.DataArray(np.asarray(values, float) * np.ones(192), dims="cell", name="tas", attrs={"units": units})


def test_ratios_of_a_warming():
    warming = cells(np.where(LAND, 3.0, 2.0))
    assert float(diagnostics.land_sea_ratio(warming, LAND)) == pytest.approx(1.5)
    polar = diagnostics.polar_amplification(cells(np.where(abs(LAT) >= 60, 4.0, 1.0)))
    share = (abs(LAT) >= 60).mean()
    assert float(polar) == pytest.approx(4 / (4 * share + 1 - share))
    rain = diagnostics.per_kelvin(cells(0.12), cells(3.0), cells(2.0))
    assert float(rain) == pytest.approx(2)
    assert rain.attrs["units"] == "% K-1"
    assert diagnostics.land_sea_ratio(xr.concat([warming, warming], "member"), LAND).dims == ("member",)


def test_a_trend_is_per_decade_whatever_years_there_are():
    when = np.concatenate([evaluation_data.times(f"{year}-01-01", 360, 720) for year in (1979, 1982, 1994)])
    steady = xr.DataArray(np.ones((len(when), 192)), {"time": when}, ("time", "cell"), "tas", {"units": "K"})
    rising = steady + 0.05 * (steady["time"].dt.year - 1979) + np.sin(2 * np.pi * steady["time"].dt.dayofyear / 365)
    found = diagnostics.trend(rising.transpose("time", "cell").assign_attrs(units="K"))
    np.testing.assert_allclose(found, 0.5, atol=2e-3)
    assert (found.attrs["units"], found.attrs["first"], found.attrs["last"]) == ("K decade-1", 1979, 1994)
    with pytest.raises(ValueError, match="three years or more, and there are 2"):
        diagnostics.trend(steady.isel(time=slice(0, 14)))


def test_variance_within_months_knows_neither_seasons_nor_years():
    when = evaluation_data.times("1981-01-01", 720, 24)
    rng = np.random.default_rng(0)
    noise = xr.DataArray(rng.standard_normal((len(when), 50)), {"time": when}, ("time", "cell"), "tas", {"units": "K"})
    month = noise["time"].dt.month + 3.0 * noise["time"].dt.year
    found = diagnostics.submonthly_variance((noise + 10 * month).assign_attrs(units="K"))
    assert float(found.mean()) == pytest.approx(1, abs=0.02)
    assert found.attrs["units"] == "K2"
    few = diagnostics.submonthly_variance(noise.isel(time=slice(0, None, 15)))  # two a month: without bias
    assert float(few.mean()) == pytest.approx(1, abs=0.08)
    with pytest.raises(ValueError, match="no month has two instants"):
        diagnostics.submonthly_variance(noise.isel(time=slice(0, None, 40)))
