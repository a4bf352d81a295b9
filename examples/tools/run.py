"""Run every program here in an environment of its own, and write what came out as `docs/tools.md` has it.

    python examples/tools/run.py            # all of them; or some: xdggs cdo
    python examples/tools/run.py --table    # only write the table again

Each program is a PEP 723 script: its first lines say which packages it needs, of which the newest are installed, by uv.
With `--shared` those that need this package use one environment, in which each finds also what those before it needed.
Programs that read files or a server get what was drawn before. `results.json` keeps what came out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE, RESULTS = ROOT / "docs" / "tools.md", HERE / "results.json"
BEGIN, END = "<!-- tools -->\n", "<!-- end of tools -->\n"
DAYS = "1990-07-01/1990-07-04/P1D"
LONGEST = 600  # seconds


def programs() -> dict[str, Path]:
    """The programs, by the name in their first sentence."""
    return {about(path)[0]: path for path in sorted(HERE.glob("with_*.py"))}


def about(path: Path) -> tuple[str, str]:
    """The tool's name, and what is done with it."""
    name, _, what = re.search(r'^"""(.*?)\.?"""$', path.read_text(), re.M)[1].partition(": ")
    return name, what


def metadata(path: Path) -> dict[str, Any]:
    """What a program says that it needs."""
    block = re.search(r"^# /// script\n(.*?)^# ///$", path.read_text(), re.M | re.S)[1]
    return tomllib.loads("".join(line[2:] + "\n" for line in block.splitlines()))


UV = [sys.executable, "-m", "uv", "--quiet"]


def install(packages: list[str], place: Path) -> str:
    """Install packages into an environment, which is made if it is not there; what went wrong, or nothing."""
    if not (place / "bin" / "python").exists():
        subprocess.run([*UV, "venv", "--python", sys.executable, str(place)], check=True)
    if not packages:
        return ""
    python = str(place / "bin" / "python")
    done = subprocess.run([*UV, "pip", "install", "--python", python, *packages], capture_output=True, text=True)
    return shortened(done.stderr) if done.returncode else ""


def run(path: Path, place: Path, wheel: Path, given: dict[str, str]) -> dict[str, Any]:
    """Install what a program needs into an environment, and run it; what came out."""
    needs = metadata(path)
    command = needs.get("tool", {}).get("needs", {}).get("command")
    if command and not shutil.which(command):
        return {"works": False, "version": "", "said": f"{command} cannot be installed here"}
    environment = {**{k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}, **given}
    python = place / "bin" / "python"
    packages = [str(wheel) if name == "xr-cbottle" else name for name in needs["dependencies"]]
    if wrong := install(packages, place):
        return {"works": False, "version": "", "said": f"does not install: {wrong}"}
    try:
        begin = time.perf_counter()
        done = subprocess.run(
            [str(python), str(path)], capture_output=True, text=True, env=environment, cwd=place, timeout=LONGEST
        )
        said = done.stdout.strip().splitlines()[-1] if done.returncode == 0 else shortened(done.stderr)
        version = version_of(python, needs["dependencies"], command)
        seconds = round(time.perf_counter() - begin)
        return {"works": done.returncode == 0, "version": version, "said": said, "seconds": seconds}
    except subprocess.TimeoutExpired:
        return {"works": False, "version": "", "said": f"not done after {LONGEST} s"}


def version_of(python: Path, dependencies: list[str], command: str | None) -> str:
    """Version of the first package that is not ours, or of a command."""
    names = [re.split(r"[<>=\[]", name)[0] for name in dependencies if name != "xr-cbottle"] or ["xarray"]
    if command:
        done = subprocess.run([command, "--version"], capture_output=True, text=True)
        return next(iter(re.findall(r"\d+\.\d+(?:\.\d+)?", done.stdout + done.stderr)), "")
    code = f"import importlib.metadata as m; print(m.version({names[0]!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True).stdout.strip()


