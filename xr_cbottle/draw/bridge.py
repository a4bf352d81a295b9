"""Weather between two states: instants that a network draws half way between others that are there already.

The instants of a bottle with a bridge hang in a tree over time (`xr_cbottle.grid.time_tree`). Its roots, some days
apart, are drawn as instants are without it. Each other state is drawn between the two that it lies half way between,
from noise that is keyed by its own time: a pure function of that time, whatever else is read and in whichever order.
Instants between two leaves of the tree are turned from one leaf into the other, and nothing is drawn for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from xr_cbottle.draw import noise
from xr_cbottle.draw.arithmetic import drawing
from xr_cbottle.draw.models import Model, load_bridge
from xr_cbottle.draw.states import State, States
from xr_cbottle.grid import healpix
from xr_cbottle.grid.time_tree import TimeTree
from xr_cbottle.network import edm
from xr_cbottle.network.bridging import told_ends, turned

if TYPE_CHECKING:
    from xr_cbottle.draw.emulator import Emulator, Instant


class Ends(NamedTuple):
    """The states that one is drawn from.

    Attributes
    ----------
    before, after
        The state before it and the one after; None where there is none.
    seconds
        From those that there are to it.
    """

    before: State | None
    after: State | None
    seconds: int


class Bridge(States):
    """The network between two states of a loaded bottle.

    Parameters
    ----------
    emulator
        Draws the roots, and says how states become values.
    tree
        Tree over time; the bottle's if None.
    """

    def __init__(self, emulator: Emulator, tree: TimeTree | None = None) -> None:
        spec = emulator.bottle.manifest.bridge
        if spec is None:
            raise ValueError(f"{emulator.bottle.manifest.name} has no bridge: choose a bottle that has one")
        super().__init__(emulator)
        self.tree = tree or spec.tree()

    @property
    def networks(self) -> Model:
        """The networks in memory, loaded again if others have taken their place."""
        return load_bridge(self.emulator.bottle, self.emulator.device, self.emulator.precision)

    # States ------------------------------------------------------------------------------------------------------

    def between(self, label: str | None, instants: Sequence[Instant], ends: Sequence[Ends]) -> list[State]:
        """Draw states from those before and after them, in batches."""
        drawn = self._batches(
            instants, lambda part, places: self._solve(label, part, ends[places]), self.emulator.batch_size
        )
        self.emulator.count_drawn(len(drawn))
        return drawn

    def _solve(self, label: str | None, instants: Sequence[Instant], ends: Sequence[Ends]) -> npt.NDArray[np.float64]:
        emulator = self.emulator
        times = np.array([one.time for one in instants], "datetime64[s]")
        latents = np.stack([self._latents(one) for one in instants])
        with drawing(emulator.precision), emulator.batch(times, self.networks) as (batch, inputs):
            nothing = np.zeros_like(latents[0])
            sides = [[nothing if end[i] is None else end[i] for end in ends] for i in range(2)]
            before, after = (batch.put(np.stack(states)) for states in sides)  # type: ignore[arg-type]
            have = batch.padded(np.array([[end.before is not None, end.after is not None] for end in ends]))
            far = batch.padded(np.array([end.seconds for end in ends]))

            def under(name: str | None, without: torch.Tensor | None) -> edm.Denoise:
                known = [side if without is None else side.masked_fill(without, 0) for side in (before, after)]
                device = batch.model.device
                told = told_ends(
                    known[0], known[1], torch.from_numpy(have).to(device), torch.from_numpy(far).to(device)
                )
                condition = torch.cat([inputs["condition"], told.to(inputs["condition"].dtype)], 1)
                return emulator.denoisers.alone(batch.model, name, **{**inputs, "condition": condition})

            sigmas = emulator.sampler.levels()
            state = batch.put(latents).double() * sigmas[0]
            denoise = emulator.denoisers.lent(label, under)
            return batch.back(edm.SOLVERS[emulator.sampler.solver](denoise, state, sigmas))

    def _latents(self, instant: Instant) -> npt.NDArray[np.float32]:
        shape = len(self.emulator.channels), healpix.n_cells(self.emulator.zoom)
        stream: dict[str, Any] = {"seed": instant.seed, "member": instant.member, "time": instant.time}
        return noise.normals(shape, stage="bridge", **stream)

    # Values ------------------------------------------------------------------------------------------------------

    def state_at(self, seconds: int, states: Mapping[int, State]) -> npt.NDArray[np.float64]:
        """State at a time, (channel, cell NEST): a leaf, or what the two leaves about it turn into."""
        leaves = self.tree.around(seconds)
        known = [torch.from_numpy(states[leaf][None].astype(np.float64)) for leaf in leaves]
        if len(known) == 1:
            return known[0][0].numpy()
        share = torch.tensor([(seconds - leaves[0]) / self.tree.step])
        return turned(known[0], known[1], share)[0].numpy()
