"""Text that others wrote, as it may stand in a log, a header or an answer: only what can be printed, on one line."""

from __future__ import annotations

import logging
from typing import Any

from xr_cbottle.base import plain_text


def printable(text: str) -> str:
    """A text with control characters, ends of lines and marks of direction as escapes, such as ``\\x1b``."""
    return plain_text.printable(text, also="")


def printable_in(document: Any) -> Any:
    """A JSON document with all its texts, also those that are names, made printable."""
    if isinstance(document, str):
        return printable(document)
    if isinstance(document, dict):
        return {printable_in(name): printable_in(value) for name, value in document.items()}
    if isinstance(document, (list, tuple)):
        return [printable_in(value) for value in document]
    return document


class Formatter(logging.Formatter):
    """Records on one line each, and tracebacks indented: no text in them can pass for another record."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        """A traceback."""
        return "\n".join(f"  | {printable(line)}" for line in super().formatException(ei).split("\n"))
