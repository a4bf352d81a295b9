"""Results of an evaluation, and how much was compared: what the page and its file of figures are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xr_cbottle.bottle.sampler import SOLVERS
from xr_cbottle.evaluation import response_targets
from xr_cbottle.evaluation.label_comparison import Comparison
from xr_cbottle.evaluation.reference import StoredReference
from xr_cbottle.evaluation.row import Row

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import Bottle


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation: how much is compared, and how.

    Attributes
    ----------
    instants
        Of the bottle under each label, and as many of each sample of the reference for the noise floor.
    reference_instants
        Of each label's reference, as far as it has them; four times as many if None.
    monthly
        Instants of each month of the other years, for the response to the sea; 0 leaves it out.
    climate
        Instants of the bottle under each other climate; of a run of several years, spread over them.
    copies
        Resampled copies of which sampling errors are made.
    zoom
        HEALPix level of the comparison; the bottle's if None, or the coarser one of two stored data sets.
    name
        Of what is evaluated, in the report; its own if None.
    drawn
        Folder of drawn instants; one in the report's if None.
    keywords
        Of `xr_cbottle.Cube`: num_steps, sigma_min, sigma_max, sigmas, solver, seed, precision, device, batch_size.
    progress
        Whether to show bars; None: on a terminal.
    """

    instants: int = 180
    reference_instants: int | None = None
    monthly: int = 2
    climate: int = 32
    copies: int = 100
    zoom: int | None = None
    name: str | None = None
    drawn: Path | None = None
    keywords: Mapping[str, Any] = field(default_factory=dict)
    progress: bool | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("instants", 8),
            ("reference_instants", 8),
            ("monthly", 0),
            ("climate", 8),
            ("copies", 2),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}: it must be at least {least}")

    @property
    def of_reference(self) -> int:
        """Instants of each label's reference."""
        return self.reference_instants or 4 * self.instants


@dataclass(frozen=True)
class Evaluation:
    """Results of an evaluation, as the page and ``figures.json`` are made of them.

    Attributes
    ----------
    name
        Name of what was evaluated.
    bottle
        The bottle, None of stored data.
    settings
        How much was compared.
    compared
        Results of each label.
    differences
        {(label, label): figures of the second minus the first}.
    climates
        {(label, key of a quantity): means of both sides}.
    rows
        All figures.
    """

    name: str
    bottle: Bottle | None
    settings: EvaluationSettings
    compared: Sequence[Comparison]
    differences: Mapping[tuple[str, str], list[Row]]
    climates: Mapping[tuple[str, str], response_targets.Climate]
    rows: Sequence[Row]

    @property
    def stored_names(self) -> tuple[str, ...]:
        """Names of the files of the left side, which is no bottle."""
        left = self.compared[0].sides.left
        assert isinstance(left, StoredReference)  # as there is no bottle
        return left.names

    @property
    def sampler(self) -> str:
        """Settings of the sampler that drew, in words; of a bottle."""
        assert self.bottle is not None
        asked, keywords = self.bottle.manifest.sampler.asked(self.settings.keywords), self.settings.keywords
        seed, precision = keywords.get("seed", 0), keywords.get("precision", "float32")
        levels = asked.levels_in_words()
        return f"{SOLVERS[asked.solver]}, {asked.num_steps} steps, {levels}, seed {seed}, {precision}"
