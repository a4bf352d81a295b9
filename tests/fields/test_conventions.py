"""Every convention and every user of the reader: the same values, or a sentence; and the table in the documentation."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fields import conventions
from tests.fields.conventions import CELLS, TIMES, USERS, ZOOM, Convention, on_cells, on_latlon, on_levels
from xr_cbottle import diagnostics, plot
from xr_cbottle.evaluation import label_comparison
from xr_cbottle.evaluation.quantity import Quantity
from xr_cbottle.evaluation.reference import open_stored
from xr_cbottle.fields.coarse_fields import read_given
from xr_cbottle.fields.sst import SeaSurfaceTemperature
from xr_cbottle.grid import healpix
from xr_cbottle.training import run_sources
from xr_cbottle.training.source_config import SourceConfig

DOC = Path(__file__).parents[2] / "docs" / "data-formats.md"
Read = tuple[np.ndarray, np.ndarray]  # (time,) and (time, cell NEST) in K


def of_sst(ds: xr.Dataset, folder: Path) -> Read:
    sst = SeaSurfaceTemperature.from_dataset(ds, ZOOM)
    return sst.times, sst.values


def of_downscale(ds: xr.Dataset, folder: Path) -> Read:
    given = read_given(ds, ("T850" if _is_on_levels(ds) else "tas",), ZOOM, "the bottle")
    return given.seconds.astype("datetime64[s]"), given.at(range(len(given.seconds)))[:, 0]


def of_evaluate(ds: xr.Dataset, folder: Path) -> Read:
    stored = open_stored([_written(ds, folder)])
    quantity = Quantity("ta", 85000) if _is_on_levels(ds) else Quantity("tas")
    ours = on_levels("ta") if _is_on_levels(ds) else on_cells("tas")
    label_comparison.comparable(stored, open_stored([_written(ours, folder / "ours")]))
    return stored.times, stored.at(ZOOM).read(quantity).values


def of_train(ds: xr.Dataset, folder: Path) -> Read:
    source = SourceConfig(label="a", files=(_written(ds, folder),), start="1900-01-01", end="2100-01-01")
    with run_sources.opened(source, run_sources.addresses(source)[0]) as instants:
        channel = "T850" if _is_on_levels(ds) else "tas"
        return instants.times, instants.read(np.arange(len(instants.times)), (channel,), ZOOM)[:, 0]


def of_diagnostics(ds: xr.Dataset, folder: Path) -> Read:
    assert diagnostics.zoom(ds.tas) == ZOOM
    return ds.time.values, ds.tas.transpose("time", "cell").values


def of_plot(ds: xr.Dataset, folder: Path) -> Read:
    """A map shows what it shows of the same field in our form: the pictures stand for the values."""
    with_agg = pytest.importorskip("matplotlib.pyplot")
    with_agg.switch_backend("agg")
    pictures = []
    for shown in (ds.tas, on_cells("tas").tas):
        axes = plot.map(shown.isel(time=1), width=240, limits=(280, 305))
        pictures.append(axes.images[0].get_array().filled(-1))
        with_agg.close("all")
    np.testing.assert_array_equal(*pictures)
    return TIMES, on_cells("tas").tas.values


READERS: dict[str, Callable[[xr.Dataset, Path], Read]] = dict(
    zip(USERS, (of_sst, of_downscale, of_evaluate, of_train, of_diagnostics, of_plot), strict=True)
)


def _is_on_levels(ds: xr.Dataset) -> bool:
    return "ta" in ds


def _written(ds: xr.Dataset, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    ds.to_netcdf(folder / "given.nc")
    return str(folder / "given.nc")


ALL = [convention for table in conventions.TABLES.values() for convention in table]


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("convention", ALL, ids=lambda one: one.text)
def test_same_values_or_a_sentence(convention: Convention, user: str, tmp_path: Path) -> None:
    outcome = convention.outcomes[USERS.index(user)]
    if outcome == "-":
        pytest.skip("does not reach it")
    name = "sst" if user == "sst=" else "tas"
    ds = convention.change(convention.base(name), name)
    if outcome not in ("read", "converted"):
        with pytest.raises(ValueError, match=outcome) as caught:
            READERS[user](ds, tmp_path)
        assert "\n" not in str(caught.value)
        return
    times, values = READERS[user](ds, tmp_path)
    order = np.argsort(times)
    expected = on_cells(name)[name].values
    np.testing.assert_array_equal(times[order].astype("datetime64[s]"), _expected_times(convention))
    tolerance = 0 if outcome == "read" else convention.tolerance
    np.testing.assert_allclose(values[order], expected, rtol=0, atol=tolerance)


def _expected_times(convention: Convention) -> np.ndarray:
    if "360_day" in convention.text:
        return np.array([f"2001-0{month}-16" for month in (1, 2, 3, 4)], "datetime64[s]")
    return TIMES.astype("datetime64[s]")


def test_the_documentation_has_the_table() -> None:
    text = DOC.read_text()
    for title, table in conventions.TABLES.items():
        (block,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.S | re.M)
        rows = [line.strip("| ") for line in block.splitlines() if line.startswith("| ")]
        assert rows[0] == " | ".join(["", *USERS]).strip("| ")
        assert rows[1:] == [convention.row for convention in table], title


# Orders and orientations -----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31), said=st.sampled_from(["healpix_order", "indexing_scheme"]), is_ring=st.booleans(),
    numbered=st.booleans(), where=st.sampled_from(["crs", "cell", "array"]),
)  # fmt: skip
def test_any_order_that_is_said_is_put_right(seed: int, said: str, is_ring: bool, numbered: bool, where: str) -> None:
    ds = on_cells("tas")
    base = conventions.ring(ds) if is_ring else ds
    order = "ring" if is_ring else "nested"
    attrs = {said: order}
    base = base.assign_coords(cell=("cell", np.arange(CELLS), attrs if where == "cell" else {}))
    if where == "crs":
        base = base.assign_coords(crs=((), 0, attrs))
    elif where == "array":
        base.tas.attrs |= attrs
    if numbered:
        base = base.isel(cell=np.random.default_rng(seed).permutation(CELLS))
    else:
        base = base.assign_coords(cell=("cell", np.arange(CELLS), attrs if where == "cell" else {}))
    given_ = read_given(base, ("tas",), ZOOM, "x")
    np.testing.assert_array_equal(given_.at([0, 2])[:, 0], ds.tas.values[[0, 2]])


@settings(max_examples=25, deadline=None)
@given(
    north=st.booleans(), shift=st.integers(0, 359), west=st.booleans(), wrapped=st.booleans(),
    dims=st.permutations(["time", "lat", "lon"]),
)  # fmt: skip
def test_any_orientation_gives_the_same_cells(north: bool, shift: int, west: bool, wrapped: bool, dims: list) -> None:
    base = on_latlon("tas")
    ds = base.roll(lon=shift, roll_coords=True)
    if west:
        ds = ds.assign_coords(lon=(ds.lon + 180) % 360 - 180)
    if not north:
        ds = ds.isel(lat=slice(None, None, -1))
    if wrapped:
        first = ds.isel(lon=[0])
        ds = xr.concat([ds, first.assign_coords(lon=first.lon + 360)], "lon", data_vars="all")
    got = read_given(ds.transpose(*dims), ("tas",), ZOOM, "x").at([1])
    np.testing.assert_array_equal(got, read_given(base, ("tas",), ZOOM, "x").at([1]))


def test_ring_sst_draws_what_nested_draws() -> None:
    """The same key, so the same cached instants; and the same land."""
    from xr_cbottle import Cube

    field = on_cells("sst").where(healpix.lonlat(ZOOM)[1] < 60)
    nested = Cube("gcm", sst=field)
    for said in ("healpix_order", "indexing_scheme"):
        ring = Cube("gcm", sst=conventions.ring(field, **{said: "ring"}))
        np.testing.assert_array_equal(ring.sst.values, nested.sst.values)
        np.testing.assert_array_equal(ring.sst.land, nested.sst.land)
        assert ring.spec.token == nested.spec.token


# Holes -----------------------------------------------------------------------------------------------------------


def with_hole(size: int) -> xr.Dataset:
    ds = on_latlon("tas")
    ds.tas[:, 60 : 60 + size, 100 : 100 + size] = np.nan
    return ds


@pytest.mark.parametrize("size", [1, 6, 12])
def test_a_hole_is_never_filled(size: int, tmp_path: Path) -> None:
    """The field is far from what it is at the rim, so that a filled value would show."""
    ds = with_hole(size)
    with pytest.raises(ValueError, match="tas has missing values, and super-resolution needs all of the globe"):
        of_downscale(ds, tmp_path)
    whole = on_latlon("tas")
    for read in (of_evaluate, of_train):
        values, expected = read(ds, tmp_path)[1], read(whole, tmp_path)[1]
        missing = np.isnan(values)
        assert 0 < missing[0].sum() < CELLS / 10
        np.testing.assert_array_equal(values[~missing], expected[~missing])


def test_a_row_of_a_pole_without_values_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    ds = on_latlon("tas").interp(lat=np.linspace(90, -90, 181), kwargs={"fill_value": "extrapolate"})
    expected = of_downscale(ds.isel(lat=slice(1, None)), tmp_path)[1]
    ds.tas[:, 0] = np.nan
    np.testing.assert_array_equal(of_downscale(ds, tmp_path)[1], expected)


def test_a_hole_of_finer_cells_is_not_averaged_away(tmp_path: Path) -> None:
    fine = xr.Dataset(
        {"tas": (("time", "cell"), np.full((4, healpix.n_cells(ZOOM + 1)), 280.0), {"units": "K"})}, {"time": TIMES}
    )
    fine.tas[:, 7] = np.nan
    with pytest.raises(ValueError, match="tas has missing values"):
        of_downscale(fine, tmp_path)


def test_fill_values_that_are_not_decoded_are_missing(tmp_path: Path) -> None:
    ds = on_cells("sst")
    ds.sst[:, :9] = -1e30
    ds.sst.attrs["missing_value"] = np.float32(-1e30)
    assert np.isnan(of_sst(ds, tmp_path)[1]).sum() == 9 * len(TIMES)


def test_marks_that_are_no_temperature_are_refused_in_any_month(tmp_path: Path) -> None:
    """HadISST marks ice by -1000, and perhaps not in the first month."""
    ds = on_cells("sst")
    ds.sst[2, :9] = -1000
    with pytest.raises(ValueError, match=r"ranges from -1000.0 to .* marks such as -1000 are NaN"):
        of_sst(ds, tmp_path)


# Units and signs through a user ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "units", "stored", "channel", "ours"),
    [
        ("msl", "Pascal", 1e5, "psl", 1e5),
        ("mean_sea_level_pressure", "millibars", 1e3, "psl", 1e5),
        ("10m_u_component_of_wind", "knots", 10.0, "uas", 5.144444),
        ("precip", "mm/d", 8.64, "pr", 1e-4),
        ("pr", "kg s-1 m-2", 1e-4, "pr", 1e-4),
        ("prate", "kg.m-2.s-1", 1e-4, "pr", 1e-4),
        ("PRECT", "m/s", 1e-7, "pr", 1e-4),
        ("mean_top_net_long_wave_radiation_flux", "W m**-2", -240.0, "rlut", 240.0),
        ("toa_lw_all_mon", "W m-2", 240.0, "rlut", 240.0),
        ("cldarea_total_daynight_mon", "percent", 60.0, "clt", 0.6),
        ("total_column_water_vapour", "kg m**-2", 20.0, "prw", 20.0),
    ],
)
def test_products(name: str, units: str, stored: float, channel: str, ours: float, tmp_path: Path) -> None:
    ds = xr.Dataset({name: (("time", "cell"), np.full((4, CELLS), stored), {"units": units})}, {"time": TIMES})
    given_ = read_given(ds, (channel,), ZOOM, "x")
    np.testing.assert_allclose(given_.at([0])[0, 0], ours, rtol=1e-5)
    path = _written(ds, tmp_path)
    np.testing.assert_allclose(open_stored([path]).read(Quantity(channel)).values, ours, rtol=1e-5)
    source = SourceConfig(label="a", files=(path,), start="1900-01-01", end="2100-01-01")
    with run_sources.opened(source, path) as instants:
        np.testing.assert_allclose(instants.read(np.arange(4), (channel,), ZOOM), ours, rtol=1e-5)


def test_a_level_of_its_own_is_not_the_surface(tmp_path: Path) -> None:
    """The temperature at 850 hPa has the standard name of that at two metres."""
    ds = on_cells("tas").rename(tas="t850")
    ds.t850.attrs["standard_name"] = "air_temperature"
    with pytest.raises(ValueError, match="the data set has no tas"):
        of_downscale(ds, tmp_path)
    np.testing.assert_array_equal(read_given(ds, ("T850",), ZOOM, "x").at([0])[0, 0], ds.t850.values[0])
