"""YAML files into nested mappings, and those into frozen data classes."""

from __future__ import annotations

import dataclasses
import datetime
import types
import typing
from pathlib import Path
from typing import Any, TypeVar, cast

T = TypeVar("T")


def read(path: Path) -> dict[str, Any]:
    """The values of a YAML file, over those of the file it names as its ``base``."""
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: must be a mapping with keys data, network, training and bottle")
    base = values.pop("base", None)
    return values if base is None else _merged(read(path.parent / str(base)), values)


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(under[key], over[key])
        for key in under
        if isinstance(under[key], dict) and isinstance(over.get(key), dict)
    }
    return {**under, **over, **both}


def build(cls: type[T], values: Any, where: str) -> T:
    """Make a data class from a mapping of its fields; ``where`` names the place in messages.

    Raises
    ------
    ValueError
        For an unknown or missing key, a value of the wrong type, or one that the class refuses.
    """
    if isinstance(values, str) and (from_text := getattr(cls, "from_text", None)) is not None:
        return cast(T, from_text(values))
    if not isinstance(values, dict):
        raise ValueError(f"{where}: must be a mapping with keys of {_names(cls)}")
    hints = typing.get_type_hints(cls)
    values = {f"{key}_" if f"{key}_" in hints else key: value for key, value in values.items()}
    if unknown := sorted(set(values) - set(hints)):
        raise ValueError(f"{where}: unknown key(s) {unknown}; known are {_names(cls)}")
    missing = [
        f.name
        for f in dataclasses.fields(cls)  # type: ignore[arg-type]
        if f.name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{where}: key(s) {missing} are missing")
    try:
        return cls(**{key: _convert(value, hints[key], f"{where}: {key}") for key, value in values.items()})
    except ValueError as error:
        said = str(error).removeprefix(f"{where.rpartition(': ')[2]}: ")
        raise ValueError(str(error) if str(error).startswith(where) else f"{where}: {said}") from None


def check_choices(config: Any, where: str) -> None:
    """Refuse a field annotated as a ``Literal`` whose value is none of its words.

    Raises
    ------
    ValueError
        With the section ``where``, the field, its value and the words.
    """
    for name, hint in typing.get_type_hints(type(config)).items():
        words = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
        if words and (value := getattr(config, name)) not in words:
            *first, last = map(repr, words)
            raise ValueError(f"{where}: {name} is {value!r}, must be {', '.join(first)} or {last}")


def as_dict(config: Any) -> dict[str, Any]:
    """Any of these data classes as plain JSON-ready values: what `build` makes it of."""
    return dataclasses.asdict(config)


def _names(cls: type) -> list[str]:
    """Keys of a class; those that are words of Python have an underscore there."""
    return [f.name.rstrip("_") for f in dataclasses.fields(cls)]


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(value, next(a for a in arguments if a is not type(None)), where)
    if origin is tuple:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise ValueError(f"{where}: must be a list")
        return tuple(_convert(item, arguments[0], f"{where}[{i}]") for i, item in enumerate(items))
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, where)
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and not isinstance(value, bool):
        number = _number(value)  # YAML reads 1e6 as a text
        if number is not None and number.is_integer():
            return int(number)
    if hint is float and not isinstance(value, bool):
        number = _number(value)
        if number is not None:
            return number
    if (hint is str or origin is typing.Literal) and not isinstance(value, dict | list | bool | type(None)):
        # YAML reads 1980-01-01 as a date
        return value.isoformat() if isinstance(value, datetime.date) else str(value)
    if origin is dict and isinstance(value, dict):
        if dataclasses.is_dataclass(arguments[1]) or arguments[1] is float:
            return {str(key): _convert(item, arguments[1], f"{where}: {key}") for key, item in value.items()}
        return cast(dict[str, Any], _plain(value))
    raise ValueError(f"{where}: {value!r} is not of type {getattr(hint, '__name__', hint)}")


def _plain(value: Any) -> Any:
    """Value as JSON can say it: YAML reads 1980-01-01 as a date."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime.date) else value


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
