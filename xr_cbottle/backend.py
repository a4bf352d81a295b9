"""xarray's door: ``xr.open_dataset("gcm.cbottle", engine="cbottle")``.

xarray imports every engine when it guesses one, so this imports nothing that takes time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Unpack

from xarray.backends import BackendEntrypoint

from xr_cbottle.bottle.location import SUFFIX, name_of
from xr_cbottle.cube.keywords import KEYWORDS, Keywords, documented

if TYPE_CHECKING:
    import xarray as xr

# xarray's own, which say how to decode a file. There is none here: values come decoded, and these would change them.
_REFUSED_DECODERS = {"mask_and_scale": False, "decode_times": False, "decode_coords": False, "use_cftime": True}
_REMEDIES = {"use_cftime": "; ds.convert_calendar('standard', use_cftime=True) makes such times"}
_DECODERS = (*_REFUSED_DECODERS, "decode_timedelta", "concat_characters")


class CbottleBackendEntrypoint(BackendEntrypoint):
    """Open a bottle as the data set it stands for; values are drawn from the model as they are read."""

    description = "Trained generative emulators of the atmosphere (.cbottle) as lazy data sets"
    url = "https://github.com/NVlabs/cBottle"
    supports_groups = True
    # The decoders too, so that xarray tells us of decode_cf=False, and each is refused where it cannot hold.
    open_dataset_parameters = ("filename_or_obj", "drop_variables", *_DECODERS, *KEYWORDS)

    @documented()
    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        mask_and_scale: bool | None = None,
        decode_times: Any = None,
        decode_timedelta: Any = None,
        use_cftime: bool | None = None,
        concat_characters: bool | None = None,
        decode_coords: Any = None,
        **keywords: Unpack[Keywords],
    ) -> xr.Dataset:
        """Open a bottle as the data set it stands for. Nothing is drawn until values are read.

        Parameters
        ----------
        filename_or_obj
            Path, URL or name of a bottle, an open file of one (of the disk or of fsspec), a `Bottle` or a `Cube`.
        drop_variables
            Variables to leave out; they cost nothing either way.
        mask_and_scale, decode_times, decode_timedelta, use_cftime, concat_characters, decode_coords
            Of xarray. Values come decoded: what would undo it is refused.
        {keywords}

        Raises
        ------
        TypeError
            If a keyword is unknown.
        ValueError
            If a keyword's value is wrong; it lists the right ones.
        """
        decoders = {
            "mask_and_scale": mask_and_scale,
            "decode_times": decode_times,
            "decode_coords": decode_coords,
            "use_cftime": use_cftime,
        }
        for name, value in decoders.items():
            if value is _REFUSED_DECODERS[name]:
                raise ValueError(
                    f"{name}={value} cannot be had: a bottle holds no encoded values, and what is drawn comes decoded. "
                    f"Leave {name} (or decode_cf) out{_REMEDIES.get(name, '')}"
                )
        from xr_cbottle.cube.cube import Cube, warn_of_means

        cube = filename_or_obj
        if not isinstance(cube, Cube):
            cube = Cube(_as_typed(filename_or_obj), **keywords)
            warn_of_means(cube)
        elif keywords:
            raise TypeError(f"a Cube has its keywords already: leave out {', '.join(keywords)}")
        return cube.lazy_dataset(drop_variables)

    def open_groups_as_dict(
        self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None, **keywords: Any
    ) -> dict[str, xr.Dataset]:
        """Open every zoom of a bottle, under each of its labels if it has several: ``/plasim/zoom_3``.

        Parameters
        ----------
        filename_or_obj
            Path, URL or name of a bottle, or an open `Bottle`.
        drop_variables
            Variables to leave out.
        **keywords
            Those of `open_dataset`, but for ``zoom``; with ``label`` there is one level of groups.

        Returns
        -------
        {path: data set}; the root is empty.
        """
        import xarray as xr

        from xr_cbottle.bottle import open_bottle
        from xr_cbottle.bottle.bottle import Bottle
        from xr_cbottle.draw.fine import finest_zoom

        if "zoom" in keywords:
            raise TypeError("a tree has all zooms: leave zoom out, or open one with open_dataset")
        bottle = filename_or_obj
        if not isinstance(bottle, Bottle):
            bottle = open_bottle(_as_typed(bottle), weights=keywords.pop("weights", None))
        manifest = bottle.manifest
        labels: list[str | None] = [keywords.pop("label")] if "label" in keywords else [*manifest.labels] or [None]
        groups = {"/": xr.Dataset()}
        for label in labels:
            above = f"/{label}" if len(labels) > 1 else ""
            for zoom in range(finest_zoom(manifest) + 1):
                groups[f"{above}/zoom_{zoom}"] = self.open_dataset(
                    bottle, drop_variables=drop_variables, zoom=zoom, label=label, **keywords
                )
        return groups

    def open_datatree(self, filename_or_obj: Any, **keywords: Any) -> xr.DataTree:
        """Open every zoom of a bottle as a tree, see `open_groups_as_dict`."""
        import xarray as xr

        return xr.DataTree.from_dict(self.open_groups_as_dict(filename_or_obj, **keywords))

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the name ends in ``.cbottle``."""
        try:
            name = name_of(filename_or_obj)
        except TypeError:
            return False
        return isinstance(name, str) and name.rstrip("/\\").lower().endswith(SUFFIX)


def _as_typed(name: Any) -> Any:
    """A bottle's name as the user typed it: `xarray.open_mfdataset` makes a path in this folder of it."""
    if not isinstance(name, str) or not os.path.isabs(name) or os.path.lexists(name):
        return name
    folder, base = os.path.split(name)
    return base if folder == os.getcwd() else name
