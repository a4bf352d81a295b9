"""The U-Net of cBottle on the sphere and on patches.

It loads the state dicts of NVlabs/cBottle (v1) strictly and computes what they compute; the facts are in
``tests/reference/README.md``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xr_cbottle.bottle.architecture import PATCH_ARCHITECTURES, SHAPED, ModelConfig
from xr_cbottle.grid import healpix
from xr_cbottle.network.layers import DTYPE, Block, Conv, Geometry, GroupNorm

CALENDAR_HARMONICS = 8
CALENDAR_CHANNELS = 4 * CALENDAR_HARMONICS
PATCH_CHANNEL_MULT = (1, 2, 2, 2, 2)


class UNet(nn.Module):
    """The encoder and decoder that sphere and patch networks share.

    Parameters
    ----------
    config
        Widths and depths.
    geometry
        Pixels of the input.
    inputs
        Channels of the input: noisy state, conditions, embeddings.
    """

    def __init__(self, config: ModelConfig, geometry: Geometry, inputs: int) -> None:
        super().__init__()
        width, embedding = config.model_channels, 4 * config.model_channels
        sphere = geometry.on_sphere
        multiples = _channel_mult(config)
        blocks = config.num_blocks if config.architecture in SHAPED else 4
        temporal = config.time_length > 1

        if config.label_dim:
            self.map_label = nn.Linear(config.label_dim, width, dtype=DTYPE)
        self.label_dim = config.label_dim
        self.width = width
        self.recompute = False  # activations of a block on the way back, in place of keeping them
        self.map_layer0 = nn.Linear(width, embedding, dtype=DTYPE)
        self.map_layer1 = nn.Linear(embedding, embedding, dtype=DTYPE)

        self.enc = nn.ModuleDict()
        skips, channels = [], inputs
        for level, multiple in enumerate(multiples):
            if level == 0:
                self.embed_name = f"{geometry}_conv_embed" if sphere else f"{geometry}_conv"
                self.enc[self.embed_name] = Conv(channels, width, geometry)
                channels = width
            else:
                geometry = geometry.halved()
                self.enc[f"{geometry}_down"] = Block(channels, channels, embedding, geometry, resample="down")
            skips.append(channels)
            attention = sphere and geometry.size in _attention_sizes(config)
            for i in range(blocks):
                self.enc[f"{geometry}_block{i}"] = Block(
                    channels, width * multiple, embedding, geometry, attention=attention, temporal=temporal
                )
                channels = width * multiple
                skips.append(channels)
        self.bottleneck = channels

        self.dec = nn.ModuleDict()
        for level, multiple in reversed(list(enumerate(multiples))):
            outputs = width * multiple
            if level == len(multiples) - 1:
                self.dec[f"{geometry}_in0"] = Block(
                    channels, channels, embedding, geometry, attention=True, temporal=temporal
                )
                self.dec[f"{geometry}_in1"] = Block(channels, channels, embedding, geometry)
            else:
                geometry = dataclasses.replace(geometry, size=2 * geometry.size)
                self.dec[f"{geometry}_up"] = Block(
                    channels, channels, embedding, geometry, resample="up", temporal=temporal
                )
            for i in range(blocks + 1):
                last = i == blocks
                attention = last and sphere and geometry.size in _attention_sizes(config)
                self.dec[f"{geometry}_block{i}"] = Block(
                    channels + skips.pop(),
                    outputs,
                    embedding,
                    geometry,
                    attention=attention,
                    temporal=temporal and last,
                )
                channels = outputs
        self.aux_name = f"{geometry}_aux"
        self.dec[f"{self.aux_name}_norm"] = GroupNorm(channels, geometry)
        last_conv = Conv(channels, config.out_channels, geometry)
        nn.init.zeros_(last_conv.weight)
        self.dec[f"{self.aux_name}_conv"] = last_conv

    def embed(self, c_noise: Tensor, labels: Tensor | None) -> Tensor:
        """Embed (batch,) noise levels and (batch, label_dim) labels: (batch, 4 * model_channels)."""
        half = self.width // 2
        k = torch.arange(half, device=c_noise.device, dtype=torch.float32)
        angle = c_noise.to(torch.float32)[:, None] * 10000 ** (-k / (half - 1))
        e = torch.cat([angle.sin(), angle.cos()], 1).to(self.map_layer0.weight.dtype)
        if self.label_dim and labels is not None:
            e = e + self.map_label(labels.to(e.dtype) * math.sqrt(self.label_dim))
        return F.silu(self.map_layer1(F.silu(self.map_layer0(e))))

    def blocks(self, part: nn.ModuleDict) -> Iterator[Block]:
        """Blocks of the encoder or the decoder, in their order."""
        return (module for module in part.values() if isinstance(module, Block))

    def _through(self, block: Block, x: Tensor, embedding: Tensor) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            from torch.utils.checkpoint import checkpoint

            return cast(Tensor, checkpoint(block, x, embedding, use_reentrant=False))
        return cast(Tensor, block(x, embedding))

    def encode(self, x: Tensor, embedding: Tensor) -> list[Tensor]:
        """Outputs of the encoder's blocks, the deepest last, for the embedded input ``x``."""
        outputs = [x]
        for block in self.blocks(self.enc):
            outputs.append(self._through(block, outputs[-1], embedding))
        return outputs

    def decode(self, skips: list[Tensor], embedding: Tensor) -> Tensor:
        """Output of the network from those of the encoder's blocks: (batch * time, out_channels, row, column)."""
        skips = list(skips)
        x = skips[-1]
        for block in self.blocks(self.dec):
            if block.inputs != x.shape[1]:
                x = torch.cat([x, skips.pop()], 1)
            x = self._through(block, x, embedding)
        return self.dec[f"{self.aux_name}_conv"](self.dec[f"{self.aux_name}_norm"](x, activate=True))


