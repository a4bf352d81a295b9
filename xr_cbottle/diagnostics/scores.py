"""Scores of an ensemble against a truth: CRPS, rank histogram, spread against error.

Own code, few lines of it: of the libraries, `scores` needs bottleneck, with which xarray takes means of float32 in
single precision everywhere (the mean of ten million temperatures of 288 K came out as 268.9 K), and xskillscore brings
statsmodels and the unmaintained properscoring, and needs bottleneck for ranks.

A bottle does not know the day's weather. Its members should be exchangeable with the simulation's state of the same
hour under the same SST: then the rank histogram is flat, the spread-error ratio 1, and the CRPS that of a climate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from xr_cbottle.diagnostics.attributes import described, name_of, units
from xr_cbottle.diagnostics.grid import bare

MEMBER = "member"


def crps(members: xr.DataArray, truth: xr.DataArray, fair: bool = True) -> xr.DataArray:
    """Continuous ranked probability score at each place and time.

    Parameters
    ----------
    members
        (member, ...), two or more members if fair.
    truth
        (...), compared where it has the same times, levels and cells.
    fair
        Whether to correct for the number of members (Ferro 2014, doi:10.1002/qj.2270), so that ensembles of different
        sizes can be compared; otherwise the score of the empirical distribution.

    Returns
    -------
    (...) in the field's unit, mean ``|x - y|`` minus half the mean ``|x - x'|``; take means of it over time or cells.
    NaN where a value is missing.
    """
    ensemble, observed = _aligned(members, truth)
    count = ensemble.sizes[MEMBER]
    if fair and count < 2:
        raise ValueError("a fair CRPS needs two members or more")
    result = xr.apply_ufunc(
        _crps,
        ensemble,
        observed,
        input_core_dims=[[MEMBER], []],
        kwargs={"pairs": count * (count - 1) if fair else count**2},
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    kind = "fair CRPS" if fair else "CRPS"
    return described(result, f"{kind} of {name_of(members)}", units(members), members=count)


def rank_histogram(
    members: xr.DataArray, truth: xr.DataArray, dim: Sequence[str] = ("time", "cell"), seed: int = 0
) -> xr.DataArray:
    """Histogram of the rank of the truth among the members.

    Parameters
    ----------
    members, truth
        (member, ...) and (...), paired where they have the same times, levels and cells.
    dim
        Over what to count.
    seed
        Of the choice among equal ranks: a truth that equals members (rain of zero) takes any of their ranks with the
        same probability.

    Returns
    -------
    (rank, ...) fractions that add up to 1, ranks 0 (below all members) to the number of members; flat for a reliable
    ensemble. Cases with a missing value do not count.
    """
    ensemble, observed = _aligned(members, truth)
    count = ensemble.sizes[MEMBER]
    below, equal = (ensemble < observed).sum(MEMBER), (ensemble == observed).sum(MEMBER)
    known = observed.notnull() & ensemble.notnull().all(MEMBER)
    # A fixed number for each case, whatever the chunks.
    choice = np.random.default_rng(seed).random([known.sizes[d] for d in known.dims])
    rank = below + np.floor(xr.DataArray(choice, known.coords, known.dims) * (equal + 1)).astype(int)
    over = [d for d in dim if d in known.dims]
    fractions = [((rank == r) & known).sum(over) for r in range(count + 1)]
    result = xr.concat(fractions, "rank") / known.sum(over)
    result = result.assign_coords(rank=np.arange(count + 1))
    return described(result, f"rank of the truth among members of {name_of(members)}", "1", members=count)


def spread_error(members: xr.DataArray, truth: xr.DataArray, dim: Sequence[str] = ("time", "cell")) -> xr.Dataset:
    """Spread of an ensemble against the error of its mean.

    Parameters
    ----------
    members, truth
        (member, ...) and (...), paired where they have the same times, levels and cells; two members or more.
    dim
        Over what variances and squared errors are averaged, before roots are taken (Fortin et al. 2014,
        doi:10.1175/JHM-D-14-0008.1).

    Returns
    -------
    ``spread`` and ``error`` in the field's unit, and ``ratio`` = sqrt((M + 1) / M) spread / error, which is 1 for M
    members that are exchangeable with the truth.
    """
    ensemble, observed = _aligned(members, truth)
    count = ensemble.sizes[MEMBER]
    if count < 2:
        raise ValueError("a spread needs two members or more")
    over = [d for d in dim if d in observed.dims]
    squares = (ensemble.mean(MEMBER, skipna=False) - observed) ** 2
    variance = ensemble.var(MEMBER, ddof=1, skipna=False).where(squares.notnull())
    spread, error = variance.mean(over) ** 0.5, squares.mean(over) ** 0.5
    name, unit = name_of(members), units(members)
    return xr.Dataset(
        {
            "spread": described(spread, f"spread of {name}", unit, members=count),
            "error": described(error, f"error of the mean of {name}", unit, members=count),
            "ratio": described(((count + 1) / count) ** 0.5 * spread / error, f"spread over error of {name}", "1"),
        }
    )


def _aligned(members: xr.DataArray, truth: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Both fields in double precision, where both have coordinates."""
    if MEMBER not in members.dims:
        raise ValueError(f"an ensemble has a dimension {MEMBER}, not only {', '.join(map(str, members.dims))}")
    if MEMBER in truth.dims:
        raise ValueError(f"the truth has a dimension {MEMBER}: select one of them")
    ensemble, observed = xr.align(bare(members), bare(truth), join="inner", exclude=[MEMBER])
    for dim in observed.dims:
        if not observed.sizes[dim]:
            raise ValueError(f"members and truth have no {dim} in common")
    if ensemble.chunks is not None:
        ensemble = ensemble.chunk({MEMBER: -1})
    return ensemble.astype(np.float64), observed.astype(np.float64)


def _crps(members: npt.NDArray[np.float64], truth: npt.NDArray[np.float64], pairs: int) -> npt.NDArray[np.float64]:
    """(..., member) and (...): the sum over pairs of |x - x'| is that of sorted members times 2 (2 i - M - 1)."""
    count = members.shape[-1]
    ordered = np.sort(members, -1)
    weights = 2.0 * (2 * np.arange(1, count + 1) - count - 1)
    return np.abs(members - truth[..., None]).mean(-1) - (ordered @ weights) / (2 * pairs)
