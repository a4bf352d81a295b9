"""The update of optimal interpolation, with covariances of a few samples that are tapered with distance.

With samples e of the errors of a state, an observation operator H and errors of variance R a state x becomes
x + V H^t (H V H^t + R)^-1 (y - H x). V is the covariance of the samples times a function that falls to 0 within a
distance (Gaspari and Cohn 1999, https://doi.org/10.1002/qj.49712555417): what few samples say of far places is chance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

Floats = npt.NDArray[np.floating[Any]]


def taper(distance: Floats, reach: float) -> Floats:
    """Gaspari and Cohn's function of distance, their equation 4.10: 1 at 0, and 0 from ``reach`` on."""
    r = np.minimum(2 * np.asarray(distance, np.float64) / reach, 2.0)
    near = (((-r / 4 + 1 / 2) * r + 5 / 8) * r - 5 / 3) * r**2 + 1
    with np.errstate(divide="ignore"):
        far = ((((r / 12 - 1 / 2) * r + 5 / 8) * r + 5 / 3) * r - 5) * r + 4 - 2 / (3 * r)
    return np.where(r <= 1, near, np.maximum(far, 0.0))


class LocalUpdate:
    """The update of states by observations at some places, for one set of samples.

    Parameters
    ----------
    samples
        (sample, channel, cell) of errors of a state; their mean is taken out.
    seen
        (sample, observation), what the observations would see of them.
    places
        (observation,) number of the place of each.
    near_cells, near_places
        (cell, place) and (place, place): the taper.
    variance
        (observation,) of errors of the observations.
    """

    def __init__(
        self,
        samples: Floats,
        seen: Floats,
        places: npt.NDArray[np.int64],
        near_cells: Floats,
        near_places: Floats,
        variance: Floats,
    ) -> None:
        count = max(len(samples) - 1, 1)
        self._samples = samples - samples.mean(0, dtype=np.float64).astype(samples.dtype)
        self._seen = seen - seen.mean(0)
        self._places, self._near = places, near_cells
        covariance = near_places[np.ix_(places, places)] * (self._seen.T @ self._seen) / count
        # The millionth keeps stations of one place, whose errors are said to be almost none, from dividing by nothing.
        covariance[np.diag_indices_from(covariance)] += variance + 1e-6 * covariance.diagonal()
        self._factor = linalg.cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)
        self._count = count

    def increment(self, innovation: Floats) -> Floats:
        """Change a state, (channel, cell), by observations less what they should see, (observation,)."""
        weighted = self._seen * linalg.cho_solve(self._factor, innovation, check_finite=False)
        at_places = np.zeros((len(weighted), self._near.shape[1]), self._samples.dtype)
        for place, column in zip(self._places, weighted.T, strict=True):
            at_places[:, place] += column
        at_cells = at_places @ self._near.T
        out: Floats = np.einsum("scx,sx->cx", self._samples, at_cells, dtype=np.float64) / self._count
        return out
