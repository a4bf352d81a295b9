"""Filling what is missing in a user's fields with what the bottle draws for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.draw import noise
from xr_cbottle.draw.arithmetic import drawing
from xr_cbottle.draw.emulator import Emulator, Instant
from xr_cbottle.draw.own_work import Infilling
from xr_cbottle.network import infilling
from xr_cbottle.network.infilling import Rounds

Floats = npt.NDArray[np.floating[Any]]


def infill(
    emulator: Emulator,
    fields: npt.ArrayLike,
    times: npt.ArrayLike,
    infilling: Infilling,
    *,
    seed: int = 0,
    member: int = 0,
) -> npt.NDArray[np.float32]:
    """Draw what is missing in fields, given what is there.

    Parameters
    ----------
    emulator
        A loaded bottle.
    fields
        (time, channel, cell NEST) in the channels' units; NaN where there is no value.
    times
        (time,) datetime64, each once.
    infilling
        Under which label, and how.
    seed, member
        Of the noise. A time of which nothing is known is the plain draw of this seed and member.

    Returns
    -------
    (time, channel, cell NEST) float32; what was there is there to the last bit.

    Raises
    ------
    ValueError
        If the bottle does not have the label, or the shape is not one field of all channels for each time.
    """
    stamps, values = emulator.shaped(fields, times)
    label = emulator.bottle.manifest.label(infilling.label)
    known = np.isfinite(values)
    out = values.astype(np.float32)
    empty = np.flatnonzero(~known.any((1, 2)))
    if len(empty):
        out[empty] = emulator.draw_instants([Instant(label, seed, member, time) for time in stamps[empty]])
    partly = np.flatnonzero(known.any((1, 2)) & ~known.all((1, 2)))
    for start in range(0, len(partly), emulator.batch_size):
        batch = partly[start : start + emulator.batch_size]
        drawn = _batch(emulator, values[batch], stamps[batch], label, infilling.rounds, seed, member)
        out[batch] = np.where(known[batch], out[batch], drawn)
    return out


def _batch(
    emulator: Emulator,
    values: npt.NDArray[np.float64],
    times: npt.NDArray[np.datetime64],
    label: str | None,
    rounds: int,
    seed: int,
    member: int,
) -> Floats:
    def normals(number: int) -> Floats:
        return np.stack([
            noise.normals(values.shape[1:], seed=seed, stage="infill", member=member, time=time, block=number)
            for time in times
        ])  # fmt: skip

    with drawing(emulator.precision):
        given = Standardised(emulator, values, label, times)
        with emulator.batch(times) as (batch, inputs):
            drawn = infilling.infill(
                emulator.denoise(label, **inputs), lambda denoised: batch.put(given.given(batch.back(denoised))),
                batch.put(given.known), emulator.sampler.levels(), lambda number: batch.put(normals(number)).double(),
                Rounds(rounds),
            )  # fmt: skip
            found = batch.back(drawn)
        return emulator.finite(emulator.physical(found, label, times))


class Standardised:
    """Known parts of some fields, as the network would have drawn them.

    Calibration mixes cells. What is known of a field of which cells are missing says what the network must have drawn
    there only together with the rest, for which a guess is taken.

    Parameters
    ----------
    emulator, label
        Whose units and calibration.
    values, times
        (n, channel, cell NEST) in the channels' units, NaN where there is no value, and (n,).
    """

    def __init__(
        self,
        emulator: Emulator,
        values: npt.NDArray[np.float64],
        label: str | None,
        times: npt.NDArray[np.datetime64],
    ) -> None:
        self.climatology, self.label = emulator.climatology, label
        self.wanted = emulator.anomalies(values, label, times)
        self.known = np.isfinite(self.wanted)
        self._first, _ = emulator.known_part(values, label, times)
        partly = self.known.any(-1) & ~self.known.all(-1)
        self._mixed = [np.flatnonzero(channels).tolist() for channels in partly]

    def given(self, guess: Floats) -> Floats:
        """(n, channel, cell NEST) where it is known; ``guess``, of the same shape, is what the network would draw."""
        known = self.climatology
        if known is None or known.calibration is None:
            return self._first
        out = self._first.copy()
        for i, chosen in enumerate(self._mixed):
            if chosen:
                rest = known.amplified(guess[i : i + 1, chosen], self.label, chosen)
                whole = np.where(self.known[i, chosen], self.wanted[i, chosen], rest)
                out[i, chosen] = known.unamplified(whole, self.label, chosen)[0]
        return out
