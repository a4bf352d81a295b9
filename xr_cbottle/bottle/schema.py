"""Frozen dataclasses whose fields are checked, read from JSON and written to it.

A field is declared with a check: a function that returns the value as it is kept, or raises
`SchemaError`, whose path grows as it passes through the records that hold it. pydantic would do
this too, but importing it costs more than opening a bottle may take.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from xr_cbottle.base.plain_text import is_plain
from xr_cbottle.bottle import limits
from xr_cbottle.bottle.errors import SchemaError
from xr_cbottle.grid import time_axis

R = TypeVar("R", bound="Record")
#: What RFC 3986 allows in a URL behind the protocol: other characters are written with ``%``.
_URL_REST = re.compile(r"[A-Za-z0-9._~:/?#@!$&'()*+,;=%\[\]-]+")

#: Protocols a location may use. No ``file`` and no chains: a manifest names its own files, not the machine's.
PROTOCOLS = ("http", "https", "s3", "gs", "gcs", "az", "abfs", "abfss", "hf", "ftp", "memory")


@dataclasses.dataclass(frozen=True)
class Check:
    """A check of a value, and what JSON Schema can say of it.

    Attributes
    ----------
    check
        Returns the value as it is kept, or raises `SchemaError`.
    json
        Makes the JSON Schema of what is taken. It takes too what only the check can refuse, such as a year too many.
    """

    check: Callable[[Any], Any]
    json: Callable[[], dict[str, Any]]

    def __call__(self, value: Any) -> Any:
        return self.check(value)


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

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema of what `from_plain` takes, as far as it can say it."""
        properties, required = {}, []
        for spec in dataclasses.fields(cls):
            properties[spec.name] = spec.metadata["check"].json()
            if spec.default is not dataclasses.MISSING:
                properties[spec.name]["default"] = _plain(spec.default)
            elif spec.default_factory is dataclasses.MISSING:
                required.append(spec.name)
        about = {"description": (cls.__doc__ or "").partition("\n")[0]}
        asked = {"required": required} if required else {}
        return {"type": "object", **about, "properties": properties, **asked, "additionalProperties": False}

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


def text(pattern: str = r".*\S.*", must: str = "text that is not empty", most: int = limits.LINE_CHARACTERS) -> Check:
    """A line that matches `pattern` from end to end, of characters that are shown where they stand."""
    return _written(pattern, must, most, "")


def paragraphs(pattern: str = r".*", must: str = "text", most: int = limits.TEXT_CHARACTERS) -> Check:
    """A longer text, as `text`, that may have several lines."""
    return _written(pattern, must, most, "\n\t")


def _written(pattern: str, must: str, most: int, also: str) -> Check:
    compiled = re.compile(pattern, re.DOTALL)

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise SchemaError("", must, value)
        if len(value) > most:
            raise SchemaError("", f"{must}, of at most {most} characters", value)
        if not is_plain(value, also):
            raise SchemaError("", f"{must}, without control characters and those that turn or hide text", value)
        if not compiled.fullmatch(value):
            raise SchemaError("", must, value)
        return value

    return Check(check, lambda: {"type": "string", "maxLength": most, **_pattern(pattern)})


def _pattern(pattern: str) -> dict[str, str]:
    """A pattern for the whole text, where a dot is any character, as JSON Schema writes it."""
    return {} if pattern == ".*" else {"pattern": "^" + pattern.replace(".*", r"[\s\S]*") + "$"}


def label() -> Check:
    """A label: what an address and a file's name can hold as it is."""
    must = f"a label of letters, digits and . _ + -, at most {limits.NAME_LETTERS}"
    return text(r"[A-Za-z0-9](?:[A-Za-z0-9_+-]|\.(?!\.))*", must, limits.NAME_LETTERS)


def channel() -> Check:
    """A channel's name."""
    must = f"a channel's name of letters, digits and _, at most {limits.NAME_LETTERS}"
    return text(r"[A-Za-z0-9_]+", must, limits.NAME_LETTERS)


def integer(least: int, most: int | None = None) -> Check:
    """An int within bounds, both included; without an upper one it fits into 64 bits."""
    must = f"an int >= {least}" if most is None else f"an int from {least} to {most}"
    end = 2**63 - 1 if most is None else most

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= end:
            raise SchemaError("", must, value)
        return value

    return Check(check, lambda: {"type": "integer", "minimum": least, "maximum": end})


def boolean() -> Check:
    """True or false."""

    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise SchemaError("", "true or false", value)
        return value

    return Check(check, lambda: {"type": "boolean"})


def number(least: float, *, open_end: bool = False, most: float = limits.SIGMA) -> Check:
    """A number from `least` to `most`, kept as float."""
    must = f"a number {'>' if open_end else '>='} {least:g}"

    def check(value: Any) -> float:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not good or not value >= least or (open_end and value == least):
            raise SchemaError("", must, value)
        if value > most:
            raise SchemaError("", f"{must} and <= {most:g}", value)
        return float(value)

    bound = "exclusiveMinimum" if open_end else "minimum"
    return Check(check, lambda: {"type": "number", bound: least, "maximum": most})


