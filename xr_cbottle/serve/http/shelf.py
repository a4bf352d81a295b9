"""The shelf of a server: its bottles by name, the data sets of them that are open, and catalogs of both."""

from __future__ import annotations

import functools
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from xr_cbottle import __version__
from xr_cbottle.base.plain_text import inert, one_line
from xr_cbottle.bottle import facts
from xr_cbottle.bottle.bottle import Bottle, open_bottle
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.cube.cube import Cube
from xr_cbottle.draw.defaults import FROM_STATES, INDEPENDENT, LATENTS, usual_coherence
from xr_cbottle.draw.fine import finest_zoom
from xr_cbottle.fields.series import PATHWAYS
from xr_cbottle.grid.time_axis import METHODS, format_period, parse_period
from xr_cbottle.serve import address
from xr_cbottle.serve.hierarchy import Hierarchy
from xr_cbottle.serve.http.answer import Refused

if TYPE_CHECKING:
    from xr_cbottle.serve.http.settings import Settings

_STEPS = ("PT1H", "PT3H", "PT6H", "P1D")
_PINNED_DIGITS = 12
_PINNED = re.compile(r"(?P<name>[^@]{1,100})(?:@(?P<digest>[0-9a-f]{8,64}))?")
_FROM_FACTS = (
    "title", "summary", "licence", "digest", "references", "zoom", "labels", "default_label", "time", "forcings",
    "coherence",
)  # fmt: skip


