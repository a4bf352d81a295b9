"""Options: keywords of a data set as options of a command, and what they ask for as a bottle or a cube."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from xr_cbottle.cube.keywords import KEYWORDS

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import Bottle
    from xr_cbottle.cube.cube import Cube

OF_DOWNSCALING = tuple(name for name, keyword in KEYWORDS.items() if keyword.downscale and keyword.metavar)
OF_VALUES = tuple(name for name, keyword in KEYWORDS.items() if keyword.metavar and name != "cache_size")


def add_keyword(group: Any, name: str, **changed: Any) -> None:
    """Add the option of a keyword to a command."""
    keyword = KEYWORDS[name]

    def parsed(text: str) -> Any:
        try:
            return keyword.parse(name, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    option = "--" + name.replace("_", "-")
    told = {"type": parsed, "metavar": keyword.metavar, "help": keyword.option.replace("%", "%%"), **changed}
    group.add_argument(option, **told)


def bottle_of(options: argparse.Namespace) -> Bottle:
    """The bottle that a command names."""
    from xr_cbottle.bottle.bottle import open_bottle

    return open_bottle(options.bottle, weights=options.weights)


def cube_of(options: argparse.Namespace) -> Cube:
    """The data set that a command asks for."""
    from xr_cbottle.cube.cube import Cube

    given = {name: getattr(options, name, None) for name in OF_VALUES}
    # What is written here is asked for: there is no limit to be surprised by.
    asked: Any = {name: value for name, value in given.items() if value is not None}
    return Cube(options.bottle, max_instants=sys.maxsize, **asked)
