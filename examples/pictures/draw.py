"""Draw the README's picture again: ``python examples/pictures/draw.py``."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib.pyplot as plt
import xarray as xr
from PIL import Image

from xr_cbottle import open_bottle, plot

TIME = "1990-07-15T06"


def main() -> None:
    ds = xr.open_dataset("gcm", engine="cbottle", time=TIME).isel(time=0).sel(pressure=25000)
    land = plot.land_of(open_bottle("gcm").sst_dataset(), ds.attrs["zoom"])
    figure = plot.panel(ds, ["tas", "pr", "psl", "ua"], land=land)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=85)
    plt.close(figure)
    out = Path(__file__).parent / "gcm.png"
    Image.open(buffer).convert("RGB").quantize(128).save(out, optimize=True)
    print(f"{out}: {out.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