class Shelf:
    """The bottles of a server. Nothing here draws; it may be used in threads.

    Parameters
    ----------
    bottles
        Names, paths or URLs of bottles, or open ones.
    settings
        Of the server.

    Raises
    ------
    ValueError
        If there is no bottle, two have one name, or a setting does not suit a bottle.
    BottleNotFound, BottleError
        If one is not there, or not what it should be.
    """

    def __init__(self, bottles: Sequence[str | Bottle], settings: Settings) -> None:
        self.settings = settings
        self.bottles: dict[str, Bottle] = {}
        for given in bottles:
            opened = given if isinstance(given, Bottle) else open_bottle(given, weights=settings.data.get("weights"))
            opened = opened.settled()  # its digest is in addresses that are kept for ever
            name = opened.manifest.name
            if name in self.bottles:
                paths = f"{self.bottles[name].path} and {opened.path}"
                raise ValueError(f"{paths} are both called {name}: serve one of them, or pack one under another name")
            self.bottles[name] = opened
        if not self.bottles:
            raise ValueError("there is nothing to serve: name at least one bottle, such as gcm")
        self.cubes = {name: Cube(opened, **settings.keywords) for name, opened in self.bottles.items()}
        self._opening, self._lock = threading.Lock(), threading.Lock()  # the first for long, the second never
        self._open: OrderedDict[tuple[str, str], Hierarchy] = OrderedDict()

    def find(self, text: str) -> tuple[str, bool]:
        """Name of the bottle that a URL names, and whether the URL names its digest too.

        Raises
        ------
        Refused
            If there is none, or it has another digest.
        """
        match = _PINNED.fullmatch(text)
        name = match["name"] if match else ""
        if match is None or name not in self.bottles:
            served = ", ".join(self.bottles)
            raise Refused(404, f"there is no bottle {_quoted(text)} here: choose among {served}")
        digest = self.bottles[name].digest
        if match["digest"] and not digest.startswith(match["digest"]):
            raise Refused(404, f"the bottle {name} here is {self.pinned(name)}, not {_quoted(text)}")
        return name, match["digest"] is not None

    def pinned(self, name: str) -> str:
        """Name of a bottle with the beginning of its digest."""
        return f"{name}@{self.bottles[name].digest[:_PINNED_DIGITS]}"

    def kept(self, name: str, text: str) -> Hierarchy | None:
        """A data set that is open."""
        with self._lock:
            hierarchy = self._open.get((name, text))
            if hierarchy is not None:
                self._open.move_to_end((name, text))
            return hierarchy

    def open(self, name: str, text: str) -> Hierarchy:
        """The data set of a bottle with an address; opening takes a moment.

        Raises
        ------
        Refused
            If the bottle has no such data set, or the server gives none that costs as much.
        """
        with self._opening:
            hierarchy = self.kept(name, text)
            if hierarchy is None:
                hierarchy = self._opened(name, text)
                hierarchy.documents()
            with self._lock:
                self._open[name, text] = hierarchy
                while len(self._open) > self.settings.max_data_sets:
                    self._open.popitem(last=False)
            return hierarchy

    def _opened(self, name: str, text: str) -> Hierarchy:
        try:
            asked = address.parse(text)
            cube = Cube(self.bottles[name], **asked.keywords(), **self.settings.keywords)
        except BottleError:  # it is the bottle that is wrong, not what was asked for
            raise
        except ValueError as error:
            raise Refused(404, str(error)) from None
        if cube.spec.fine is not None:
            try:  # the network above the native zoom may not be here yet
                settled = self.bottles[name].settled(part=cube.spec.fine.part)
            except (BottleError, OSError) as error:
                raise Refused(503, str(error)) from None
            cube = Cube(settled, **asked.keywords(), **self.settings.keywords)
        cost, most = cube.spec.axis.instants_per_value, self.settings.max_cost
        if cost > most:
            longest = format_period(most * cube.spec.axis.native)
            raise Refused(
                403,
                f"a chunk of {text} takes {cost} instants to draw, and this server draws at most {most} for one: "
                f"ask for means over at most {longest}, or for instants",
            )
        return Hierarchy(cube, member_dimension=asked.has_member_dimension)

    def catalog(self) -> list[dict[str, Any]]:
        """List what is served, as the page and programs read it."""
        return [dict(entry) for entry in self._entries]

    @functools.cached_property
    def _entries(self) -> list[dict[str, Any]]:
        return [self._entry(name) for name in self.bottles]

    def _entry(self, name: str) -> dict[str, Any]:
        found = facts.facts(self.bottles[name])
        native = parse_period(found["time"]["step"])
        steps = [step for step in _STEPS if parse_period(step) % native == 0]
        most = self.settings.max_cost
        return {
            "name": name,
            "pinned": self.pinned(name),
            **{key: found[key] for key in _FROM_FACTS},
            "zooms": list(range(found["zoom"] + 1)),
            "fine_zooms": list(range(found["zoom"] + 1, finest_zoom(self.bottles[name].manifest) + 1)),
            "fine_variables": (found["superres"] or {}).get("variables", []),
            "steps": steps or [format_period(native)],
            "time_methods": list(METHODS),
            "mean_steps": [step for step in steps if parse_period(step) // native <= most],
            "pressures": list(self.cubes[name].layout.pressures),
            "variables": {
                variable: {key: attrs.get(key, "") for key in ("long_name", "units", "standard_name")}
                | {"pressures": attrs["pressures"]}
                for variable, attrs in found["variables"].items()
            },
            "max_members": address.MOST_MEMBERS,
            "settings": [*_settings(found["forcings"]), _coherence(found["coherence"])],
        }

    def lines(self, url: str) -> list[str]:
        """Where each bottle's data are, for a terminal."""
        found = []
        for entry in self._entries:
            step = _usual_step(entry)
            found.append(one_line(f"{entry['name']}: {entry['title'] or 'a bottle'}"))
            found.append(f"  {url}/{entry['name']}/{step}_inst_s0_m0_z{entry['zoom']}.zarr")
        return found

    def intake(self, url: str, dataset: str | None = None) -> dict[str, Any]:
        """A catalog for intake, version 1, whose entries point to this server.

        Parameters
        ----------
        url
            Where the server is, without a slash at the end.
        dataset
            Address of the one data set that each entry is. With intake-xarray 2.0.0 there is no other way: it ignores
            the parameters of its driver zarr.

        Raises
        ------
        Refused
            If no bottle has this data set.
        """
        entries = self._entries
        if dataset is not None:
            entries = [entry for entry in entries if self._has(entry["name"], dataset)]
            if not entries:
                self.open(next(iter(self.bottles)), dataset)  # says why not
        url = inert(url)  # as the one who asks has called this server
        about = f"Bottles at {url}, drawn when they are read (xr_cbottle {__version__})"
        remark = (
            "intake-xarray 2.0.0 ignores parameters of the driver zarr: open catalog/P1D_mean_s0_m0_z1.yaml for example"
        )
        return {
            "metadata": {"version": 1, "description": f"{about}; {remark}"},
            "sources": {entry["name"]: _source(entry, f"{url}/{entry['name']}", dataset) for entry in entries},
        }

    def _has(self, name: str, dataset: str) -> bool:
        try:
            self.open(name, dataset)
        except Refused:
            return False
        return True


def _source(entry: dict[str, Any], url: str, dataset: str | None) -> dict[str, Any]:
    """An entry for a bottle that is served at a URL: one data set, or any by parameters.

    The only templates in it are those written here: intake expands them in whatever a bottle says of itself, too.
    """
    entry = inert(entry)
    parameters = {} if dataset is not None else _parameters(entry)
    if dataset is None:
        members = "{% if members > 1 %}0-{{ members - 1 }}{% else %}{{ member }}{% endif %}"
        dataset = "{{ time }}_{{ time_method }}_s{{ seed }}_m" + members + "_z{{ zoom }}"
        if "co2" in parameters:
            dataset += "{% if sst_offset %}_k{{ sst_offset }}{% endif %}{% if co2 %}_c{{ co2 }}{% endif %}"
        usual = usual_coherence(LATENTS in entry["coherence"])
        dataset += "{% if coherence != '" + usual + "' %}_w{{ coherence }}{% endif %}"
        if "label" in parameters:
            default = json.dumps(entry["default_label"])
            dataset += "{% if label != " + default + " %}_l{{ label }}{% endif %}"
    return {
        "driver": "zarr",
        "description": entry["title"] or f"drawn from the bottle {entry['name']}",
        "args": {"urlpath": f"{url}/{dataset}.zarr", "consolidated": True},
        "parameters": parameters,
        "metadata": {
            "title": entry["title"],
            "summary": entry["summary"],
            "license": entry["licence"],
            "references": entry["references"],
            "digest": entry["digest"],
            "time_start": entry["time"]["start"],
            "time_end": entry["time"]["end"],
        },
    }


def _coherence(known: Sequence[str]) -> dict[str, Any]:
    """How the page asks for coherence: `xr_cbottle.serve.address` has it behind the letter w."""
    return {
        "name": "coherence",
        "code": "w",
        "title": "In time",
        "default": usual_coherence(LATENTS in known),
        "allowed": [*(how for how in known if how in (INDEPENDENT, LATENTS, *FROM_STATES)), "P1D", "P2D", "P5D"],
        "pattern": "P(?=.)([0-9]{1,3}D)?(T(?=.)([0-9]{1,2}H)?([0-9]{1,2}M)?)?",
        "hint": "none (independent instants), latents, bridge or video (as the bottle carries it), or how long weather "
        "lasts, e.g. P2D",
    }


def _parameters(entry: dict[str, Any]) -> dict[str, Any]:
    """Those of the entries in ``catalogs/``, with the same names and values, and ``member``."""

    def choice(kind: str, description: str, default: Any, allowed: list[Any] | None = None) -> dict[str, Any]:
        parameter = {"description": description, "type": kind, "default": default}
        return parameter if allowed is None else parameter | {"allowed": [*allowed]}

    found = {
        "time": choice("str", "time resolution of the dataset", _usual_step(entry), entry["steps"]),
        "time_method": choice("str", "instants, or means over the resolution", "inst", entry["time_methods"]),
        "zoom": choice("int", "zoom resolution of the dataset", entry["zoom"], [*entry["zooms"], *entry["fine_zooms"]]),
        "seed": choice("int", "of all the noise", 0) | {"min": 0},
        "members": choice("int", "how many realisations, along a dimension; 0 or 1 is one, without it", 0),
        "member": choice("str", "which realisation that one is, or several such as 4-7", "0"),
        "coherence": choice(
            "str",
            "how instants follow each other: none, latents, bridge, video or P2D",
            usual_coherence(LATENTS in entry["coherence"]),
        ),
    }
    if "co2" in entry["forcings"]:
        found["sst_offset"] = choice("str", "what the sea is warmer, K with its sign: +2 or -0.5", "")
        found["co2"] = choice("str", "ppmv, or an experiment of CMIP6 such as ssp245", "")
    if len(entry["labels"]) > 1:
        found["label"] = choice("str", "data set to imitate", entry["default_label"], entry["labels"])
    return found


def _settings(forcings: Collection[str]) -> list[dict[str, Any]]:
    """What an address may say between zoom and label, as ``_`` + code + value: the page has a field for each."""
    if "co2" not in forcings:
        return []
    signed = f"[+-]{address.DECIMAL}"
    return [
        {
            "name": "sst_offset", "code": "k", "title": "Warmer sea, K", "default": "0", "pattern": signed,
            "hint": "K with their sign, such as +2 or -0.5",
        },
        {
            "name": "co2", "code": "c", "title": "Carbon dioxide", "default": "the bottle's", "allowed": [*PATHWAYS],
            "pattern": address.DECIMAL, "hint": "ppmv, or an experiment of CMIP6 such as ssp245",
        },
    ]  # fmt: skip


def _usual_step(entry: dict[str, Any]) -> str:
    return "PT6H" if "PT6H" in entry["steps"] else entry["steps"][0]


def _quoted(text: str) -> str:
    quoted = ascii(text)
    return quoted if len(quoted) <= 60 else quoted[:57] + "..."
