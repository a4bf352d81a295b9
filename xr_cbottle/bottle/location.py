"""Where the bottle of a name is: a path or URL, in ``XR_CBOTTLE_PATH``, or among the bundled ones."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

from xr_cbottle.bottle.errors import BottleNotFound

SUFFIX = ".cbottle"
MANIFEST = "bottle.json"


def is_remote(name: str) -> bool:
    """Whether a name is a URL, of any protocol fsspec may know."""
    return "://" in name or "::" in name


def bundled_folder() -> Path:
    """Folder of the bottles that come with the package: inside it when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "checkpoints"
    return installed if installed.is_dir() else package.parent / "checkpoints"


def bundled() -> tuple[str, ...]:
    """Names of the bottles that come with the package."""
    return tuple(sorted(path.stem for path in bundled_folder().glob(f"*{SUFFIX}")))


def search_path() -> tuple[Path, ...]:
    """Folders of ``XR_CBOTTLE_PATH``, in order."""
    listed = os.environ.get("XR_CBOTTLE_PATH", "").split(os.pathsep)
    return tuple(Path(folder).expanduser().absolute() for folder in listed if folder)


def here() -> dict[str, str]:
    """The bottles that can be opened by name: {name: path}, in the order in which `find` looks for them.

    They lie in this folder, in those of ``XR_CBOTTLE_PATH``, or come with the package. Of two with one name the first
    is opened by it.
    """
    found: dict[str, str] = {}
    for folder in (Path.cwd(), *search_path(), bundled_folder()):
        try:
            paths = sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file() or (path / MANIFEST).is_file())
        except OSError:  # a folder that may not be looked into has nothing for us
            continue
        for path in paths:
            found.setdefault(path.stem, str(path.absolute()))
    return found


def name_of(given: Any) -> str | bytes:
    """Path, URL or name of a bottle that was given as such, as a `pathlib.Path` or as an open file.

    Other threads, processes and machines open the bottle again, so a file must be one that can be opened again: of the
    local disk, or of fsspec.

    Raises
    ------
    TypeError
        If it is something else, such as bytes in memory.
    """
    if isinstance(given, (str, bytes, os.PathLike)) and not hasattr(given, "fs"):
        return os.fspath(given)
    system, path = getattr(given, "fs", None), getattr(given, "path", None)
    if system is not None and isinstance(path, str):  # of fsspec
        return path if "file" in system.protocol else str(system.unstrip_protocol(path))
    name = getattr(given, "name", None)
    if hasattr(given, "read") and isinstance(name, str) and Path(name).is_file():
        return name
    what = f"the {type(given).__name__}" if hasattr(given, "read") else f"{type(given).__name__} {given!r:.100}"
    raise TypeError(
        f"{what} is no bottle: give a path, a URL, a name such as gcm, or an open file of the disk or of fsspec. A "
        f"bottle is opened again wherever it draws, so bytes in memory must first be written to a file NAME{SUFFIX}"
    )


def find(name: Any) -> str:
    """The absolute path, or URL, of a bottle.

    Parameters
    ----------
    name
        A path or a URL; a name, with ``.cbottle`` or without, of a bottle in a folder of
        ``XR_CBOTTLE_PATH`` or of one that comes with the package; or an open file, see `name_of`.

    Raises
    ------
    BottleNotFound
        Says where it was looked for, and which bundled bottle has a name like it.
    TypeError
        If it is none of these.
    """
    text = name_of(name)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise BottleNotFound(f"{name!r} names no bottle; give a path, a URL or one of {', '.join(bundled())}")
    if is_remote(text):
        return text
    try:
        return _found(text)
    except BottleNotFound:
        raise
    except (OSError, RuntimeError) as error:  # a name too long, a folder that is closed, a home that is none
        reason = error.strerror if isinstance(error, OSError) else error
        raise BottleNotFound(f"{text[:200]!r} cannot be looked for ({reason}); give another path") from None


def _found(text: str) -> str:
    given = Path(text).expanduser()
    folders = [Path.cwd()]
    if not given.is_absolute() and ".." not in given.parts:
        folders += [*search_path(), bundled_folder()]
    for folder in folders:
        with_suffix = [(folder / given).with_name(given.name + SUFFIX)] if given.name else []
        for path in (folder / given, *with_suffix):
            # A folder is a bottle only by its manifest: "gcm" may also be where somebody keeps their runs.
            if path.is_file() or (path / MANIFEST).is_file():
                return str(path.absolute())
    raise BottleNotFound(_not_found(text, given, folders))


def _not_found(text: str, given: Path, folders: list[Path]) -> str:
    if given.is_dir():
        return f"{text!r} is a folder without {MANIFEST}, so it is no bottle; give a {SUFFIX} file instead"
    elsewhere = ", ".join(str(folder) for folder in search_path()) or "which is not set"
    looked = f"looked for {folders[0] / given}"
    if len(folders) > 1:
        names = ", ".join(bundled()) or "none"
        looked += f", in XR_CBOTTLE_PATH ({elsewhere}) and among the bundled bottles ({names})"
    close = difflib.get_close_matches(given.name.removesuffix(SUFFIX), bundled(), n=1)
    return f"there is no bottle {text!r}: {looked}" + (f"; did you mean {close[0]!r}?" if close else "")
