"""The package as it is installed: what importing and opening cost, entry points, public names."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import xr_cbottle
from xr_cbottle.bottle import location

HEAVY = ("torch", "healpy", "matplotlib", "cartopy", "scipy", "dask.array", "zarr", "h5netcdf", "netCDF4")


def modules_after(code: str, heavy=HEAVY) -> list[str]:
    """Which heavy modules there are after some code in a fresh interpreter."""
    script = f"{code}\nimport sys\nprint([m for m in {tuple(heavy)!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return eval(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("module", ["xr_cbottle", "xr_cbottle.backend", "xr_cbottle.cli", "xr_cbottle.bottle"])
def test_importing_is_light(module):
    assert modules_after(f"import {module}") == []


@pytest.mark.parametrize(
    "module",
    ["plot", "cube.writer", "bottle.facts", "training", "training.train_command"],
)
def test_these_import_neither_torch_nor_matplotlib(module):
    assert modules_after(f"import xr_cbottle.{module}", ("torch", "matplotlib")) == []


@pytest.mark.parametrize("name", location.bundled())
def test_opening_a_bundled_bottle_is_light(name):
    code = f"""
import xarray as xr
ds = xr.open_dataset({name!r}, engine="cbottle")
repr(ds), ds.nbytes, ds.isel(time=slice(0, 9)).sizes, ds["tas"].sel(time="1990-01-01").attrs
"""
    assert modules_after(code, ("torch", "healpy", "matplotlib", "cartopy")) == []


def test_guessing_the_engine_of_another_file_is_light(tmp_path):
    import xarray as xr

    xr.Dataset({"a": ("x", [1])}).to_netcdf(tmp_path / "other.nc")
    assert (
        modules_after(f"import xarray as xr; xr.open_dataset({str(tmp_path / 'other.nc')!r})", ("torch", "healpy"))
        == []
    )


def test_xarray_knows_the_engine():
    import xarray as xr

    assert "cbottle" in xr.backends.list_engines()
    (entry,) = importlib.metadata.entry_points(group="xarray.backends", name="cbottle")
    assert entry.load().__name__ == "CbottleBackendEntrypoint"


def test_the_command_is_installed():
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="xr-cbottle")
    assert entry.load() is __import__("xr_cbottle.cli").cli.main


def test_public_names_are_there_and_documented():
    for name in xr_cbottle.__all__:
        value = getattr(xr_cbottle, name)
        assert name == "__version__" or value.__doc__
        assert name in dir(xr_cbottle)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        xr_cbottle.nope  # noqa: B018


def test_the_version_is_the_distributions():
    assert xr_cbottle.__version__ == importlib.metadata.version("xr-cbottle")
