"""Fields of a few instants as a network takes them: padded to one number, in its order of cells, on its device."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import torch

from xr_cbottle.draw import conditions
from xr_cbottle.draw.models import Model
from xr_cbottle.grid import healpix


@dataclasses.dataclass(frozen=True, eq=False)
class PaddedBatch:
    """Instants on their way through a network, the last one repeated to a fixed number.

    Attributes
    ----------
    model
        The networks, kept in memory as long as the batch is.
    zoom
        HEALPix level of the fields.
    times
        (instant,) datetime64[s].
    size
        How many instants the network gets.
    """

    model: Model
    zoom: int
    times: npt.NDArray[np.datetime64]
    size: int

    def padded(self, values: npt.NDArray) -> npt.NDArray:
        """Values of the instants with those of the last one repeated: (instant, ...) -> (size, ...)."""
        count = len(self.times)
        return values[[*range(count), *[count - 1] * (self.size - count)]]

    def put(self, fields: npt.NDArray) -> torch.Tensor:
        """Fields for the network: (instant, ..., cell NEST) -> (size, ..., 1, cell PAD_XY), on its device."""
        return self._send(self.padded(fields)[..., None, healpix.nest_to_padxy(self.zoom)])

    def calendar(self) -> dict[str, torch.Tensor]:
        """Second of the day and day of the year, each (size, frame), by the denoiser's names of them."""
        times = self.padded(self.times)
        shape = self.size, -1
        return {
            "second_of_day": self._send(conditions.second_of_day(times.ravel()).reshape(shape)),
            "day_of_year": self._send(conditions.day_of_year(times.ravel()).reshape(shape)),
        }

    def back(self, state: torch.Tensor) -> npt.NDArray:
        """Fields from the network: (size, ..., 1, cell PAD_XY) -> (instant, ..., cell NEST), without the padding."""
        drawn = state[: len(self.times), ..., 0, :].cpu().numpy()
        return drawn[..., healpix.padxy_to_nest(self.zoom)]

    def _send(self, values: npt.NDArray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.model.device)


@dataclasses.dataclass(frozen=True, eq=False)
class FrameBatch(PaddedBatch):
    """Windows on their way through a video network, as a `PaddedBatch` of them; its times are (window, frame)."""

    def put(self, fields: npt.NDArray) -> torch.Tensor:
        """Fields for the network: (window, channel, frame, cell NEST) -> (size, ..., cell PAD_XY), on its device."""
        return self._send(self.padded(fields)[..., healpix.nest_to_padxy(self.zoom)])

    def conditions(self, fields: npt.NDArray[np.float32]) -> torch.Tensor:
        """Conditions of all frames, (size * frame, condition, 1, cell PAD_XY), as the network takes them.

        Returns
        -------
        (size, condition, frame, cell PAD_XY)
        """
        by_frame = fields.reshape(self.size, -1, fields.shape[1], fields.shape[-1])
        return self._send(by_frame.swapaxes(1, 2)).to(self.model.dtype)

    def back(self, state: torch.Tensor) -> npt.NDArray:
        """Fields from the network: (size, channel, frame, cell PAD_XY) -> (window, ..., cell NEST)."""
        return state[: len(self.times)].cpu().numpy()[..., healpix.padxy_to_nest(self.zoom)]
