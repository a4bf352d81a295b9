"""Names that variables, dimensions and coordinates have in data sets of others: one table, and nothing guessed."""

from __future__ import annotations

from collections.abc import Mapping

CELLS = (
    "cell", "cells", "ncells", "pix", "pixel", "pixels", "ipix", "value", "values", "healpix", "hpx", "hp_cell",
    "cell_ids", "cell_id", "healpix_index",
)  # fmt: skip
"""Dimensions of HEALPix cells; coordinates of these names along them hold the cells' numbers."""
LATITUDES = ("lat", "latitude", "nav_lat", "LAT", "Latitude", "lats")
LONGITUDES = ("lon", "longitude", "nav_lon", "LON", "Longitude", "lons")
TIMES = ("valid_time", "time", "Time", "TIME", "date", "t", "T")
"""Coordinates of time, the best first: where there is a valid_time, time is when a forecast began."""
LEVELS = (
    "pressure", "plev", "level", "lev", "pressure_level", "isobaricInhPa", "isobaricInPa", "air_pressure", "levels",
    "isobaric",
)  # fmt: skip

SST = ("tosbcs", "sst", "tos", "analysed_sst", "sea_surface_temperature", "avg_tos", "SST", "ts")
"""Names of a sea surface temperature, the surest first."""

