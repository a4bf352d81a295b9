"""Linear modes: how far a solver goes wrong on Gaussian data, mode by mode, known without a network.

Data whose modes (patterns that do not go together) are normal with variances v have the denoiser D(x; sigma) =
v / (v + sigma^2) x, mode by mode. Every solver of `xr_cbottle.network.edm` is then linear in its state, and what it
makes of noise of unit deviation is one number for each mode: the deviation of what is drawn. Fields of the weather are
not normal, but how large their patterns are (their spectrum) says most of what a list of noise levels must resolve.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xr_cbottle.network.edm import Denoise

Solve = Callable[[Denoise, Tensor, Tensor], Tensor]


def deviation_ratio(solve: Solve, sigmas: Tensor, variances: Tensor) -> Tensor:
    """Deviation that a solver draws over that of the data, for each mode: (mode,) float64.

    Parameters
    ----------
    solve
        One of `xr_cbottle.network.edm.SOLVERS`.
    sigmas
        Its noise levels, descending, and 0 at the end.
    variances
        (mode,) variances of the data's modes, in the squared units of the noise levels.

    Returns
    -------
    The solver begins, as it does for fields, from noise of the first level alone. The exact solution has then
    ``sigmas[0] / sqrt(variances + sigmas[0]^2)``, which is 1 as far as the first level is above all modes.
    """
    variances = variances.to(torch.float64)

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return variances / (variances + sigma**2) * x

    return solve(denoise, torch.ones_like(variances) * sigmas[0], sigmas) / variances.sqrt()
