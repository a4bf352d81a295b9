"""Citations: what a paper must name so that what was drawn can be drawn again, as BibTeX."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.fields.opening import open_data

#: What makes the values beside the bottle, in the order in which they are told.
_MAKES = ("label", "seed", "sampler", "num_steps", "sigma_min", "sigma_max", "precision", "sst", "zoom")
_FILES = (".nc", ".zarr")
_AUTHOR = r"{The xr\_cbottle developers}"  # braces keep the name whole
#: How TeX writes letters that it takes for commands.
_TEX = {
    **{letter: "\\" + letter for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def is_file(name: str) -> bool:
    """Whether a name is that of a data set that was written, and not of a bottle."""
    return name.rstrip("/").endswith(_FILES) and os.path.lexists(name)


def attributes(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Attributes of a data set that was written, from netCDF or Zarr.

    Raises
    ------
    ValueError
        If it does not say which bottle it was drawn from.
    """
    with open_data(os.fspath(path)) as ds:
        found = {str(key): value for key, value in ds.attrs.items()}
    if "bottle_digest" not in found:
        raise ValueError(f"{path} does not say which bottle it was drawn from: it has no attribute bottle_digest")
    return found


def bibtex(attrs: Mapping[str, Any]) -> str:
    """BibTeX of a data set: an entry for the bottle with all that makes its values, and one for this package.

    Parameters
    ----------
    attrs
        Attributes of the data set, from the engine, or from a file that was written.
    """
    name, digest = str(attrs["bottle"]), str(attrs["bottle_digest"])
    version = str(attrs.get("xr_cbottle_version", ""))
    makes = ", ".join(f"{key} {attrs[key]}" for key in _MAKES if key in attrs)
    year = re.match(r"\d{4}", str(attrs.get("bottle_created", "")))
    bottle = {
        "title": f"{attrs.get('title', name)} (bottle {name})",
        "year": year[0] if year else "",
        "version": digest,
        "note": f"Drawn with {makes}, by xr_cbottle {version}",
        "howpublished": f"Licence: {attrs['license']}" if attrs.get("license") else "",
        "annote": f"See {attrs['references']}" if attrs.get("references") else "",
    }
    software = {
        "title": "xr_cbottle: an xarray engine that shows a trained climate emulator as the data set it stands for",
        "author": _AUTHOR,
        "version": version,
    }
    key = re.sub(r"[^A-Za-z0-9]", "", name) + "-" + digest.removeprefix("sha256:")[:8]
    return f"{_entry('misc', key, bottle)}\n\n{_entry('misc', 'xr-cbottle', software)}"


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    lines = [
        f"  {name} = {{{value if value == _AUTHOR else _escaped(value)}}}," for name, value in fields.items() if value
    ]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _escaped(text: str) -> str:
    """Text on one line, as TeX shows it."""
    return "".join(_TEX.get(letter, letter) for letter in one_line(text))
