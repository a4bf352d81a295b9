"""The fine level, above the native zoom: which network, how it is sampled, and in which pieces it draws.

A piece is what is drawn and kept at once of the fine level: a tile, or with ``sr_mode="global"`` the globe. Needs no
torch, and reads no weights: opening a data set is not to cost more above the native zoom than below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xr_cbottle.bottle.records import DISTILLED, SUPERRES, SuperresSpec
from xr_cbottle.grid import healpix
from xr_cbottle.grid.patches import PatchGrid
from xr_cbottle.grid.tiling import PATCHES_AT_ONCE, Tiling, default_tiling

if TYPE_CHECKING:
    from xr_cbottle.bottle.manifest import Manifest

NETWORKS = {"distilled": DISTILLED, "full": SUPERRES}
"""Names of the networks that a bottle may have, by which is taken first if nobody says."""


@dataclass(frozen=True)
class Fine:
    """How values above the native zoom are made; they are a function of all of it.

    Attributes
    ----------
    part
        Which part of the bottle is the network.
    digest
        sha256 of its file, or where that is, if none is declared.
    spec
        Its zoom, channels, patches and sampler.
    mode
        One of `xr_cbottle.cube.keywords.SUPERRES_MODES`.
    tile_zoom, halo
        Of the tiles, see `xr_cbottle.grid.tiling.Tiling`.
    patches_at_once
        Patches in a batch; the last bits depend on it.
    """

    part: int
    digest: str
    spec: SuperresSpec
    mode: str
    tile_zoom: int
    halo: int
    patches_at_once: int = PATCHES_AT_ONCE

    @property
    def zoom(self) -> int:
        """HEALPix level of the network; coarser ones are means of it."""
        return self.spec.zoom

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels that the network makes, in its order."""
        return self.spec.channels

    @property
    def tiling(self) -> Tiling:
        """The tiles."""
        return Tiling(PatchGrid(self.zoom, self.spec.patch, self.spec.overlap), self.tile_zoom, self.halo)

    @property
    def pieces(self) -> int:
        """How many pieces the globe is drawn in."""
        return 1 if self.mode == "global" else healpix.n_cells(self.tile_zoom)

    def cells(self, zoom: int) -> int:
        """Cells of a zoom in a piece, one after the other in NEST order."""
        return healpix.n_cells(zoom) // self.pieces

    def attrs(self) -> dict[str, Any]:
        """Attributes of a data set that say how its fine values were made."""
        spec, tiling = self.spec, self.tiling
        if spec.sampler is not None:
            steps, sampler = spec.sampler.num_steps, "Heun, EDM schedule, no churn"
            evaluations, halo = 2 * steps - 1, f"a halo of {self.halo} cells"
            levels = [spec.sampler.sigma_max, spec.sampler.sigma_min]
        else:
            steps, sampler = len(spec.sigmas), "one evaluation a level, fresh noise between"
            evaluations, halo = steps, "all patches that it depends on"
            levels = list(spec.sigmas)
        tiles = f"tiles of {self.cells(self.zoom)} cells, each drawn with {halo}"
        told = {"superres_mean": "each cell of the native zoom keeps its mean"} if spec.conserve else {}
        return told | {
            "superres": f"zoom {self.zoom} by overlapping patches of {spec.patch} x {spec.patch} cells",
            "superres_part": self.digest,
            "superres_mode": tiles if self.mode == "tiles" else f"the globe at once, {tiling.grid.count} patches",
            "superres_sampler": sampler,
            "superres_num_steps": steps,
            "superres_evaluations": evaluations,
            "superres_sigmas": " to ".join(f"{level:g}" for level in levels),
            "superres_halo": self.halo if spec.sampler is not None and self.mode == "tiles" else "",
        }


def make_fine(manifest: Manifest, zoom: int, mode: str = "tiles", network: str | None = None) -> Fine | None:
    """How a zoom is made of a bottle; None up to its native zoom.

    Parameters
    ----------
    manifest
        Of the bottle.
    zoom
        One that it has.
    mode
        One of `xr_cbottle.cube.keywords.SUPERRES_MODES`.
    network
        One of `NETWORKS`; if None the first of them that the bottle has.

    Raises
    ------
    ValueError
        If a word is wrong; it lists the right ones.
    """
    roles = {part.role: i for i, part in enumerate(manifest.parts)}
    there = [name for name, role in NETWORKS.items() if role in roles]
    if network is not None and network not in there:
        known = f"has {' and '.join(there)}" if there else "has no super-resolution, leave it out"
        raise ValueError(f"sr_network is {network!r}: {manifest.name} {known}")
    if zoom <= manifest.zoom:
        return None
    i = roles[NETWORKS[network or there[0]]]
    part = manifest.parts[i]
    spec = part.superres
    assert spec is not None  # its role demands it
    tiling = default_tiling(PatchGrid(spec.zoom, spec.patch, spec.overlap))
    digest = f"sha256:{part.sha256}" if part.sha256 else f"{part.location} (no digest is published)"
    # No coarser than tiles, so that whatever zoom is asked for, a cell of it lies in one tile.
    return Fine(i, digest, spec, mode, min(tiling.zoom, manifest.zoom), tiling.halo)


def finest_zoom(manifest: Manifest) -> int:
    """The highest zoom that a bottle has."""
    return max([manifest.zoom, *(part.superres.zoom for part in manifest.superres if part.superres)])
