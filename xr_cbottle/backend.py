"""xarray's door: ``xr.open_dataset("gcm.cbottle", engine="cbottle")``.

xarray imports every engine when it guesses one, so this imports nothing that takes time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from xarray.backends import BackendEntrypoint

if TYPE_CHECKING:
    import xarray as xr

_SUFFIX = ".cbottle"
KEYWORDS = (
    "zoom", "time", "time_method", "members", "seed", "label", "num_steps", "sigma_min", "sigma_max", "solver", "sst",
    "sr_mode", "sr_network", "precision", "device", "batch_size", "weights", "cache_size", "cache_dir",
    "max_instants", "progress",
)  # fmt: skip
# xarray's own, which say how to decode a file: there is none here, and values come decoded.
_DECODERS = frozenset(
    ["mask_and_scale", "decode_times", "decode_timedelta", "use_cftime", "concat_characters", "decode_coords"]
)


class CbottleBackendEntrypoint(BackendEntrypoint):
    """Open a bottle as the data set it stands for; values are drawn from the model as they are read."""

    description = "Trained generative emulators of the atmosphere (.cbottle) as lazy data sets"
    url = "https://github.com/NVlabs/cBottle"
    # Named here, so that an unknown keyword comes to us and is refused with a sentence.
    open_dataset_parameters = ("filename_or_obj", "drop_variables", *KEYWORDS)

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        **keywords: Any,
    ) -> xr.Dataset:
        """Open a bottle.

        Parameters
        ----------
        filename_or_obj
            Path, URL or name of a bottle, an open `Bottle` or a `Cube`.
        drop_variables
            Variables to leave out; they cost nothing either way.
        **keywords
            Those of `xr_cbottle.Cube`.

        Raises
        ------
        TypeError
            If a keyword is unknown.
        ValueError
            If a keyword's value is wrong.
        """
        keywords = {k: v for k, v in keywords.items() if k not in _DECODERS}
        unknown = sorted(set(keywords) - set(KEYWORDS))
        if unknown:
            raise TypeError(f"unknown keyword {', '.join(unknown)}: the engine cbottle takes {', '.join(KEYWORDS)}")
        from xr_cbottle.cube.cube import Cube

        cube = filename_or_obj
        if not isinstance(cube, Cube):
            cube = Cube(filename_or_obj, **keywords)
        elif keywords:
            raise TypeError(f"a Cube has its keywords already: leave out {', '.join(keywords)}")
        return cube.lazy_dataset(drop_variables)

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the name ends in ``.cbottle``."""
        if not isinstance(filename_or_obj, (str, os.PathLike)):
            return False
        name = os.fspath(filename_or_obj)
        return isinstance(name, str) and name.rstrip("/\\").lower().endswith(_SUFFIX)
