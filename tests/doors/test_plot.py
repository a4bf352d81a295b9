"""Maps: which cell a pixel shows, limits, titles, coasts."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xr_cbottle import plot
from xr_cbottle.grid import healpix

pytest.importorskip("matplotlib")
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def field(zoom=2, standard_name="air_temperature", units="K", values=None, **coords):
    lon, lat = healpix.lonlat(zoom)
    values = 300 - 50 * np.sin(np.deg2rad(lat)) ** 2 + 3 * np.cos(np.deg2rad(lon)) if values is None else values
    attrs = {"units": units, "long_name": "something", "standard_name": standard_name}
    return xr.DataArray(values, coords, ("cell",), "tas", attrs)


def shown(ax):
    (image,) = ax.images
    return image


def forward(lon, lat):
    """Mollweide's projection by Newton's method, to be held against the inverse in the module."""
    angle = np.deg2rad(lat)
    for _ in range(50):
        angle -= (2 * angle + np.sin(2 * angle) - np.pi * np.sin(np.deg2rad(lat))) / (2 + 2 * np.cos(2 * angle))
    return lon / 90 * np.cos(angle), np.sin(angle)


def test_mollweide_is_the_inverse_of_the_projection():
    lon, lat = np.meshgrid(np.linspace(-179, 179, 41), np.linspace(-85, 85, 31))
    back = plot._mollweide(*forward(lon, lat))
    np.testing.assert_allclose(back, (lon, lat), atol=1e-6)
    assert np.isnan(plot._mollweide(np.array([2.01, 1.9]), np.array([0.0, 0.9]))).all()


@pytest.mark.parametrize("scheme", ["nested", "ring"])
def test_a_pixel_shows_the_cell_it_lies_in(scheme):
    import healpy

    numbers = np.arange(192.0)
    crs = xr.DataArray(1, attrs={"grid_mapping_name": "healpix", "indexing_scheme": scheme})
    ax = plot.map(field(values=numbers, crs=crs), width=400, limits=(0, 200))
    image = shown(ax).get_array()
    west, east, south, north = shown(ax).get_extent()
    for lon, lat in [(11.0, 1.0), (-100.0, 40.0), (170.0, -60.0), (30.0, 85.0)]:
        x, y = forward(lon, lat)
        row, column = int((y - south) / (north - south) * len(image)), int((x - west) / (east - west) * 400)
        assert image[row, column] == healpy.ang2pix(4, lon, lat, nest=scheme == "nested", lonlat=True)
    assert image.mask[0, 0]


def test_the_image_keeps_areas():
    _, lat = healpix.lonlat(4)
    image = shown(plot.map(field(4, values=(lat > 30).astype(float)))).get_array()
    assert image.mean() == pytest.approx((lat > 30).mean(), abs=0.005)


@pytest.mark.parametrize(
    ("standard_name", "units", "values", "limits", "label"),
    [
        ("eastward_wind", "m s-1", (-10.0, 20.0), (-20, 20), "m s-1"),
        ("precipitation_flux", "kg m-2 s-1", (-1e-5, 10 / 86400), (0, 10), "mm day-1"),
        ("air_pressure_at_mean_sea_level", "Pa", (99000.0, 101000.0), (990, 1010), "hPa"),
        ("unheard_of", "1", (2.0, 3.0), (2, 3), "1"),
        ("air_temperature", "K", (280.0, 280.0), (279.5, 280.5), "K"),
    ],
)
def test_colours_suit_the_quantity(standard_name, units, values, limits, label):
    low, high = values
    ax = plot.map(field(standard_name=standard_name, units=units, values=np.repeat([low, high], 96)))
    assert shown(ax).get_clim() == pytest.approx(limits)
    (bar,) = [other for other in ax.figure.axes if other is not ax]
    assert bar.get_xlabel() == label


def test_limits_and_colours_may_be_chosen():
    image = shown(plot.map(field(), limits=(200, 300), cmap="gray"))
    assert image.get_clim() == (200, 300)
    assert image.get_cmap().name == "gray"


def test_cells_without_a_value_are_left_out():
    values = np.full(192, 290.0)
    values[:48] = np.nan
    image = shown(plot.map(field(values=values))).get_array()
    assert (~image.mask).sum() < 0.8 * np.pi / 4 * image.size
    plot.map(field(values=np.full(192, np.nan)))


def test_the_title_says_what_where_and_when():
    array = field(time=np.datetime64("1990-07-15T06", "ns"), member=3, pressure=85000)
    assert plot.map(array).get_title() == "something, 1990-07-15 06:00 UTC, member 3"  # tas has no levels
    array.name = "ta"
    assert plot.map(array).get_title() == "something at 850 hPa, 1990-07-15 06:00 UTC, member 3"
    assert plot.map(array, title="mine").get_title() == "mine"


def test_coasts_are_those_of_the_land():
    lon, _ = healpix.lonlat(3)
    assert plot.map(field(), land=lon > 180).collections
    assert not plot.map(field()).collections
    with pytest.raises(ValueError, match="land has the shape"):
        plot.map(field(), land=np.ones(5))


def test_land_is_where_the_sea_has_no_temperature():
    from tests.bottles import sst_cells

    sst = sst_cells(2)
    np.testing.assert_array_equal(plot.land_of(sst, 2), np.isnan(sst.sst.values[0]))


def test_a_geoaxes_is_drawn_on_in_its_own_projection():
    crs = pytest.importorskip("cartopy.crs")
    _, ax = plt.subplots(subplot_kw={"projection": crs.PlateCarree()})
    lon, _ = healpix.lonlat(5)
    image = shown(plot.map(field(5, values=lon), ax=ax, width=360)).get_array()
    assert image.shape == (180, 360)
    shift = (image[90] - (np.arange(360) - 179.5) + 180) % 360 - 180
    assert abs(shift).max() < 4


def test_what_is_no_globe_is_refused():
    with pytest.raises(ValueError, match="choose one of time with isel"):
        plot.map(xr.DataArray(np.zeros((2, 192)), dims=("time", "cell")))
    with pytest.raises(ValueError, match="tas has 100 cells"):
        plot.map(field().isel(cell=slice(100)))
    assert plot.map(field().expand_dims("time")).images


def test_a_panel_of_variables():
    ds = xr.Dataset({"tas": field(), "ua": field(standard_name="eastward_wind"), "pr": field()}, attrs={
        "bottle": "gcm", "label": "jcm", "seed": 5})  # fmt: skip
    figure = plot.panel(ds.assign_coords(time=np.datetime64("1990-01-15", "ns")), ["tas", "ua", "pr"])
    assert figure.get_suptitle() == "gcm, label jcm, seed 5, 1990-01-15 00:00 UTC"
    assert sum(len(ax.images) for ax in figure.axes) == 3
    with pytest.raises(ValueError, match="no variable 'nope'"):
        plot.panel(ds, ["tas", "nope"])


def test_saving_needs_no_display_and_leaves_the_backend(tmp_path):
    before = plt.get_backend()
    plot.save(lambda: plot.map(field()).figure, tmp_path / "new" / "map.png")
    assert (tmp_path / "new" / "map.png").read_bytes().startswith(b"\x89PNG")
    assert plt.get_backend() == before
