"""All benchmarks, and the page of what they find.

python -m tests.benchmarks [NAME ...] [--short] [--out docs/benchmarks.md]

Each benchmark is a process of its own with one thread of numerics. With a NAME only its part of the page is made again.
``--short`` makes fewer repeats of smaller things, to see that all runs. The page says of each part when it was measured
and what else the machine did.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import xr_cbottle

ROOT = Path(__file__).resolve().parents[2]
HEAD = """# Benchmarks

`python -m tests.benchmarks` makes this page, in some ten minutes; `python -m tests.benchmarks reads` makes one part.

Seconds are those of the processor (`cpu`), of one thread of numerics, except where a column says otherwise. Other
programs change them less than they change the clock, but do change them: each part says the load of the machine when it
began. Ratios are measured by turns, so compare these between machines. No figure here was measured on a GPU.
"""


@dataclass(frozen=True)
class Part:
    """A part of the page.

    Attributes
    ----------
    title, says
        What stands above its figures.
    command
        The module of the benchmark and its arguments.
    short
        Arguments of the short form.
    """

    title: str
    says: str
    command: tuple[str, ...]
    short: tuple[str, ...]


PARTS = {
    "network": Part(
        "The network",
        "One evaluation of networks of the published sizes and of `gcm`, against the rate at which this machine "
        "multiplies float32 matrices in the same minute.",
        ("bench_network",), ("1",),
    ),
    "reads": Part(
        "A value",
        "What it costs to draw an instant of `gcm`: by settings of the sampler, by batch, in several processes; what "
        "the length of the axis costs; and the same values from memory and from stores on this disk.",
        ("bench_reads",), ("--repeats", "1"),
    ),
    "layers": Part(
        "The layers",
        "What the engine and dask add to the emulator. The second table leaves the network out.",
        ("bench_cube",), ("gcm", "1"),
    ),
    "open": Part(
        "A cold start",
        "Importing and opening, each in a new process.",
        ("bench_open",), ("1",),
    ),
    "store": Part(
        "The Zarr store",
        "Documents and chunks of `CBottleStore` of `icon`, whose instants are made of noise at no cost.",
        ("bench_store",), ("icon", "1"),
    ),
    "server": Part(
        "The server",
        "What `xr-cbottle serve gcm` answers to clients on the same machine. All but `CPU ms` are of the clock, "
        "and so of the load of the machine.",
        ("bench_server", "gcm", "32", "5", "32"), ("gcm", "4", "1", "4"),
    ),
    "scale": Part(
        "Scale",
        "Planning a year of hours above the native zoom, four maps in a loop, the memory of a month to zarr, and a "
        "cluster of 40 workers that sleep instead of drawing, of which one is killed. Only the loop draws.",
        ("bench_scale",), ("memory", "cluster", "--short"),
    ),
}  # fmt: skip


def measured(name: str, short: bool) -> str:
    """Run the benchmark of a part; its section of the page.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails.
    """
    part = PARTS[name]
    module, *arguments = part.command
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *(part.short if short else arguments)]
    load, today = os.getloadavg()[0], datetime.date.today()
    done = subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
        env={"OMP_NUM_THREADS": "1", **os.environ},
    )  # fmt: skip
    found = done.stdout.strip()
    return (
        f"{heading(name)}`python -m {' '.join(command[2:])}`, {today}, xr_cbottle {xr_cbottle.__version__}, "
        f"{machine()}, load {load:.1f}:\n\n```text\n{found}\n```\n"
    )


def heading(name: str) -> str:
    """What stands above the figures of a part."""
    return f"<!-- {name} -->\n## {PARTS[name].title}\n\n{PARTS[name].says}\n\n"


def machine() -> str:
    """The processor in words."""
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    model = re.search(r"^model name\s*: (.*)$", told, re.M)
    return (
        f"{len(os.sched_getaffinity(0))} cores of {model[1] if model else platform.processor() or platform.machine()}"
    )


def sections(text: str) -> dict[str, str]:
    """The parts that a page has, by name."""
    found = re.split(r"^<!-- (\w+) -->\n", text, flags=re.M)[1:]
    return {name: f"<!-- {name} -->\n{text.rstrip()}\n" for name, text in zip(found[::2], found[1::2], strict=True)}


def page(kept: dict[str, str]) -> str:
    """The page of the parts that there are, in their order."""
    return "\n".join([HEAD, *(kept[name] for name in PARTS if name in kept)])


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write the page after each part."""
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"a part: {', '.join(PARTS)}; all by default")
    parser.add_argument("--short", action="store_true", help="see that all runs; such figures are not for the page")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md", help="the page")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))} is no part: choose among {', '.join(PARTS)}")
    kept = sections(options.out.read_text()) if options.out.is_file() else {}
    for name in options.names or PARTS:
        print(f"{name} ...", flush=True)
        kept[name] = measured(name, options.short)
        options.out.write_text(page(kept))


if __name__ == "__main__":
    main()
