"""The package outside the checkout: its wheel in an environment of its own, where it draws and every page's code runs.

    python -m tests.elsewhere                         # builds the wheel, for the Python that runs this
    python -m tests.elsewhere --python python3.13     # for another one; may be repeated
    python -m tests.elsewhere --environment FOLDER    # in an environment that is there, with the wheel put into it
    python -m tests.elsewhere --pages README.md docs/start.md

The bottle of the pages has small networks that know nothing, so that all of them take minutes; what is plotted first is
the bundled `gcm` itself.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

if __package__:
    from tests import pages
else:  # run by another Python, in which there is nothing of the tests but these two files
    import pages

PLOT = ["plot", "gcm", "tas", "--time", "1990-07-15T06", "-o", "map.png"]


def environment(**more: str) -> dict[str, str]:
    """Variables of the other Python: none that lead it back to this checkout."""
    left_out = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "XR_CBOTTLE_PATH")
    return {k: v for k, v in os.environ.items() if k not in left_out} | {"MPLBACKEND": "agg"} | more


def build(folder: Path) -> Path:
    """Build the wheel."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=pages.ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, python: str, place: Path) -> None:
    """Make an environment with the wheel, its extras, and the versions that were tested."""
    subprocess.run([python, "-m", "venv", str(place)], check=True)
    pip = [str(place / "bin" / "pip"), "install", "--quiet", "--constraint", str(pages.ROOT / "constraints.txt")]
    subprocess.run([*pip, f"{wheel}[all]"], check=True, env=environment())


def renew(wheel: Path, place: Path) -> None:
    """Put the wheel into an environment that has what it needs."""
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall"]
    subprocess.run([*pip, str(wheel)], check=True, env=environment())


def draw(place: Path, folder: Path) -> None:
    """Plot `gcm`, with its own networks, by the command that was installed."""
    subprocess.run([str(place / "bin" / "xr-cbottle"), *PLOT], cwd=folder, check=True, env=environment())
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG"), "no picture was written"


def read(place: Path, folder: Path, bottles: Path, names: Sequence[str]) -> None:
    """Have the other Python type the code of pages, in an empty folder."""
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = [str(place / "bin" / "python"), __file__, "--type", *names]
    subprocess.run(command, cwd=folder, check=True, env=environment(XR_CBOTTLE_PATH=str(bottles), PATH=path))


def command_line(words: Sequence[str]) -> int:
    """Run a command as a shell would."""
    return subprocess.run(["xr-cbottle", *words]).returncode


def loading(url: str) -> bool:
    """Whether a server is still loading its networks; it then answers 503."""
    try:
        answer = urllib.request.urlopen(f"{url}/health")
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return b'"loading"' in answer.read()


@contextlib.contextmanager
def server(words: Sequence[str]) -> Iterator[str]:
    """A server of its own, at any port; its URL, once it can draw."""
    command = ["xr-cbottle", "serve", *words, "--port", "0", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[0]
            while loading(url):
                time.sleep(0.5)
            yield url
        finally:
            process.terminate()


def type_pages(names: Sequence[str]) -> None:
    """Type the code of pages; run by the other Python."""
    import xr_cbottle

    where = Path(xr_cbottle.__file__).resolve()
    assert pages.ROOT not in where.parents or "site-packages" in where.parts, f"{where} is the checkout's"
    for name in names:
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, contextlib.chdir(folder):
            pages.Reader(Path(folder), command_line, server).read(pages.ROOT / name)
        print(f"{name}: {time.perf_counter() - begin:.0f} s", flush=True)


def main() -> None:
    """Build, install, plot, and type."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", metavar="PYTHON", help="another Python, instead of this one")
    parser.add_argument("--environment", type=Path, help="an environment that has what the wheel needs")
    parser.add_argument("--pages", nargs="+", metavar="PAGE", help="only these pages")
    parser.add_argument("--type", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.type:
        type_pages(options.type)
        return
    from tests.bottles import light_gcm

    found = [page.relative_to(pages.ROOT).as_posix() for page in pages.PAGES if pages.blocks(page)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wheel, bottles = build(folder), folder / "bottles"
        bottles.mkdir()
        light_gcm(bottles)
        for number, python in enumerate(options.python or [sys.executable]):
            place, empty = options.environment or folder / f"environment{number}", folder / f"empty{number}"
            empty.mkdir()
            if options.environment:
                renew(wheel, place.absolute())
            else:
                install(wheel, python, place)
            draw(place.absolute(), empty)
            print(f"{python}: gcm was plotted", flush=True)
            read(place.absolute(), empty, bottles, options.pages or found)


if __name__ == "__main__":
    main()
