"""A newcomer's walk: README and the ten-minute start, typed word by word into a clone and an environment of its own."""

from __future__ import annotations

import subprocess

import pytest

from tests import pages

pytestmark = [pytest.mark.long, pytest.mark.slow]


def test_a_newcomer_gets_to_a_map_a_catalog_a_globe_and_a_downscaled_field(tmp_path):
    clone = tmp_path / "xr_cbottle"
    subprocess.run(["git", "clone", "--quiet", str(pages.ROOT), str(clone)], check=True)
    typist = pages.Typist(clone)
    try:
        typist.type(clone / "docs" / "start.md")
    finally:
        typist.close()
    for name in ("xr_cbottle_demo.png", "july.png", "one.png", "mean.png", "fine.png"):
        assert (clone / name).read_bytes().startswith(b"\x89PNG"), name
