"""The package outside the checkout: its wheel in an environment of its own, where it draws and every page's code runs.

    python -m tests.elsewhere                         # builds the wheel, for the Python that runs this
    python -m tests.elsewhere --python python3.13     # for another one; may be repeated
    python -m tests.elsewhere --environment FOLDER    # in an environment that is there, with the wheel put into it
    python -m tests.elsewhere --pages README.md docs/start.md
    python -m tests.elsewhere --python python3.13 --without-torch    # where there is no build of torch for CPUs

The bottle of the pages has small networks that know nothing, so that all of them take minutes; what is plotted first is
the bundled `gcm` itself. Without torch nothing can be drawn there: `gcm` is opened, and read and plotted from a server,
whose values are compared with those drawn here.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

if __package__:
    from tests import pages
else:  # run by another Python, in which there is nothing of the tests but these two files
    import pages

TIME = "1990-07-15T06"
PLOT = ["plot", "gcm", "tas", "--time", TIME, "-o", "map.png"]
ADDRESS = "gcm/PT6H_inst_s0_m0_z4.zarr"


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


def install(wheel: Path, python: str, place: Path, without_torch: bool = False) -> None:
    """Make an environment with the wheel, its extras, and the versions that were tested."""
    subprocess.run([python, "-m", "venv", str(place)], check=True)
    constraints = ["--constraint", str(pages.ROOT / "constraints.txt")]
    pip = [str(place / "bin" / "pip"), "install", "--quiet", "--no-compile", *constraints]
    if without_torch:
        subprocess.run([*pip, *all_but_torch()], check=True, env=environment())
        renew(wheel, place)
    else:
        subprocess.run([*pip, f"{wheel}[all]"], check=True, env=environment())


def all_but_torch() -> list[str]:
    """What the package needs to open, read and plot, but torch."""
    project = tomllib.loads((pages.ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["catalog"], *extras["plot"]]
    return [one for one in needed if not one.startswith("torch")]


def renew(wheel: Path, place: Path) -> None:
    """Put the wheel into an environment that has what it needs."""
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall"]
    subprocess.run([*pip, str(wheel)], check=True, env=environment())


def draw(place: Path, folder: Path) -> None:
    """Plot `gcm`, with its own networks, by the command that was installed."""
    subprocess.run([str(place / "bin" / "xr-cbottle"), *PLOT], cwd=folder, check=True, env=environment())
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG"), "no picture was written"


def look(place: Path, folder: Path) -> None:
    """Have the other Python, without torch, look at `gcm`, and read and plot what a server draws here."""
    from tests import serving

    with serving.Process("gcm", "--quiet") as server:
        command = [str(place / "bin" / "python"), __file__, "--look", f"{server.client.url}/{ADDRESS}"]
        done = subprocess.run(command, cwd=folder, check=True, env=environment(), stdout=subprocess.PIPE, text=True)
    import xarray as xr

    drawn = xr.open_dataset("gcm", engine="cbottle", device="cpu").tas.sel(time=TIME)
    digest = hashlib.sha256(drawn.values.tobytes()).hexdigest()
    print(done.stdout, end="")
    assert done.stdout.split()[-1] == digest, f"values from the server are not those drawn here, {digest}"
    subprocess.run([str(place / "bin" / "xr-cbottle"), "info", "gcm"], cwd=folder, check=True, env=environment())
    failed = subprocess.run(
        [str(place / "bin" / "xr-cbottle"), *PLOT], cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True
    )
    print(failed.stderr.strip())
    assert "needs torch" in failed.stderr, "without torch, drawing must ask for it"


def look_about(url: str) -> None:
    """Open `gcm`, and read and plot what a server has; run by the other Python."""
    import xarray as xr

    import xr_cbottle
    import xr_cbottle.catalog
    import xr_cbottle.plot

    assert pages.ROOT not in Path(xr_cbottle.__file__).resolve().parents, "this is the checkout's"
    opened = xr.open_dataset("gcm", engine="cbottle", members=3)
    served = xr.open_zarr(url, chunks=None, zarr_format=3).tas.sel(time=TIME).load()
    xr_cbottle.plot.map(served).figure.savefig("served.png")
    assert Path("served.png").read_bytes().startswith(b"\x89PNG"), "no picture was written"
    assert "torch" not in sys.modules
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "xarray", "zarr", "healpy", "h5py")}
    print(f"Python {sys.version.split()[0]}, {versions}")
    print("opened:", dict(opened.sizes), "served:", served.dtype, hashlib.sha256(served.values.tobytes()).hexdigest())


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
    parser.add_argument("--without-torch", action="store_true", help="install no torch: open, and read from a server")
    parser.add_argument("--type", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--look", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.type:
        type_pages(options.type)
        return
    if options.look:
        look_about(options.look)
        return
    found = [page.relative_to(pages.ROOT).as_posix() for page in pages.PAGES if pages.blocks(page)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wheel, bottles = build(folder), folder / "bottles"
        if not options.without_torch:
            from tests.bottles import light_gcm

            bottles.mkdir()
            light_gcm(bottles)
        for number, python in enumerate(options.python or [sys.executable]):
            place, empty = options.environment or folder / f"environment{number}", folder / f"empty{number}"
            empty.mkdir()
            if options.environment:
                renew(wheel, place.absolute())
            else:
                install(wheel, python, place, options.without_torch)
            if options.without_torch:
                look(place.absolute(), empty)
                continue
            draw(place.absolute(), empty)
            print(f"{python}: gcm was plotted", flush=True)
            read(place.absolute(), empty, bottles, options.pages or found)


if __name__ == "__main__":
    main()
