"""Frozen dataclasses whose fields are checked, read from JSON and written to it.

A field is declared with a check: a function that returns the value as it is kept, or raises
`SchemaError`, whose path grows as it passes through the records that hold it. pydantic would do
this too, but importing it costs more than opening a bottle may take.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from xr_cbottle.bottle.errors import SchemaError

Check = Callable[[Any], Any]
R = TypeVar("R", bound="Record")

#: Protocols a location may use. No ``file`` and no chains: a manifest names its own files, not the machine's.
PROTOCOLS = ("http", "https", "s3", "gs", "gcs", "az", "abfs", "abfss", "hf", "ftp", "memory")


def empty() -> dict[str, Any]:
    """Default of a field that holds an object."""
    return {}


def field(check: Check, default: Any = dataclasses.MISSING) -> Any:
    """Declare a dataclass field with its check; a callable default makes a new value each time."""
    if callable(default):
        return dataclasses.field(metadata={"check": check}, default_factory=default)
    return dataclasses.field(metadata={"check": check}, default=default)


@dataclasses.dataclass(frozen=True)
class Record:
    """A dataclass whose fields were declared with `field`."""

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            try:
                value = spec.metadata["check"](getattr(self, spec.name))
            except SchemaError as error:
                raise error.inside(spec.name) from None
            object.__setattr__(self, spec.name, value)

    @classmethod
    def from_plain(cls: type[R], values: Any) -> R:
        """Build the record from what JSON gives; unknown and missing keys raise SchemaError."""
        if not isinstance(values, dict):
            raise SchemaError("", "an object", values)
        known = {spec.name: spec for spec in dataclasses.fields(cls)}
        for key in values:
            if key not in known:
                raise SchemaError(str(key), f"absent or spelled otherwise (known: {', '.join(known)})", values[key])
        for name, spec in known.items():
            required = spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING
            if required and name not in values:
                raise SchemaError(name, "given", None)
        return cls(**values)

    def plain(self) -> dict[str, Any]:
        """The record as JSON's types."""
        return {spec.name: _plain(getattr(self, spec.name)) for spec in dataclasses.fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.plain()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def text(pattern: str = r".*\S.*", must: str = "text that is not empty") -> Check:
    """A string that matches `pattern` from end to end."""
    compiled = re.compile(pattern, re.DOTALL)

    def check(value: Any) -> str:
        if (
            not isinstance(value, str)
            or not compiled.fullmatch(value)
            or (not value.isprintable() and _unwritable(value))
        ):
            raise SchemaError("", must, value)
        return value

    return check


def _unwritable(value: str) -> bool:
    """Whether a string holds what UTF-8 or an attribute cannot: lone surrogates, control characters."""
    return any((c < " " and c not in "\n\t") or "\ud800" <= c <= "\udfff" for c in value)


def integer(least: int, most: int | None = None) -> Check:
    """An int within bounds, both included."""
    must = f"an int >= {least}" if most is None else f"an int from {least} to {most}"

    def check(value: Any) -> int:
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or value < least
            or (most is not None and value > most)
        ):
            raise SchemaError("", must, value)
        return value

    return check


def boolean() -> Check:
    """True or false."""

    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise SchemaError("", "true or false", value)
        return value

    return check


def number(least: float, *, open_end: bool = False) -> Check:
    """A finite number, kept as float."""
    must = f"a number {'>' if open_end else '>='} {least:g}"

    def check(value: Any) -> float:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not good or not math.isfinite(value) or value < least or (open_end and value == least):
            raise SchemaError("", must, value)
        return float(value)

    return check


def one_of(names: tuple[str, ...]) -> Check:
    """One of a few words."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise SchemaError("", f"one of {', '.join(names)}", value)
        return value

    return check


def optional(inner: Check) -> Check:
    """None, or what `inner` takes."""
    return lambda value: None if value is None else inner(value)


def each(inner: Check, least: int = 0) -> Check:
    """A list, kept as a tuple."""

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)) or len(value) < least:
            raise SchemaError("", "a list" if least == 0 else f"a list of at least {least}", value)
        items = []
        for i, item in enumerate(value):
            try:
                items.append(inner(item))
            except SchemaError as error:
                raise error.inside(f"[{i}]") from None
        return tuple(items)

    return check


def mapping(inner: Check) -> Check:
    """An object with any names."""

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise SchemaError("", "an object", value)
        items = {}
        for key, item in value.items():
            try:
                items[text()(key)] = inner(item)
            except SchemaError as error:
                raise error.inside(str(key)) from None
        return items

    return check


def nested(record: type[Record]) -> Check:
    """Another record, or the object it is read from."""
    return lambda value: value if isinstance(value, record) else record.from_plain(value)


def free() -> Check:
    """Any JSON object."""

    def plain(value: Any, path: str) -> Any:
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return {
                text(r".*", "text")(key): plain(item, f"{path}.{key}" if path else key) for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [plain(item, f"{path}[{i}]") for i, item in enumerate(value)]
        if isinstance(value, str):
            return text(r".*", "text")(value)
        if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
            return value
        raise SchemaError(path, "a JSON value", value)

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise SchemaError("", "an object", value)
        return {**plain(value, "")}

    return check


def sha256() -> Check:
    """64 hexadecimal digits, kept in lower case."""
    inner = text(r"[0-9a-fA-F]{64}", "64 hexadecimal digits")
    return lambda value: inner(value).lower()


def location() -> Check:
    """A relative path that stays in its folder, or a URL of a protocol a manifest may use."""
    must = f"a relative path without '..', or a URL ({', '.join(PROTOCOLS)})"

    def check(value: Any) -> str:
        if not isinstance(value, str) or not value.isprintable() or not (is_url(value) or is_member_name(value)):
            raise SchemaError("", must, value)
        return value

    return check


def is_url(value: str) -> bool:
    """Whether `value` is one plain URL of a known protocol."""
    protocol, separator, rest = value.partition("://")
    return bool(separator and rest) and protocol in PROTOCOLS and "::" not in value


def is_member_name(value: str) -> bool:
    """Whether `value` is a relative path with ``/`` that cannot leave its folder, on any system."""
    if not value or any(c in value for c in '\\:*?"<>|\0') or not value.isprintable():
        return False
    return all(piece not in ("", ".", "..") and piece == piece.strip() for piece in value.split("/"))


def parse_instant(value: str) -> datetime.datetime:
    """ISO-8601 date or date and time, UTC, without a zone."""
    return datetime.datetime.fromisoformat(value)


def instant() -> Check:
    """An ISO-8601 date, or date and time, without a zone."""
    shape = text(r"\d{4}-\d\d-\d\d(T\d\d(:\d\d(:\d\d)?)?)?", "an ISO-8601 time in UTC such as 1980-01-01T00:00:00")

    def check(value: Any) -> Any:
        try:
            parse_instant(shape(value))
        except SchemaError:
            raise
        except ValueError:
            raise SchemaError("", "a time that exists", value) from None
        return value

    return check


def duration() -> Check:
    """An ISO-8601 duration of days, hours, minutes and seconds, longer than nothing."""
    shape = text(r"P(?=.)(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?", "an ISO-8601 duration such as PT1H or P1D")

    def check(value: Any) -> Any:
        if not re.search(r"[1-9]", shape(value)):
            raise SchemaError("", "longer than nothing", value)
        return value

    return check
