"""Denoisers of a bottle's networks under its labels: channels that a label lacks are lent, and gaps are known to be 0.

Networks are told of a label by a one-hot vector. The data of a label may have lacked channels altogether, of which its
networks know nothing there: another label, its donor, lends its own. In single cells without values, gaps, the state is
0, as it was in training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from xr_cbottle.bottle.gaps import Gaps
from xr_cbottle.bottle.manifest import Manifest
from xr_cbottle.draw.models import Model
from xr_cbottle.grid import healpix
from xr_cbottle.network import edm

Under = Callable[[str | None, torch.Tensor | None], edm.Denoise]
"""Makes a denoiser under a label, that is told nothing of some channels, (channel, 1, 1); of all if None."""


@dataclasses.dataclass(frozen=True, eq=False)
class LabelDenoisers:
    """Denoisers of a bottle's networks under each of its labels; a label is None if the bottle has none.

    Attributes
    ----------
    manifest
        Of the bottle.
    gaps
        Cells in which the labels' data have no values; None if they have all.
    device
        Where the networks are.
    """

    manifest: Manifest
    gaps: Gaps | None
    device: torch.device

    def of(self, model: Model, label: str | None, **inputs: torch.Tensor) -> edm.Denoise:
        """Make the denoiser of a label, which takes the expert of each noise level, and knows the 0 in its gaps."""
        return self.lent(label, lambda name, _: self.alone(model, name, **inputs))

    def alone(self, model: Model, label: str | None, **inputs: torch.Tensor) -> edm.Denoise:
        """Make the denoiser of some networks under a label, to which none lends channels."""
        count = len(inputs["condition"])
        one_hot = torch.zeros(count, model.label_dim, dtype=torch.float32, device=model.device)
        if label is not None:
            one_hot[:, self.manifest.labels[label].index] = 1

        def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            levels = sigma.to(x.device).expand(len(x))
            return edm.expert(model.experts, float(sigma))(x, levels, labels=one_hot, **inputs)

        return denoise

    def lent(self, label: str | None, under: Under) -> edm.Denoise:
        """Make the denoiser of a label of others: its donor lends what its data lacked, and the 0 in its gaps is known.

        Parameters
        ----------
        label
            One of the bottle's.
        under
            Makes those that it is put together of.
        """
        return self._without_gaps(self._lending(label, under), label)

    def _lending(self, label: str | None, under: Under) -> edm.Denoise:
        spec = None if label is None else self.manifest.labels[label]
        if spec is None or not spec.masked:
            return under(label, None)
        channels = [name in spec.masked for name in self.manifest.channels]
        lacking = torch.tensor(channels, device=self.device)[:, None, None]
        own = under(label, lacking)
        if spec.donor is None:  # the channels are gaps, in which `_without_gaps` knows the 0
            return edm.unseeing(own, lacking)
        return edm.lend_channels(own, under(spec.donor, None), lacking)

    def _without_gaps(self, denoise: edm.Denoise, label: str | None) -> edm.Denoise:
        absent = None if self.gaps is None else self.gaps.of(label)
        if absent is None or not absent.any():
            return denoise
        order = healpix.nest_to_padxy(self.manifest.zoom)
        return edm.known_zeros(denoise, torch.from_numpy(absent[:, None, order]).to(self.device))
