"""Windows of frames that a network draws at once, of which any may be given: weather that goes on within a window.

A window is drawn from noise that is keyed by the time of its first frame: it is a pure function of that and of the
frames that it is given, whatever else is read. A given frame comes back as it was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from xr_cbottle.bottle.sampler import SamplerDefaults
from xr_cbottle.draw import noise
from xr_cbottle.draw.arithmetic import drawing
from xr_cbottle.draw.models import Model, load_video
from xr_cbottle.draw.padded_batch import FrameBatch
from xr_cbottle.draw.states import State, States
from xr_cbottle.grid import healpix
from xr_cbottle.network import edm
from xr_cbottle.network.given_frames import told_frames

if TYPE_CHECKING:
    from xr_cbottle.draw.emulator import Emulator, Instant, Sampler

Frames = npt.NDArray[np.float32]
"""(frame, channel, cell NEST) float32: a window as its network draws it, in the statistics of the coarse networks."""


class Window(NamedTuple):
    """A window to draw.

    Attributes
    ----------
    first
        The instant of its first frame.
    given
        Frames that are given, by their numbers from 0; any of them, or none.
    """

    first: Instant
    given: Mapping[int, State]


class Video(States):
    """The video network of a loaded bottle.

    Parameters
    ----------
    emulator
        Draws instants that begin a chain of windows, and says how states become values.
    sampler
        Settings of the ODE solver; those of the bottle for its windows if None.
    """

    def __init__(self, emulator: Emulator, sampler: Sampler | None = None) -> None:
        super().__init__(emulator)
        spec = emulator.bottle.manifest.video
        if spec is None:
            raise ValueError(f"{emulator.bottle.manifest.name} has no video network: choose a bottle that has one")
        self.frames, self.step = spec.frames, spec.chain().step
        self.sampler = sampler or _default(spec.sampler, emulator)

    @property
    def networks(self) -> Model:
        """The networks in memory, loaded again if others have taken their place."""
        return load_video(self.emulator.bottle, self.emulator.device, self.emulator.precision)

    @property
    def batch_size(self) -> int:
        """How many windows are drawn at once: those of as many frames as a batch has instants, one at least."""
        return max(1, self.emulator.batch_size // self.frames)

    def windows(self, label: str | None, windows: Sequence[Window]) -> list[Frames]:
        """Draw windows in batches, each (frame, channel, cell NEST).

        Raises
        ------
        ValueError
            If a given frame has a number or a shape that no frame has.
        """
        for window in windows:
            self._check(window)
        drawn = self._batches(windows, lambda part, _: self._solve(label, part), self.batch_size)
        self.emulator.count_drawn(sum(self.frames - len(window.given) for window in windows))
        return drawn

    def _check(self, window: Window) -> None:
        shape = len(self.emulator.channels), healpix.n_cells(self.emulator.zoom)
        for number, state in window.given.items():
            if not 0 <= number < self.frames:
                raise ValueError(f"frame {number} is given: a window has frames 0 to {self.frames - 1}")
            if state.shape != shape:
                raise ValueError(f"the given frame {number} has shape {state.shape}: it must be {shape}")

    def times(self, windows: Sequence[Window]) -> npt.NDArray[np.datetime64]:
        """Times of the frames of some windows, (window, frame)."""
        starts = np.array([window.first.time for window in windows], "datetime64[s]")
        return starts[:, None] + self.step * np.arange(self.frames).astype("timedelta64[s]")

    def _solve(self, label: str | None, windows: Sequence[Window]) -> npt.NDArray[np.floating]:
        """At most a batch of windows, (window, frame, channel, cell)."""
        emulator, sigmas = self.emulator, self.sampler.levels()
        given, have = self._given(windows)
        latents = np.stack([self._latents(window.first) for window in windows])
        with drawing(emulator.precision):
            batch = FrameBatch(self.networks, emulator.zoom, self.times(windows), self.batch_size)
            scale, shift = self._statistics(batch.model)
            condition = emulator.condition(batch.padded(batch.times).ravel())
            with batch.model.lock:
                told = batch.conditions(condition)
                known = batch.put(given * scale + shift)
                there = torch.from_numpy(batch.padded(have)).to(batch.model.device)

                def under(name: str | None, without: torch.Tensor | None) -> edm.Denoise:
                    frames = known if without is None else known.masked_fill(without, 0)
                    inputs = {"condition": told_frames(frames, there, told), **batch.calendar()}
                    return emulator.denoisers.alone(batch.model, name, **inputs)

                denoise = emulator.denoisers.lent(label, under)
                state = batch.put(latents).double() * sigmas[0]
                solved = batch.back(edm.SOLVERS[self.sampler.solver](denoise, state, sigmas))
        drawn = ((solved - shift) / scale).swapaxes(1, 2)
        return np.where(have[:, :, None, None], given.swapaxes(1, 2), drawn)

    def _given(self, windows: Sequence[Window]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """The given frames, (window, channel, frame, cell) 0 for the others, and which there are (window, frame)."""
        channels, cells = len(self.emulator.channels), healpix.n_cells(self.emulator.zoom)
        frames = np.zeros((len(windows), channels, self.frames, cells))
        have = np.zeros((len(windows), self.frames), bool)
        for i, window in enumerate(windows):
            for number, state in window.given.items():
                frames[i, :, number], have[i, number] = state, True
        return frames, have

    def _statistics(self, networks: Model) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Scale and shift, (channel, 1, 1), that bring a state of the coarse networks into the video's statistics."""
        coarse = self.emulator.model
        if coarse.climatology is not None:  # which both draw anomalies from
            return np.ones((len(networks.scales), 1, 1)), np.zeros((len(networks.scales), 1, 1))
        scale, shift = coarse.scales / networks.scales, (coarse.center - networks.center) / networks.scales
        return scale[:, None, None], shift[:, None, None]

    def _latents(self, first: Instant) -> npt.NDArray[np.float32]:
        """Standard normal numbers that a window is drawn from, (channel, frame, cell NEST)."""
        shape = len(self.emulator.channels), self.frames, healpix.n_cells(self.emulator.zoom)
        return noise.normals(shape, stage="video", seed=first.seed, member=first.member, time=first.time)


def _default(own: SamplerDefaults | None, emulator: Emulator) -> Sampler:
    from xr_cbottle.draw.emulator import Sampler

    return emulator.sampler if own is None else Sampler.of(own)
