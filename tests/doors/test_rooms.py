"""The rooms of the package: who may import whom, no circles, one name for one thing.

Imports count wherever they stand: at the top, inside functions, and under ``TYPE_CHECKING``. `docs/architecture.md` has
the drawing.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import drawing
from tests.drawing import ARCHITECTURE, ORDER, PACKAGE, Edges

SEES = {
    **{room: {*ORDER[:i], room} for i, room in enumerate(ORDER)},
    "diagnostics": {"base", "grid", "fields", "diagnostics"},
    "training": {*ORDER[:6], "diagnostics", "training"},
    "evaluation": {*ORDER[:7], "diagnostics", "plot", "evaluation"},
}
"""What each room may import; a door, which is a module at the top, may import all but the two of `OWN`."""
OWN = {"training", "evaluation"}
"""Rooms that nobody imports but the command line."""
COMMAND_LINE = {"cli", "cli.commands", "training.__main__"}
MOST = 19
"""Modules and rooms that one sees at the top of the package."""

# What is still wrong. Each entry must go as soon as it is mended: a test fails while it stands here without need.
UPWARD: set[tuple[str, str]] = set()
CIRCULAR: set[tuple[str, str]] = set()
SAME_CLASSES: set[str] = set()


def room(module: str) -> str:
    return module.partition(".")[0]


def is_upward(importer: str, imported: str) -> bool:
    """Whether the drawing has no arrow from one module to another."""
    if importer in COMMAND_LINE:
        return False
    if room(importer) in SEES:
        return room(imported) not in SEES[room(importer)]
    return room(imported) in OWN


def upward(package: Path = PACKAGE) -> list[str]:
    """Imports that the drawing has no arrow for, in words."""
    found = sorted((a, b) for a, b in drawing.imports(package) - UPWARD if is_upward(a, b))
    return [f"{a} imports {b}: {room(a)} may import {_allowed(room(a))}" for a, b in found]


def _allowed(name: str) -> str:
    return ", ".join(sorted(SEES[name])) if name in SEES else f"all but {' and '.join(sorted(OWN))}"


def circular(package: Path = PACKAGE) -> list[str]:
    """Imports that close a circle, in words."""
    edges = drawing.imports(package) - CIRCULAR
    return [f"{a} imports {b}, which leads back to {a}" for a, b in sorted(drawing.on_circles(edges))]


@pytest.fixture(scope="module")
def edges() -> Edges:
    return drawing.imports()


def test_no_room_imports_upward():
    assert upward() == []


def test_no_imports_go_round():
    assert circular() == []


def test_what_is_excused_is_still_there(edges):
    mended = {(a, b) for a, b in UPWARD if (a, b) not in edges or not is_upward(a, b)}
    mended |= CIRCULAR - drawing.on_circles(edges)
    assert mended == set(), "these are mended: take them out of UPWARD and CIRCULAR"
    assert drawing.twice(name for name, _ in drawing.classes()) >= SAME_CLASSES, "take out of SAME_CLASSES what is one"


def test_no_two_modules_have_one_name():
    names = [path.name for path in drawing.modules().values() if path.name not in ("__init__.py", "__main__.py")]
    assert drawing.twice(names) == set()


def test_no_two_classes_have_one_name():
    again = drawing.twice(name for name, _ in drawing.classes()) - SAME_CLASSES
    assert {name: [module for one, module in drawing.classes() if one == name] for name in again} == {}


def test_every_room_is_in_the_drawing_and_the_top_is_small():
    top = {room(module) for module in drawing.modules()} - {""}
    rooms = {name for name in top if (PACKAGE / name).is_dir()}
    assert rooms - set(SEES) <= {"catalog", "cli"}  # doors that are folders
    assert len(top) <= MOST, sorted(top)


# The page of the architecture -------------------------------------------------------------------------------------


def test_the_page_has_the_drawing_and_a_line_for_every_module():
    page, lines, wanted = ARCHITECTURE.read_text(), set(drawing.written().splitlines()), drawing.listed()
    assert " -> ".join(ORDER) in page
    assert sorted(set(wanted.splitlines()) - lines) == [], "missing: python -m tests.drawing writes them"
    assert sorted(lines - set(wanted.splitlines())) == [], "too many: python -m tests.drawing takes them out"


def test_every_module_says_what_it_is():
    first = {name: drawing.first_line(path) for name, path in drawing.modules().items()}
    assert [name for name, line in first.items() if len(line.split()) < 3] == []


def test_the_tests_of_the_invariants_are_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", ARCHITECTURE.read_text())
    assert len(named) > 20
    gone = [f"{path}::{test}" for path, test in named if f"def {test}(" not in (PACKAGE.parent / path).read_text()]
    assert gone == []


# The tests above can fail -----------------------------------------------------------------------------------------

MUTANTS = {
    "at the top": ("grid/healpix.py", "from xr_cbottle.cube import keys", "grid.healpix imports cube.keys: grid may"),
    "in a function": ("draw/noise.py", "def f():\n    import xr_cbottle.cube.keys", "draw.noise imports cube.keys"),
    "for types": (
        "bottle/facts.py", "if TYPE_CHECKING:\n    from xr_cbottle.draw.noise import x",
        "bottle.facts imports draw.noise",
    ),
    "relative": ("fields/units.py", "from ..bottle.facts import size", "fields.units imports bottle.facts"),
    "by text": ("bottle/facts.py", 'import_module("xr_cbottle.draw.noise")', "bottle.facts imports draw.noise"),
    "of training": ("bottle/facts.py", "from xr_cbottle import training", "bottle.facts imports training"),
    "of training by a door": ("store.py", "import xr_cbottle.training.loop", "store imports training.loop: store may"),
    "of a door": ("cube/keys.py", "from xr_cbottle import store", "cube.keys imports store"),
}  # fmt: skip


@pytest.fixture
def house(tmp_path):
    """A package with the names of the real one, empty."""
    package = tmp_path / "xr_cbottle"
    for name in ("grid/healpix", "fields/units", "bottle/facts", "draw/noise", "cube/keys", "training/loop"):
        (package / name).parent.mkdir(parents=True)
        (package / name).parent.joinpath("__init__.py").touch()
        (package / f"{name}.py").touch()
    for name in ("__init__", "store", "cli"):
        (package / f"{name}.py").touch()
    return package


@pytest.mark.parametrize("kind", MUTANTS)
def test_an_upward_import_is_seen(house, kind):
    name, line, message = MUTANTS[kind]
    (house / name).write_text(f"from typing import TYPE_CHECKING\nfrom importlib import import_module\n{line}\n")
    found = upward(house)
    assert len(found) == 1
    assert found[0].startswith(message)


def test_the_command_line_may_import_training(house):
    (house / "cli.py").write_text("from xr_cbottle.training import loop")
    assert upward(house) == []


@pytest.mark.parametrize(
    "line", ["from xr_cbottle.cube import keys", "def f():\n    from xr_cbottle.cube.keys import Key"]
)
def test_a_circle_is_seen(house, line):
    (house / "cube" / "layout.py").write_text(line)
    (house / "cube" / "keys.py").write_text("if TYPE_CHECKING:\n    from xr_cbottle.cube.layout import Layout")
    assert circular(house) == [
        "cube.keys imports cube.layout, which leads back to cube.keys",
        "cube.layout imports cube.keys, which leads back to cube.layout",
    ]
