"""Text that a stranger wrote, kept from those who interpret it: terminals, logs and templates; and values in messages.

A bottle's text is checked when its manifest is read (`is_plain`). What is printed may hold more than that, such as the
path of a file or a key that was refused: it goes through `printable`. What goes into a catalog, whose readers expand
templates, goes through `inert`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any

#: Letters of Persian and of Indian scripts join, or do not, by these two; they move nothing else.
_JOINERS = "\u200c\u200d"
#: Control characters, formats (directions, tags, invisible ones), lone surrogates, ends of lines and paragraphs.
_ACTIVE = ("Cc", "Cf", "Cs", "Zl", "Zp")
#: Of an integer whose digits are shown; Python refuses to write those of more than 4300 digits.
_MOST_BITS = 400
_TEMPLATE = re.compile(r"\{(?=[{%#])")


def is_plain(text: str, also: str = "") -> bool:
    """Whether a text holds characters only that are shown where they stand.

    Parameters
    ----------
    text
        Any text.
    also
        Characters that may be in it beside, such as ``"\\n\\t"``.
    """
    # Most text is ASCII, of which this is quick to say.
    return text.isprintable() or not any(_is_active(c) and c not in also for c in text)


def printable(text: Any, also: str = "\n\t") -> str:
    """Text for a terminal or a log: what would move the cursor, hide or turn text is written as ``\\x1b``.

    Parameters
    ----------
    text
        Any value, whose text is meant.
    also
        Characters that stay beside; "" where a line must not be left.
    """
    whole = str(text)
    if whole.isprintable():
        return whole
    return "".join(ascii(c)[1:-1] if _is_active(c) and c not in also else c for c in whole)


def one_line(text: Any, most: int | None = None) -> str:
    """Text on one line of at most ``most`` characters, otherwise as `printable`."""
    line = printable(" ".join(str(text).split()))
    return line if most is None or len(line) <= most else line[: most - 3] + "..."


def shown(value: Any, most: int = 60, form: Callable[[Any], str] = repr) -> str:
    """A value in a message: as Python writes it, on one line of at most ``most`` characters, whatever it is."""
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = form(value)
    except Exception:  # what a stranger's object does when it is shown is not what is wrong here
        text = f"a {type(value).__name__}"
    return one_line(text, most)


def inert(value: Any) -> Any:
    """Plain values in which no text is a Jinja template: a space parts the braces.

    intake expands templates in all that a catalog holds, as often as it is asked, so that nothing can be escaped.

    Parameters
    ----------
    value
        A text, or mappings and lists of texts and other values, which stay as they are.
    """
    if isinstance(value, str):
        return _TEMPLATE.sub("{ ", value)
    if isinstance(value, dict):
        return {inert(key): inert(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(inert(item) for item in value)
    return value


def _is_active(c: str) -> bool:
    return unicodedata.category(c) in _ACTIVE and c not in _JOINERS
