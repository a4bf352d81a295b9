"""What all diagnostics have in common: names, units, laziness, and what their results must not depend on."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests import analytic_fields
from xr_cbottle import diagnostics

BINS = (np.linspace(250, 330, 9), np.linspace(0, 3e-4, 7))

# Each takes a data set to an array or a data set.
LAZY = {
    "season": lambda ds: diagnostics.season(ds.tas, "JJA"),
    "climatology": lambda ds: diagnostics.climatology(ds.ta),
    "climatology_of_a_season": lambda ds: diagnostics.climatology(ds.tas, "DJF"),
    "global_mean": lambda ds: diagnostics.global_mean(ds.ta),
    "area_mean": lambda ds: diagnostics.area_mean(ds.tas, diagnostics.lonlat(ds.tas)[1] > 0),
    "zonal_mean": lambda ds: diagnostics.zonal_mean(ds.ta, 6),
    "bias": lambda ds: diagnostics.bias(ds.tas, ds.ts),
    "rmse": lambda ds: diagnostics.rmse(ds.tas, ds.ts),
    "rmse_map": lambda ds: diagnostics.rmse(ds.tas, ds.ts, "time"),
    "pattern_correlation": lambda ds: diagnostics.pattern_correlation(ds.tas, ds.ts),
    "standard_deviation": lambda ds: diagnostics.standard_deviation(ds.psl),
    "variability_by_time_scale": lambda ds: diagnostics.variability_by_time_scale(ds.tas, (20, 400)),
    "power_spectrum": lambda ds: diagnostics.power_spectrum(ds.tas.isel(time=slice(20))),
    "seasonal_cycle": lambda ds: diagnostics.seasonal_cycle(ds.tas),
    "seasonal_cycle_of_bands": lambda ds: diagnostics.seasonal_cycle(ds.ta, bands=4, harmonics=2),
    "diurnal_cycle": lambda ds: diagnostics.diurnal_cycle(ds.rsds, hours=8),
    "subsolar_longitude": lambda ds: diagnostics.subsolar_longitude(ds.rsds),
    "quantiles": lambda ds: diagnostics.quantiles(ds.pr, [0.01, 0.5, 0.999]),
    "quantiles_of_bands": lambda ds: diagnostics.quantiles(ds.ta, 0.9, bands=3),
    "wet_days": lambda ds: diagnostics.wet_days(ds.pr),
    "return_values": lambda ds: diagnostics.return_values(ds.tas, [0.1, 5], step="P1D", n=3, block=4),
    "nino34": lambda ds: diagnostics.nino34(ds),
    "monthly": lambda ds: diagnostics.monthly(ds.tas),
    "anomalies": lambda ds: diagnostics.anomalies(diagnostics.monthly(ds.ta)),
    "regression": lambda ds: diagnostics.regression(ds.tas, diagnostics.nino34(ds)),
    "correlation": lambda ds: diagnostics.correlation(ds.tas, ds.ts),
    "joint_distribution": lambda ds: diagnostics.joint_distribution(ds.tas, ds.pr, BINS),
    "hydrostatic_residual": lambda ds: diagnostics.hydrostatic_residual(ds),
    "geostrophic_residual": lambda ds: diagnostics.geostrophic_residual(ds.isel(time=slice(20))),
    "water_budget": lambda ds: diagnostics.water_budget(ds),
    "radiation_budget": lambda ds: diagnostics.radiation_budget(ds),
    "crps": lambda ds: diagnostics.crps(members(ds), ds.tas),
    "rank_histogram": lambda ds: diagnostics.rank_histogram(members(ds), ds.tas),
    "spread_error": lambda ds: diagnostics.spread_error(members(ds), ds.tas),
    "halves": lambda ds: diagnostics.halves(ds.tas)[1],
    "noise_floor": lambda ds: diagnostics.noise_floor(
        lambda a, b: diagnostics.rmse(diagnostics.climatology(a), diagnostics.climatology(b)),
        *diagnostics.halves(ds.tas), instants=60,
    ),
}  # fmt: skip
EAGER = {
    "eofs": lambda ds: diagnostics.eofs(ds.psl, 2),
    "bootstrap": lambda ds: diagnostics.bootstrap(diagnostics.climatology, ds.tas, n=3),
}
IN_ORDER = {
    "variability_by_time_scale", "return_values", "halves", "noise_floor",
    "power_spectrum", "geostrophic_residual", "rank_histogram",
}  # fmt: skip
"""What depends on the order of the instants: they are a series, resampled, or the first of them are taken above."""


def members(ds: xr.Dataset) -> xr.DataArray:
    return xr.concat([ds.tas, ds.ts, ds.ts + 1], "member", coords="minimal", compat="override")


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return analytic_fields.dataset()


@pytest.fixture(scope="module")
def expected(ds: xr.Dataset) -> dict:
    return {name: function(ds) for name, function in (LAZY | EAGER).items()}


def arrays(result) -> list[xr.DataArray]:
    return list(result.data_vars.values()) if isinstance(result, xr.Dataset) else [result]


@pytest.mark.parametrize("name", LAZY | EAGER)
def test_a_result_says_what_it_is(name: str, expected: dict) -> None:
    for array in arrays(expected[name]):
        assert array.attrs["units"]
        assert array.attrs["long_name"]
        assert array.notnull().any()
        assert list(array.dims) == sorted(array.dims, key=lambda d: {"mode": -1, "time": 0, "cell": 2}.get(d, 1))
        xr.Dataset({"x": array}).to_netcdf()  # no attribute that a file cannot hold


@pytest.mark.parametrize("name", LAZY)
def test_nothing_is_read_before_the_result_is(name: str, ds: xr.Dataset, expected: dict) -> None:
    result = LAZY[name](analytic_fields.unreadable(ds))
    for array, known in zip(arrays(result), arrays(expected[name]), strict=True):
        assert array.dims == known.dims
        assert array.shape == known.shape
        if array.name != "rsdt":
            assert array.chunks is not None
    with pytest.raises(AssertionError, match="a block was read"):
        result.compute()


@settings(max_examples=20, phases=[Phase.generate])
@given(st.sampled_from(sorted(LAZY | EAGER)), st.integers(60, 400), st.sampled_from([48, 100, 192]))
def test_chunks_change_nothing(ds: xr.Dataset, expected: dict, name: str, time: int, cell: int) -> None:
    result = (LAZY | EAGER)[name](ds.chunk(time=time, cell=cell)).compute()
    for got, known in zip(arrays(result), arrays(expected[name]), strict=True):
        xr.testing.assert_allclose(got, known, rtol=1e-6, atol=1e-9)


@settings(max_examples=20, phases=[Phase.generate])
@given(st.sampled_from(sorted(LAZY.keys() - IN_ORDER)), st.randoms(use_true_random=False))
def test_the_order_of_times_changes_nothing(ds: xr.Dataset, expected: dict, name: str, random) -> None:
    order = list(range(ds.sizes["time"]))
    random.shuffle(order)
    for got, known in zip(arrays(LAZY[name](ds.isel(time=order))), arrays(expected[name]), strict=True):
        got = got.sortby("time") if "time" in got.dims else got
        xr.testing.assert_allclose(got, known, rtol=1e-6, atol=1e-9)


def test_members_are_kept(ds: xr.Dataset) -> None:
    ensemble = members(ds)
    for function in (diagnostics.climatology, diagnostics.standard_deviation, diagnostics.power_spectrum):
        few = ensemble.isel(time=slice(9))
        xr.testing.assert_allclose(function(few).isel(member=0), function(few[0]))
    cycle = diagnostics.diurnal_cycle(ensemble, hours=6)
    assert set(cycle.composite.dims) == {"member", "hour"}
    np.testing.assert_allclose(cycle.amplitude[0], diagnostics.diurnal_cycle(ds.tas, hours=6).amplitude)


def test_single_precision_is_not_lost_in_means() -> None:
    """A mean in float32 of many pressures is off by tens of pascals."""
    stamps = analytic_fields.times(200)
    values = np.random.default_rng(0).standard_normal((200, 3072)).astype(np.float32) * 100 + np.float32(101325)
    psl = analytic_fields.field(values, stamps, "psl")
    exact = values.astype(np.float64)
    np.testing.assert_allclose(diagnostics.climatology(psl), exact.mean(0), rtol=1e-13)
    np.testing.assert_allclose(diagnostics.global_mean(psl), exact.mean(1), rtol=1e-13)
    np.testing.assert_allclose(diagnostics.standard_deviation(psl), exact.std(0, ddof=1), rtol=1e-10)


def test_public_names_are_documented() -> None:
    for name in diagnostics.__all__:
        value = getattr(diagnostics, name)
        assert name == "SEASONS" or len(value.__doc__) > 60, name
    assert list(diagnostics.__all__) == sorted(diagnostics.__all__, key=lambda n: (n.upper() != n, n))


def test_importing_is_light() -> None:
    heavy = ("torch", "healpy", "matplotlib", "xeofs", "sklearn", "scipy", "flox")
    script = f"import xr_cbottle.diagnostics, sys; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_nothing_warns(ds: xr.Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for function in (LAZY | EAGER).values():
            function(ds)
