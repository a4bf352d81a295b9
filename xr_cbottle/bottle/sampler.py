"""How the diffusion ODE is solved: which solver, at which noise levels. `xr_cbottle.network.edm` does it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from xr_cbottle.bottle import limits, schema
from xr_cbottle.bottle.errors import SchemaError
from xr_cbottle.bottle.schema import Record, field

#: By the names that they have in the field.
SOLVERS = {"heun": "Heun", "dpmpp_2m": "DPM-Solver++(2M)"}


@dataclasses.dataclass(frozen=True)
class SamplerDefaults(Record):
    """A solver's way from ``sigma_max`` to ``sigma_min`` in ``num_steps`` levels spaced by ``rho``."""

    num_steps: int = field(schema.integer(2, limits.NUM_STEPS), 18)
    sigma_min: float = field(schema.number(0, open_end=True), 0.02)
    sigma_max: float = field(schema.number(0, open_end=True), 200.0)
    rho: float = field(schema.number(0, open_end=True), 7.0)
    solver: str = field(schema.one_of(tuple(SOLVERS)), "heun")

    def __post_init__(self) -> None:
        super().__post_init__()
        # The levels are spaced in sigma ** (1 / rho), which must be a number.
        if max(abs(math.log(self.sigma_min)), abs(math.log(self.sigma_max))) > limits.EXPONENT * self.rho:
            raise SchemaError("rho", "larger, such that sigma ** (1 / rho) is a number", self.rho)
        if self.sigma_max <= self.sigma_min:
            raise SchemaError("sigma_max", f"a number > sigma_min ({self.sigma_min})", self.sigma_max)

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for one batch."""
        return evaluations(self.solver, self.num_steps)

    def plain(self) -> dict[str, Any]:
        """The record as JSON's types, without a solver that says nothing: older bottles keep their digests."""
        values = super().plain()
        return {key: value for key, value in values.items() if (key, value) != ("solver", "heun")}


def evaluations(solver: str, num_steps: int) -> int:
    """Evaluations of the network for one batch: of Heun's method two a step, and one in the last."""
    return 2 * num_steps - 1 if solver == "heun" else num_steps
