"""The keys of a configuration in words, from the documentation of its classes."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

from xr_cbottle.training.bridge_config import BridgeConfig
from xr_cbottle.training.config import Config
from xr_cbottle.training.patchwise.patch_config import DistilConfig, SuperresConfig

WIDTH = 110


class Keys(NamedTuple):
    """Keys that are documented together: their names, and the text."""

    names: tuple[str, ...]
    text: str


def documented(cls: type) -> list[Keys]:
    """Entries of the section ``Attributes`` of a class and of those that it derives from: what must be given first."""
    entries = [keys for one in reversed(cls.__mro__) if dataclasses.is_dataclass(one) for keys in _attributes(one)]
    fields = {field.name: field for field in dataclasses.fields(cls)}
    return sorted(entries, key=lambda keys: all(_default(fields[name]) is not None for name in keys.names))


def text() -> str:
    """All keys of a YAML file by section: type, default, meaning."""
    about = "Keys of a configuration, with [defaults]; those without one must be given. See examples/training.\n"
    seen: set[type] = set()
    parts = ["\n".join(_lines(cls, 0, seen)) for cls in (Config, BridgeConfig, SuperresConfig, DistilConfig)]
    heads = ("of a bridge between two states", "of super-resolution", "of its distillation")
    return about + parts[0] + "".join(f"\n{h.capitalize()}:\n{p}" for h, p in zip(heads, parts[1:], strict=True)) + "\n"


def type_words(hint: Any) -> str:
    """Type of a key in a YAML file, in words: ``list of int``, ``str, optional``, ``'std' or 'anomaly'``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return f"{type_words(next(a for a in arguments if a is not type(None)))}, optional"
    if origin is typing.Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple:
        return f"list of {type_words(arguments[0])}"
    if origin is dict:
        return "mapping" if arguments[1] is Any else f"mapping of {type_words(arguments[1])}"
    return str(hint.__name__)


def _attributes(cls: type) -> Iterator[Keys]:
    section = re.search(r"^Attributes\n-+\n(.*)", inspect.cleandoc(cls.__doc__ or ""), re.M | re.S)
    if section is None:
        return
    for head, body in re.findall(r"^(\w[^\n]*)\n((?:(?:[ ]+[^\n]*)?\n)*)", section[1] + "\n", re.M):
        yield Keys(tuple(head.split(", ")), " ".join(body.replace("``", "").split()))


def _lines(cls: type, depth: int, seen: set[type]) -> Iterator[str]:
    seen.update(one for one in cls.__mro__ if dataclasses.is_dataclass(one))
    fields = {field.name: field for field in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    indent = "  " * depth
    for keys in documented(cls):
        defaults = {name: value for name in keys.names if (value := _default(fields[name])) is not None}
        if len(defaults) < len(keys.names):
            shown = ", ".join(f"{name} {value}" for name, value in defaults.items())
        else:
            shown = ", ".join(defaults.values())
        inner = [one for name in keys.names for one in _classes(hints[name])]
        kind = "" if inner else f" {' / '.join(dict.fromkeys(type_words(hints[name]) for name in keys.names))}"
        yield f"{indent}{', '.join(name.rstrip('_') for name in keys.names)}:{kind}{f' [{shown}]' if shown else ''}"
        margin = indent + 6 * " "
        yield from textwrap.wrap(keys.text, WIDTH, initial_indent=margin, subsequent_indent=margin)
        for one in inner:
            if one in seen:
                names = ", ".join(field.name for field in dataclasses.fields(one))
                yield from textwrap.wrap(
                    f"Its keys are those above: {names}.", WIDTH, initial_indent=margin, subsequent_indent=margin
                )
            else:
                yield from _lines(one, depth + (1 if depth == 0 else 2), seen)


def _classes(hint: Any) -> list[type]:
    """The documented classes in a type."""
    if dataclasses.is_dataclass(hint):
        return [typing.cast(type, hint)]
    return [one for argument in typing.get_args(hint) for one in _classes(argument)]


def _default(field: dataclasses.Field[Any]) -> str | None:
    """A default as YAML would say it; None if there is none."""
    if field.default_factory is not dataclasses.MISSING:
        return "{}"
    value = field.default
    if value is dataclasses.MISSING:
        return None
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
