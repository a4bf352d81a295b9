"""Fine fields whose means over coarse cells are given: a hard constraint on what a network draws.

Harder et al. 2023 (https://jmlr.org/papers/v24/23-0158.html) compare such constraints: here the additive one, and the
multiplicative one for what cannot be negative. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def with_means(
    fine: npt.NDArray[np.float64], coarse: npt.NDArray[np.float64], nonnegative: Sequence[bool] = ()
) -> npt.NDArray[np.float64]:
    """Shift the fine cells of each coarse cell such that their mean is the coarse value.

    Parameters
    ----------
    fine
        (channel, cell) with the cells of a coarse cell one after the other, as in NEST order.
    coarse
        (channel, coarse cell).
    nonnegative
        (channel,) where what is below 0 after that becomes 0, and the rest of its coarse cell is scaled to the mean.
        A coarse value that is not above 0 is taken for the whole cell.

    Returns
    -------
    (channel, cell).
    """
    cells = fine.reshape(*coarse.shape, -1)
    wanted = coarse[..., None]
    cells = cells + (wanted - cells.mean(-1, keepdims=True))
    chosen = np.flatnonzero(nonnegative)
    if chosen.size:
        part, mean = np.maximum(cells[chosen], 0), wanted[chosen]
        total = part.mean(-1, keepdims=True)
        wet = (mean > 0) & (total > 0)  # by rounding nothing may be left of a mean that is far smaller than its cells
        cells[chosen] = np.where(wet, part / np.where(wet, total, 1.0) * mean, mean)
    return cells.reshape(fine.shape)
