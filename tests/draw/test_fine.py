"""What is asked for above the native zoom, before anything is drawn."""

from __future__ import annotations

import dataclasses

import pytest

from tests.bottles import fine_specs
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.records import PartSpec
from xr_cbottle.draw.fine import finest_zoom, make_fine


def manifest(*roles: str) -> Manifest:
    """Of the bundled bottle, with super-resolution from zoom 4 to 5."""
    original = open_bottle("gcm").manifest
    specs = fine_specs(channels=("tas", "pr"))
    parts = tuple(PartSpec(role, 0.0, f"{role}.checkpoint", "a" * 64, superres=specs[role]) for role in roles)
    return dataclasses.replace(original, parts=original.coarse + parts)


def test_published_tiles() -> None:
    """At zoom 10 a tile has 256 cells along an edge and a halo of half a patch: three megabytes of twelve fields."""
    icon = open_bottle("icon").manifest
    fine = make_fine(icon, 8)
    assert fine is not None
    assert (fine.zoom, fine.tile_zoom, fine.halo, fine.pieces) == (10, 2, 64, 192)
    assert (fine.cells(10), fine.cells(8)) == (256 * 256, 64 * 64)
    assert fine.tiling.grid.count == 1452
    assert finest_zoom(icon) == 10
    assert make_fine(icon, 6) is None


def test_the_few_steps_come_first() -> None:
    both = manifest("superres", "superres-distilled")
    few, full = make_fine(both, 5), make_fine(both, 5, network="full")
    assert few is not None
    assert full is not None
    assert (few.part, full.part) == (len(both.parts) - 1, len(both.parts) - 2)
    assert few.attrs()["superres_evaluations"] == 2
    assert full.attrs()["superres_evaluations"] == 3
    assert few.attrs()["superres_part"] == "sha256:" + "a" * 64
    assert "halo of 8 cells" in full.attrs()["superres_mode"]
    assert full.attrs()["superres_halo"] == 8
    only = make_fine(manifest("superres"), 5)
    assert only is not None
    assert only.spec.sampler is not None


def test_the_globe_at_once_is_one_piece() -> None:
    fine = make_fine(manifest("superres"), 5, "global")
    assert fine is not None
    assert (fine.pieces, fine.cells(5)) == (1, 12 * 4**5)
    assert "at once" in fine.attrs()["superres_mode"]
    assert not fine.attrs()["superres_halo"]


def test_a_cell_of_any_zoom_lies_in_one_tile() -> None:
    """Where the step is large, default tiles would be finer than some zooms above the native one."""
    fine = make_fine(dataclasses.replace(manifest("superres"), zoom=0), 1)
    assert fine is not None
    assert fine.tile_zoom == 0
    assert fine.cells(1) == 4


@pytest.mark.parametrize(
    ("roles", "keywords", "says"),
    [
        (("superres",), {"network": "distilled"}, "sr_network is 'distilled': gcm has full"),
        (("superres", "superres-distilled"), {"network": "few"}, "sr_network is 'few': gcm has distilled and full"),
        ((), {"network": "full"}, "sr_network is 'full': gcm has no super-resolution, leave it out"),
    ],
)
def test_wrong_words(roles: tuple[str, ...], keywords: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_fine(manifest(*roles), 4, **keywords)
