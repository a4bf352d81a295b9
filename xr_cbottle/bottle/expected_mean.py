"""The mean that is expected of a channel whose root is Gaussian, and how it changes where the climate moves.

Of rain, whose root a network draws anomalies of, that is more than the power of the mean root: it grows with the spread
too. Calibration's mapping of such a channel goes with it (`xr_cbottle.bottle.calibration.Calibration.scaled`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xr_cbottle.bottle.harmonics import Floats

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
"""Gauss-Hermite quadrature of a Gaussian of deviation 1: exact for polynomials up to degree 17."""
_RATIOS = (0.1, 10.0)
"""Bounds of the ratio of a climate's mean to the usual one."""


@dataclass(frozen=True)
class ExpectedMean:
    """Mean that is expected of ``max(0, center + scale * (mean + spread * x)) ** root``, where x is standard normal.

    Where the root is 1, nothing is cut at 0.

    Attributes
    ----------
    center, scale
        Of a channel, in its unit, or the root of it.
    root
        Which root; 1 if anomalies are of the channel itself.
    """

    center: float
    scale: float
    root: float

    def of(self, mean: Floats, spread: Floats) -> Floats:
        """Expected means in the channel's unit; float64, shape (..., cell NEST).

        Parameters
        ----------
        mean, spread
            (..., cell NEST) in units of ``scale``.
        """
        raised = self._raised(mean, spread)
        return np.asarray((raised if self.root == 1 else raised**self.root) @ _WEIGHTS)

    def slopes(self, mean: Floats, spread: Floats) -> tuple[Floats, Floats]:
        """Derivatives of `of` by the mean and by the logarithm of the spread, both (..., cell NEST) float64."""
        raised = self._raised(mean, spread)
        slopes = np.ones_like(raised) if self.root == 1 else self.root * raised ** (self.root - 1)
        slopes = slopes * self.scale
        return np.asarray(slopes @ _WEIGHTS), np.asarray(slopes @ (_WEIGHTS * _NODES) * spread)

    def ratio(self, usual: tuple[Floats, Floats], moved: tuple[Floats, Floats]) -> Floats:
        """Ratio of the global mean in a climate that has moved to that in the usual one, from 0.1 to 10.

        Parameters
        ----------
        usual, moved
            Mean and spread, each (n, cell NEST), without the response and with it.

        Returns
        -------
        (n,) float64: 1 where one of the means is 0.
        """
        before, after = (self.of(*each).mean(-1) for each in (usual, moved))
        some = (before > 0) & (after > 0)
        return np.asarray(np.clip(np.divide(after, before, out=np.ones_like(after), where=some), *_RATIOS))

    def ratio_back(self, moved: tuple[Floats, Floats], ratio: Floats, gradient: Floats) -> tuple[Floats, Floats]:
        """Carry a gradient, (n,), back through `ratio` to mean and logarithm of the spread that have moved.

        Parameters
        ----------
        moved, ratio
            As there, and what it gave; (n,).
        gradient
            (n,) with respect to the ratio.

        Returns
        -------
        Two of (n, cell NEST) float64; 0 where the ratio is at one of its bounds.
        """
        level = self.of(*moved).mean(-1)
        each = gradient * ratio / np.where(level > 0, level, 1) / moved[0].shape[-1]
        each = np.where((ratio > _RATIOS[0]) & (ratio < _RATIOS[1]), each, 0.0)
        by_mean, by_logarithm = self.slopes(*moved)
        return each[:, None] * by_mean, each[:, None] * by_logarithm

    def _raised(self, mean: Floats, spread: Floats) -> Floats:
        """(..., cell, node) of what is raised to a power, at nodes of a Gaussian; not below 0 if it is a root."""
        there = mean.astype(np.float64)[..., None] + spread.astype(np.float64)[..., None] * _NODES
        raised = np.asarray(self.center + self.scale * there, np.float64)
        return raised if self.root == 1 else np.maximum(raised, 0)
