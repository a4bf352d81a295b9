"""Climate diagnostics: functions from xarray to xarray, of any data set on HEALPix cells.

Fields have the dimensions ``(time, [pressure], cell)``, cells in NEST order over the whole globe, at any zoom; further
dimensions, such as ``member``, are kept. Results carry units and say what they mean, and are lazy where the fields are
(dask): nothing is read before a result is. `bootstrap` gives the sampling error of any of them, `noise_floor` what the
reference itself shows between two of its pieces.

The times of a bottle are independent draws unless it is opened with ``coherence=``: means, distributions and relations
within an instant are meaningful, time scales and durations only with it.
"""

from __future__ import annotations

from xr_cbottle.diagnostics.balances import (
    geostrophic_correlation,
    geostrophic_residual,
    hydrostatic_residual,
    radiation_budget,
    water_budget,
)
from xr_cbottle.diagnostics.change import land_sea_ratio, per_kelvin, polar_amplification, trend
from xr_cbottle.diagnostics.comparison import bias, pattern_correlation, rmse
from xr_cbottle.diagnostics.cycles import diurnal_cycle, seasonal_cycle, subsolar_longitude
from xr_cbottle.diagnostics.dependence import correlation, joint_distribution
from xr_cbottle.diagnostics.distribution import quantiles
from xr_cbottle.diagnostics.evolution import (
    lag_correlation,
    phase_speed,
    ring_of,
    spells,
    variance_of_means,
    wavenumber_frequency,
    weather_anomalies,
)
from xr_cbottle.diagnostics.extremes import return_values, wet_days
from xr_cbottle.diagnostics.grid import area_mean, band_edges, global_mean, lonlat, zonal_mean, zoom
from xr_cbottle.diagnostics.means import SEASONS, anomalies, climatology, monthly, season
from xr_cbottle.diagnostics.modes import eofs
from xr_cbottle.diagnostics.response import nino34, regression
from xr_cbottle.diagnostics.scores import crps, rank_histogram, spread_error
from xr_cbottle.diagnostics.shape import exceedance, kurtosis, month_climate, standardised
from xr_cbottle.diagnostics.spectra import power_spectrum
from xr_cbottle.diagnostics.teleconnections import distant_correlations
from xr_cbottle.diagnostics.uncertainty import bootstrap, halves, noise_floor, thinned
from xr_cbottle.diagnostics.variability import (
    standard_deviation,
    submonthly_variance,
    variability_by_time_scale,
)

__all__ = [
    "SEASONS",
    "anomalies",
    "area_mean",
    "band_edges",
    "bias",
    "bootstrap",
    "climatology",
    "correlation",
    "crps",
    "distant_correlations",
    "diurnal_cycle",
    "eofs",
    "exceedance",
    "geostrophic_correlation",
    "geostrophic_residual",
    "global_mean",
    "halves",
    "hydrostatic_residual",
    "joint_distribution",
    "kurtosis",
    "lag_correlation",
    "land_sea_ratio",
    "lonlat",
    "month_climate",
    "monthly",
    "nino34",
    "noise_floor",
    "pattern_correlation",
    "per_kelvin",
    "phase_speed",
    "polar_amplification",
    "power_spectrum",
    "quantiles",
    "radiation_budget",
    "rank_histogram",
    "regression",
    "return_values",
    "ring_of",
    "rmse",
    "season",
    "seasonal_cycle",
    "spells",
    "spread_error",
    "standard_deviation",
    "standardised",
    "submonthly_variance",
    "subsolar_longitude",
    "thinned",
    "trend",
    "variability_by_time_scale",
    "variance_of_means",
    "water_budget",
    "wavenumber_frequency",
    "weather_anomalies",
    "wet_days",
    "zonal_mean",
    "zoom",
]
