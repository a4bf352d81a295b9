"""The keywords of a data set, one record each: name, type, default, a line of documentation, and how it is checked.

Every door takes its keywords from here: `xr_cbottle.Cube`, the engine of xarray, the catalog, the command line, the
server, `xr_cbottle.downscale`, the attributes of a data set, and the table in `docs/keywords.md`. To add one, add it to
`Keywords` and use it where it takes effect.

What a bottle has, such as zooms and labels, is checked where the bottle is known: `xr_cbottle.cube.spec`.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypedDict, TypeVar, get_args, get_type_hints

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.bottle.sampler import SOLVERS
from xr_cbottle.cube import checks
from xr_cbottle.draw import events
from xr_cbottle.draw.defaults import PRECISIONS
from xr_cbottle.grid.time_axis import METHODS

SUPERRES_MODES = ("tiles", "global")
"""``tiles``: each tile by itself, at the price of the tiles that are read. ``global``: the globe at once."""

MOST_INSTANTS = 10_000
"""Most instants that one read may draw if nobody says."""

Group = Literal["data set", "sampler", "machine", "reading"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Keyword:
    """One keyword of a data set.

    Attributes
    ----------
    default
        Its value where it is not given.
    group
        What it is about: the data set, the sampler that draws it, the machine that runs the sampler, or how values
        are read, which changes none of them.
    about
        Its documentation, a sentence or two.
    usual
        The default in words.
    check
        From name and value to the value as it is used; raises a ValueError that lists the right values.
    parse
        From name and text, of a catalog or a command line, to the value.
    metavar
        Its value on the command line; "" where a command does not take it.
    downscale, serve
        Whether `xr_cbottle.downscale` takes it, and whether a server takes it for all its data sets.
    """

    default: Any
    group: Group
    about: str
    usual: str
    check: checks.Check
    parse: checks.Parse
    metavar: str = ""
    downscale: bool = False
    serve: bool = False

    @property
    def option(self) -> str:
        """Documentation of the keyword on the command line: the first sentence, and the default."""
        first = _first_sentence(self.about)
        return f"{first[0].lower() if first[1].islower() else first[0]}{first[1:]} [{self.usual}]"


# The keywords -------------------------------------------------------------------------------------------------------

# How values and their checks belong together, several keywords each.
_INTEGER = {"parse": checks.parse_integer, "metavar": "N"}
_NUMBER = {"check": checks.positive, "parse": checks.parse_number, "metavar": "S"}
_WORD: dict[str, Any] = {"parse": checks.text}


class Keywords(TypedDict, total=False):
    """Keywords of a data set, with their types; `KEYWORDS` has the record of each by its name."""

    zoom: Annotated[
        int | None,
        Keyword(
            None, "data set",
            "HEALPix zoom of the cells. Zooms below the bottle's own are exact means of four cells each. Zooms "
            "above it need super-resolution and have the variables that it makes; if they are below its finest, "
            "they are means of the finest.",
            "the bottle's", checks.as_is, checks.parse_integer, "Z",
        ),
    ]  # fmt: skip
    time: Annotated[
        Any,
        Keyword(
            None, "data set",
            "Times of the data set: an ISO-8601 step (``PT6H``, a multiple of the bottle's), single times, or a "
            "slice of times, also with a step. A time is a string or a datetime64; several are a list, an index or "
            "a DataArray.",
            "the bottle's step", checks.as_is, checks.parse_times, "TIME",
        ),
    ]  # fmt: skip
    time_method: Annotated[
        str,
        Keyword(
            "inst", "data set",
            "``inst``, values at the time, or ``mean``, means over the step that ends at the time. A mean draws all "
            "instants of its step.",
            "inst", checks.one_of(METHODS), **_WORD, metavar="inst|mean",
        ),
    ]  # fmt: skip
    members: Annotated[
        int | Sequence[int] | None,
        Keyword(
            None, "data set",
            "How many members, or a list of their numbers. The data set then has a dimension ``member``; otherwise "
            "it has member 0 and no such dimension.",
            "none", checks.members, checks.parse_members, "N|I,J",
        ),
    ]  # fmt: skip
    seed: Annotated[
        int,
        Keyword(
            0, "data set",
            "Seed of all random numbers, 0 to 2**63 - 1. Another seed gives another ensemble.",
            "0", checks.within(0, 2**63), **_INTEGER,
        ),
    ]  # fmt: skip
    label: Annotated[
        str | None,
        Keyword(
            None, "data set",
            "The model or data set to imitate, where a bottle knows several.",
            "the bottle's", checks.as_is, **_WORD, metavar="LABEL",
        ),
    ]  # fmt: skip
    coherence: Annotated[
        Any,
        Keyword(
            None, "data set",
            "How instants follow each other in time: ``none``, ``latents``, ``bridge``, ``video`` or a duration. By "
            "default it is ``latents`` if the bottle was fitted for it (``gcm``), else ``none``. With ``none`` each "
            "instant is an independent draw. With ``latents`` weather lasts and travels, as was measured in the "
            "simulations. With ``bridge`` a network draws the weather between states some days apart, if the bottle "
            "has one. With ``video`` a network draws windows of several frames, each going on from the one before, if "
            "the bottle has one (``icon``); there are times every frame then. With a duration (``2D``) weather stays "
            "in its place and fades: its correlation falls to 1/e in that time. The statistics of single instants are "
            "the same with all of them; those of ``bridge`` and ``video`` are as good as the training of their "
            "networks.",
            "the bottle's", checks.coherence, **_WORD, metavar="none|latents|bridge|video|DURATION",
        ),
    ]  # fmt: skip
    num_steps: Annotated[
        int | None,
        Keyword(
            None, "sampler",
            "Number of noise levels of the sampler. Fewer are faster and less exact. If the bottle has levels that "
            "were chosen for this number, these are used; otherwise they are spaced by its rho.",
            "the bottle's", checks.within(2, 10_001), **_INTEGER, serve=True,
        ),
    ]  # fmt: skip
    sigma_min: Annotated[
        float | None,
        Keyword(None, "sampler", "Lowest noise level of the sampler.", "the bottle's", **_NUMBER, serve=True),
    ]
    sigma_max: Annotated[
        float | None,
        Keyword(None, "sampler", "Highest noise level of the sampler.", "the bottle's", **_NUMBER, serve=True),
    ]
    sigmas: Annotated[
        Sequence[float] | None,
        Keyword(
            None, "sampler",
            "All noise levels of the sampler, descending, instead of num_steps, sigma_min and sigma_max.",
            "the bottle's", checks.levels, checks.parse_levels, "S,S,...", serve=True,
        ),
    ]  # fmt: skip
    solver: Annotated[
        str | None,
        Keyword(
            None, "sampler",
            "Solver of the sampler: ``heun``, ``dpmpp_2m`` or ``ipndm3``. heun evaluates the network twice in a "
            "step, the others once; ipndm3 needs the fewest steps.",
            "the bottle's", checks.one_of(tuple(SOLVERS)), **_WORD, metavar="|".join(SOLVERS), serve=True,
        ),
    ]  # fmt: skip
    sst: Annotated[
        Any,
        Keyword(
            None, "data set",
            "Your own monthly sea surface temperature in K or °C, or ``+2K`` for the bottle's, 2 K warmer. Yours is "
            "a path, Dataset, DataArray or `SeaSurfaceTemperature`, and the data set then has the times that it "
            "covers.",
            "the bottle's", checks.as_is, **_WORD, metavar="FILE|+2K",
        ),
    ]  # fmt: skip
    sst_offset: Annotated[
        Any,
        Keyword(
            None, "data set",
            "K to add to the sea surface temperature, yours or the bottle's, where there is no ice; at most 15. It "
            "may be a field without time, on HEALPix cells or on latitudes and longitudes: a path, Dataset or "
            "DataArray.",
            "0", checks.as_is, **_WORD, metavar="K|FILE",
        ),
    ]  # fmt: skip
    co2: Annotated[
        Any,
        Keyword(
            None, "data set",
            "Carbon dioxide in ppmv, or an experiment of CMIP6 such as ``historical``, ``ssp245`` or ``1pctCO2``, "
            "for bottles that were trained with it. It may be a series in time: a path, Dataset or DataArray.",
            "the bottle's", checks.as_is, **_WORD, metavar="PPMV|NAME|FILE",
        ),
    ]  # fmt: skip
    forcings: Annotated[
        Any,
        Keyword(
            None, "data set",
            "What else forces the climate, for bottles that were trained with it: names with numbers or series, as "
            "for `co2`.",
            "the bottle's", checks.as_is, checks.parse_forcings, "NAME=VALUE,..",
        ),
    ]  # fmt: skip
    extrapolate: Annotated[
        bool,
        Keyword(
            False, "data set",
            "Whether to accept a sea or a forcing that is far outside of the bottle's training, by more than half "
            "of the range there. What is less far outside is accepted with a warning.",
            "False", checks.truth, checks.parse_flag, "True|False",
        ),
    ]  # fmt: skip
    guide: Annotated[
        Any,
        Keyword(
            None, "data set",
            "An event to which draws are steered: one of `xr_cbottle.events`, or a torch function of the state. The "
            "variable ``log_weight`` then says how much each draw counts: means with these weights are those of "
            "draws that are not steered.",
            "none", events.as_guide, events.parse, "EVENT",
        ),
    ]  # fmt: skip
    sr_mode: Annotated[
        str,
        Keyword(
            "tiles", "data set",
            "How super-resolution draws: ``tiles``, only the tiles that a read touches, or ``global``, the whole "
            "globe at once.",
            "tiles", checks.one_of(SUPERRES_MODES), **_WORD, metavar="tiles|global", downscale=True,
        ),
    ]  # fmt: skip
    sr_network: Annotated[
        str | None,
        Keyword(
            None, "data set",
            "Network of super-resolution: ``distilled``, which takes a few steps, or ``full``.",
            "the first that the bottle has", checks.as_is, **_WORD, metavar="distilled|full", downscale=True,
        ),
    ]  # fmt: skip
    precision: Annotated[
        str,
        Keyword(
            "float32", "sampler",
            "Precision of the network's arithmetic: float32, tf32, bfloat16 or float16.",
            "float32", checks.one_of(PRECISIONS), **_WORD, metavar="|".join(PRECISIONS), downscale=True, serve=True,
        ),
    ]  # fmt: skip
    device: Annotated[
        Any,
        Keyword(
            None, "machine",
            "Device that runs the network: ``cpu``, ``cuda`` or ``cuda:1``. It is chosen when values are read.",
            "a GPU if there is one", checks.text, **_WORD, metavar="DEVICE", downscale=True, serve=True,
        ),
    ]  # fmt: skip
    batch_size: Annotated[
        int | None,
        Keyword(
            None, "sampler",
            "How many instants are drawn at once. Smaller batches are filled up to this size, because the last bits "
            "of values depend on it.",
            "4", checks.within(1, 2**10), **_INTEGER, downscale=True, serve=True,
        ),
    ]  # fmt: skip
    weights: Annotated[
        Any,
        Keyword(
            None, "reading",
            "Local copies of the bottle's files: a folder, or a mapping from locations to paths.",
            "none", checks.as_is, **_WORD, metavar="FOLDER", downscale=True, serve=True,
        ),
    ]  # fmt: skip
    cache_size: Annotated[
        int | str | None,
        Keyword(
            None, "reading",
            "Memory for finished instants: bytes, or text such as ``2 GiB``. All data sets of a process share it.",
            "a quarter of the memory of the process, its container or dask's worker, at most 4 GiB",
            checks.byte_count, **_WORD, metavar="BYTES", downscale=True, serve=True,
        ),
    ]  # fmt: skip
    cache_dir: Annotated[
        str | os.PathLike[str] | None,
        Keyword(
            None, "reading",
            "Folder that keeps finished instants, for other processes and for another day.",
            "none", checks.folder, **_WORD, metavar="FOLDER", serve=True,
        ),
    ]  # fmt: skip
    cache_dir_size: Annotated[
        int | str | None,
        Keyword(
            None, "reading",
            "Disk space that ``cache_dir`` may use: bytes, or text such as ``50 GiB``. Instants that were used "
            "longest ago are removed first.",
            "half of what the disk would have free without it", checks.byte_count, **_WORD, metavar="BYTES", serve=True,
        ),
    ]  # fmt: skip
    max_instants: Annotated[
        int,
        Keyword(
            MOST_INSTANTS, "reading",
            "Most instants that one read may draw, or most tiles above the bottle's zoom. A larger read is refused.",
            f"{MOST_INSTANTS}", checks.count, checks.parse_integer, downscale=True,
        ),
    ]  # fmt: skip
    progress: Annotated[
        bool | None,
        Keyword(
            None, "reading",
            "Whether long reads show a progress bar.",
            "on a terminal or in a notebook", checks.flag, checks.parse_flag, downscale=True,
        ),
    ]  # fmt: skip


KEYWORDS: Mapping[str, Keyword] = MappingProxyType(
    {name: get_args(hint)[-1] for name, hint in get_type_hints(Keywords, include_extras=True).items()}
)
"""The record of each keyword, in the order in which they are shown."""

_TYPES = {name: get_args(hint)[0] for name, hint in get_type_hints(Keywords, include_extras=True).items()}


def checked(given: Mapping[str, Any], whose: str, allowed: Iterable[str] = KEYWORDS) -> dict[str, Any]:
    """All keywords, those that are not given at their defaults.

    Parameters
    ----------
    given
        Keywords and values as a user wrote them. None is a keyword that is not given, where that is its default.
    whose
        Who takes them, for the message.
    allowed
        Names that are taken.

    Raises
    ------
    TypeError
        If a keyword is unknown; it lists the known ones.
    ValueError
        If a value is wrong; it lists the right ones.
    """
    names = tuple(allowed)
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise TypeError(f"unknown keyword {', '.join(unknown)}: {whose} takes {', '.join(names)}")
    values = {name: given.get(name, keyword.default) for name, keyword in KEYWORDS.items()}
    return {
        name: value if value is None and KEYWORDS[name].default is None else KEYWORDS[name].check(name, value)
        for name, value in values.items()
    }


def from_text(name: str, value: Any) -> Any:
    """A keyword's value, exactly, if it came as text, as from a template; None if it was not given.

    Raises
    ------
    ValueError
        If it is nothing of the kind.
    """
    if checks.is_absent(value):
        return None
    keyword = KEYWORDS.get(name)
    if keyword is None:
        return value
    parsed = keyword.parse(name, value) if isinstance(value, str) else value
    if keyword.parse is checks.parse_integer:
        return checks.whole(name, parsed)
    if keyword.parse is checks.parse_members:
        if hasattr(parsed, "__iter__"):
            return [checks.whole("a member", number) for number in parsed]
        return checks.whole(name, parsed) or None  # a catalog's parameter of type int cannot be null
    return parsed


def told(given: Mapping[str, Any]) -> dict[str, str]:
    """Keywords that are not the default and change values, as text for an attribute; those of reading are left out."""
    return {
        name: one_line(given[name], 80)
        for name, keyword in KEYWORDS.items()
        if name in given and keyword.group != "reading" and _is_told(name, given[name])
    }


def _is_told(name: str, value: Any) -> bool:
    if name in _OF_FIELDS:  # attributes of their own tell of what is no number, and of no path
        return isinstance(value, (int, float)) or (isinstance(value, str) and _SHORT.fullmatch(value) is not None)
    return not _is_default(name, value)


_OF_FIELDS = ("sst", "sst_offset", "co2", "forcings")
_SHORT = re.compile(r"[+-]? *[0-9.]+ *K?|[0-9a-zA-Z-]{1,16}")


def _is_default(name: str, value: Any) -> bool:
    default = KEYWORDS[name].default
    return value is None or (value is default) or (isinstance(value, (str, int)) and value == default)


# Documentation ------------------------------------------------------------------------------------------------------


def documented(*, names: Iterable[str] = KEYWORDS) -> Callable[[_Function], _Function]:
    """Decorate a function that takes ``**keywords``: its signature and docstring show each of them.

    In the docstring the line ``{keywords}`` is replaced by their parameters, in numpydoc's form.
    """

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function)
        fixed = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        shown = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=KEYWORDS[name].default, annotation=_TYPES[name]
            )
            for name in names
            if name not in signature.parameters
        ]
        function.__signature__ = signature.replace(parameters=[*fixed, *shown])  # type: ignore[attr-defined]
        function.__doc__ = with_keywords(function.__doc__, names)
        return function

    return decorate


def with_keywords(doc: str | None, names: Iterable[str] = KEYWORDS) -> str | None:
    """A docstring whose line ``{keywords}`` is replaced by the parameters of some keywords."""
    if doc is None:  # python -OO
        return None
    match = re.search(r"^( *)\{keywords\}$", doc, re.MULTILINE)
    assert match is not None, "the docstring has no line {keywords}"
    return doc.replace(match[0], "\n".join(_parameter(name, match[1]) for name in names))


def _parameter(name: str, indent: str) -> str:
    import textwrap

    keyword = KEYWORDS[name]
    text = textwrap.fill(
        f"{keyword.about} Default: {keyword.usual}.",
        116,
        initial_indent=indent + "    ",
        subsequent_indent=indent + "    ",
    )
    return f"{indent}{name}\n{text}"


def _first_sentence(text: str) -> str:
    return re.split(r"\.(?:\s|$)", text, maxsplit=1)[0].replace("``", "")


def table() -> str:
    """The keywords as a table in Markdown, as `docs/keywords.md` has it."""
    rows = [
        f"| `{name}` | {keyword.usual} | {keyword.about.replace('``', '`').replace('|', chr(92) + '|')} |"
        for name, keyword in KEYWORDS.items()
    ]
    return "\n".join(["| keyword | default | |", "|---|---|---|", *rows])
