"""Words: docstrings that stand alone in `help`, one dialect of them, and errors that end alike."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.drawing import PACKAGE

LEANING = re.compile(r"(As|Of|It|Its|That|These|Those|This|Them|Their|What|Itself|Same|The same)\b")
"""First words that lean on a sentence that is not there."""
TYPED = re.compile(r"^\w+ : \w", re.MULTILINE)


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in PACKAGE.rglob("*.py"):
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text())


def docstrings() -> Iterator[tuple[str, str]]:
    """Place and docstring of everything public."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                name = getattr(node, "name", path)
                text = ast.get_docstring(node)
                if text and not name.startswith("_"):
                    yield f"{path}: {name}", text


def endings() -> Iterator[tuple[str, str]]:
    """Place and last words of the messages that are raised."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                message = node.exc.args[-1]
                last = message.values[-1] if isinstance(message, ast.JoinedStr) and message.values else message
                if isinstance(last, ast.Constant) and isinstance(last.value, str):
                    yield f"{path}:{node.lineno}", last.value


def test_first_sentences_stand_alone():
    assert [f"{where}: {text.splitlines()[0]}" for where, text in docstrings() if LEANING.match(text)] == []


def test_parameters_are_bare_names():
    """Their types are in the signature."""
    assert [where for where, text in docstrings() if TYPED.search(text)] == []


def test_errors_end_without_a_full_stop():
    assert [where for where, text in endings() if text.endswith(".") and not text.endswith("...")] == []


def test_enough_is_looked_at():
    assert len(list(docstrings())) > 700
    assert len(list(endings())) > 250
