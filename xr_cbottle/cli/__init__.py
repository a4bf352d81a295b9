"""The command line: ``xr-cbottle list | info | sample | downscale | translate | plot | serve | train`` and others."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from xr_cbottle.cli import failure
from xr_cbottle.cli.arguments import parser
from xr_cbottle.cli.terminal import say

__all__ = ["main", "parser"]

_BROKEN = 1
_FAILED = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if it was done, 2 if it could not be, 1 by a fault of ours, 130 if it was interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given  # before or after the command, of which some have parsers of their own
    given = [argument for argument in given if argument != "--debug"]
    try:
        if given[:1] == ["train"]:  # has a parser of its own
            from xr_cbottle.training import train_command

            return train_command.main(given[1:])
        if given[:1] == ["evaluate"]:  # too
            from xr_cbottle.evaluation import evaluate_command

            return evaluate_command.main(given[1:])
        options = parser().parse_args(given)
        options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt as stop:
        say(f"\ninterrupted{': ' if stop.args else ''}{stop}", error=True)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        said = failure.sentence(error)
        if debug and said is not None:
            say(failure.trace(error), error=True)
        say(failure.report(error) if said is None else f"xr-cbottle: {said}", error=True)
        return _BROKEN if said is None else _FAILED
    return 0