def one_of(names: tuple[str, ...]) -> Check:
    """One of a few words."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise SchemaError("", f"one of {', '.join(names)}", value)
        return value

    return Check(check, lambda: {"enum": list(names)})


def optional(inner: Check) -> Check:
    """None, or what `inner` takes."""
    return Check(
        lambda value: None if value is None else inner(value), lambda: {"anyOf": [inner.json(), {"type": "null"}]}
    )


def each(inner: Check, least: int = 0, most: int = limits.CHANNELS) -> Check:
    """A list of at most `most`, kept as a tuple."""

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)) or len(value) < least:
            raise SchemaError("", "a list" if least == 0 else f"a list of at least {least}", value)
        if len(value) > most:
            raise SchemaError("", f"a list of at most {most}", value)
        items = []
        for i, item in enumerate(value):
            try:
                items.append(inner(item))
            except SchemaError as error:
                raise error.inside(f"[{i}]") from None
        return tuple(items)

    return Check(check, lambda: {"type": "array", "items": inner.json(), "minItems": least, "maxItems": most})


def mapping(names: Check, inner: Check, most: int) -> Check:
    """An object of at most `most` names that pass a check of their own."""

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise SchemaError("", "an object", value)
        if len(value) > most:
            raise SchemaError("", f"an object of at most {most} names", list(itertools.islice(value, 8)))
        items = {}
        for key, item in value.items():
            try:
                items[names(key)] = inner(item)
            except SchemaError as error:
                raise error.inside(str(key)) from None
        return items

    return Check(
        check,
        lambda: {
            "type": "object",
            "propertyNames": names.json(),
            "additionalProperties": inner.json(),
            "maxProperties": most,
        },
    )


def one_or_named(inner: Check, names: Check, most: int) -> Check:
    """A value that a check takes, or an object of at most `most` names of such values."""
    named = mapping(names, inner, most)
    return Check(
        lambda value: named(value) if isinstance(value, Mapping) else inner(value),
        lambda: {"anyOf": [inner.json(), named.json()]},
    )


def nested(record: type[Record]) -> Check:
    """Another record, or the object it is read from."""
    return Check(lambda value: value if isinstance(value, record) else record.from_plain(value), record.json_schema)


def free() -> Check:
    """Any JSON object that is not too deep."""
    name, words = text(r".*", "text", limits.TEXT_CHARACTERS), paragraphs()

    def plain(value: Any, path: str, depth: int) -> Any:
        if depth > limits.JSON_DEPTH:
            raise SchemaError(path, f"nested at most {limits.JSON_DEPTH} deep", "...")
        try:
            if isinstance(value, str):
                return words(value)
            if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
                return {name(key): plain(item, key, depth + 1) for key, item in value.items()}
            if isinstance(value, (list, tuple)):
                return [plain(item, f"[{i}]", depth + 1) for i, item in enumerate(value)]
        except SchemaError as error:
            raise error.inside(path) from None
        if value is None or isinstance(value, bool) or (isinstance(value, float) and math.isfinite(value)):
            return value
        if isinstance(value, int) and abs(value) < 10**limits.INTEGER_DIGITS:
            return value
        raise SchemaError(path, "a JSON value", value)

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise SchemaError("", "an object", value)
        return {**plain(value, "", 0)}

    return Check(check, lambda: {"type": "object"})


def sha256() -> Check:
    """64 hexadecimal digits, kept in lower case."""
    inner = text(r"[0-9a-fA-F]{64}", "64 hexadecimal digits")
    return Check(lambda value: inner(value).lower(), inner.json)


def location() -> Check:
    """A relative path that stays in its folder, or a URL of a protocol a manifest may use."""
    must = f"a relative path without '..', or a URL ({', '.join(PROTOCOLS)})"

    def check(value: Any) -> str:
        if not isinstance(value, str) or not (is_url(value) or is_member_name(value)):
            raise SchemaError("", must, value)
        if len(value) > limits.LOCATION_CHARACTERS:
            raise SchemaError("", f"{must}, of at most {limits.LOCATION_CHARACTERS} characters", value)
        return value

    return Check(check, lambda: {"type": "string", "minLength": 1, "maxLength": limits.LOCATION_CHARACTERS})


def is_url(value: str) -> bool:
    """Whether `value` is one plain URL of a known protocol."""
    protocol, separator, rest = value.partition("://")
    return bool(separator) and protocol in PROTOCOLS and "::" not in value and bool(_URL_REST.fullmatch(rest))


def is_member_name(value: str) -> bool:
    """Whether `value` is a relative path with ``/`` that cannot leave its folder, on any system."""
    if not value or any(c in value for c in '\\:*?"<>|`$') or not value.isprintable():
        return False
    return all(piece not in ("", ".", "..") and piece == piece.strip() for piece in value.split("/"))


def parse_instant(value: str) -> datetime.datetime:
    """ISO-8601 date or date and time, UTC, without a zone."""
    return datetime.datetime.fromisoformat(value)


def instant() -> Check:
    """An ISO-8601 date, or date and time, without a zone."""
    shape = text(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}(:[0-9]{2}){0,2})?", "an ISO-8601 time in UTC such as 1980-01-01T00:00:00"
    )

    def check(value: Any) -> Any:
        try:
            parse_instant(shape(value))
        except SchemaError:
            raise
        except ValueError:
            raise SchemaError("", "a time that exists", value) from None
        return value

    return Check(check, shape.json)


def duration() -> Check:
    """An ISO-8601 duration of days, hours, minutes and seconds, longer than nothing and at most a century."""
    shape = text(
        r"P(?=.)([0-9]+D)?(T(?=.)([0-9]+H)?([0-9]+M)?([0-9]+S)?)?", "an ISO-8601 duration such as PT1H or P1D", 40
    )

    def check(value: Any) -> Any:
        if not re.search(r"[1-9]", shape(value)):
            raise SchemaError("", "longer than nothing", value)
        if time_axis.parse_period(value) > limits.STEP_SECONDS:
            raise SchemaError("", "at most a century", value)
        return value

    return Check(check, shape.json)
