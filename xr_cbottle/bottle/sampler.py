"""How the diffusion ODE is solved: which solver, at which noise levels. `xr_cbottle.network.edm` does it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.bottle import limits, schema
from xr_cbottle.bottle.errors import SchemaError
from xr_cbottle.bottle.schema import Record, field

#: By the names that they have in the field.
SOLVERS = {"heun": "Heun", "dpmpp_2m": "DPM-Solver++(2M)", "ipndm3": "iPNDM of three slopes"}
#: Most steps for which levels are chosen: with as many it no longer matters where they lie.
MOST_CHOSEN = 50
_ASKED = ("num_steps", "sigma_min", "sigma_max", "solver", "sigmas")


@dataclasses.dataclass(frozen=True)
class SamplerDefaults(Record):
    """A solver's way from ``sigma_max`` to ``sigma_min`` in ``num_steps`` levels spaced by ``rho``, or chosen.

    ``sigmas`` offers levels that were chosen for this solver: a list for each of some numbers of steps.
    """

    num_steps: int = field(schema.integer(2, limits.NUM_STEPS), 18)
    sigma_min: float = field(schema.number(0, open_end=True), 0.02)
    sigma_max: float = field(schema.number(0, open_end=True), 200.0)
    rho: float = field(schema.number(0, open_end=True), 7.0)
    solver: str = field(schema.one_of(tuple(SOLVERS)), "heun")
    sigmas: tuple[tuple[float, ...], ...] = field(
        schema.each(schema.each(schema.number(0, open_end=True), 2, limits.NUM_STEPS), 0, limits.LEVEL_LISTS), ()
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # The levels are spaced in sigma ** (1 / rho), which must be a number.
        if max(abs(math.log(self.sigma_min)), abs(math.log(self.sigma_max))) > limits.EXPONENT * self.rho:
            raise SchemaError("rho", "larger, such that sigma ** (1 / rho) is a number", self.rho)
        if self.sigma_max <= self.sigma_min:
            raise SchemaError("sigma_max", f"a number > sigma_min ({self.sigma_min})", self.sigma_max)
        self._check_lists()

    def _check_lists(self) -> None:
        for i, levels in enumerate(self.sigmas):
            risen = first_not_descending(levels)
            if risen is not None:
                must = f"less than the one before ({levels[risen - 1]:g})"
                raise SchemaError(f"sigmas[{i}][{risen}]", must, levels[risen])
            if len(levels) in (len(other) for other in self.sigmas[:i]):
                raise SchemaError(f"sigmas[{i}]", "of a length that no earlier list has", list(levels))

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for one batch."""
        return evaluations(self.solver, self.num_steps)

    def chosen(self, num_steps: int) -> tuple[float, ...]:
        """Noise levels that are offered for a number of steps, descending; empty if there are none."""
        return next((levels for levels in self.sigmas if len(levels) == num_steps), ())

    def replaced(self, *, solver: str | None = None, num_steps: int | None = None) -> SamplerDefaults:
        """The settings with another solver, for which none of the levels here were chosen, or number of steps."""
        solver, steps = solver or self.solver, self.num_steps if num_steps is None else num_steps
        kept = self.sigmas if solver == self.solver else ()
        return dataclasses.replace(self, solver=solver, num_steps=steps, sigmas=kept)

    def offering(self, lists: Sequence[Sequence[float]]) -> SamplerDefaults:
        """The settings with chosen levels to offer, five digits of each, in the place of those of the same lengths."""
        rounded = tuple(tuple(float(f"{level:.5g}") for level in levels) for levels in lists)
        lengths = {len(levels) for levels in rounded}
        return dataclasses.replace(self, sigmas=(*rounded, *(one for one in self.sigmas if len(one) not in lengths)))

    def asked(self, keywords: Mapping[str, Any]) -> SamplerDefaults:
        """Settings that keywords ask for instead of these; where its levels are chosen, ``sigmas`` has them alone.

        They are chosen by whoever gives ``sigmas``, or else by the bottle, for its own solver and ends.

        Parameters
        ----------
        keywords
            num_steps, sigma_min, sigma_max, solver and sigmas, of which any may be absent or None.

        Raises
        ------
        ValueError
            If they contradict each other.
        """
        given = {name: keywords[name] for name in _ASKED if keywords.get(name) is not None}
        ends = [name for name in ("sigma_min", "sigma_max") if name in given]
        sigmas = given.pop("sigmas", None)
        if sigmas is not None and ends:
            raise ValueError(f"sigmas gives all noise levels: leave {' and '.join(ends)} out")
        if sigmas is not None and given.get("num_steps", len(sigmas)) != len(sigmas):
            steps = given["num_steps"]
            raise ValueError(f"num_steps is {steps} and sigmas has {len(sigmas)} noise levels: leave num_steps out")
        if sigmas is None and not ends and given.get("solver", self.solver) == self.solver:
            sigmas = self.chosen(given.get("num_steps", self.num_steps)) or None
        if sigmas is not None:
            given |= {"num_steps": len(sigmas), "sigma_min": float(sigmas[-1]), "sigma_max": float(sigmas[0])}
        low, high = (given.get(name, getattr(self, name)) for name in ("sigma_min", "sigma_max"))
        if low >= high:
            raise ValueError(f"sigma_min is {low:g} and sigma_max {high:g}: sigma_min must be less than sigma_max")
        return dataclasses.replace(self, **given, sigmas=() if sigmas is None else (tuple(sigmas),))

    def levels_in_words(self) -> str:
        """Say which noise levels the default takes: ``sigma 80 to 0.02, rho 7``, or those that were chosen."""
        chosen = self.chosen(self.num_steps)
        if chosen:
            return f"chosen levels, sigma {chosen[0]:g} to {chosen[-1]:g}"
        return f"sigma {self.sigma_max:g} to {self.sigma_min:g}, rho {self.rho:g}"

    def plain(self) -> dict[str, Any]:
        """The record as JSON's types, without later keys that say nothing: older bottles keep their digests."""
        values = super().plain()
        return {key: value for key, value in values.items() if (key, value) not in (("solver", "heun"), ("sigmas", []))}


def first_not_descending(levels: Sequence[float]) -> int | None:
    """Position of the first level that is not below the one before it; None if all descend."""
    return next((i for i, (before, here) in enumerate(itertools.pairwise(levels), 1) if not here < before), None)


def evaluations(solver: str, num_steps: int) -> int:
    """Evaluations of the network for one batch: of Heun's method two a step, and one in the last."""
    return 2 * num_steps - 1 if solver == "heun" else num_steps


def step_counts(text: str) -> tuple[int, ...]:
    """Read numbers of steps for which levels are to be chosen, as a command line has them: ``12,10,8``.

    Raises
    ------
    ValueError
        If they are no such numbers; it says what is allowed.
    """
    words = [word.strip() for word in text.split(",")]
    numbers = tuple(int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 6)
    good = len(numbers) == len(words) == len(set(numbers)) <= limits.LEVEL_LISTS
    if not good or not all(2 <= number <= MOST_CHOSEN for number in numbers):
        allowed = f"different numbers of steps from 2 to {MOST_CHOSEN} with commas, such as 12,10,8"
        raise ValueError(f"--choose-levels is {one_line(text, 80)!r}: give {allowed}")
    return numbers
