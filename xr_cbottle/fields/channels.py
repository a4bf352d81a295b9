"""Channels of networks and what they mean: variable, pressure level, units and names.

A *channel* is what a network makes (``T850``, ``pres_msl``); a *variable* is what users read (``ta`` at
``pressure`` 85000, ``psl``). Channel names are those of cBottle's checkpoints; variable names, units and
standard names are the hackathon's, which are CMIP's. A channel may also carry the name of its variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

GRAVITY = 9.80665
"""Standard gravity, m s-2: geopotential over it is geopotential height."""


@dataclass(frozen=True)
class Variable:
    """Name and attributes of what users read.

    Attributes
    ----------
    name, units, long_name, standard_name
        As in the data set's attributes; a standard name is one of CF's table, or empty.
    on_pressure
        Whether it has a pressure dimension.
    ocean_only
        Whether it is not defined over land, where users read NaN.
    """

    name: str
    units: str
    long_name: str
    standard_name: str
    on_pressure: bool = False
    ocean_only: bool = False

    @property
    def attrs(self) -> dict[str, str]:
        """units, long_name and standard_name, if it has one, as attributes of a data array."""
        attrs = {"units": self.units, "long_name": self.long_name, "standard_name": self.standard_name}
        return {name: text for name, text in attrs.items() if text or name == "units"}


@dataclass(frozen=True)
class Channel:
    """One channel: variable value = channel value * factor.

    Attributes
    ----------
    name
        Name in the checkpoint, e.g. ``Z850``.
    variable
        The `Variable` that it is (a level of).
    level
        Pressure in Pa, or None for a variable without levels.
    factor
        Turns the channel's unit into the variable's, e.g. 1/9.80665 for ``Z850``.
    """

    name: str
    variable: Variable
    level: int | None = None
    factor: float = 1.0


@dataclass(frozen=True)
class VariableLayout:
    """Where a variable lies among the channels of a bottle.

    Attributes
    ----------
    variable
        The variable.
    channels
        Indices of its channels, by ascending pressure.
    pressures
        Pressures of these channels in Pa, ascending, or None for a variable without levels.
    factor
        Variable value = channel value * factor.
    """

    variable: Variable
    channels: tuple[int, ...]
    pressures: tuple[int, ...] | None
    factor: float


_PRESSURE = [
    Variable("ua", "m s-1", "eastward wind", "eastward_wind", True),
    Variable("va", "m s-1", "northward wind", "northward_wind", True),
    Variable("ta", "K", "air temperature", "air_temperature", True),
    Variable("zg", "m", "geopotential height", "geopotential_height", True),
    Variable("hus", "kg kg-1", "specific humidity", "specific_humidity", True),
    Variable("hur", "1", "relative humidity", "relative_humidity", True),
    Variable("wap", "Pa s-1", "vertical velocity in pressure coordinates",
             "lagrangian_tendency_of_air_pressure", True),
    Variable("wa", "m s-1", "upward wind", "upward_air_velocity", True),
    Variable("vor", "s-1", "relative vorticity", "atmosphere_relative_vorticity", True),
    Variable("cli", "kg kg-1", "mass fraction of cloud ice", "mass_fraction_of_cloud_ice_in_air", True),
    Variable("clw", "kg kg-1", "mass fraction of cloud liquid water",
             "mass_fraction_of_cloud_liquid_water_in_air", True),
    Variable("qr", "kg kg-1", "mass fraction of rain", "mass_fraction_of_rain_in_air", True),
    Variable("qs", "kg kg-1", "mass fraction of snow", "mass_fraction_of_snow_in_air", True),
    Variable("qg", "kg kg-1", "mass fraction of graupel", "mass_fraction_of_graupel_in_air", True),
    Variable("qall", "kg kg-1", "mass fraction of all condensed water", "", True),
]  # fmt: skip
_SURFACE = [
    Variable("prw", "kg m-2", "atmosphere mass content of water vapor",
             "atmosphere_mass_content_of_water_vapor"),
    # CMIP's clwvi counts ice too; the channel does not, and the names say so.
    Variable("clwvi", "kg m-2", "atmosphere mass content of cloud water, liquid only",
             "atmosphere_mass_content_of_cloud_liquid_water"),
    Variable("clivi", "kg m-2", "atmosphere mass content of cloud ice", "atmosphere_mass_content_of_cloud_ice"),
    Variable("tas", "K", "near-surface air temperature", "air_temperature"),
    Variable("ts", "K", "surface temperature", "surface_temperature"),
    Variable("uas", "m s-1", "eastward near-surface wind", "eastward_wind"),
    Variable("vas", "m s-1", "northward near-surface wind", "northward_wind"),
    Variable("sfcWind", "m s-1", "near-surface wind speed", "wind_speed"),
    Variable("huss", "kg kg-1", "near-surface specific humidity", "specific_humidity"),
    Variable("hurs", "1", "near-surface relative humidity", "relative_humidity"),
    Variable("rlut", "W m-2", "TOA outgoing longwave flux", "toa_outgoing_longwave_flux"),
    Variable("rsut", "W m-2", "TOA outgoing shortwave flux", "toa_outgoing_shortwave_flux"),
    Variable("rsdt", "W m-2", "TOA incoming shortwave flux", "toa_incoming_shortwave_flux"),
    Variable("rlutcs", "W m-2", "TOA outgoing longwave flux, clear sky",
             "toa_outgoing_longwave_flux_assuming_clear_sky"),
    Variable("rsutcs", "W m-2", "TOA outgoing shortwave flux, clear sky",
             "toa_outgoing_shortwave_flux_assuming_clear_sky"),
    Variable("rlds", "W m-2", "surface downwelling longwave flux", "surface_downwelling_longwave_flux_in_air"),
    Variable("rlus", "W m-2", "surface upwelling longwave flux", "surface_upwelling_longwave_flux_in_air"),
    Variable("rsds", "W m-2", "surface downwelling shortwave flux", "surface_downwelling_shortwave_flux_in_air"),
    Variable("rsus", "W m-2", "surface upwelling shortwave flux", "surface_upwelling_shortwave_flux_in_air"),
    Variable("hfls", "W m-2", "surface upward latent heat flux", "surface_upward_latent_heat_flux"),
    Variable("hfss", "W m-2", "surface upward sensible heat flux", "surface_upward_sensible_heat_flux"),
    Variable("clt", "1", "cloud area fraction", "cloud_area_fraction"),
    Variable("ps", "Pa", "surface air pressure", "surface_air_pressure"),
    Variable("psl", "Pa", "air pressure at mean sea level", "air_pressure_at_mean_sea_level"),
    Variable("pr", "kg m-2 s-1", "precipitation flux", "precipitation_flux"),
    Variable("evspsbl", "kg m-2 s-1", "evaporation", "water_evapotranspiration_flux"),
    Variable("sst", "K", "sea surface temperature", "sea_surface_temperature", ocean_only=True),
    Variable("siconc", "1", "sea ice area fraction", "sea_ice_area_fraction", ocean_only=True),
    Variable("sithick", "m", "sea ice thickness", "sea_ice_thickness", ocean_only=True),
    Variable("tdps", "K", "near-surface dew point temperature", "dew_point_temperature"),
    Variable("rldscs", "W m-2", "surface downwelling longwave flux, clear sky",
             "surface_downwelling_longwave_flux_in_air_assuming_clear_sky"),
    Variable("rluscs", "W m-2", "surface upwelling longwave flux, clear sky",
             "surface_upwelling_longwave_flux_in_air_assuming_clear_sky"),
    Variable("rsdscs", "W m-2", "surface downwelling shortwave flux, clear sky",
             "surface_downwelling_shortwave_flux_in_air_assuming_clear_sky"),
    Variable("rsuscs", "W m-2", "surface upwelling shortwave flux, clear sky",
             "surface_upwelling_shortwave_flux_in_air_assuming_clear_sky"),
    Variable("tauu", "N m-2", "surface downward eastward wind stress", "surface_downward_eastward_stress"),
    Variable("tauv", "N m-2", "surface downward northward wind stress", "surface_downward_northward_stress"),
    Variable("prsn", "kg m-2 s-1", "snowfall flux", "snowfall_flux"),
    Variable("prls", "kg m-2 s-1", "large-scale precipitation flux", "stratiform_precipitation_flux"),
    Variable("prc", "kg m-2 s-1", "convective precipitation flux", "convective_precipitation_flux"),
    Variable("qrvi", "kg m-2", "atmosphere mass content of rain", ""),
    Variable("qsvi", "kg m-2", "atmosphere mass content of snow", "atmosphere_mass_content_of_snow"),
    Variable("qgvi", "kg m-2", "atmosphere mass content of graupel", "atmosphere_mass_content_of_graupel"),
    Variable("o3vi", "kg m-2", "atmosphere mass content of ozone", "atmosphere_mass_content_of_ozone"),
    Variable("cll", "1", "low cloud area fraction", "low_type_cloud_area_fraction"),
    Variable("clm", "1", "medium cloud area fraction", "medium_type_cloud_area_fraction"),
    Variable("clh", "1", "high cloud area fraction", "high_type_cloud_area_fraction"),
    Variable("bldep", "m", "boundary layer depth", "atmosphere_boundary_layer_thickness"),
    Variable("cape", "J kg-1", "convective available potential energy",
             "atmosphere_convective_available_potential_energy"),
    Variable("einvi", "J m-2", "vertically integrated internal energy", ""),
    Variable("egpvi", "J m-2", "vertically integrated geopotential energy", ""),
    Variable("ekhvi", "J m-2", "vertically integrated kinetic energy of the horizontal wind", ""),
    Variable("ekvvi", "J m-2", "vertically integrated kinetic energy of the vertical wind", ""),
    *(Variable(f"tend_{energy}{process}vi", "W m-2", f"tendency of {name} by {what}", "")
      for energy, name, processes in (
          ("egp", "vertically integrated geopotential energy", {"dyn": "dynamics"}),
          ("ein", "vertically integrated internal energy",
           {"cld": "cloud microphysics", "dyn": "dynamics", "rad": "radiation", "tmx": "turbulent mixing"}),
          ("ekh", "vertically integrated kinetic energy of the horizontal wind",
           {"dyn": "dynamics", "tmx": "turbulent mixing"}),
          ("ekv", "vertically integrated kinetic energy of the vertical wind", {"dyn": "dynamics"}),
      ) for process, what in processes.items()),
    Variable("snw", "kg m-2", "surface snow amount", "surface_snow_amount"),
    Variable("snc", "1", "snow area fraction", "surface_snow_area_fraction"),
    Variable("mrros", "kg m-2 s-1", "surface runoff flux", "surface_runoff_flux"),
    Variable("mrrob", "kg m-2 s-1", "subsurface runoff flux", "subsurface_runoff_flux"),
    Variable("tran", "kg m-2 s-1", "transpiration flux", "transpiration_flux"),
    Variable("discharge", "m3 s-1", "discharge of rivers into the sea",
             "water_volume_transport_into_sea_water_from_rivers"),
]  # fmt: skip

VARIABLES = {variable.name: variable for variable in (*_PRESSURE, *_SURFACE)}
"""Every variable that is known, by name. A bottle may carry others, which its manifest defines."""
NONE_OF_ITS_OWN: Mapping[str, Variable] = MappingProxyType({})

# Channel names of cBottle that are not their variable's: {letter or name: (variable, factor)}.
_LEVEL_ALIASES = {
    "U": ("ua", 1.0), "V": ("va", 1.0), "T": ("ta", 1.0), "Z": ("zg", 1 / GRAVITY), "Q": ("hus", 1.0),
}  # fmt: skip
_ALIASES = {"tcwv": "prw", "cllvi": "clwvi", "pres_msl": "psl", "sic": "siconc"}
#: No air of the Earth has more; a number of any length would not fit into a coordinate.
_MOST_HECTOPASCALS = 2000
_ON_LEVEL = re.compile(r"([A-Za-z_]+?)(\d+)")


def is_known(name: str) -> bool:
    """Whether a name means something already, so that it cannot be that of a variable of a bottle's own."""
    return name in VARIABLES or name in _ALIASES or name in _LEVEL_ALIASES


