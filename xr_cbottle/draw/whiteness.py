"""Whether the noise that a field was turned to is white, as that of a field that the bottle could have drawn is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from xr_cbottle.draw.own_work import BANDS
from xr_cbottle.network.edm import SIGMA_DATA

Floats = npt.NDArray[np.floating[Any]]


class Whiteness(NamedTuple):
    """Figures that tell a field from those that the network knows; NaN where nothing is known of it.

    Attributes
    ----------
    given_mean, given_deviation
        Of the standardised anomalies, over those of the data that the network learnt: 0 and 1 are usual.
    latent_mean, latent_deviation
        Of the noisy state, over the deviation that it should have at its noise level.
    latent_power
        Power in `BANDS` of the channels of which all is known, over that of white noise. 1 at the highest noise level,
        more at a lower one, where the field itself is still in it.
    """

    given_mean: float
    given_deviation: float
    latent_mean: float
    latent_deviation: float
    latent_power: tuple[float, ...]

    @property
    def figures(self) -> tuple[float, ...]:
        """All of them, one after the other."""
        return self.given_mean, self.given_deviation, self.latent_mean, self.latent_deviation, *self.latent_power


def measure(x: Floats, state: Floats, known: npt.NDArray[np.bool_], sigma: float) -> Whiteness:
    """Measure one field.

    Parameters
    ----------
    x, state
        (channel, cell NEST), clean and at a noise level.
    known
        (channel, cell), where there was data.
    sigma
        The noise level.
    """
    nothing = float("nan")
    if not known.any():
        return Whiteness(nothing, nothing, nothing, nothing, (nothing,) * len(BANDS))
    should = np.hypot(sigma, SIGMA_DATA)
    clean, noisy = x[known] / SIGMA_DATA, state[known] / should
    whole = known.all(1)
    power = spectrum(state[whole] / should) if whole.any() else (nothing,) * len(BANDS)
    return Whiteness(float(clean.mean()), float(clean.std()), float(noisy.mean()), float(noisy.std()), power)


def spectrum(fields: Floats) -> tuple[float, ...]:
    """Mean power of (channel, cell NEST) fields in `BANDS`, over that of white noise of deviation 1."""
    import healpy

    cells = fields.shape[-1]
    n = healpy.npix2nside(cells)
    ring = healpy.ring2nest(n, np.arange(cells))
    highest = max(2 * n, 2)
    found = np.mean([healpy.anafast(field[ring], lmax=highest, iter=1, pol=False) for field in fields], 0)
    found *= cells / (4 * np.pi)
    means = []
    for first, last in BANDS:
        degrees = np.arange(first, min(last, highest) + 1)
        power = np.average(found[degrees], weights=2 * degrees + 1) if len(degrees) else np.nan
        means.append(float(power))
    return tuple(means)
