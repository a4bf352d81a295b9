"""Attributes of a data set and of its variables, which say what made the values; CF's and the hackathon's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.sampler import SOLVERS
from xr_cbottle.cube.spec import CubeSpec
from xr_cbottle.draw.defaults import BRIDGE, LATENTS, VIDEO
from xr_cbottle.fields import channels
from xr_cbottle.fields.channels import VariableLayout
from xr_cbottle.grid import time_axis
from xr_cbottle.grid.window_chain import WindowChain

# The first in which HEALPix is a grid mapping.
CONVENTIONS = "CF-1.13"
_FINE = "noise above the native zoom changes slowly in its place, and does not travel"
PRECISION_WORDS = {
    "float32": "float32",
    "tf32": "float32 with TF32 products",
    "bfloat16": "bfloat16 network, float64 sampler",
    "float16": "float16 network, float64 sampler",
}


def variable_attrs(layout: VariableLayout, spec: CubeSpec, manifest: Manifest) -> dict[str, Any]:
    """Attributes of one variable."""
    attrs: dict[str, Any] = {
        **layout.variable.attrs,
        "grid_mapping": "crs",
        "cell_methods": "time: mean" if spec.axis.method == "mean" else "time: point",
    }
    if layout.variable.units == "K":
        attrs["units_metadata"] = "temperature: on_scale"  # and no difference of temperatures
    comments = []
    label = manifest.labels.get(spec.label or "")
    names = manifest.channels if spec.fine is None else spec.fine.channels
    lent = [names[i] for i in layout.channels if label and label.donor and names[i] in label.masked]
    if lent and label is not None:
        comments.append(f"The data of label {spec.label} had no {', '.join(lent)}: drawn under label {label.donor}.")
    if all(names[i] in manifest.nonnegative for i in layout.channels):
        comments.append("Values below 0 are set to 0, and those above scaled to keep the mean over the globe.")
    bounds = [manifest.bounds[names[i]] for i in layout.channels if names[i] in manifest.bounds and spec.fine is None]
    if len(bounds) == len(layout.channels):
        if any(bound.sea for bound in bounds):
            comments.append("Over open water it is the sea surface temperature that drives the model.")
        if any(set(bound.plain()) != {"sea"} for bound in bounds):
            comments.append("Moved within physical bounds, with the mean over the globe kept.")
    if layout.variable.ocean_only and (spec.sst or manifest.sst):
        comments.append("Missing where the sea surface temperature that drives the model is missing.")
    if gappy := _gaps([names[i] for i in layout.channels], spec, manifest):
        comments.append(gappy)
    if comments:
        attrs["comment"] = " ".join(comments)
    return attrs


def _gaps(names: Sequence[str], spec: CubeSpec, manifest: Manifest) -> str:
    """Sentence about cells of some channels in which the data of the label had no values; empty if there are none."""
    known = {} if manifest.gaps is None else manifest.gaps.shares.get(spec.label or "", {})
    if names and all(known.get(name) == 1 for name in names):
        return f"Missing: the data of label {spec.label} have no {', '.join(names)}."
    shares = [f"{100 * known[name]:.3g} % of {name}" for name in names if name in known]
    if not shares:
        return ""
    return f"Missing in cells where the data of label {spec.label} have no values: {', '.join(shares)}."


def global_attrs(spec: CubeSpec, manifest: Manifest, asked: Mapping[str, str]) -> dict[str, Any]:
    """Attributes of a data set that say what made its values; the same data set always has the same."""
    from xr_cbottle import __version__

    steps, low, high, rho, solver = spec.sampler
    per_value = spec.axis.instants_per_value
    attrs: dict[str, Any] = {
        "Conventions": CONVENTIONS,
        "title": manifest.title or f"Drawn from the bottle {manifest.name}",
        "summary": manifest.summary,
        "source": f"diffusion model, bottle {manifest.name!r}, trained on: {manifest.source or 'unknown'}",
        "references": "; ".join(manifest.references),
        "license": manifest.licence,
        "bottle": manifest.name,
        "bottle_digest": f"sha256:{spec.digest}",
        "bottle_created": manifest.created,
        "label": spec.label or "",
        "seed": spec.seed,
        "sampler": f"{SOLVERS[solver]}, {'EDM schedule' if spec.sigmas is None else 'chosen noise levels'}, no churn",
        "guide": spec.guide or "",
        "num_steps": steps,
        "sigma_min": low,
        "sigma_max": high,
        **({"rho": rho} if spec.sigmas is None else {"sigmas": list(spec.sigmas)}),
        "precision": PRECISION_WORDS.get(spec.precision, spec.precision),
        "batch_size": spec.batch_size,
        "sst": _sea(spec, manifest),
        **_forcings(spec, manifest),
        "outside_training": "; ".join(spec.outside),
        "zoom": spec.zoom,
        "native_zoom": manifest.zoom,
        **(spec.fine.attrs() if spec.fine else {}),
        "variables_below": " ".join(_below(spec, manifest)),
        "time_method": (
            f"mean of {per_value} instants every {time_axis.format_period(spec.axis.native)} from one "
            f"{time_axis.format_period(spec.axis.step)} before the time, up to and not including the time"
            if spec.axis.method == "mean"
            else "instants"
        ),
        **_coherence(spec, manifest),
        "instants_per_value": per_value,
        "xr_cbottle_version": __version__,
        "history": f"xr_cbottle {__version__}: opened with "
        + (", ".join(f"{k}={v}" for k, v in asked.items()) or "no keywords"),
    }
    return {k: stored(v) for k, v in attrs.items() if v != ""}


def stored(value: Any) -> Any:
    """The value of an attribute as every reader of netCDF takes it: integers have 32 bits where they fit.

    netCDF files have integers of 64 bits for Python's, and CDO drops attributes of that type.
    """
    return np.int32(value) if type(value) is int and abs(value) < 2**31 else value


def _sea(spec: CubeSpec, manifest: Manifest) -> str:
    """The sea surface temperature in words."""
    whose = f"the user's, sha256:{spec.sst}" if spec.sst else ("the bottle's" if manifest.sst else "")
    if spec.sst_offset is None:
        return whose
    name = spec.sst_offset[1]
    return f"{whose}, {name if name.endswith(' K') else f'and {name}'}" if whose else name


def _forcings(spec: CubeSpec, manifest: Manifest) -> dict[str, str]:
    """Attributes of the forcings: ``forcing_co2``, and where the carbon dioxide of an experiment is from."""
    from xr_cbottle.fields.series import CITED, PATHWAYS

    found = {}
    asked = {name: words for name, _, words in spec.forcings}
    for name, one in manifest.forcings.items():
        words = asked.get(name, f"the bottle's, {one.values[0]:.10g} {one.units}" if not one.times else "the bottle's")
        found[f"forcing_{name}"] = f"{words} of CMIP6 ({CITED})" if words in PATHWAYS else words
    return found


def _coherence(spec: CubeSpec, manifest: Manifest) -> dict[str, str]:
    """Attributes that say what a sequence of times means."""
    if spec.coherence is None:
        meaning = "none: neighbouring times are independent draws, not an evolution"
        if spec.axis.method == "mean":
            meaning += "; means over them vary far less than means of weather do"
        return {"coherence": meaning}
    law = "each instant has the law of an independent draw; statistics in time and no dynamics"
    if spec.coherence == BRIDGE and spec.tree is not None:
        root, step = (time_axis.format_period(seconds) for seconds in (spec.tree.interval, spec.tree.step))
        return {
            "coherence": f"bridge: states every {root} are drawn first, and a network halves the time between two of "
            f"them down to {step}, within which one turns into the next; statistics in time and no dynamics",
            **({} if spec.fine is None else {"superres_coherence": _FINE}),
        }
    if spec.coherence == VIDEO and isinstance(spec.tree, WindowChain):
        return {
            **_of_windows(spec, spec.tree, manifest),
            **({} if spec.fine is None else {"superres_coherence": _FINE}),
        }
    if spec.coherence == LATENTS:
        meaning = f"latents: noise that lasts and travels as long and fast as in the simulations, by scale; {law}"
    else:
        memory = time_axis.format_period(int(spec.coherence))
        meaning = f"noise in place, whose correlation falls to 1/e after {memory}; {law}"
    return {"coherence": meaning, **({} if spec.fine is None else {"superres_coherence": _FINE})}


def _of_windows(spec: CubeSpec, chain: WindowChain, manifest: Manifest) -> dict[str, str]:
    """Attributes of instants that are frames of windows: what a window begins with, and how it is drawn."""
    every, anchors = (time_axis.format_period(seconds) for seconds in (chain.step, chain.interval))
    asked = spec.windows
    assert asked is not None  # the spec of such instants says how their windows are drawn
    steps, low, high, _, solver = asked.sampler
    return {
        "coherence": f"video: windows of {chain.frames} frames {every} apart are drawn at once, each given the last "
        f"frame of the one before; every {anchors}, or {chain.windows} windows, there is an anchor, which the next "
        "window is given as its first frame and the one before it as its last; statistics in time and no dynamics",
        "coherence_anchor": "an instant that the coarse network draws"
        + (", of noise as with coherence='latents'" if manifest.coherence else ", independent of all others"),
        "coherence_sampler": f"{SOLVERS[solver]}, {steps} steps, sigma {high:g} to {low:g}",
    }


def _below(spec: CubeSpec, manifest: Manifest) -> list[str]:
    """Variables that there are up to the native zoom only, in a data set above it."""
    if spec.fine is None:
        return []
    native, fine = (set(channels.variables(names, manifest.own)) for names in (manifest.channels, spec.fine.channels))
    return sorted((native | set(manifest.static.variables if manifest.static else ())) - fine)
