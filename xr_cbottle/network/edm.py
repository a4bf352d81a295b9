"""Elucidated diffusion (Karras et al. 2022, "EDM"): preconditioning, noise schedules and ODE solvers.

Everything here is a pure function of its arguments. ``denoise(x, sigma)`` stands for the expected
clean state given a noisy one, E[y | y + sigma n = x].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from xr_cbottle.network.unet import Network

#: Standard deviation the preconditioning assumes of normalised data; published cBottle keeps EDM's 0.5.
SIGMA_DATA = 0.5

Denoise = Callable[[Tensor, Tensor], Tensor]
Expert = TypeVar("Expert")


def preconditioning(sigma: Tensor, sigma_data: float = SIGMA_DATA) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Factors (c_skip, c_out, c_in, c_noise) of EDM's table 1 for noise levels ``sigma``."""
    total = (sigma**2 + sigma_data**2).sqrt()
    return (sigma_data / total) ** 2, sigma * sigma_data / total, 1 / total, sigma.log() / 4


class Denoiser:
    """A network as the denoiser D(x; sigma) = c_skip x + c_out F(c_in x; c_noise).

    Parameters
    ----------
    network
        Made by `xr_cbottle.network.unet.build`.
    """

    def __init__(self, network: Network) -> None:
        self.network = network

    @property
    def dtype(self) -> torch.dtype:
        """Type of the network's weights, in which it computes."""
        return self.network.model.map_layer0.weight.dtype

    def __call__(self, x: Tensor, sigma: Tensor, **inputs: Tensor | None) -> Tensor:
        """Denoise a state; the arguments are those of `with_logits`, the result has the shape of ``x``."""
        return self.with_logits(x, sigma, **inputs)[0]

    def with_logits(
        self,
        x: Tensor,
        sigma: Tensor,
        *,
        condition: Tensor | None = None,
        labels: Tensor | None = None,
        second_of_day: Tensor | None = None,
        day_of_year: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Denoise a state; gives the classifier's logits (batch, 1, time, cell of its level) too, if there is one.

        Parameters
        ----------
        x
            Noisy state: (batch, channel, time, cell) in PAD_XY order, or (batch, channel, row, column)
            for a patch network.
        sigma
            (batch,) noise levels.
        condition
            Fields beside the state, neither noisy nor scaled; NaN counts as 0. For patches: local and
            global low resolution, then the position embedding.
        labels
            (batch, label_dim) one-hot, or zeros for "any".
        second_of_day, day_of_year
            (batch, time), UTC; on the sphere only.
        """
        c_skip, c_out, c_in, c_noise = preconditioning(sigma)
        wide = (-1,) + (1,) * (x.ndim - 1)
        inputs = (x * c_in.view(wide)).to(self.dtype)
        if condition is not None:
            inputs = torch.cat([inputs, torch.nan_to_num(condition).to(self.dtype)], 1)
        calendar = () if second_of_day is None else (second_of_day, day_of_year)
        output = self.network(inputs, c_noise, labels, *calendar)
        y, logits = output if isinstance(output, tuple) else (output, None)
        return c_skip.view(wide) * x + c_out.view(wide) * y.to(x.dtype), logits


def expert(experts: Sequence[tuple[float, Expert]], sigma: float) -> Expert:
    """Choose the expert for a noise level: the first of (sigma_min, expert), descending, with sigma >= sigma_min."""
    for sigma_min, chosen in experts:
        if sigma >= sigma_min:
            return chosen
    raise ValueError(f"no expert for noise level {sigma}: the last one's sigma_min must be 0")


def lend_channels(denoise: Denoise, donor: Denoise, masked: Tensor) -> Denoise:
    """Make a denoiser whose masked channels come from another.

    A data set may lack channels that others have (ERA5's radiation in published cBottle): its own
    denoiser then sees them as 0, and the donor, which sees the whole state, supplies them.

    Parameters
    ----------
    denoise, donor
        The same network under two labels.
    masked
        Boolean, of a shape that broadcasts with the state.
    """

    own = unseeing(denoise, masked)
    return lambda x, sigma: torch.where(masked, donor(x, sigma), own(x, sigma))


def unseeing(denoise: Denoise, masked: Tensor) -> Denoise:
    """Make a denoiser that sees masked channels as 0, as a network did that learnt from data without them."""
    return lambda x, sigma: denoise(x.masked_fill(masked, 0.0), sigma)


def known_zeros(denoise: Denoise, where: Tensor) -> Denoise:
    """Make a denoiser that knows where the clean state is 0, as it was in all that the network learnt from.

    Parameters
    ----------
    denoise
        Of all else.
    where
        Boolean, of a shape that broadcasts with the state.
    """
    return lambda x, sigma: denoise(x, sigma).masked_fill(where, 0.0)


def edm_schedule(num_steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Noise levels of EDM's equation 5, float64, from sigma_max down to sigma_min and then 0."""
    ramp = torch.arange(num_steps, dtype=torch.float64) / max(num_steps - 1, 1)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return torch.cat([(high + ramp * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)])


def heun(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """Solve dx/dsigma = (x - D(x; sigma)) / sigma by Heun's method (EDM's algorithm 1, no churn).

    Parameters
    ----------
    denoise
        Called with the float64 state and a 0-d float64 noise level.
    x
        State at ``sigmas[0]``; float64 is kept throughout.
    sigmas
        Noise levels in either direction: towards 0 to sample, upwards to encode. A step to 0 is an
        Euler step.
    """
    x = x.to(torch.float64)
    for here, there, ends in _steps(sigmas):
        slope = (x - denoise(x, here)) / here
        euler = x + (there - here) * slope
        if not ends:
            corrected = (euler - denoise(euler, there)) / there
            euler = x + (there - here) * (slope + corrected) / 2
        x = euler
    return x


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """Solve the ODE of `heun` by DPM-Solver++(2M) (Lu et al. 2022, https://arxiv.org/abs/2211.01095, algorithm 2).

    In lambda = -log(sigma) the state's own part is solved exactly, and the denoised state is extrapolated from this and
    the last level: second order like Heun's method, with one evaluation a step.

    Parameters
    ----------
    denoise, x, sigmas
        As for `heun`; the levels must descend.
    """
    x = x.to(torch.float64)
    before: tuple[Tensor, Tensor] | None = None  # what was denoised in the last step, and how far that went
    for here, there, ends in _steps(sigmas):
        denoised = denoise(x, here).to(torch.float64)
        if not ends:
            far = (here / there).log()
            ahead = denoised
            if before is not None:
                ahead = denoised + (denoised - before[0]) * far / (2 * before[1])
            x = there / here * x - torch.expm1(-far) * ahead
            before = denoised, far
        else:
            x = denoised
    return x


def ipndm3(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """Solve the ODE of `heun` by iPNDM of three slopes (Zhang and Chen 2022, https://arxiv.org/abs/2204.13902).

    A step follows the Adams-Bashforth mean of its own slope and of the last two; the first steps have fewer. The
    weights are those of even steps, which makes the method of second order on levels that are spaced smoothly. One
    evaluation a step.

    Parameters
    ----------
    denoise, x, sigmas
        As for `heun`; the levels must descend.
    """
    x = x.to(torch.float64)
    slopes: list[Tensor] = []
    for here, there, ends in _steps(sigmas):
        denoised = denoise(x, here).to(torch.float64)
        if ends:
            x = denoised
        else:
            slopes = [(x - denoised) / here, *slopes[:2]]
            x = x + (there - here) * sum(
                weight * slope for weight, slope in zip(_ADAMS_BASHFORTH[len(slopes) - 1], slopes, strict=True)
            )
    return x


#: Weights of the slopes of one, two and three steps, the newest first.
_ADAMS_BASHFORTH = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12))


def _steps(sigmas: Tensor) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """Levels that a step goes from and to, and whether it ends at 0; asked once of a GPU, not at each step."""
    ends = [level == 0 for level in sigmas.tolist()]
    return zip(sigmas[:-1], sigmas[1:], ends[1:], strict=True)


#: The solvers by the names of `xr_cbottle.bottle.sampler.SOLVERS`, which a test compares.
SOLVERS = {"heun": heun, "dpmpp_2m": dpmpp_2m, "ipndm3": ipndm3}
