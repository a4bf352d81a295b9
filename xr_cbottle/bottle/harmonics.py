"""Harmonics of the year and of the day, and least squares for their coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
_YEAR_DAYS = 365.25
_OWN_BYTES, _AT_ONCE = 4 << 30, 4096
#: Ridge of what lacks values, over the instants that it has: its seasons may be missing, and are not made up.
_OWN_RIDGE = 0.005


def basis(times: npt.ArrayLike, annual: int, diurnal: int) -> Floats:
    """Products of harmonics of the year and of the day (UTC).

    Parameters
    ----------
    times
        (n,) datetime64.
    annual, diurnal
        Highest harmonic of each; 0 is the constant alone.

    Returns
    -------
    (n, 2 annual + 1, 2 diurnal + 1) float64: 1, cos, sin, cos 2, sin 2, ... of one times those of the other.
    """
    stamps = np.atleast_1d(np.asarray(times, "datetime64[s]"))
    start = stamps.astype("datetime64[Y]").astype("datetime64[s]")
    seconds = (stamps - start).astype(np.int64)
    year = _harmonics(seconds / 86400 / _YEAR_DAYS, annual)
    day = _harmonics(seconds % 86400 / 86400, diurnal)
    return year[:, :, None] * day[:, None, :]


def _harmonics(turns: Floats, highest: int) -> Floats:
    angle = 2 * np.pi * turns[:, None] * np.arange(1, highest + 1)
    pairs = np.stack([np.cos(angle), np.sin(angle)], -1).reshape(len(turns), -1)
    return np.concatenate([np.ones((len(turns), 1)), pairs], 1)


def combined(rows: Floats, coefficients: Floats) -> Floats:
    """Sums of coefficients for each of some times, every time by itself, so that none depends on how many there are.

    Parameters
    ----------
    rows
        (n, k) float32. What the coefficients are multiplied by.
    coefficients
        (k, x) float32.

    Returns
    -------
    (n, x) float32
    """
    used = coefficients.any(1)  # a label without a diurnal cycle needs few of them
    kept = coefficients if used.all() else coefficients[used]
    # One time after the other: a product of matrices rounds by how many there are.
    return np.stack([np.einsum("k,kx->x", row, kept) for row in rows[:, used]])


class Fit:
    """Least squares for the coefficients of one quantity, block by block: harmonics, and what moves with predictors.

    Parameters
    ----------
    annual, diurnal
        Highest harmonics.
    shape
        Of the quantity at one instant.
    predictors
        How many numbers the quantity moves with beside the time.
    seasons
        Highest harmonic of the year of what one unit of a predictor does.
    ridge
        Added to the sum of squares of each predictor (ridge regression, Hoerl and Kennard 1970): where the instants say
        little of one, its coefficients are drawn to 0.
    incomplete
        Places in the quantity (flattened) that have no value (NaN) at some instants: each has sums of its own.

    Raises
    ------
    ValueError
        If those sums need too much memory.
    """

    def __init__(
        self,
        annual: int,
        diurnal: int,
        shape: Sequence[int],
        predictors: int = 0,
        seasons: int = 0,
        ridge: float = 0.0,
        incomplete: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self.annual, self.diurnal, self.shape = annual, diurnal, tuple(shape)
        self.predictors, self.seasons, self.ridge = predictors, seasons, ridge
        self.harmonics = (2 * annual + 1) * (2 * diurnal + 1)
        terms = self.harmonics + predictors * (2 * seasons + 1)
        self.count = 0
        self.square = np.zeros((terms, terms))
        self.product = np.zeros((terms, int(np.prod(self.shape))))
        self.power = np.zeros(self.product.shape[1])
        self.incomplete = np.zeros(0, np.int64) if incomplete is None else incomplete
        if 8 * len(self.incomplete) * terms**2 > _OWN_BYTES:
            raise ValueError(
                f"{len(self.incomplete):,} cells lack values in some instants: {terms} harmonics of each need more "
                "than 4 GiB; lower annual_harmonics and diurnal_harmonics, or leave such instants out"
            )
        self.own_counts = np.zeros(len(self.incomplete), np.int64)
        self.own_squares = np.zeros((len(self.incomplete), terms * terms))

    def rows(self, times: npt.ArrayLike, predictors: Floats | None = None) -> Floats:
        """Factors of the coefficients at (n,) times with (n, predictor) numbers: (n, term) float64."""
        rows = basis(times, self.annual, self.diurnal)
        rows = rows.reshape(len(rows), -1)
        if not self.predictors:
            return rows
        assert predictors is not None
        return np.concatenate([rows, responses(times, predictors, self.seasons)], 1)

    def add(self, times: npt.ArrayLike, values: Floats, predictors: Floats | None = None) -> None:
        """Take in (n,) times, (n, \\*shape) values, and (n, predictor) numbers."""
        rows = self.rows(times, predictors)
        columns = np.asarray(values, np.float64).reshape(len(values), -1)
        if len(self.incomplete):
            columns = columns.copy()
            some = columns[:, self.incomplete]
            there = ~np.isnan(some)
            columns[:, self.incomplete] = np.where(there, some, 0.0)
            self.own_counts += there.sum(0)
            self.own_squares += there.T.astype(np.float64) @ (rows[:, :, None] * rows[:, None, :]).reshape(
                len(rows), -1
            )
        self.count += len(values)
        self.square += rows.T @ rows
        self.product += rows.T @ columns
        self.power += np.einsum("nx,nx->x", columns, columns)

    @property
    def inverse(self) -> Floats:
        """Inverse of the (term, term) sums of squares, with the ridge."""
        ridge = np.zeros(len(self.square))
        ridge[self.harmonics :] = self.ridge
        return np.linalg.pinv(self.square + np.diag(ridge), rcond=1e-10, hermitian=True)

    def coefficients(self, significance: float = 0.0) -> Floats:
        """(term, x) coefficients: harmonics, then what one unit of each predictor does in each season.

        Parameters
        ----------
        significance
            Terms with a diurnal harmonic are set to 0 where they are within so many standard errors of it: most are,
            and would only add noise.
        """
        if self.count <= len(self.square):
            raise ValueError(
                f"{self.count} instants are too few for {len(self.square)} harmonics: give more of them, or lower "
                "annual_harmonics and diurnal_harmonics"
            )
        inverse = self.inverse
        found = inverse @ self.product
        variance, freedom = np.diag(inverse)[:, None], np.full(found.shape[1], self.count - len(found))
        if len(self.incomplete):
            found[:, self.incomplete], own = self._own()
            variance = np.repeat(variance, found.shape[1], 1)
            variance[:, self.incomplete] = own
            freedom[self.incomplete] = self.own_counts - len(found)
        if significance:
            left = np.maximum(self.power - np.einsum("kx,kx->x", found, self.product), 0)
            error = np.sqrt(variance * left / freedom)
            diurnal = np.arange(len(found)) % (2 * self.diurnal + 1) > 0
            diurnal[self.harmonics :] = False
            found[(np.abs(found) < significance * error) & diurnal[:, None]] = 0
        return found

    def _own(self) -> tuple[Floats, Floats]:
        """(term, x) coefficients of the incomplete places, and the diagonals of their inverse sums of squares."""
        terms = len(self.square)
        if (self.own_counts <= terms).any():
            raise ValueError(
                f"{self.own_counts.min()} instants with a value are too few for {terms} harmonics: raise "
                "least_presence, or lower annual_harmonics and diurnal_harmonics"
            )
        found, diagonal = np.empty((2, terms, len(self.incomplete)))
        for first in range(0, len(self.incomplete), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            squares = self.own_squares[part].reshape(-1, terms, terms)
            ridge = np.full((len(squares), terms), _OWN_RIDGE) * self.own_counts[part, None]
            ridge[:, 0] = 0
            inverse = np.linalg.pinv(squares + ridge[:, :, None] * np.eye(terms), rcond=1e-10, hermitian=True)
            found[:, part] = np.einsum("xkl,lx->kx", inverse, self.product[:, self.incomplete[part]])
            diagonal[:, part] = np.einsum("xkk->kx", inverse)
        return found, diagonal

    def solve(self, significance: float = 0.0) -> Floats:
        """Coefficients of the harmonics (2 annual + 1, 2 diurnal + 1, \\*shape), see `coefficients`."""
        found = self.coefficients(significance)[: self.harmonics]
        return found.reshape(2 * self.annual + 1, 2 * self.diurnal + 1, *self.shape)


def responses(times: npt.ArrayLike, predictors: Floats, seasons: int) -> Floats:
    """Products of predictors and harmonics of the year.

    Parameters
    ----------
    times
        (n,) datetime64.
    predictors
        (n, predictor).
    seasons
        Highest harmonic of the year.

    Returns
    -------
    (n, predictor * (2 seasons + 1)) float64
    """
    year = basis(times, seasons, 0)[:, :, 0]
    return (np.asarray(predictors, np.float64)[:, :, None] * year[:, None, :]).reshape(len(year), -1)
