"""Fluxes at the top of the atmosphere without clouds, as a term of JCM's SPEEDY physics."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jcm.physics.radiation.speedy_longwave import get_downward_longwave_rad_fluxes, get_upward_longwave_rad_fluxes
from jcm.physics.radiation.speedy_shortwave import shortwave_rad_fluxes
from jcm.physics.speedy.params import Parameters
from jcm.physics.speedy.speedy_terms import SpeedyTermBase, _state_in_legacy_speedy_units
from jcm.physics_interface import PhysicsTendency


class ClearSky(SpeedyTermBase):
    """SPEEDY's radiation once more without clouds, on the steps that are written; it changes nothing.

    Parameters
    ----------
    every
        Steps of the model between those that are written.
    """

    name: ClassVar[str] = "clear_sky"
    category: ClassVar[str] = "diagnostics"
    provides: ClassVar[tuple[str, ...]] = ("rlutcs", "rsutcs")

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every = every

    def __call__(
        self, state: Any, diagnostics: dict[str, Any], forcing: Any, terrain: Any
    ) -> tuple[PhysicsTendency, dict[str, Any]]:
        data = self._build_data(diagnostics)
        legacy = _state_in_legacy_speedy_units(state)
        shape = state.temperature.shape
        parameters = Parameters.default()

        def fluxes() -> tuple[jax.Array, jax.Array]:
            sun = data.shortwave_rad
            nothing = jnp.zeros_like(sun.cloudc)
            clear = data.copy(
                shortwave_rad=sun.copy(cloudc=nothing, cloudstr=nothing, icltop=jnp.full_like(sun.icltop, shape[0] + 1))
            )
            operand = (legacy, clear, parameters, forcing, terrain, PhysicsTendency.zeros(shape=shape))
            clear = shortwave_rad_fluxes(operand)[1]
            for routine in (get_downward_longwave_rad_fluxes, get_upward_longwave_rad_fluxes):
                _, clear = routine(legacy, clear, parameters, forcing, terrain)
            return clear.longwave_rad.ftop, sun.fsol - clear.shortwave_rad.ftop

        zeros = jnp.zeros_like(data.longwave_rad.ftop)
        written = data.shortwave_rad.step % self.every == 0
        long, short = jax.lax.cond(written, fluxes, lambda: (zeros, zeros))
        return PhysicsTendency.zeros(shape), {**diagnostics, "rlutcs": long, "rsutcs": short}
