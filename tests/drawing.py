"""The package as its syntax trees show it: which module imports which, also in functions and for types only.

``python -m tests.drawing`` writes the list of modules in ``docs/architecture.md``.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "xr_cbottle"
ARCHITECTURE = PACKAGE.parent / "docs" / "architecture.md"
ORDER = ("base", "grid", "fields", "bottle", "network", "draw", "cube", "serve")
"""Rooms from low to high: each may import those before it."""
_LIST = re.compile("(?<=<!-- modules -->\n).*(?=<!-- end of modules -->)", re.S)
Edges = frozenset[tuple[str, str]]


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """{dotted name without the package's: file} of every module; "" is the package itself."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def imports(package: Path = PACKAGE) -> Edges:
    """(importer, imported) for every import statement wherever it stands, and for ``import_module`` of a text."""
    known = modules(package)
    edges = set()
    for name, path in known.items():
        for wanted in _wanted(ast.parse(path.read_text(encoding="utf-8")), package.name, name, path):
            target = wanted
            while target not in known:  # a class or function of a module
                target = target.rpartition(".")[0]
            if target != name and wanted != "__version__":  # which is there before anything else is
                edges.add((name, target))
    return frozenset(edges)


def _wanted(tree: ast.Module, package: str, importer: str, path: Path) -> Iterator[str]:
    """Dotted names, without the package's, that a module asks the package for."""
    inside = f"{package}.{importer}".rstrip(".").split(".")
    inside = inside if path.name == "__init__.py" else inside[:-1]
    for node in ast.walk(tree):
        names: Iterable[str] = ()
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(inside[: len(inside) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (base, node.module) if part)
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            names = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        for name in names:
            if name == package or name.startswith(f"{package}."):
                yield name[len(package) + 1 :]


def on_circles(edges: Edges) -> Edges:
    """Those edges from whose end a way leads back to their beginning."""
    after: dict[str, set[str]] = {}
    for importer, imported in edges:
        after.setdefault(importer, set()).add(imported)

    def reached(start: str) -> set[str]:
        seen, left = {start}, [start]
        while left:
            new = after.get(left.pop(), set()) - seen
            seen |= new
            left += new
        return seen

    reach = {imported: reached(imported) for _, imported in edges}
    return frozenset((importer, imported) for importer, imported in edges if importer in reach[imported])


def classes(package: Path = PACKAGE) -> Iterator[tuple[str, str]]:
    """(class, module) of every class, also those in functions."""
    for name, path in modules(package).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield node.name, name


def twice(names: Iterable[str]) -> set[str]:
    """Names that come more than once."""
    return {name for name, count in Counter(names).items() if count > 1}


def listed(package: Path = PACKAGE) -> str:
    """The list of modules for people: doors, then rooms from low to high, a line for each module."""
    first = {name: first_line(path) for name, path in modules(package).items()}
    tops = sorted({name.partition(".")[0] for name in first} - {""})
    rooms = sorted((top for top in tops if (package / top).is_dir()), key=_rank)
    parts = [f"### Doors\n\n{_items(first, [top for top in tops if top not in rooms])}"]
    for room in rooms:
        inside = [name for name in first if name.startswith(f"{room}.")]
        parts.append(f"### {room}\n\n{first[room]}\n\n{_items(first, inside)}")
    return "\n" + "\n".join(parts) + "\n"


def written() -> str:
    """The list of modules that ``docs/architecture.md`` has."""
    found = _LIST.search(ARCHITECTURE.read_text(encoding="utf-8"))
    assert found is not None, f"{ARCHITECTURE} has no marks of the list of modules"
    return found[0]


def _rank(room: str) -> tuple[int, str]:
    return (ORDER.index(room) if room in ORDER else len(ORDER), room)


def _items(first: dict[str, str], names: Iterable[str]) -> str:
    known = modules()
    where = {name: known[name].relative_to(PACKAGE.parent).as_posix() for name in names}
    return "".join(f"- [`{name}`](../{where[name]}): {first[name]}\n" for name in sorted(where))


def first_line(path: Path) -> str:
    """First line of a module's documentation, empty if it has none."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


if __name__ == "__main__":
    text = _LIST.sub(lambda _: listed(), ARCHITECTURE.read_text(encoding="utf-8"))
    ARCHITECTURE.write_text(text, encoding="utf-8")