def shortened(text: str) -> str:
    """The last line that says what went wrong."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return " ".join(lines[-1].split())[:160] if lines else "it says nothing"


def draw(folder: Path) -> dict[str, str]:
    """A cache of instants, and files, unless they are there from before; as variables of the environment."""
    from xr_cbottle import cli

    data, instants = folder / "data", folder / "instants"
    more = {
        "day.nc": [],
        "members.nc": ["--members", "4", "--variables", "tas"],
        "grid.nc": ["--grid", "2x2", "--variables", "tas", "pr"],
    }
    for out, options in more.items():
        command = ["sample", "gcm", str(data / out), "--cache-dir", str(instants), "--time", DAYS, "--quiet", *options]
        if not (data / out).exists() and cli.main(command):
            raise SystemExit(f"{out} could not be drawn")
    return {"DATA": str(data), "INSTANTS": str(instants)}


def loading(url: str) -> bool:
    """Whether a server is still loading its networks; it then answers 503."""
    try:
        answer = urllib.request.urlopen(f"{url}/health")
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return json.load(answer)["status"] == "loading"


@contextlib.contextmanager
def serving(instants: str) -> Iterator[dict[str, str]]:
    """A server of what was drawn; as a variable of the environment."""
    command = [
        sys.executable,
        "-m",
        "xr_cbottle.cli",
        "serve",
        "gcm",
        "--port",
        "0",
        "--quiet",
        "--cache-dir",
        instants,
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        while loading(url):
            time.sleep(1)
        yield {"SERVER": url}
    finally:
        server.terminate()
        server.wait()


def kept() -> dict[str, Any]:
    """What came out before."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(results: dict[str, Any]) -> None:
    """Keep what came out."""
    RESULTS.write_text(json.dumps(dict(sorted(results.items())), indent=1, ensure_ascii=False) + "\n")


def table(results: dict[str, Any]) -> str:
    """The results as a table in Markdown."""
    rows = ["| tool | version | what was run | works | what came out |", "|---|---|---|---|---|"]
    for name, path in programs().items():
        if name not in results:
            continue
        found = results[name]
        said = found["said"].replace("|", "\\|").replace("<", "\\<")
        link = f"[{name}](../examples/tools/{path.name})"
        works = "yes" if found["works"] else "**no**"
        rows.append(f"| {link} | {found['version']} | {about(path)[1]} | {works} | {said} |")
    waiting = [f"[{name}](../examples/tools/{path.name})" for name, path in programs().items() if name not in results]
    more = f"\nNot tried yet: {', '.join(waiting)}.\n" if waiting else ""
    return "\n".join(rows) + "\n" + more


def write_table(results: dict[str, Any]) -> None:
    """Put the table into the page."""
    text = PAGE.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(before + BEGIN + "\n" + table(results) + "\n" + END + after)


def main() -> None:
    """Run what is asked for, keep what came out, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of tools [all]")
    parser.add_argument("--table", action="store_true", help="only write the table again")
    parser.add_argument("--folder", type=Path, help="where to keep what is drawn for the next time [nowhere]")
    parser.add_argument("--shared", action="store_true", help="one environment for many programs, which is faster")
    options = parser.parse_args()
    known = programs()
    unknown = set(options.names) - set(known)
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}: choose among {', '.join(known)}")
    if not options.table:
        with contextlib.ExitStack() as left:
            folder = options.folder or Path(left.enter_context(tempfile.TemporaryDirectory()))
            build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
            subprocess.run(build, check=True, cwd=ROOT, capture_output=True)
            (wheel,) = folder.glob("*.whl")
            given, names = draw(folder), options.names or list(known)
            if any("SERVER" in known[name].read_text() for name in names):
                given |= left.enter_context(serving(given["INSTANTS"]))
            for name in names:
                shared = options.shared and "xr-cbottle" in metadata(known[name])["dependencies"]
                place = folder / ("shared" if shared else known[name].stem)
                found = run(known[name], place, wheel, given)
                if not shared:
                    shutil.rmtree(place, ignore_errors=True)
                print(f"{name}: {'works' if found['works'] else 'NO'}: {found['said']}", flush=True)
                keep({**kept(), name: found})
    write_table({name: one for name, one in kept().items() if name in known})


if __name__ == "__main__":
    main()
