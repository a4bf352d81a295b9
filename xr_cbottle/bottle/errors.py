"""Errors of bottles, in one sentence each.

`xr_cbottle.bottle` offers the same names; they live here so that the lower rooms can raise them.
"""

from __future__ import annotations

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.bottle import limits


class BottleError(ValueError):
    """A bottle or a part of one is not what it should be.

    Its text is one line that any terminal can show, whatever of a stranger's bottle it quotes.
    """

    def __str__(self) -> str:
        return one_line(super().__str__(), limits.SENTENCE_CHARACTERS)


class BottleNotFound(FileNotFoundError):
    """There is no bottle of that name."""

    def __str__(self) -> str:
        return one_line(super().__str__(), limits.SENTENCE_CHARACTERS)


class FetchError(BottleError, OSError):
    """A file of a bottle could not be brought here."""


class SchemaError(BottleError):
    """A field of a manifest has a wrong value.

    Parameters
    ----------
    field
        Where it is, e.g. ``labels.icon.index``.
    must
        What is allowed, e.g. ``an int >= 0``.
    got
        What is there.
    """

    def __init__(self, field: str, must: str, got: object):
        super().__init__(field, must, got)
        self.field, self.must, self.got = field, must, got

    def __str__(self) -> str:
        field = one_line(self.field, 200) or "the document"
        return one_line(f"bottle.json: {field} must be {self.must}, got {one_line(_quoted(self.got), 80)}")

    def inside(self, path: str) -> SchemaError:
        """Make the same error seen from the document that holds this field under `path`."""
        dot = "." if path and self.field and not self.field.startswith("[") else ""
        return SchemaError(path + dot + self.field, self.must, self.got)


def _quoted(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # Python writes no integer of more than some thousand digits.
        return f"a {type(value).__name__} too long to be shown"
