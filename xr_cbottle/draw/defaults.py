"""Settings of drawing that need no torch: the precisions there are, and how many instants make a batch."""

from __future__ import annotations

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
"""Precisions in which a network may run; the state of the ODE is float64 in any case."""

INDEPENDENT = "none"
"""The coherence of instants that are independent draws, as a keyword has it."""
LATENTS = "latents"
"""The coherence that a bottle carries, as a keyword has it."""
BRIDGE = "bridge"
"""The coherence of instants that a bridge network draws between others, as a keyword has it."""
VIDEO = "video"
"""The coherence of instants that are frames of windows which a video network draws at once, as a keyword has it."""
FROM_STATES = (BRIDGE, VIDEO)
"""The coherences of instants that are drawn from others."""


def usual_coherence(fitted: bool) -> str:
    """Coherence when nobody says, of a bottle that was fitted for `LATENTS` or was not: no instant is worse for it."""
    return LATENTS if fitted else INDEPENDENT


def default_batch_size(zoom: int) -> int:
    """Number of instants drawn at once when nobody says: a constant, because the last bits of values depend on it.

    Few enough that a read of one instant, whose batch is padded, does not cost much more than it must; on a CPU four
    of zoom 4 are drawn as fast, each, as eight. From zoom 6 on one instant fills the machine, and costs what one of a
    batch does: then there is nothing to pad.
    """
    return 4 if zoom < 6 else 1
