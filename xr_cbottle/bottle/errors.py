"""What can be wrong with a bottle, in one sentence each.

`xr_cbottle.bottle` offers the same names; they live here so that the lower rooms can raise them.
"""

from __future__ import annotations


class BottleError(ValueError):
    """A bottle or a part of one is not what it should be."""


class BottleNotFound(FileNotFoundError):
    """No bottle of that name."""


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
        got = repr(self.got)
        if len(got) > 80:
            got = got[:77] + "..."
        return f"bottle.json: {self.field or 'the document'} must be {self.must}, got {got}."

    def inside(self, path: str) -> SchemaError:
        """The same error seen from the document that holds this field under `path`."""
        dot = "." if path and self.field and not self.field.startswith("[") else ""
        return SchemaError(path + dot + self.field, self.must, self.got)