def parse(name: str, own: Mapping[str, Variable] = NONE_OF_ITS_OWN) -> Channel:
    """The channel called ``name``.

    Parameters
    ----------
    name
        ``U|V|T|Z|Q`` and a pressure in hPa (``T850``), a name of cBottle (``tcwv``), or a variable's
        own name, with a pressure in hPa if it is on levels (``psl``, ``wap500``).
    own
        Variables that a bottle or a configuration defines, by their names.

    Raises
    ------
    ValueError
        If the name is none of these.
    """
    variable = VARIABLES.get(_ALIASES.get(name, name)) or own.get(name)
    if variable is not None and not variable.on_pressure:
        return Channel(name, variable)
    match = _ON_LEVEL.fullmatch(name)
    if match:
        stem, hectopascals = match[1], int(match[2])
        known, factor = _LEVEL_ALIASES.get(stem, (stem, 1.0))
        variable = VARIABLES.get(known) or own.get(stem)
        if variable is not None and variable.on_pressure and 0 < hectopascals <= _MOST_HECTOPASCALS:
            return Channel(name, variable, 100 * hectopascals, factor)
    raise ValueError(
        f"unknown channel {name!r}: a channel is one of {', '.join(sorted({*_ALIASES, *_names(False, own)}))}, "
        f"or one of {', '.join([*_LEVEL_ALIASES, *_names(True, own)])} followed by a pressure in hPa"
    )


