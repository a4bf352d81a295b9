"""How probable the instants of a user's data set are under each label of a bottle: which model is it most like?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.cube import keywords as keyword
from xr_cbottle.cube.checks import integer
from xr_cbottle.cube.instant_figures import figure
from xr_cbottle.cube.own_data import OWN_KEYWORDS, as_given, described, instants_of, own_cube
from xr_cbottle.draw.own_work import Likelihood
from xr_cbottle.fields import channels

if TYPE_CHECKING:
    import os

    import xarray as xr

    from xr_cbottle.bottle.manifest import Manifest


def log_likelihood(
    ds: xr.Dataset,
    bottle: str | os.PathLike[str] | Bottle,
    *,
    label: str | None = None,
    probes: int = 4,
    member: int = 0,
    **keywords: Any,
) -> xr.Dataset:
    """Estimate how probable each instant of a data set is under labels of a bottle: which is it most like?

    It is the density of the probability flow, through the ODE of the diffusion with the levels of the sampler. It has
    an error of these levels, much the same for all labels, so that differences of labels mean more than values.

    Parameters
    ----------
    ds
        As of `infill`, and with all variables of the bottle, without missing values.
    bottle
        Path, URL or name of a bottle, or an open `Bottle`.
    label
        Data set whose likelihood it is; None: of each that the bottle knows. It must have values in all cells: levels
        below ground have none.
    probes
        How many estimates of the divergence, 1 to 1000. An estimate costs about four plain draws.
    member
        Chooses the probes, with the seed and the time.
    **keywords
        As of `infill`.

    Returns
    -------
    Over label and time, dask arrays that draw when they are computed: ``log_likelihood``, natural logarithm per value
    of a field, less what the units of channels make of it; and its ``standard_error`` by the probes.

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If the bottle has no such label, or the data set is not what it takes; one sentence says what is.
    """
    import xarray as xr

    asked = keyword.checked(keywords, "log_likelihood", OWN_KEYWORDS)
    opened = bottle if isinstance(bottle, Bottle) else open_bottle(bottle, weights=asked["weights"])
    count = integer("probes", probes, 1, 1001)
    labels = [*opened.manifest.labels] if label is None else [label]
    parts = [_likelihood(ds, opened, Likelihood(opened.manifest.label(one), count), asked, member) for one in labels]
    if not labels:
        return _likelihood(ds, opened, Likelihood(None, count), asked, member)
    return xr.concat(parts, xr.Variable("label", labels), combine_attrs="drop_conflicts")


def _likelihood(ds: xr.Dataset, bottle: Bottle, work: Likelihood, asked: Mapping[str, Any], member: int) -> xr.Dataset:
    _check_whole(bottle.manifest, work.label)
    cube = own_cube(ds, bottle, work, {**asked, "zoom": None}, member)
    lacking = [
        channels.parse(name, bottle.manifest.own).variable.name
        for name in bottle.manifest.channels
        if name not in {source.channel for source in instants_of(cube).given.found}
    ]
    if lacking:
        raise ValueError(
            f"the likelihood is that of all variables of {bottle.manifest.name} together and the data set has no "
            f"{', '.join(dict.fromkeys(lacking))}: infill it first"
        )
    made = described(cube, cube.to_dataset(), ds)
    words = {"log_likelihood": "natural logarithm of the density per value", "standard_error": "its standard error"}
    figures = {
        name: figure(cube.layout, cube.instants, i, {"long_name": words[name], "units": "1"}).chunk(
            {"time": cube.spec.batch_size}
        )
        for i, name in enumerate(words)
    }
    return as_given(cube, made.drop_vars(["cell", "cell_ids", "crs"], errors="ignore").assign(figures))


def _check_whole(manifest: Manifest, label: str | None) -> None:
    """Refuse a label that has no values in some cells, of which a density of all cells cannot speak."""
    gaps = {} if manifest.gaps is None else manifest.gaps.shares
    gappy = gaps.get(label or "")
    if gappy:
        whole = [name for name in manifest.labels if name not in gaps]
        instead = f"choose label={whole[0]!r}" if whole else "choose another bottle"
        raise ValueError(
            f"the likelihood is that of all cells together, and {label} of {manifest.name} lacks {', '.join(gappy)} in "
            f"some: {instead}"
        )
