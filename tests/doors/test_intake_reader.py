"""intake 2: a bottle is a datatype that it knows, with a reader."""

from __future__ import annotations

import subprocess
import sys

import pytest
import xarray as xr

intake = pytest.importorskip("intake", minversion="2.0")
from intake.readers import datatypes  # noqa: E402

from tests import bottles  # noqa: E402
from xr_cbottle.intake_reader import CbottleFile, CbottleReader  # noqa: E402


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return str(bottles.synthetic_bottle(tmp_path_factory.mktemp("intake") / "small.cbottle", 2, ("tas",)))


def test_a_path_is_known_for_a_bottle(path):
    assert CbottleFile in datatypes.recommend(path, head=False)


def test_it_is_read_as_the_engine_reads_it(path):
    made = CbottleFile(path).to_reader("xarray").read(zoom=1, seed=7, time="P1D")
    expected = xr.open_dataset(path, engine="cbottle", zoom=1, seed=7, time="P1D")
    assert made.attrs == expected.attrs
    assert made.sizes == expected.sizes
    assert CbottleReader(CbottleFile(path), chunks={}).read().tas.chunks is not None


def test_an_entry_of_a_catalog_is_read_again(path, tmp_path):
    catalog = intake.readers.entry.Catalog()
    catalog["small"] = CbottleReader(CbottleFile(path), zoom=1)
    catalog.to_yaml_file(str(tmp_path / "cat.yaml"))
    again = intake.readers.entry.Catalog.from_yaml_file(str(tmp_path / "cat.yaml"))
    assert again["small"].read().sizes["cell"] == 48


def test_intake_imports_it_by_itself():
    """Where this package is installed with its entry points."""
    import importlib.metadata

    if not importlib.metadata.entry_points(group="intake.imports", name="cbottle"):
        pytest.skip("this package was installed before it had this entry point")
    code = "import intake, sys; print('xr_cbottle.intake_reader' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
