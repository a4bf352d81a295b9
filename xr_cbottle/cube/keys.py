"""Keys of what is drawn and kept: an instant, or a piece of one above the native zoom, and its field."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
"""(channel, cell NEST) float32: an instant at the native zoom, or a piece of one at the finest zoom."""

Group = tuple[str, str | None]


class Key(NamedTuple):
    """The key of an instant, or of a piece of one: all that it is a function of.

    Attributes
    ----------
    namespace
        Digest of the bottle and of everything else that makes its values: whoever has the same namespace draws the
        same numbers.
    label
        Data set that is imitated; None in a bottle without labels.
    seed, member
        Of the noise.
    seconds
        Time of the instant, in seconds since 1970.
    piece
        Number of the piece above the native zoom; None for a whole instant.
    data
        Digest of the user's data that it was made of; None where there are none.
    """

    namespace: str
    label: str | None
    seed: int
    member: int
    seconds: int
    piece: int | None = None
    data: str | None = None

    @property
    def group(self) -> Group:
        """Namespace and label, which all keys of a batch have in common."""
        return self.namespace, self.label
