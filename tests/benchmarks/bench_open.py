"""What importing and opening cost, each in fresh interpreters.

python -m tests.benchmarks.bench_open [REPEATS]
"""

from __future__ import annotations

import subprocess
import sys

from tests.benchmarks.measure import Timing, table

_CASES = {
    "import xarray": ("", "import xarray"),
    "import xr_cbottle.backend, after xarray": ("import xarray", "import xr_cbottle.backend"),
    "open gcm, after import xarray": ("import xarray", "xarray.open_dataset('gcm', engine='cbottle')"),
    "open icon, after import xarray": ("import xarray", "xarray.open_dataset('icon', engine='cbottle')"),
    "open gcm again": (
        "import xarray; xarray.open_dataset('gcm', engine='cbottle')",
        "xarray.open_dataset('gcm', engine='cbottle')",
    ),
    "repr of gcm": ("import xarray; ds = xarray.open_dataset('gcm', engine='cbottle')", "repr(ds)"),
}


def seconds(before: str, measured: str) -> float:
    script = f"import time\n{before}\nt = time.process_time()\n{measured}\nprint(time.process_time() - t)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main(repeats: int = 7) -> None:
    seconds(*_CASES["open gcm, after import xarray"])  # files into the page cache
    rows = []
    for name, (before, measured) in _CASES.items():
        timing = Timing(tuple(seconds(before, measured) for _ in range(repeats)))
        rows.append((name, f"{1000 * timing.least:.1f}", f"{1000 * timing.median:.1f}"))
    print(table(("", "least cpu ms", "median cpu ms"), rows))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