VARIABLES: Mapping[str, Mapping[str, float]] = {
    "ua": dict.fromkeys(("u", "U", "u_component_of_wind", "uwnd", "ucomp"), 1.0),
    "va": dict.fromkeys(("v", "V", "v_component_of_wind", "vwnd", "vcomp"), 1.0),
    "ta": dict.fromkeys(("t", "T", "temperature", "temp"), 1.0),
    "zg": dict.fromkeys(("z", "geopotential", "geopotential_height", "gh", "Z3", "H", "hgt", "hght"), 1.0),
    "hus": dict.fromkeys(("q", "Q", "QV", "shum", "sphum"), 1.0),
    "hur": dict.fromkeys(("r", "relative_humidity", "RELHUM", "RH", "rhum"), 1.0),
    "wap": dict.fromkeys(("w", "vertical_velocity", "OMEGA", "omega"), 1.0),
    "prw": dict.fromkeys(("tcwv", "total_column_water_vapour", "TMQ", "TQV", "pr_wtr", "WVP"), 1.0),
    "clwvi": dict.fromkeys(("cllvi", "tclw", "total_column_cloud_liquid_water", "TGCLDLWP", "TQL", "LWP"), 1.0),
    "clivi": dict.fromkeys(("tciw", "total_column_cloud_ice_water", "TGCLDIWP", "TQI", "IWP"), 1.0),
    "tas": dict.fromkeys(("t2m", "2t", "2m_temperature", "TREFHT", "T2M", "t_ref"), 1.0),
    "ts": dict.fromkeys(("skt", "skin_temperature", "TS", "t_surf"), 1.0),
    "uas": dict.fromkeys(("u10", "10u", "10m_u_component_of_wind", "U10M", "u_ref"), 1.0),
    "vas": dict.fromkeys(("v10", "10v", "10m_v_component_of_wind", "V10M", "v_ref"), 1.0),
    "sfcWind": dict.fromkeys(("sfcwind", "si10", "10si", "10m_wind_speed", "U10", "wind_ref"), 1.0),
    "huss": dict.fromkeys(("QREFHT", "QV2M", "q_ref", "qv2m"), 1.0),
    "hurs": dict.fromkeys(("r2", "2r", "RHREFHT", "rh_ref"), 1.0),
    "wa": {"wa_phy": 1.0},
    "tdps": dict.fromkeys(("2d", "d2m", "2m_dewpoint_temperature"), 1.0),
    "psl": dict.fromkeys(("msl", "pres_msl", "mean_sea_level_pressure", "PSL", "SLP", "slp"), 1.0),
    "ps": dict.fromkeys(("sp", "surface_pressure", "PS", "pres_sfc"), 1.0),
    "pr": dict.fromkeys(
        ("tp", "mtpr", "avg_tprate", "tprate", "total_precipitation", "mean_total_precipitation_rate", "PRECT",
         "PRECTOT", "PRECTOTCORR", "prate", "precip", "precipitation", "precipitationCal"), 1.0,
    ),
    # Net fluxes of ERA5 are positive downwards, and nothing comes in.
    "rlut": dict.fromkeys(
        ("mtnlwrf", "avg_tnlwrf", "ttr", "mean_top_net_long_wave_radiation_flux", "top_net_thermal_radiation"), -1.0
    ) | dict.fromkeys(("FLUT", "LWTUP", "olr", "toa_lw_all_mon"), 1.0),
    "rsut": dict.fromkeys(("FSUTOA", "swup_toa", "toa_sw_all_mon"), 1.0),
    "rsdt": dict.fromkeys(
        ("mtdwswrf", "avg_tdswrf", "tisr", "mean_top_downward_short_wave_radiation_flux", "SOLIN", "SWTDN", "swdn_toa",
         "solar_mon"), 1.0,
    ),
    "rsds": dict.fromkeys(
        ("msdwswrf", "avg_sdswrf", "ssrd", "mean_surface_downward_short_wave_radiation_flux",
         "surface_solar_radiation_downwards", "FSDS", "SWGDN", "swdn_sfc", "sfc_sw_down_all_mon"), 1.0,
    ),
    "rlds": dict.fromkeys(
        ("msdwlwrf", "avg_sdlwrf", "strd", "mean_surface_downward_long_wave_radiation_flux",
         "surface_thermal_radiation_downwards", "FLDS", "LWGAB", "lwdn_sfc", "sfc_lw_down_all_mon"), 1.0,
    ),
    "rlutcs": {"ttrc": -1.0},
    "rsdscs": {"ssrdc": 1.0},
    "tauu": dict.fromkeys(("ewss", "avg_iews"), 1.0),
    "tauv": dict.fromkeys(("nsss", "avg_inss"), 1.0),
    "prsn": dict.fromkeys(("prs", "sf"), 1.0),
    "prls": {"lsp": 1.0},
    "prc": {"cp": 1.0},
    "qrvi": {"tcrw": 1.0},
    "qsvi": {"tcsw": 1.0},
    "cll": {"lcc": 1.0},
    "clm": {"mcc": 1.0},
    "clh": {"hcc": 1.0},
    "bldep": {"blh": 1.0},
    "snw": dict.fromkeys(("hydro_weq_snow_box", "hydro_w_snow_box", "swe", "sd"), 1.0),
    "snc": dict.fromkeys(("hydro_fract_snow_box", "sncvfa"), 1.0),
    "mrros": {"hydro_runoff_box": 1.0},
    "mrrob": {"hydro_drainage_box": 1.0},
    "tran": {"hydro_transpiration_box": -1.0},
    "discharge": {"hydro_discharge_ocean_box": 1.0},
    "sithick": {"sit": 1.0},
    "rsus": dict.fromkeys(("swup_sfc", "sfc_sw_up_all_mon"), 1.0),
    "rlus": dict.fromkeys(("lwup_sfc", "sfc_lw_up_all_mon"), 1.0),
    "hfls": dict.fromkeys(("LHFLX", "EFLUX"), 1.0) | dict.fromkeys(("mslhf", "avg_slhtf", "slhf", "hflsd"), -1.0),
    "hfss": dict.fromkeys(("SHFLX", "HFLUX", "shflx"), 1.0)
    | dict.fromkeys(("msshf", "avg_ishf", "sshf", "hfssd"), -1.0),
    "sst": dict.fromkeys((name for name in SST if name not in ("sst", "ts")), 1.0),
    "siconc": dict.fromkeys(("sic", "ci", "siconca", "sea_ice_cover", "avg_siconc", "ICEFRAC", "ice", "icec"), 1.0),
    "clt": dict.fromkeys(
        ("tcc", "total_cloud_cover", "CLDTOT", "tot_cld_amt", "cldarea_total_daynight_mon"), 1.0,
    ),
}  # fmt: skip
"""{our name: {other names: sign}}: those of ERA5 (CDS, ARCO, WeatherBench 2), CESM and E3SM, MERRA-2, GFDL, NCEP,
CERES, cBottle, and of ICON, IFS and the Unified Model in hk25. Upward fluxes of ERA5 are negative there."""