def _channel_mult(config: ModelConfig) -> tuple[int, ...]:
    if config.architecture == "unet_hpx1024_patch":
        return PATCH_CHANNEL_MULT
    return config.channel_mult if config.architecture in SHAPED else (1, 2, 2, 2)


def _attention_sizes(config: ModelConfig) -> tuple[int, ...]:
    return config.attn_resolutions if config.architecture == "unet_healpix" else (8,)


class SphereUNet(UNet):
    """Position embedding, calendar and the head of logits around the U-Net on the sphere."""

    solar_offset: Tensor

    def __init__(self, config: ModelConfig) -> None:
        geometry = Geometry(healpix.nside(config.zoom), healpix.FACES, config.time_length)
        super().__init__(config, geometry, config.out_channels + config.condition_channels + CALENDAR_CHANNELS)
        self.geometry = geometry
        position = torch.randn(config.model_channels, 1, healpix.n_cells(config.zoom), dtype=DTYPE)
        self.pos_embed = nn.Parameter(0.1 * position)
        lon = healpix.lonlat(config.zoom)[0][healpix.nest_to_padxy(config.zoom)]
        # float32, as the reference: the floor of a float64 product differs by a second where it is a whole number
        offset = (torch.from_numpy(lon).float() * 86400 / 360).floor()
        self.register_buffer(
            "solar_offset", -offset if config.calendar_include_legacy_bug else offset, persistent=False
        )
        self.low_res_classifier = None
        if config.enable_classifier:
            coarsest = dataclasses.replace(geometry, size=geometry.size >> (len(_channel_mult(config)) - 1))
            self.low_res_classifier = nn.Sequential(
                Conv(self.bottleneck, self.bottleneck, coarsest),
                nn.ReLU(),
                GroupNorm(self.bottleneck, coarsest, groups=8, eps=1e-5),
                nn.Identity(),  # keeps the published numbering of the head's layers
                Conv(self.bottleneck, 1, coarsest, kernel=1),
            )

    def calendar(self, second_of_day: Tensor, day_of_year: Tensor) -> Tensor:
        """Harmonics of local time and season, (batch, time, cell, 32), for (batch, time) seconds and days."""
        second = (second_of_day[..., None] + self.solar_offset) % 86400 / 86400
        day = (day_of_year[..., None] / 365.25 % 1).expand_as(second)
        k = 2 * math.pi * torch.arange(1, CALENDAR_HARMONICS + 1, device=second.device, dtype=second.dtype)
        s, d = second[..., None] * k, day[..., None] * k
        return torch.cat([s.cos(), s.sin(), d.cos(), d.sin()], -1)

    def forward(
        self, x: Tensor, c_noise: Tensor, labels: Tensor | None, second_of_day: Tensor, day_of_year: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Output of the shape of ``x``, (batch, channel, time, cell PAD_XY), and logits if there is a head."""
        batch, _, time, _ = x.shape
        n = self.geometry.size
        calendar = self.calendar(second_of_day, day_of_year).to(x.dtype)
        rows = torch.cat([x.permute(0, 2, 3, 1), calendar], -1).reshape(batch * time, healpix.FACES * n, n, -1)
        embedding = self.embed(c_noise, labels).repeat_interleave(time, 0)

        position = self.pos_embed.to(x.dtype).permute(1, 2, 0).reshape(1, healpix.FACES * n, n, -1).permute(0, 3, 1, 2)
        h = self.enc[self.embed_name](rows.permute(0, 3, 1, 2)) + position
        skips = self.encode(h, embedding)
        logits = None
        if self.low_res_classifier is not None:
            logits = self.low_res_classifier(skips[-1]).reshape(batch, time, 1, -1).transpose(1, 2)
        y = self.decode(skips, embedding)
        return y.permute(0, 2, 3, 1).reshape(batch, time, healpix.FACES * n * n, -1).permute(0, 3, 1, 2), logits


class PatchUNet(UNet):
    """The U-Net on patches of a fine HEALPix level; carries the position embedding of the whole level."""

    def __init__(self, config: ModelConfig, empty: bool) -> None:
        geometry = Geometry(config.img_resolution, 1, config.time_length)
        inputs = config.out_channels + config.condition_channels + config.position_embed_channels
        super().__init__(config, geometry, inputs)
        if empty:  # to make this one takes gigabytes
            initial = torch.empty(config.position_embed_channels, healpix.n_cells(config.level), dtype=DTYPE)
        else:
            initial = position_embedding(config.level, config.position_embed_channels)
        self.pos_embed = nn.Parameter(initial)

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Output (batch, out_channels, row, column) for an input (batch, channel, row, column)."""
        embedding = self.embed(c_noise, labels)
        h = self.enc[self.embed_name](x.contiguous(memory_format=torch.channels_last))
        return self.decode(self.encode(h, embedding), embedding)


def position_embedding(zoom: int, channels: int = 20) -> Tensor:
    """Initial embedding of super-resolution, (channel, cell NEST): harmonics of colatitude and longitude.

    For f in 2**linspace(0, 5, channels / 4): sin(f colat), sin(f lon), cos(f colat), cos(f lon).
    """
    lon, lat = (torch.deg2rad(torch.from_numpy(angle)) for angle in healpix.lonlat(zoom))
    colatitude = math.pi / 2 - lat
    frequencies = 2 ** torch.linspace(0, 5, channels // 4, dtype=torch.float64)
    rows = [g(a * f) for f in frequencies for g in (torch.sin, torch.cos) for a in (colatitude, lon)]
    return torch.stack(rows).float()


class Network(nn.Module):
    """A network with the state dict of a v1 checkpoint (``device_buffer`` and ``model.*``)."""

    def __init__(self, config: ModelConfig, empty: bool = False) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("device_buffer", torch.empty(0, dtype=DTYPE))
        self.model = PatchUNet(config, empty) if config.architecture in PATCH_ARCHITECTURES else SphereUNet(config)

    def forward(self, *args: Tensor | None) -> Tensor | tuple[Tensor, Tensor | None]:
        return self.model(*args)


def build(config: ModelConfig, *, empty: bool = False) -> Network:
    """Make the network of a configuration, with initial weights in float32; load others with ``load_state_dict``.

    Parameters
    ----------
    config
        Widths and depths.
    empty
        Make a patch network without memory for its weights; ``load_state_dict`` then needs ``assign=True``.
    """
    with torch.device("meta") if empty else contextlib.nullcontext():
        net: Network = Network(config, empty).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net
