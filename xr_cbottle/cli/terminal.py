"""The terminal: what commands print, so that no bottle's text reaches it as it is."""

from __future__ import annotations

import sys
from typing import Any

from xr_cbottle.base.plain_text import printable


def say(text: Any, *, error: bool = False) -> None:
    """Print a line, to the standard output or as an error, without what a terminal would obey."""
    print(printable(text), file=sys.stderr if error else sys.stdout)
