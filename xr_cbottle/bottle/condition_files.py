"""Conditions of a bottle: the netCDF files beside its networks, read and held against what the manifest says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from xr_cbottle.bottle import archive, limits
from xr_cbottle.bottle.download import base_name
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.files import Files
from xr_cbottle.bottle.location import bundled_folder
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.bottle.records import ConditionSpec
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import xarray as xr

    from xr_cbottle.bottle.climatology import Climatology
    from xr_cbottle.bottle.coherence import Coherence
    from xr_cbottle.bottle.gaps import Gaps
    from xr_cbottle.bottle.harmonics import Floats
    from xr_cbottle.bottle.static_fields import StaticFields
    from xr_cbottle.fields.sst import SeaSurfaceTemperature

M = TypeVar("M", "Climatology", "Coherence", "Gaps")


@dataclass(frozen=True, eq=False)
class ConditionFiles:
    """Readers of the conditions of a bottle; `xr_cbottle.bottle.bottle.Bottle` says what each gives and raises.

    Attributes
    ----------
    path
        Of the bottle, as it is named in messages.
    files
        Where its files are.
    """

    path: str
    files: Files

    @property
    def manifest(self) -> Manifest:
        """Manifest of the bottle."""
        return self.files.contents.manifest

    def sst_dataset(self, *, progress: bool = True) -> xr.Dataset:
        """The bottle's sea surface temperature, as its file has it."""
        spec = self.manifest.sst
        if spec is None:
            raise BottleError(f"{self.manifest.name}: this bottle has no sea surface temperature; give one with sst=")
        dataset, what = self._dataset(spec, progress), f"{self.path}: {base_name(spec.location)}"
        if spec.variable is not None and spec.variable not in dataset:
            names = ", ".join(map(str, dataset.data_vars))
            raise BottleError(f"{what} has no variable {spec.variable!r}, which the manifest names; it has {names}")
        return dataset

    def sst(self) -> SeaSurfaceTemperature:
        """The bottle's sea surface temperature on its cells."""
        from xr_cbottle.bottle.netcdf import readable
        from xr_cbottle.fields.sst import SeaSurfaceTemperature

        spec, dataset = self.manifest.sst, self.sst_dataset()
        with readable(f"{self.path}: the sea surface temperature"):
            try:
                return SeaSurfaceTemperature.from_dataset(dataset, self.manifest.zoom, spec.variable if spec else None)
            except ValueError as error:
                raise BottleError(f"{self.path}: {error}") from None

    def climatology(self, *, progress: bool = True) -> Climatology | None:
        """Climatology about which the networks draw anomalies; None if they draw the fields themselves."""
        from xr_cbottle.bottle.climate_response import GLOBAL
        from xr_cbottle.bottle.climatology import Climatology

        spec, manifest = self.manifest.climatology, self.manifest
        if spec is None:
            return None
        found, what = self._agreeing(spec, Climatology.from_dataset, progress)
        if found.response is not None and found.response.forcings != tuple(manifest.forcings):
            raise BottleError(f"{what} responds to other forcings than the manifest has; they must agree")
        if manifest.sea_range and (found.response is None or GLOBAL not in found.response.modes):
            raise BottleError(f"{what} does not respond to the sea, and the manifest says it does; they must agree")
        return found

    def mean_sea(self) -> tuple[Floats, Floats]:
        """Mean year of the sea that the climatology is about, and the weights of its global mean."""
        from xr_cbottle.bottle import netcdf
        from xr_cbottle.bottle.climate_response import GLOBAL, sea_patterns

        spec = self.manifest.climatology
        if spec is None or not self.manifest.sea_range:
            raise BottleError(f"{self.manifest.name}: this bottle does not respond to the sea; take one that does")
        what = f"{self.path}: {base_name(spec.location)}"
        with self._dataset(spec, False, lazy=True) as dataset, netcdf.readable(what):
            check_form(self.manifest, dataset.sizes, what)
            modes, patterns = sea_patterns(dataset)
            if GLOBAL not in modes:
                raise BottleError(f"{what} does not respond to the sea, and the manifest says it does; they must agree")
            return dataset["sst"].transpose("annual", "cell").values, patterns[[modes.index(GLOBAL)]]

    def coherence(self, *, progress: bool = True) -> Coherence | None:
        """How long the noise of each scale lasts, and how fast it travels; None if the bottle does not say."""
        from xr_cbottle.bottle.coherence import Coherence

        spec = self.manifest.coherence
        if spec is None:
            return None
        return self._agreeing(spec, Coherence.from_dataset, progress)[0]

    def gaps(self, *, progress: bool = True) -> Gaps | None:
        """Cells in which the data of labels have no values; None if there are none."""
        from xr_cbottle.bottle.gaps import Gaps

        spec = self.manifest.gaps
        if spec is None:
            return None
        found, what = self._agreeing(spec, Gaps.from_dataset, progress)
        if found.absent.shape[2] != healpix.n_cells(self.manifest.zoom):
            raise BottleError(f"{what} is of another zoom than the manifest says; they must agree")
        return found

    def static_fields(self, *, progress: bool = True) -> StaticFields | None:
        """Fields that do not change in time; None if there are none."""
        from xr_cbottle.bottle import netcdf
        from xr_cbottle.bottle.static_fields import StaticFields

        spec, manifest = self.manifest.static, self.manifest
        if spec is None:
            return None
        what = f"{self.path}: {base_name(spec.location)}"
        with self._dataset(spec, progress, lazy=True) as dataset, netcdf.readable(what):
            check_form(manifest, dataset.sizes, what)
            found = StaticFields.from_dataset(dataset, tuple(spec.variables), what)
        if set(manifest.labels) - set(found.labels) or found.zoom != manifest.zoom:
            raise BottleError(f"{what} has other labels or cells than the manifest; they must agree")
        return found

    def _agreeing(self, spec: ConditionSpec, read: Callable[[xr.Dataset, str], M], progress: bool) -> tuple[M, str]:
        """What is measured of each label and channel, after a look at its form, and its name in messages."""
        from xr_cbottle.bottle import netcdf

        manifest, what = self.manifest, f"{self.path}: {base_name(spec.location)}"
        with self._dataset(spec, progress, lazy=True) as dataset, netcdf.readable(what):
            check_form(manifest, dataset.sizes, what)  # before its values are read
            found = read(dataset, what)
        if set(manifest.labels) - set(found.labels) or found.channels != manifest.channels:
            raise BottleError(f"{what} has other labels or channels than the manifest; they must agree")
        return found, what

    def _dataset(self, spec: ConditionSpec, progress: bool, lazy: bool = False) -> xr.Dataset:
        """A condition's file, checked: of a zip from memory, and all of it unless lazy; of a file of its own lazy."""
        from xr_cbottle.bottle import netcdf

        with self.files.open(spec, progress) as file:
            inside = isinstance(getattr(file, "raw", None), archive.MemberWindow)
            what = f"{self.path}: {base_name(spec.location)}"
            bundled = inside and Path(self.path).parent == bundled_folder()
            return netcdf.open_checked(file, what, in_memory=inside, load=inside and not lazy, trusted=bundled)


def check_form(manifest: Manifest, sizes: Mapping[Any, int], what: str) -> None:
    """Check that the sizes of a climatology or of coherence are those of its bottle, or at least of such a thing."""
    if sizes.get("cell") not in (None, healpix.n_cells(manifest.zoom)):
        raise BottleError(f"{what} is of another zoom than the manifest says ({manifest.zoom}); they must agree")
    channels = len(manifest.channels)
    most = {
        "label": limits.LABELS, "channel": channels, "annual": limits.HARMONICS, "diurnal": limits.HARMONICS,
        "degree": limits.DEGREES, "matched": channels, "knot": limits.KNOTS,
        "predictor": limits.PREDICTORS, "mode": limits.PREDICTORS, "season": limits.HARMONICS,
        "latitude": limits.LATITUDES, "band": limits.BANDS, "memory": limits.MEMORIES,
        "gappy": channels, "byte": -(-healpix.n_cells(manifest.zoom) // 8),
    }  # fmt: skip
    for name, size in sizes.items():
        if name in most and size > most[name]:
            raise BottleError(f"{what} has {size} of {name}; of this bottle it has at most {most[name]}")
