"""Gaps: cells in which the data of a label have no values, such as levels below ground, and the sea over land.

A network learns nothing there. When it draws, these cells hold 0, as they did when it was trained, and who reads the
bottle gets NaN there. They are kept as one bit a cell, of those channels alone that have gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.grid import healpix

if TYPE_CHECKING:
    import xarray as xr

Mask = npt.NDArray[np.bool_]
_DIMS = ("label", "gappy", "byte")


@dataclass(frozen=True, eq=False)
class Gaps:
    """Cells without a value of each label and channel.

    Attributes
    ----------
    labels, channels : tuple of str
        All of the bottle, in its order.
    absent : (label, channel, cell NEST) bool
        True where there is no value.
    """

    labels: tuple[str, ...]
    channels: tuple[str, ...]
    absent: Mask

    def __post_init__(self) -> None:
        if self.absent.ndim != 3 or self.absent.shape[:2] != (len(self.labels), len(self.channels)):
            raise ValueError("gaps need (label, channel, cell) of the labels and channels that they name")
        if healpix.zoom_of(self.absent.shape[2]) is None:
            raise ValueError(f"gaps have {self.absent.shape[2]} cells, which is not a HEALPix grid")

    def of(self, label: str | None) -> Mask:
        """(channel, cell NEST) True where a label has no value; the first label's if None."""
        return np.asarray(self.absent[0 if label is None else self.labels.index(label)])

    @property
    def shares(self) -> dict[str, dict[str, float]]:
        """{label: {channel: share of the globe without a value}}, without what has none."""
        found = self.absent.mean(2)
        shares = {
            label: {name: round(float(found[i, c]), 6) for c, name in enumerate(self.channels) if found[i, c]}
            for i, label in enumerate(self.labels)
        }
        return {label: each for label, each in shares.items() if each}

    def to_dataset(self) -> xr.Dataset:
        """The gaps as the data set that is written to a file: ``absent`` of (label, gappy, byte)."""
        import xarray as xr

        gappy = np.flatnonzero(self.absent.any((0, 2)))
        about = {"long_name": "cells without a value, eight in a byte, the first in its highest bit", "units": "1"}
        return xr.Dataset(
            {
                "absent": (_DIMS, np.packbits(self.absent[:, gappy], axis=-1), about),
                "gappy": ("gappy", [self.channels[c] for c in gappy], {"long_name": "channels that have gaps"}),
            },
            {"label": list(self.labels), "channel": list(self.channels)},
            {"healpix_order": "nest", "cells": self.absent.shape[2], "title": "Cells without a value"},
        )

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset, what: str = "gaps") -> Gaps:
        """Read what `to_dataset` gives.

        Raises
        ------
        BottleError
            A variable is missing, or has another shape or values.
        """
        try:
            labels, channels = (tuple(map(str, dataset[name].values)) for name in ("label", "channel"))
            chosen = [channels.index(str(name)) for name in dataset["gappy"].values]
            cells = int(dataset.attrs["cells"])
            packed = dataset["absent"].transpose(*_DIMS).values
            if packed.dtype != np.uint8 or packed.shape[2] != -(-cells // 8) or len(set(chosen)) != len(chosen):
                raise ValueError("absent must be bytes of eight cells each, of different channels")
            absent = np.zeros((len(labels), len(channels), cells), bool)
            absent[:, chosen] = np.unpackbits(packed, axis=-1, count=cells)
            return cls(labels, channels, absent)
        except (KeyError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise BottleError(f"{what} are no gaps of a bottle ({reason}); get the bottle again") from None

    def write(self, path: Any) -> None:
        """Write as netCDF, the form in which a bottle carries it."""
        packed = {"dtype": "uint8", "zlib": True, "complevel": 9}
        self.to_dataset().to_netcdf(path, encoding={"absent": packed}, engine="netcdf4")