def channel_name(variable: str, level: int | None = None) -> str:
    """The channel that carries a variable in a checkpoint: the inverse of `parse`.

    Parameters
    ----------
    variable
        Name of a variable, e.g. ``zg``.
    level
        Pressure in Pa, a multiple of 100, for a variable on levels.

    Raises
    ------
    ValueError
        If the variable is not known, or the level is missing, odd or too much.
    """
    known = VARIABLES.get(variable)
    if known is None:
        raise ValueError(f"unknown variable {variable!r}: choose one of {', '.join(VARIABLES)}")
    if not known.on_pressure:
        if level is not None:
            raise ValueError(f"{variable} has no pressure levels: leave level out")
        return {v: k for k, v in _ALIASES.items()}.get(variable, variable)
    if level is None or level <= 0 or level % 100:
        raise ValueError(f"{variable} needs a pressure in Pa, a multiple of 100, not {level!r}")
    stem = {v: k for k, (v, _) in _LEVEL_ALIASES.items()}.get(variable, variable)
    return f"{stem}{int(level) // 100}"


def variables(names: Iterable[str], own: Mapping[str, Variable] = NONE_OF_ITS_OWN) -> dict[str, VariableLayout]:
    """The variables that channels stand for, in the order of their first channel.

    Parameters
    ----------
    names
        Names of all channels of a bottle, in the order of the network.
    own
        Variables that the bottle defines, by their names.

    Returns
    -------
    {variable name: its layout}. Variables may have different levels: see `pressure_axis`.

    Raises
    ------
    ValueError
        If a name is unknown or two channels stand for the same variable and level.
    """
    found: dict[str, dict[int, tuple[int, float]]] = {}
    known = dict(own)
    for index, name in enumerate(names):
        channel = parse(name, own)
        known[channel.variable.name] = channel.variable
        levels = found.setdefault(channel.variable.name, {})
        if (channel.level or 0) in levels:
            raise ValueError(f"channel {name!r} stands for a variable and level that another channel is already")
        levels[channel.level or 0] = index, channel.factor
    layouts = {}
    for name, levels in found.items():
        pressures = tuple(sorted(levels))
        factors = {levels[level][1] for level in pressures}
        if len(factors) > 1:
            raise ValueError(f"the channels of {name} differ in unit: name them all one way")
        layouts[name] = VariableLayout(
            known[name],
            tuple(levels[level][0] for level in pressures),
            pressures if known[name].on_pressure else None,
            factors.pop(),
        )
    return layouts


def factors(names: Sequence[str], own: Mapping[str, Variable] = NONE_OF_ITS_OWN) -> npt.NDArray[np.float64]:
    """(channel,) what channels are multiplied by to be variables."""
    import numpy as np

    return np.array([parse(name, own).factor for name in names])


def pressure_axis(layouts: dict[str, VariableLayout]) -> tuple[int, ...]:
    """All pressures in Pa of some variables, ascending; what one of them lacks is NaN on this axis."""
    return tuple(sorted({p for layout in layouts.values() for p in layout.pressures or ()}))


def _names(on_pressure: bool, own: Mapping[str, Variable]) -> list[str]:
    return [name for name, variable in {**VARIABLES, **own}.items() if variable.on_pressure is on_pressure]
