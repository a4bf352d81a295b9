"""Work on a user's own data, as records that need no torch: what is done, and how."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_STRENGTH = 5.0
"""Noise level up to which data are translated if nobody says: measured on `gcm`, see ``docs/own-data.md``."""
DEFAULT_ROUNDS = 3
"""How often infilling takes the steps at the middle noise levels if nobody says; measured there too."""
DEFAULT_DRAWS = 64
"""Draws from which assimilation learns how errors of the bottle go together if nobody says; measured there too."""
DEFAULT_BACKGROUND_STRENGTH = 1.0
"""Noise level from which a background is drawn anew if nobody says."""
ASSIMILATION = ("diffusion", "enoi")
"""Methods of assimilation: posterior sampling with the network, and optimal interpolation of its draws."""
BANDS = ((1, 4), (5, 10), (11, 21), (22, 33))
"""First and last degree of the spherical harmonics whose power in the latent is reported."""


@dataclass(frozen=True)
class Translation:
    """From which label to which, and how far up.

    Attributes
    ----------
    source
        Label of the fields; None where no label knows them: they are then taken as anomalies from the target's climate.
    target
        Label of the result; None in a bottle without labels.
    strength
        Noise level at which fields are turned; None for the sampler's highest.
    """

    source: str | None
    target: str | None
    strength: float | None = None


@dataclass(frozen=True)
class Likelihood:
    """Under which label, and how well estimated.

    Attributes
    ----------
    label
        Data set whose likelihood it is; None in a bottle without labels.
    probes
        Of the trace of the Jacobian.
    """

    label: str | None
    probes: int = 4


@dataclass(frozen=True)
class Infilling:
    """Under which label, and how.

    Attributes
    ----------
    label
        Data set that what is missing is drawn from; None in a bottle without labels.
    rounds
        How often the steps at the middle noise levels are taken.
    """

    label: str | None
    rounds: int = DEFAULT_ROUNDS


@dataclass(frozen=True)
class Assimilation:
    """Under which label, and how.

    Attributes
    ----------
    label
        Data set whose states are drawn; None in a bottle without labels.
    method
        A name in `ASSIMILATION`.
    draws
        How many draws tell which errors go together.
    strength
        Noise level from which a background is drawn anew; None without one.
    representativeness
        Errors in the variables' units by variable, of what a station sees and a cell does not; None if they are
        estimated.
    """

    label: str | None
    method: str = "diffusion"
    draws: int = DEFAULT_DRAWS
    strength: float | None = None
    representativeness: tuple[tuple[str, float], ...] | None = None
