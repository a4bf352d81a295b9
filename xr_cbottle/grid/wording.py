"""Values in messages: on one short line, and harmless to a terminal whatever they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MOST_BITS = 400  # of an integer whose digits are shown; Python refuses to write those of more than 4300 digits


def shown(value: Any, most: int = 60, form: Callable[[Any], str] = repr) -> str:
    """A value as Python writes it, on one line of at most ``most`` characters.

    Control characters, also those that turn the direction of text, are escaped: `repr` does so.
    """
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = form(value)
    except Exception:  # what a stranger's object does when it is shown is not what is wrong here
        text = f"a {type(value).__name__}"
    return shortened(text, most)


def shortened(value: Any, most: int = 80) -> str:
    """Text of a value on one line of at most ``most`` characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else text[: most - 3] + "..."
