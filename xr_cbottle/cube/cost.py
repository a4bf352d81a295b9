"""Costs of a data set, to draw and to write it, said before that is begun."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xr_cbottle.cube.cube import Cube
from xr_cbottle.cube.output_form import OutputForm
from xr_cbottle.cube.spec import CubeSpec

if TYPE_CHECKING:
    from xr_cbottle.cube.portions import Portion


@dataclass(frozen=True)
class Cost:
    """The cost of a job on this machine.

    Attributes
    ----------
    instants, batches
        How many instants are drawn, in how many batches.
    evaluations
        Of the network, for each batch.
    tiles
        How many tiles are drawn above the bottle's zoom.
    seconds
        How long all takes, by a trial.
    nbytes
        Bytes of all values, before they are compressed.
    device
        Where the network runs.
    """

    instants: int
    batches: int
    evaluations: int
    tiles: int
    seconds: float
    nbytes: int
    device: str

    def text(self) -> str:
        """The cost in words, some lines."""
        from dask.utils import format_bytes, format_time

        tiles = f", and {self.tiles:,} tiles of them" if self.tiles else ""
        return "\n".join(
            [
                f"{self.instants:,} instants in {self.batches:,} batches of {self.evaluations} evaluations{tiles}",
                f"about {format_time(self.seconds)}, {self.seconds / 3600:,.2f} hours of one {self.device} "
                f"({round(self.seconds):,} s, by a trial)",
                f"{format_bytes(self.nbytes)} ({self.nbytes:,} bytes) before compression",
            ]
        )


def _states_per_instant(spec: CubeSpec) -> float:
    """How many fields are drawn for an instant, in the mean over the first times: not one if others are drawn first."""
    if spec.tree is None:
        return 1.0
    times = [time for i in range(min(spec.axis.count, 1024)) for time in spec.axis.instants(i).tolist()]
    levels = spec.tree.levels(leaf for time in times for leaf in spec.tree.around(time))
    return sum(spec.tree.fields_of(depth) * len(level) for depth, level in enumerate(levels)) / len(times)


def estimate(cube: Cube, names: Sequence[str], portions: Iterable[Portion], form: OutputForm | None = None) -> Cost:
    """Estimate the cost of some variables of portions of a data set; one evaluation of the network is made to tell.

    Raises
    ------
    ValueError
        If there is no such variable.
    """
    from xr_cbottle.cube.pieces import Pieces
    from xr_cbottle.draw import stopwatch

    unknown = [name for name in names if name not in cube.layouts]
    if unknown:
        known = ", ".join(cube.layouts)
        raise ValueError(f"{cube.bottle.manifest.name} has no variable {', '.join(unknown)!r}: choose among {known}")
    emulator, spec, form = cube.emulator(), cube.spec, form or OutputForm()
    each = len(spec.members or (0,)) if form.mean else 1
    values, batches = 0, 0
    for portion in portions:
        times = portion.times.stop - portion.times.start
        values += times
        full, rest = divmod(times, cube.layout.values_per_task)
        for count, length in ((full, cube.layout.values_per_task), (1, rest)):
            batches += each * count * math.ceil(length * spec.axis.instants_per_value / spec.batch_size)
    instants = each * values * spec.axis.instants_per_value
    batches = math.ceil(batches * _states_per_instant(spec))
    when = np.datetime64(int(spec.axis.instants(0)[0]), "s")
    seconds, tiles = batches * stopwatch.seconds_of_a_batch(emulator, spec.label, when), 0
    if spec.fine is not None:
        assert isinstance(cube.source, Pieces)
        all_tiles = spec.axis.count * spec.axis.instants_per_value * len(spec.members or (0,))
        tiles = instants * form.draws(cube.layout) // all_tiles
        seconds += tiles * stopwatch.seconds_of_a_tile(cube.source.resolver())
    sizes = form.sizes(cube.layout)
    apart = ("time", "member")
    row = sum(math.prod(sizes[dim] for dim in form.dims(cube.layout, name) if dim not in apart) for name in names)
    evaluations = emulator.sampler.evaluations
    return Cost(instants, batches, evaluations, tiles, seconds, 4 * row * values, str(emulator.device))
