"""JSON from a stranger: one object, bounded before it is read, without what JSON does not have."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.bottle import limits
from xr_cbottle.bottle.errors import BottleError

# Texts first, so that brackets in them do not count. Possessive, and the end may be missing: no text is read twice.
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def read_object(text: str | bytes, what: str) -> dict[str, Any]:
    """The object that a JSON text holds.

    Parameters
    ----------
    text
        UTF-8, at most `limits.JSON_BYTES` long and `limits.JSON_DEPTH` deep.
    what
        Its name in messages.

    Raises
    ------
    BottleError
        If it is no JSON, too long or too deep, has a key twice or a number that is not finite, or is no object.
    """
    if len(text) > limits.JSON_BYTES:
        raise BottleError(f"{what}: {len(text)} bytes is too long; at most {limits.JSON_BYTES} are read")
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        _check_depth(decoded, what)
        values = json.loads(
            decoded,
            object_pairs_hook=lambda pairs: _without_duplicates(pairs, what),
            parse_constant=lambda name: _not_a_number(name, what),
            parse_int=lambda digits: _integer(digits, what),
            parse_float=lambda digits: _float(digits, what),
        )
    except BottleError:
        raise
    except (ValueError, RecursionError) as error:
        raise BottleError(f"{what}: this is not JSON ({error}); it must be one JSON object") from None
    if not isinstance(values, dict):
        raise BottleError(f"{what}: the document must be a JSON object, got {one_line(repr(values), 80)}")
    return values


def _check_depth(text: str, what: str) -> None:
    depth = 0
    for match in _BRACKETS.finditer(text):
        if match[0] in "[{":
            depth += 1
        elif match[0] in "]}":
            depth -= 1
        if depth > limits.JSON_DEPTH:
            raise BottleError(f"{what}: it is nested too deeply; at most {limits.JSON_DEPTH} levels are read")


def _without_duplicates(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise BottleError(f"{what}: the key {twice!r} occurs twice in one object; keep one")
    return values


def _not_a_number(name: str, what: str) -> NoReturn:
    raise BottleError(f"{what}: {name} is not a JSON number; use a finite number or null")


def _integer(digits: str, what: str) -> int:
    if len(digits.lstrip("-")) > limits.INTEGER_DIGITS:
        raise BottleError(
            f"{what}: the number {digits[:10]}... has {len(digits)} digits; at most {limits.INTEGER_DIGITS} are read"
        )
    return int(digits)


def _float(digits: str, what: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise BottleError(f"{what}: {digits[:20]} is too large a number; use a finite number or null")
    return value
