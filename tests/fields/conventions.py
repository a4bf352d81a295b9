"""Conventions of data sets, and what each user of the reader does with them: the table of docs/data-formats.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from tests.fields.test_coarse_fields import analytic
from xr_cbottle.grid import healpix

ZOOM = 3
CELLS = healpix.n_cells(ZOOM)
TIMES = np.array(["2001-01-16T12", "2001-02-15", "2001-03-16T12", "2001-04-16"], "datetime64[ns]")
USERS = ("sst=", "downscale", "evaluate", "train", "diagnostics", "plot")
CUT = "cell of .* does not count the cells|cells along"


def on_cells(name: str) -> xr.Dataset:
    """A smooth field of 282 to 302 K on the cells of NEST order, another each time."""
    field = 290 + 6 * analytic(*healpix.lonlat(ZOOM)) + np.arange(len(TIMES))[:, None]
    return xr.Dataset({name: (("time", "cell"), field.astype("f4"), {"units": "K"})}, {"time": TIMES})


def on_latlon(name: str) -> xr.Dataset:
    """The same field on one degree, from the north and from 0 east."""
    lat, lon = np.arange(89.5, -90, -1.0), np.arange(0.0, 360, 1.0)
    field = 290 + 6 * analytic(*np.meshgrid(lon, lat)) + np.arange(len(TIMES))[:, None, None]
    return xr.Dataset(
        {name: (("time", "lat", "lon"), field.astype("f4"), {"units": "K"})}, {"time": TIMES, "lat": lat, "lon": lon}
    )


def on_levels(name: str) -> xr.Dataset:
    """The same field as air temperature at 850 hPa; 30 K less at 500 hPa. It has no SST."""
    at_850 = on_cells(name)[name]
    ta = xr.concat([at_850 - 30, at_850], xr.DataArray([50000, 85000], dims="pressure", name="pressure"))
    ta = ta.transpose("time", "pressure", "cell").assign_attrs(units="K")
    ds = ta.rename("ta").to_dataset()
    ds["pressure"].attrs["units"] = "Pa"
    return ds


@dataclass(frozen=True)
class Convention:
    """One way in which data sets are written.

    Attributes
    ----------
    text
        In the table.
    change
        Makes it of a data set of the base and the variable's name.
    outcomes
        What `USERS` do: "read" (the same values), "converted" (the same within what the conversion allows), "-" (it
        does not reach them), or else words of the sentence by which it is refused.
    base
        The data set that is changed.
    tolerance
        Of converted values, K.
    """

    text: str
    change: Callable[[xr.Dataset, str], xr.Dataset]
    outcomes: tuple[str, str, str, str, str, str]
    base: Callable[[str], xr.Dataset] = on_cells
    tolerance: float = 1e-3

    @property
    def row(self) -> str:
        """The row of the table."""
        words = ("read", "converted", "-")
        return " | ".join([self.text, *(one if one in words else "refused" for one in self.outcomes)])


def ring(ds: xr.Dataset, **crs: object) -> xr.Dataset:
    """Cells in RING order, said by attributes of a coordinate crs."""
    import healpy

    ds = ds.isel(cell=healpy.ring2nest(2**ZOOM, np.arange(CELLS)))
    return ds.assign_coords(crs=((), 0, {"grid_mapping_name": "healpix", **crs})) if crs else ds


def shuffled() -> np.ndarray:
    return np.random.default_rng(1).permutation(CELLS)


def numbered_ring(ds: xr.Dataset) -> xr.Dataset:
    """Cells with their RING numbers, in no order."""
    made = ring(ds, indexing_scheme="ring")
    return made.assign_coords(cell=np.arange(CELLS)).isel(cell=shuffled())


def of_array(ds: xr.Dataset, name: str, **attrs: object) -> xr.Dataset:
    made = ds.copy()
    made[name].attrs |= attrs
    return made


def placed(ds: xr.Dataset, nest: bool) -> xr.Dataset:
    """Latitudes and longitudes of the cells, and nothing that says their order."""
    lon, lat = healpix.lonlat(ZOOM)
    made = ds.assign_coords(lat=("cell", lat), lon=("cell", lon))
    return made if nest else ring(made)


def curvilinear(ds: xr.Dataset) -> xr.Dataset:
    lat, lon = np.meshgrid(ds.lat, ds.lon, indexing="ij")
    made = ds.drop_vars(["lat", "lon"]).rename(lat="j", lon="i")
    return made.assign_coords(latitude=(("j", "i"), lat), longitude=(("j", "i"), lon))


def unstructured(ds: xr.Dataset) -> xr.Dataset:
    made = ds.isel(lat=slice(0, 180, 9), lon=slice(0, 360, 9)).stack(ncol=("lat", "lon"))
    lat, lon = made.lat.values, made.lon.values
    return made.drop_vars(["ncol", "lat", "lon"]).assign_coords(lat=("ncol", lat), lon=("ncol", lon))


def cds(ds: xr.Dataset) -> xr.Dataset:
    """As the CDS gives ERA5 since 2024."""
    made = ds.rename(time="valid_time", lat="latitude", lon="longitude").assign_coords(number=0)
    return made.assign_coords(expver=("valid_time", ["0001"] * len(TIMES)))


def cfgrib(ds: xr.Dataset) -> xr.Dataset:
    """As cfgrib gives forecasts of six hours."""
    attrs = {"standard_name": "forecast_reference_time"}
    made = ds.assign_coords(time=("time", TIMES - np.timedelta64(6, "h"), attrs), step=np.timedelta64(6, "h"))
    return made.assign_coords(valid_time=("time", TIMES, {"standard_name": "time"}), surface=0.0)


def nameless(ds: xr.Dataset) -> xr.Dataset:
    for name in ("time", "valid_time"):
        ds[name].attrs.clear()
    return ds


def days_of_360(ds: xr.Dataset, day: int) -> xr.Dataset:
    import cftime

    return ds.assign_coords(time=[cftime.Datetime360Day(2001, month, day) for month in (1, 2, 3, 4)])


def undecoded(ds: xr.Dataset) -> xr.Dataset:
    hours = (TIMES - np.datetime64("1900-01-01")) / np.timedelta64(1, "h")
    return ds.assign_coords(time=("time", hours, {"units": "hours since 1900-01-01"}))


def packed(ds: xr.Dataset, name: str) -> xr.Dataset:
    """As opened with mask_and_scale=False."""
    attrs = {"scale_factor": 0.001, "add_offset": 290.0, "_FillValue": np.int16(-32768), "units": "K"}
    made = ds.copy()
    made[name] = (ds[name].dims, np.round((ds[name].values - 290) / 0.001).astype("i2"), attrs)
    return made


def in_units(units: str, factor: float = 1.0, offset: float = -273.15) -> Callable[[xr.Dataset, str], xr.Dataset]:
    def change(ds: xr.Dataset, name: str) -> xr.Dataset:
        made = ds.copy()
        made[name] = (ds[name].astype("f8") * factor + offset).assign_attrs(units=units)
        return made

    return change


def called(tas: str, sst: str) -> Callable[[xr.Dataset, str], xr.Dataset]:
    return lambda ds, name: ds.rename({name: {"tas": tas, "sst": sst}[name]})


def by_standard_name(ds: xr.Dataset, name: str) -> xr.Dataset:
    standard = {"tas": "air_temperature", "sst": "sea_surface_temperature"}[name]
    made = of_array(ds, name, standard_name=standard).rename({name: "field"})
    return made.assign(field_bnds=(("time", "bnds"), np.zeros((len(TIMES), 2))))


def levels(
    name: str, values: list[float], units: str | None, order: int = 1
) -> Callable[[xr.Dataset, str], xr.Dataset]:
    def change(ds: xr.Dataset, _: str) -> xr.Dataset:
        attrs = {} if units is None else {"units": units}
        made = ds.assign_coords(pressure=("pressure", values, attrs)).isel(pressure=slice(None, None, order))
        return made.rename(pressure=name)

    return change


def square(dim: str, size: int = 1) -> Callable[[xr.Dataset, str], xr.Dataset]:
    return lambda ds, name: ds.assign({name: ds[name].expand_dims({dim: np.arange(float(size))}, axis=1)})


def _same(*outcomes: str) -> tuple[str, str, str, str, str, str]:
    """Outcomes of four users of data sets, and of diagnostics and plot."""
    first, *others = outcomes
    data, (cells, drawn) = (first,) * 4, others or ("-", "-")
    return (*data, cells, drawn)


_NOT_NEST = "not in NEST order"
_TO_CELLS = "a HEALPix field has a dimension cell"
_NO_MAP = "a map shows one field and this has dimensions"
_RING = _same("converted", _NOT_NEST, "converted")
_LATLON = _same("converted", _TO_CELLS, _NO_MAP)
_READ = _same("read")

GRIDS = [
    Convention("dimension `cell`, nothing said: nested", lambda ds, _: ds, _same("read", "read", "read")),
    Convention(
        "nested by `crs.healpix_order`",
        lambda ds, _: ds.assign_coords(crs=((), 0, {"healpix_nside": 8, "healpix_order": "nest"})),
        _same("read", "read", "read"),
    ),
    Convention("ring by `crs.healpix_order`", lambda ds, _: ring(ds, healpix_order="ring"), _RING),
    Convention(
        "ring by `crs.indexing_scheme` (CF 1.13)",
        lambda ds, _: ring(ds, refinement_level=ZOOM, indexing_scheme="ring"),
        _RING,
    ),
    Convention(
        "ring by an attribute of the data set",
        lambda ds, _: ring(ds).assign_attrs(healpix_order="RING"),
        _same("converted", "-", "-"),
    ),
    Convention(
        "ring by attributes of `cell_ids` (xdggs)",
        lambda ds, _: ring(ds).assign_coords(
            cell_ids=("cell", np.arange(CELLS), {"grid_name": "healpix", "indexing_scheme": "ring", "level": ZOOM})
        ),
        _RING,
    ),
    Convention(
        "ring by attributes of GRIB (cfgrib)",
        lambda ds, name: of_array(ring(ds), name, GRIB_gridType="healpix", GRIB_orderingConvention="ring"),
        _RING,
    ),
    Convention(
        "ring by the grid's name, `H8` (ECMWF)", lambda ds, name: of_array(ring(ds), name, gridSpec="H8"), _RING
    ),
    Convention(
        "nested by the grid's name, `H8_nested`",
        lambda ds, name: of_array(ds, name, gridSpec="H8_nested"),
        _same("read", "read", "read"),
    ),
    Convention(
        "ring by latitudes and longitudes of the cells, nothing said",
        lambda ds, _: placed(ds, nest=False),
        _RING,
    ),
    Convention(
        "nested by latitudes and longitudes of the cells, nothing said",
        lambda ds, _: placed(ds, nest=True),
        _same("read", "read", "read"),
    ),
    Convention(
        "ring and nested both said",
        lambda ds, _: ring(ds, healpix_order="nest", indexing_scheme="ring"),
        _same("said to be in two orders", "said to be in two orders", "said to be in two orders"),
    ),
    Convention(
        "another order (`zuniq`)",
        lambda ds, _: ds.assign_coords(crs=((), 0, {"indexing_scheme": "zuniq"})),
        _same("are in another order", "are in another order", "are in another order"),
    ),
    Convention(
        "cells in any order, with their numbers",
        lambda ds, _: ds.assign_coords(cell=np.arange(CELLS)).isel(cell=shuffled()),
        _same("converted", "sort them with sortby", "converted"),
    ),
    Convention("cells in any order, with their numbers in ring order", lambda ds, _: numbered_ring(ds), _RING),
    Convention(
        "a part of the globe, with the cells' numbers",
        lambda ds, _: ds.assign_coords(cell=np.arange(CELLS)).isel(cell=slice(100, 300)),
        _same(CUT, CUT, CUT),
    ),
    Convention(
        "a part of a finer globe, as many cells as a whole one",
        lambda ds, _: ds.assign_coords(cell=np.arange(CELLS) + 768),
        _same(CUT, CUT, CUT),
    ),
    *(
        Convention(f"dimension `{dim}`", lambda ds, _, dim=dim: ds.rename(cell=dim), _same("read", _TO_CELLS, "read"))
        for dim in ("cells", "ncells", "pix", "pixel", "value", "values", "healpix", "hpx", "hp_cell", "cell_ids")
    ),
    Convention(
        "dimension of any name, with a `crs` of HEALPix",
        lambda ds, _: ds.rename(cell="x").assign_coords(crs=((), 0, {"grid_mapping_name": "healpix"})),
        _same("read", _TO_CELLS, "read"),
    ),
    Convention("latitudes from the north, longitudes from 0", lambda ds, _: ds, _LATLON, on_latlon, 0.1),
    Convention(
        "latitudes from the south, longitudes from -180",
        lambda ds, _: ds.isel(lat=slice(None, None, -1)).roll(lon=180).assign_coords(lon=np.arange(-180.0, 180)),
        _LATLON,
        on_latlon,
        0.1,
    ),
    Convention(
        "0 and 360 degrees both there",
        lambda ds, _: xr.concat([ds, ds.isel(lon=[0]).assign_coords(lon=[360.0])], "lon", data_vars="all"),
        _LATLON,
        on_latlon,
        0.1,
    ),
    Convention(
        "with rows at the poles",
        lambda ds, _: ds.interp(lat=np.linspace(90, -90, 181), kwargs={"fill_value": "extrapolate"}),
        _LATLON,
        on_latlon,
        0.1,
    ),
    Convention(
        "dimensions (lon, lat), as IMERG has them", lambda ds, _: ds.transpose("time", "lon", "lat"), _LATLON,
        on_latlon, 0.1,
    ),
    *(
        Convention(
            f"`{lat}`, `{lon}`", lambda ds, _, lat=lat, lon=lon: ds.rename(lat=lat, lon=lon), _LATLON, on_latlon, 0.1
        )
        for lat, lon in (("latitude", "longitude"), ("nav_lat", "nav_lon"))
    ),
    Convention(
        "`Y`, `X` with units `degrees_north`, `degrees_east`",
        lambda ds, _: ds.assign_coords(
            lat=ds.lat.assign_attrs(units="degrees_north"), lon=ds.lon.assign_attrs(units="degrees_east")
        ).rename(lat="Y", lon="X"),
        _LATLON,
        on_latlon,
        0.1,
    ),
    Convention(
        "curvilinear grid (CMIP6 `gn`, POP, NEMO)", lambda ds, _: curvilinear(ds),
        _same("curvilinear grid .j, i.: bring it to HEALPix", _TO_CELLS, _NO_MAP), on_latlon,
    ),
    Convention(
        "unstructured grid (CAM-SE, ICON, FESOM)", lambda ds, _: unstructured(ds),
        _same("has 800 cells along ncol: .* cdo remapnn", _TO_CELLS, "has 800 cells along ncol"), on_latlon,
    ),
    Convention(
        "a box of latitudes and longitudes", lambda ds, _: ds.isel(lat=slice(60), lon=slice(100)),
        _same("all of the globe is needed", _TO_CELLS, _NO_MAP), on_latlon,
    ),
    Convention(
        "no coordinates of latitude and longitude", lambda ds, _: ds.drop_vars(["lat", "lon"]),
        _same("has no coordinate lat and no lon: add its degrees", _TO_CELLS, _NO_MAP), on_latlon,
    ),
]  # fmt: skip

_TWICE, _CONVERT = "twice: keep each one once", "convert_calendar"
TIMES_OF = [
    Convention(
        "`valid_time`, `number`, `expver(valid_time)` (ERA5 of the CDS)", lambda ds, _: cds(ds),
        _same("converted"), on_latlon, 0.1,
    ),
    Convention("`time` of the forecast's start and `valid_time` (cfgrib)", lambda ds, _: cfgrib(ds), _READ),
    Convention("the same without standard names", lambda ds, _: nameless(cfgrib(ds)), _READ),
    Convention(
        "standard calendar as cftime", lambda ds, _: ds.convert_calendar("standard", use_cftime=True),
        _same("converted"),
    ),
    Convention(
        "`noleap` (CESM, GFDL, E3SM)", lambda ds, _: ds.convert_calendar("noleap", use_cftime=True), _same("converted")
    ),
    Convention(
        "`julian` (IMERG)", lambda ds, _: ds.convert_calendar("julian", use_cftime=True), _same("converted")
    ),
    Convention(
        "`360_day` with dates that our calendar has", lambda ds, _: days_of_360(ds, 16), _same("converted")
    ),
    Convention("`360_day` with 30 February", lambda ds, _: days_of_360(ds, 30), _same(_CONVERT)),
    Convention("times that are not decoded (`hours since`)", lambda ds, _: undecoded(ds), _same("converted")),
    Convention(
        "times with a time zone (pandas)",
        lambda ds, _: ds.assign_coords(time=("time", pd.DatetimeIndex(TIMES, tz="UTC").tz_convert("Asia/Tokyo"))),
        ("converted", "converted", "-", "-", "-", "-"),
    ),
    Convention("numbers without a unit as times", lambda ds, _: ds.assign_coords(time=range(4)), _same("no dates")),
    Convention("falling times", lambda ds, _: ds.isel(time=slice(None, None, -1)), _READ),
    Convention("a time twice", lambda ds, _: ds.isel(time=[0, 1, 1, 2]), _same(_TWICE)),
    Convention(
        "a missing time", lambda ds, _: ds.assign_coords(time=np.where(np.arange(4) == 2, np.datetime64("NaT"), TIMES)),
        _same("a missing time"),
    ),
]  # fmt: skip

_CHOOSE = "choose one of it with .isel"
DIMENSIONS = [
    *(
        Convention(f"dimension `{dim}` of size 1 ({of})", square(dim), _READ)
        for dim, of in (
            ("zlev", "OISST"), ("lev", "ERSST"), ("height", "CMIP6"), ("number", "CDS"), ("realization", "CF"),
            ("member", "ensembles"),
        )
    ),
    Convention("several members", square("member", 2), _same(_CHOOSE)),
    Convention("dimension `expver` of two (ERA5 of the old CDS)", square("expver", 2), _same("combine_first")),
    Convention("dimension `step` of two (forecasts)", square("step", 2), _same(_CHOOSE)),
]  # fmt: skip

_NO_UNITS = "tas has no units: set its attribute"
VALUES = [
    *(
        Convention(f"`{text}`", in_units(text), _same("converted"))
        for text in (
            "degC", "deg C", "degrees C", "degree C", "degrees Celsius", "degree_Celsius", "Celsius", "C", "°C",
        )
    ),
    *(
        Convention(f"`{text}`", in_units(text, 1.0, 0.0), _READ)
        for text in ("Kelvin", "kelvin", "degK", "degrees_K", "deg_k")
    ),
    Convention("`degF`", in_units("degF", 1.8, -459.67), _same("converted")),
    Convention(
        "no units", lambda ds, name: ds.assign({name: ds[name].drop_attrs()}),
        ("read", _NO_UNITS, "read", "read", "-", "-"),
    ),
    Convention(
        "units of something else", in_units("m", 1.0, 0.0),
        ("must be those of a temperature", "different things", "convert one", "different things", "-", "-"),
    ),
    Convention("packed integers that are not decoded", packed, _same("converted"), tolerance=2e-3),
]  # fmt: skip

_OTHER = ("-", "read", "read", "read", "-", "-")
NAMES = [
    Convention("CMIP6 and hk25: `tas`, `tos`", called("tas", "tos"), _READ),
    Convention("AMIP: `tosbcs`", called("tas", "tosbcs"), ("read", "-", "-", "-", "-", "-")),
    Convention("ERA5 of the CDS: `t2m`, `sst`", called("t2m", "sst"), _READ),
    Convention("GRIB: `2t`", called("2t", "avg_tos"), _READ),
    Convention(
        "ARCO-ERA5, WeatherBench 2: `2m_temperature`, `sea_surface_temperature`",
        called("2m_temperature", "sea_surface_temperature"), _READ,
    ),
    Convention("CESM, E3SM: `TREFHT`, `SST`", called("TREFHT", "SST"), _READ),
    Convention("MERRA-2: `T2M`", called("T2M", "sst"), _OTHER),
    Convention("GFDL: `t_ref`", called("t_ref", "sst"), _OTHER),
    Convention("ESA CCI, GHRSST: `analysed_sst`", called("tas", "analysed_sst"), ("read", "-", "-", "-", "-", "-")),
    Convention("any name with its `standard_name`", by_standard_name, _READ),
]  # fmt: skip

_LEVELLED = ("-", "read", "read", "read", "-", "-")
LEVELS = [
    Convention("`pressure` in Pa, rising", levels("pressure", [50000, 85000], "Pa"), _LEVELLED, on_levels),
    Convention("`plev` in Pa, falling (CMIP6)", levels("plev", [50000, 85000], "Pa", -1), _LEVELLED, on_levels),
    Convention("`pressure_level` in hPa (CDS)", levels("pressure_level", [500, 850], "hPa", -1), _LEVELLED, on_levels),
    Convention("`level` in millibars", levels("level", [500, 850], "millibars"), _LEVELLED, on_levels),
    Convention("`level` without units (WeatherBench 2)", levels("level", [500, 850], None), _LEVELLED, on_levels),
    Convention("`isobaricInhPa` (cfgrib)", levels("isobaricInhPa", [500, 850], "hPa"), _LEVELLED, on_levels),
    Convention("`lev` in hPa (MERRA-2)", levels("lev", [500, 850], "hPa"), _LEVELLED, on_levels),
    Convention(
        "`lev` of hybrid or model levels", levels("lev", [17, 25], "level"),
        ("-", "its levels are no pressures", "its levels are no pressures", "its levels are no pressures", "-", "-"),
        on_levels,
    ),
]  # fmt: skip


def oisst(ds: xr.Dataset, name: str) -> xr.Dataset:
    """A level of size 1, packed integers, Celsius."""
    made = square("zlev")(packed(in_units("Celsius")(ds, name) + 290, name), name)
    made[name].attrs |= {"units": "Celsius", "add_offset": 0.0}
    return made


def cmip6(ds: xr.Dataset, name: str) -> xr.Dataset:
    """On gr, noleap, with bounds, a scalar height and the names of CMIP."""
    made = ds.convert_calendar("noleap", use_cftime=True).assign_coords(height=2.0, type="ocean")
    made = made.assign(lat_bnds=(("lat", "bnds"), np.zeros((180, 2))), time_bnds=(("time", "bnds"), np.zeros((4, 2))))
    made["lat"].attrs |= {"bounds": "lat_bnds", "units": "degrees_north"}
    return called("tas", "tos")(made, name)


def weatherbench(ds: xr.Dataset, name: str) -> xr.Dataset:
    """(time, longitude, latitude) and long names."""
    made = ds.rename(lat="latitude", lon="longitude").transpose("time", "longitude", "latitude")
    return called("2m_temperature", "sea_surface_temperature")(made.isel(latitude=slice(None, None, -1)), name)


def merra(ds: xr.Dataset, name: str) -> xr.Dataset:
    """From the south, from -180, 1e15 where there is no value."""
    made = ds.isel(lat=slice(None, None, -1)).roll(lon=180).assign_coords(lon=np.arange(-180.0, 180))
    made[name].attrs |= {"missing_value": np.float32(1e15), "fmissing_value": np.float32(1e15)}
    return called("T2M", "sst")(made, name)


def ifs_fesom(ds: xr.Dataset, name: str) -> xr.Dataset:
    """The dimension value, with places of the cells."""
    crs = {"grid_mapping_name": "healpix", "healpix_nside": 8, "healpix_order": "nest"}
    made = placed(ds, nest=True).rename(cell="value", lat="latitude", lon="longitude").assign_coords(crs=((), 0, crs))
    return called("2t", "avg_tos")(made.assign_coords(value=np.arange(CELLS)), name)


PRODUCTS = [
    Convention("OISST: `zlev`, packed, `Celsius`", oisst, _same("converted"), on_latlon, 0.1),
    Convention("CMIP6 on `gr`, `noleap`, with bounds", cmip6, _same("converted"), on_latlon, 0.1),
    Convention("ERA5 of the CDS since 2024", lambda ds, name: called("t2m", "sst")(cds(ds), name), _same("converted"),
               on_latlon, 0.1),
    Convention("WeatherBench 2, ARCO-ERA5", weatherbench, _same("converted"), on_latlon, 0.1),
    Convention("MERRA-2", merra, _same("converted"), on_latlon, 0.1),
    Convention("hk25 IFS-FESOM: dimension `value`", ifs_fesom, _READ),
    Convention(
        "hk25 ICON, nextGEMS: `cell`, `crs`",
        lambda ds, _: ds.assign_coords(crs=((), 0, {"grid_mapping_name": "healpix", "healpix_nside": 8,
                                                    "healpix_order": "nest"})),
        _same("read", "read", "read"),
    ),
    Convention("this project's own data sets", lambda ds, _: ds.assign_coords(
        crs=((), 0, {"grid_mapping_name": "healpix", "refinement_level": ZOOM, "indexing_scheme": "nested",
                     "healpix_nside": 8, "healpix_order": "nest"}),
        cell_ids=("cell", np.arange(CELLS), {"grid_name": "healpix", "level": ZOOM, "indexing_scheme": "nested"}),
    ), _same("read", "read", "read")),
]  # fmt: skip

TABLES = {
    "Products": PRODUCTS,
    "Grid": GRIDS, "Time": TIMES_OF, "Other dimensions": DIMENSIONS, "Units and packing": VALUES, "Names": NAMES,
    "Pressure": LEVELS,
}  # fmt: skip
