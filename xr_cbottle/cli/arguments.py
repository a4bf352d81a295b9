"""Arguments: the parser of all commands, and what each may be told."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from xr_cbottle import __version__
from xr_cbottle.bottle.sampler import SOLVERS
from xr_cbottle.cli import commands, outputs
from xr_cbottle.cli.options import OF_DOWNSCALING, OF_VALUES, add_keyword
from xr_cbottle.cube.keywords import KEYWORDS, MOST_INSTANTS
from xr_cbottle.draw.own_work import (
    ASSIMILATION,
    DEFAULT_BACKGROUND_STRENGTH,
    DEFAULT_DRAWS,
    DEFAULT_ROUNDS,
    DEFAULT_STRENGTH,
)

Add = Callable[[Any, str, str], argparse.ArgumentParser]
FILES = ("bottle", "bottles", "data", "out", "output", "manifest", "part", "sst", "weights", "cache_dir")


def _part(text: str) -> Any:
    from xr_cbottle.cube.portions import StorePart

    try:
        return StorePart.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _grid(text: str) -> tuple[float, float]:
    """Degrees of longitude and latitude, of ``1x1`` or ``1``."""
    parts = text.lower().split("x")
    try:
        first, *others = (float(part) for part in parts)
    except ValueError:
        others = [0.0, 0.0]
    if len(others) > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no grid: give degrees of longitude x latitude, such as 1x1")
    return first, others[0] if others else first


def _by_variable(text: str) -> dict[str, float]:
    """Numbers by variable, of ``psl=100,tas=1``; nothing of ``0``."""
    parts = [part.partition("=") for part in text.split(",") if text.strip() != "0"]
    try:
        return {name.strip(): float(number) for name, _, number in parts}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} are no errors: write NAME=NUMBER, such as psl=100,tas=1") from None


class _Completion(argparse.Action):
    """Print the completion of a shell, and end."""

    def __call__(self, parser: argparse.ArgumentParser, *given: Any) -> None:
        import shtab

        (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
        for made in commands.choices.values():
            for action in made._actions:
                if action.dest in FILES:
                    action.complete = shtab.FILE
        print(shtab.complete(parser, given[1]))
        parser.exit()


def _bottle(made: argparse.ArgumentParser) -> None:
    made.add_argument("bottle", metavar="BOTTLE", help="the bottle: a path, a URL, or a name such as gcm or icon")
    add_keyword(made, "weights")


def _keywords(group: Any, names: Iterable[str]) -> None:
    for name in names:
        add_keyword(group, name)


def _values(made: argparse.ArgumentParser) -> None:
    of_data = (name for name in OF_VALUES if name not in ("time", "weights"))
    _keywords(made.add_argument_group("the data set"), of_data)


def _written(made: argparse.ArgumentParser) -> None:
    """Options of what is written, and of how."""
    made.add_argument("--variables", nargs="+", metavar="NAME", help="variables to write, such as tas pr [all]")
    made.add_argument("--bbox", type=float, nargs=4, metavar=("WEST", "SOUTH", "EAST", "NORTH"),
                      help="write only cells whose centres lie in this box; degrees")  # fmt: skip
    made.add_argument("--grid", type=_grid, metavar="1x1",
                      help="write latitudes and longitudes N degrees apart, instead of HEALPix cells")  # fmt: skip
    made.add_argument("--conservative", action="store_true",
                      help="with --grid: means over its boxes instead of bilinear interpolation")  # fmt: skip
    made.add_argument("--chunk", type=int, metavar="TIMES", help="how many times one chunk holds [about 1 MiB]")
    made.add_argument(
        "--zarr-format", type=int, choices=(2, 3), default=2, help="Zarr format [2, which all readers know]"
    )
    made.add_argument("--yes", action="store_true", help=f"draw even if it takes more than {MOST_INSTANTS} instants")
    made.add_argument("--quiet", action="store_true", help="show no progress bar")


def _add_listing(add: Add) -> None:
    listed = add(
        commands.list_bottles,
        "list",
        "list the bottles in this folder, in XR_CBOTTLE_PATH, and in the package",
    )
    listed.add_argument("--json", action="store_true", help="print JSON, for programs")


def _add_info(add: Add) -> None:
    info = add(commands.info, "info", "show what a bottle contains and which data set it stands for")
    _bottle(info)
    info.add_argument("--all", action="store_true", help="also show the sampler and the training")
    info.add_argument("--json", action="store_true", help="print everything as JSON, for programs")


def _add_sample(add: Add) -> None:
    sample = add(outputs.sample, "sample", "draw a data set and write it to a file; an interrupted .zarr is continued")
    _bottle(sample)
    sample.add_argument("out", metavar="OUT.zarr|OUT.nc", help="file or store to write; must not exist yet")
    add_keyword(sample, "time", required=True, help=(
        "times to draw: START/END/STEP such as 1990-01-01/1990-12-31/PT6H; START/END; a step, for all years; or times "
        "separated by commas"
    ))  # fmt: skip
    sample.add_argument(
        "--ensemble-mean", action="store_true", help="write the mean of the --members instead of each member"
    )
    sample.add_argument(
        "--part",
        type=_part,
        metavar="I/N",
        help="write only part I of N of a Zarr store, so that N jobs can share the work",
    )
    sample.add_argument(
        "--dry-run", action="store_true", help="say how long it will take and how large it will be, and write nothing"
    )
    _written(sample)
    _values(sample)


def _add_downscale(add: Add) -> None:
    downscale = add(
        outputs.downscale,
        "downscale",
        "refine your own data with the super-resolution of a bottle, and write the result",
    )
    downscale.add_argument(
        "data", metavar="DATA", help="your data: a netCDF file, a Zarr store or a URL; see docs/data-formats.md"
    )
    downscale.add_argument("bottle", metavar="BOTTLE", help="a bottle with super-resolution: a path, a URL or a name")
    downscale.add_argument("out", metavar="OUT.zarr|OUT.nc", help="file or store to write; must not exist yet")
    add_keyword(
        downscale, "time", help="times of your data: START/END, a day, a month, or times separated by commas [all]"
    )
    _written(downscale)
    drawn = downscale.add_argument_group("the data set")
    add_keyword(drawn, "zoom", help="HEALPix zoom of the result, above the bottle's own [the finest]")
    add_keyword(drawn, "seed")
    drawn.add_argument(
        "--member",
        type=int,
        metavar="N",
        help="number of the realisation; another one is another draw of the same data [0]",
    )
    _keywords(drawn, OF_DOWNSCALING)


def _add_cite(add: Add) -> None:
    cite = add(commands.cite, "cite", "print what a paper must cite, as BibTeX: bottle, digest, seed, sampler")
    cite.add_argument("bottle", metavar="BOTTLE|DATA.nc|DATA.zarr", help="a bottle, or a file that was drawn from one")
    add_keyword(cite, "weights")
    _values(cite)


_FIELDS = "your data: a netCDF file or a Zarr store"
_OBSERVATIONS = (
    "your observations: a .csv file with the columns lat, lon, time, variable, value, error; or netCDF or Zarr; see "
    "docs/own-data.md"
)


def _own(add: Add, run: Any, name: str, about: str, data: str = _FIELDS) -> argparse.ArgumentParser:
    made = add(run, name, f"{about}; an interrupted .zarr is continued")
    _bottle(made)
    made.add_argument("data", metavar="DATA", help=data)
    made.add_argument("out", metavar="OUT.zarr|OUT.nc", help="file or store to write; must not exist yet")
    made.set_defaults(command=name)
    _written(made)
    return made


def _add_own_data(add: Add) -> None:
    translate = _own(
        add, outputs.translate, "translate", "show your data as a model that the bottle knows would have them"
    )
    translate.add_argument("--source", metavar="LABEL", help="label of your data, if the bottle knows the model [none]")
    translate.add_argument(
        "--target", metavar="LABEL", help="label of the result: the model to imitate [the bottle's default]"
    )
    translate.add_argument(
        "--strength",
        type=float,
        default=DEFAULT_STRENGTH,
        metavar="S",
        help="noise level up to which your data are noised [%(default)g]",
    )
    infill = _own(add, outputs.infill, "infill", "fill what is missing in your data with probable values")
    infill.add_argument(
        "--rounds",
        type=int,
        default=DEFAULT_ROUNDS,
        metavar="N",
        help="how often each step at middle noise levels is repeated [%(default)d]",
    )
    add_keyword(infill, "label")
    for made in (translate, infill):
        made.add_argument("--member", type=int, default=0, metavar="N", help="number of the realisation [0]")
    without = ("time", "time_method", "members", "label", "guide", "coherence", "weights")
    for made in (translate, infill, _add_assimilate(add)):
        _keywords(made.add_argument_group("the data set"), (name for name in OF_VALUES if name not in without))


def _add_assimilate(add: Add) -> argparse.ArgumentParser:
    made = _own(
        add, outputs.assimilate, "assimilate", "draw states of the whole globe that fit observations", _OBSERVATIONS
    )
    made.add_argument("--members", type=int, default=8, metavar="N", help="number of members to draw [%(default)d]")
    made.add_argument("--time", metavar="TIME[,...]", help="times of the analysis [each time that was observed]")
    made.add_argument(
        "--window",
        default="1h",
        metavar="DURATION",
        help="how far before and after a time observations count for it [%(default)s]",
    )
    made.add_argument("--method", choices=ASSIMILATION, default=ASSIMILATION[0], help="how to assimilate [%(default)s]")
    made.add_argument(
        "--errors",
        type=_by_variable,
        metavar="NAME=X[,...]",
        help="errors of observations that have none of their own, such as psl=100,tas=1",
    )
    made.add_argument(
        "--representativeness", type=_by_variable, metavar="NAME=X[,...]",
        help="errors because a cell is larger than a station; 0 for none [estimated]",
    )  # fmt: skip
    made.add_argument("--background", metavar="DATA", help="an earlier analysis, or a forecast, to start from")
    made.add_argument(
        "--strength", type=float, default=DEFAULT_BACKGROUND_STRENGTH, metavar="S",
        help="noise level added to the background; more noise means less trust in it [%(default)g]",
    )  # fmt: skip
    made.add_argument(
        "--draws",
        type=int,
        default=DEFAULT_DRAWS,
        metavar="N",
        help="number of plain draws from which the covariance of errors is estimated [%(default)d]",
    )
    add_keyword(made, "label")
    return made


def _add_plot(add: Add) -> None:
    plot = add(commands.plot, "plot", "draw a map of one variable at one time")
    _bottle(plot)
    plot.add_argument("variable", metavar="VARIABLE", help="such as tas or pr; xr-cbottle info lists them")
    add_keyword(plot, "time", help="the time to show, such as 1990-07-15T06")
    plot.add_argument(
        "--pressure", type=int, metavar="PA", help="pressure level in Pa, such as 50000, for variables on levels"
    )
    plot.add_argument(
        "--limits",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="lowest and highest value of the colour scale [those of the field]",
    )
    plot.add_argument("-o", "--output", metavar="OUT.png", help="picture to write [BOTTLE_VARIABLE.png]")
    _values(plot)


def _add_demo(add: Add) -> None:
    demo = add(commands.demo, "demo", "open the bundled bottle, draw a few times, say how long it took, and write maps")
    demo.add_argument("--bottle", default="gcm", metavar="BOTTLE", help="the bottle to show [gcm]")
    demo.add_argument(
        "-o", "--output", default="xr_cbottle_demo.png", metavar="OUT.png", help="picture to write [%(default)s]"
    )


def _add_serve(add: Add) -> None:
    serve = add(
        commands.serve, "serve", "serve bottles over HTTP: a page with a globe, and Zarr that is drawn when it is read"
    )
    serve.add_argument("bottles", metavar="BOTTLE", nargs="+", help="paths, URLs, or names such as gcm or icon")
    serve.add_argument("--host", metavar="HOST", help="address to listen on [127.0.0.1, for this machine only]")
    serve.add_argument("--port", type=int, metavar="N", help="port to listen on; 0 for any that is free [8000]")
    serve.add_argument("--allow-host", action="append", metavar="NAME",
                       help="host name that clients may use, beside localhost and addresses")  # fmt: skip
    pages = serve.add_mutually_exclusive_group()
    pages.add_argument(
        "--cors", metavar="ORIGIN", help="let only web pages of this origin read the data [all pages may]"
    )
    pages.add_argument("--no-cors", action="store_true", help="let only the server's own page read the data")
    serve.add_argument(
        "--embed", metavar="ORIGIN", help="let web pages of this origin show the globe in a frame [none may]"
    )
    serve.add_argument(
        "--max-waiting", type=int, metavar="N", help="most instants of a bottle that wait to be drawn [64]"
    )
    serve.add_argument("--max-cost", type=int, metavar="N", help="most instants that one chunk of a mean may take [48]")
    serve.add_argument("--max-requests", type=int, metavar="N", help="most requests that wait [1000]")
    serve.add_argument("--max-connections", type=int, metavar="N", help="most connections that are open [1000]")
    serve.add_argument("--max-data-sets", type=int, metavar="N", help="most data sets that are kept open [64]")
    serve.add_argument(
        "--loading-wait", type=float, metavar="S", help="seconds a request waits while networks are loaded [30]"
    )
    serve.add_argument("--client-wait", type=float, metavar="S", help="seconds to wait for a slow client [10]")
    serve.add_argument(
        "--stop-wait", type=float, metavar="S", help="seconds to wait for unfinished draws when the server stops [10]"
    )
    serve.add_argument("--quiet", action="store_true", help="do not print a line for each request")
    _keywords(serve.add_argument_group("the data sets"), (name for name, keyword in KEYWORDS.items() if keyword.serve))


def _add_fetch(add: Add) -> None:
    fetch = add(commands.fetch, "fetch", "download the files of a bottle")
    _bottle(fetch)
    fetch.add_argument(
        "--no-superres", action="store_true", help="leave out the files that only super-resolution needs"
    )
    fetch.add_argument("--again", action="store_true", help="download again what is already here")
    fetch.add_argument(
        "--pin", action="store_true", help="also write a manifest with the sizes and digests of all files"
    )
    fetch.add_argument(
        "-o", "--output", metavar="OUT.cbottle", help="with --pin: the manifest to write [BOTTLE-pinned.cbottle]"
    )
    fetch.add_argument("--quiet", action="store_true", help="show no progress bar")


def _add_pack(add: Add) -> None:
    pack = add(commands.pack, "pack", "make a bottle from a manifest and its files, or from another bottle")
    pack.add_argument("out", metavar="OUT.cbottle", help="the bottle to write")
    pack.add_argument("--manifest", type=Path, metavar="bottle.json", help="the manifest; see docs/file-format.md")
    pack.add_argument(
        "--part",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="checkpoint of a network; once for each part of the manifest, in its order",
    )
    pack.add_argument("--sst", type=Path, metavar="FILE", help="netCDF file of the sea surface temperature")
    pack.add_argument("--climatology", type=Path, metavar="FILE", help="netCDF file of the climatology")
    pack.add_argument(
        "--coherence", type=Path, metavar="FILE", help="netCDF file of the coherence, to add to --from BOTTLE"
    )
    pack.add_argument(
        "--from", dest="bottle", metavar="BOTTLE",
        help="start from this bottle, instead of --manifest and --part, and add files to it",
    )  # fmt: skip
    pack.add_argument(
        "--figures", type=Path, metavar="FILE.json", help="figures of an evaluation, to put into the manifest"
    )
    pack.add_argument(
        "--static", action="append", default=[], metavar="[LABEL=]FILE",
        help="netCDF file of fields that do not change in time, such as orog and sftlf, for one label or for all",
    )  # fmt: skip
    pack.add_argument(
        "--networks-of", metavar="BOTTLE",
        help="another bottle, of which networks of super-resolution and bridges are added to --from BOTTLE",
    )  # fmt: skip
    pack.add_argument(
        "--choose-levels", metavar="N,N,...",
        help="find good noise levels for each of these numbers of steps; num_steps=N then uses them",
    )  # fmt: skip
    pack.add_argument("--solver", choices=tuple(SOLVERS), help="default solver of the new bottle [the manifest's]")
    pack.add_argument(
        "--num-steps", type=int, metavar="N", help="default number of steps of the new bottle [the manifest's]"
    )


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; ``train`` and ``evaluate`` have parsers of their own."""
    parser = argparse.ArgumentParser(
        prog="xr-cbottle",
        description="Data as a model: a bottle is a trained climate emulator, and stands for the data that it draws.",
        epilog="Defaults are in [brackets]. xr-cbottle COMMAND --help describes a command.",
    )
    parser.add_argument("--version", action="version", version=f"xr-cbottle {__version__}")
    parser.add_argument("--debug", action="store_true", help="when something fails, show where in the code")
    parser.add_argument("--print-completion", action=_Completion, choices=("bash", "zsh", "tcsh"),
                        help="print a script that lets this shell complete commands")  # fmt: skip
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(run: Any, name: str, about: str) -> argparse.ArgumentParser:
        made = subparsers.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        made.set_defaults(run=run)
        return made

    for group in (
        _add_listing, _add_info, _add_sample, _add_downscale, _add_cite, _add_own_data,
        _add_plot, _add_demo, _add_serve, _add_fetch, _add_pack,
    ):  # fmt: skip
        group(add)
    # main() takes these two before.
    add(commands.info, "evaluate", "compare a bottle with its simulation: a report with figures, verdicts and pictures")
    add(commands.info, "train", "train a bottle; see xr-cbottle train --help")
    return parser
