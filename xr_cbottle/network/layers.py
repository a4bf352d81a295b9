"""The layers of cBottle's U-Net, on the twelve faces of HEALPix and on plain patches.

Activations are ``(batch * time, C, H, W)`` in channels-last memory, on the sphere with the faces one below the
other (H = 12 n, W = n), so that a cell's channels lie together: padding a face is then one gather of rows,
group norm and attention need no permutation, and the 3x3 convolutions take the fast path of oneDNN and cuDNN.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xr_cbottle.grid import healpix

CHANNELS_PER_HEAD = 64
SQRT_HALF = math.sqrt(0.5)
#: Type of weights that are made, whatever torch's default is: a program may have set another one.
DTYPE = torch.float32


@dataclasses.dataclass(frozen=True)
class Geometry:
    """The pixels a block works on: twelve faces of ``size`` cells along an edge, or one patch.

    Attributes
    ----------
    size
        Pixels along an edge.
    faces
        12 on the sphere, whose faces are padded by their neighbours; 1 for a patch, padded by zeros.
    time_length
        Frames that are normalised together and joined by temporal attention.
    """

    size: int
    faces: int
    time_length: int = 1

    @property
    def on_sphere(self) -> bool:
        """Whether the pixels are the twelve faces."""
        return self.faces == healpix.FACES

    def halved(self) -> Geometry:
        """Geometry with half as many pixels along an edge."""
        return dataclasses.replace(self, size=self.size // 2)

    def __str__(self) -> str:
        return f"{self.size}x{self.size}"


class FacePad(nn.Module):
    """Pad faces by ``padding`` cells of their neighbours: (b, C, 12 n, n) -> (b * 12, C, n + 2p, n + 2p)."""

    gather: Tensor
    averaged: Tensor
    partner: Tensor

    def __init__(self, size: int, padding: int = 1) -> None:
        super().__init__()
        self.padded = size + 2 * padding
        for name, table in healpix.face_padding(size, padding)._asdict().items():
            self.register_buffer(name, torch.from_numpy(table.copy()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels = x.shape[:2]
        rows = x.permute(0, 2, 3, 1).reshape(batch, -1, channels)
        padded = _Padded.apply(rows, self) if _own_gradient(x) else self.rows(rows)
        return padded.view(batch * healpix.FACES, self.padded, self.padded, channels).permute(0, 3, 1, 2)

    def rows(self, rows: Tensor) -> Tensor:
        """Rows of the padded faces, (batch, 12 * padded ** 2, C), for those of the cells, (batch, 12 * n ** 2, C)."""
        padded = rows.index_select(1, self.gather)
        first, second = padded.index_select(1, self.averaged), rows.index_select(1, self.partner)
        return padded.index_copy_(1, self.averaged, (first + second) * 0.5)

    @functools.cached_property
    def inside(self) -> tuple[int, int]:
        """Cells along an edge of a face, and how many are beside them on each side."""
        size = round((int(self.gather.max() + 1) / healpix.FACES) ** 0.5)
        return size, (self.padded - size) // 2

    @functools.cached_property
    def rim(self) -> tuple[Tensor, Tensor, int]:
        """Pixels beside faces, the cells that they were taken from, and how many of the last ones count by half."""
        size, padding = self.inside
        beside = torch.ones(healpix.FACES, self.padded, self.padded, dtype=torch.bool, device=self.gather.device)
        beside[:, padding : padding + size, padding : padding + size] = False
        beside.view(-1)[self.averaged] = False
        whole = beside.view(-1).nonzero()[:, 0]
        pixels = torch.cat([whole, self.averaged, self.averaged])
        return pixels, torch.cat([self.gather[pixels[: -len(self.partner)]], self.partner]), 2 * len(self.partner)


class _Padded(torch.autograd.Function):
    """Padding whose gradient is a copy of the faces to which their rim is added, and not a sum over all pixels."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, pad: FacePad) -> Tensor:
        ctx.pad = pad
        return pad.rows(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        pad, (above,) = ctx.pad, gradients
        batch, channels = above.shape[0], above.shape[2]
        (size, padding), (pixels, cells, halved) = pad.inside, pad.rim
        edge = slice(padding, padding + size)
        faces = above.reshape(batch, healpix.FACES, pad.padded, pad.padded, channels)[:, :, edge, edge]
        inner = faces.reshape(batch, -1, channels)
        beside = above.index_select(1, pixels)
        beside[:, len(pixels) - halved :] *= 0.5
        return inner.index_add_(1, cells, beside), None


def _own_gradient(x: Tensor) -> bool:
    """Whether gradients that are written for a CPU's memory are wanted; a compiler makes better ones of its own."""
    return x.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling()


class Conv(nn.Module):
    """A 3x3 (padded) or 1x1 convolution, after doubling or halving the resolution if asked to."""

    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, geometry: Geometry, *, kernel: int = 3, resample: str | None = None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel, dtype=DTYPE))
        self.bias = nn.Parameter(torch.zeros(outputs, dtype=DTYPE))
        nn.init.kaiming_normal_(self.weight, nonlinearity="linear")
        self.resample = resample
        self.plain = True  # the filter is the mean of four: true of every trained network
        if resample:
            self.register_buffer("resample_filter", torch.full((1, 1, 2, 2), 0.25, dtype=DTYPE))
            self.register_load_state_dict_post_hook(_note_filter)
        self.pad = FacePad(geometry.size) if kernel == 3 and geometry.on_sphere else None
        self.zeros = 1 if kernel == 3 and not geometry.on_sphere else 0

    def forward(self, x: Tensor) -> Tensor:
        if self.resample == "down":
            x = F.avg_pool2d(x, 2) if self.plain else F.conv2d(x, self._filter(x), groups=x.shape[1], stride=2)
        elif self.resample == "up":
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            if not self.plain:
                x = x * (4 * self.resample_filter).repeat(1, 1, x.shape[2] // 2, x.shape[3] // 2)
        if self.pad is None:
            return F.conv2d(x, self.weight, self.bias, padding=self.zeros)
        y = F.conv2d(self.pad(x), self.weight, self.bias)
        batch, (channels, size) = x.shape[0], (y.shape[1], y.shape[2])
        rows = y.permute(0, 2, 3, 1).reshape(batch, healpix.FACES * size, size, channels)
        return rows.permute(0, 3, 1, 2)

    def _filter(self, x: Tensor) -> Tensor:
        return self.resample_filter.expand(x.shape[1], 1, 2, 2)


def _note_filter(conv: nn.Module, incompatible_keys: object) -> None:
    assert isinstance(conv, Conv)
    conv.plain = bool((conv.resample_filter == 0.25).all())


class GroupNorm(nn.Module):
    """Group norm over the channels of a group, all pixels and all frames, with the *unbiased* variance."""

    def __init__(self, channels: int, geometry: Geometry, *, groups: int | None = None, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, dtype=DTYPE))
        self.bias = nn.Parameter(torch.zeros(channels, dtype=DTYPE))
        self.groups = groups or min(32, (channels + 3) // 4)
        self.time_length = geometry.time_length
        self.eps = eps

    def forward(self, x: Tensor, shift: Tensor | None = None, *, activate: bool = False) -> Tensor:
        """Normalised ``x + shift``, of which SiLU is taken if it is to ``activate`` the next layer.

        ``x`` is (batch * time, C, H, W), ``shift`` (batch * time, C) and equal among frames.
        """
        if _own_gradient(x):
            return self._in_cache(x, shift, activate)
        y = self._normalised(x, shift)
        return silu(y) if activate else y

    def _normalised(self, x: Tensor, shift: Tensor | None) -> Tensor:
        if torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32:
            return self._native(x if shift is None else x + shift[:, :, None, None])
        # torch's kernel adds up a group's float32 squares one after the other, which costs two digits at
        # 49152 cells; sums of sums of 64 do not, and the shift needs no pass of its own.
        shape, channels = x.shape, x.shape[1]
        rows = x.permute(0, 2, 3, 1).reshape(shape[0] // self.time_length, -1, channels)
        count = rows.shape[1]
        mean = _sum_rows(rows) / count
        variance = _sum_rows(rows.square()) / count - mean.square()
        shifts = 0 if shift is None else shift[:: self.time_length, None].double()
        means = (mean + shifts).unflatten(2, (self.groups, -1))
        center = means.mean(-1, keepdim=True)
        total = (variance.view_as(means) + (means - center).square()).mean(-1, keepdim=True)
        numbers = count * channels // self.groups
        scale = (total * (numbers / (numbers - 1)) + self.eps).rsqrt().expand_as(means).flatten(2) * self.weight
        offset = self.bias + (shifts - center.expand_as(means).flatten(2)) * scale
        y = torch.addcmul(offset.float(), rows, scale.float())
        return y.view(shape[0], *shape[2:], channels).permute(0, 3, 1, 2)

    def _native(self, x: Tensor) -> Tensor:
        # sqrt(v N/(N-1) + eps) = sqrt(N/(N-1)) sqrt(v + eps (N-1)/N): the biased kernel gives the unbiased norm.
        count = self.time_length * x[0].numel() // self.groups
        ratio = (count - 1) / count
        channels, height, width = x.shape[1:]
        rows = x.permute(0, 2, 3, 1)
        joined = rows.reshape(-1, self.time_length * height, width, channels).permute(0, 3, 1, 2)
        y = F.group_norm(joined, self.groups, self.weight * math.sqrt(ratio), self.bias, self.eps * ratio)
        return y.permute(0, 2, 3, 1).reshape(rows.shape).permute(0, 3, 1, 2)

    def _in_cache(self, x: Tensor, shift: Tensor | None, activate: bool) -> Tensor:
        channels, height, width = x.shape[1:]
        rows = x.permute(0, 2, 3, 1).reshape(len(x) // self.time_length, -1, channels)
        shift = None if shift is None else shift[:: self.time_length]
        y = _Normalised.apply(rows, shift, self.weight, self.bias, self.groups, self.eps, activate)
        return y.view(-1, height, width, channels).permute(0, 3, 1, 2)


class _Normalised(torch.autograd.Function):
    """`GroupNorm` of rows (batch, cell, C) and SiLU of it, with a gradient, in exact arithmetic a few images at a time.

    What lies between fits in a core's cache and is not kept for the way back, which finds it again: several times
    faster in bfloat16 than torch's norm, activation and their gradients one after the other.
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        shift: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        groups: int,
        eps: float,
        activate: bool,
    ) -> Tensor:
        batch, cells, channels = rows.shape
        exact = torch.promote_types(rows.dtype, torch.float32)
        numbers = cells * channels // groups
        w, b = weight.to(exact), bias.to(exact)
        y = torch.empty_like(rows, memory_format=torch.contiguous_format)
        means, away, rstds = torch.empty(3, batch, 1, channels, dtype=exact, device=rows.device)
        shifts = None if shift is None else shift.to(exact)[:, None]
        for part, f, room, _ in _few(rows, exact):
            mean = f.mean(1, keepdim=True)
            variance = torch.square(f, out=room).mean(1, keepdim=True) - mean.square()
            shifted = mean if shifts is None else mean + shifts[part]
            apart = shifted - _of_group(shifted, groups)  # of the channel's mean from the group's
            total = _of_group(variance + apart.square(), groups) * (numbers / (numbers - 1))
            rstd = (total + eps).rsqrt_()
            scale = rstd * w
            torch.addcmul((apart - mean) * scale + b, f, scale, out=f)
            y[part] = F.silu(f, inplace=True) if activate else f
            means[part], away[part], rstds[part] = mean, apart, rstd
        ctx.save_for_backward(rows, weight, bias, means, away, rstds)
        ctx.groups, ctx.activate, ctx.shift = groups, activate, None if shift is None else shift.dtype
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, bias, means, away, rstds = ctx.saved_tensors
        batch, cells, channels = rows.shape
        numbers = cells * channels // ctx.groups
        w, b = weight.to(means.dtype), bias.to(means.dtype)
        scale, offset = rstds * w, away - means
        dx = torch.empty_like(rows, memory_format=torch.contiguous_format)
        alone, with_x = torch.empty(2, batch, 1, channels, dtype=means.dtype, device=rows.device)
        slopes, constants = torch.empty(2, batch, 1, channels, dtype=means.dtype, device=rows.device)
        for part, x, above, room in _few(rows, means.dtype):
            above.copy_(gradients[0][part])
            if ctx.activate:
                torch.addcmul(offset[part] * scale[part] + b, x, scale[part], out=room)
                torch.ops.aten.silu_backward.grad_input(above, room, grad_input=above)
            only = alone[part] = above.sum(1, keepdim=True)
            centred = with_x[part] = torch.mul(above, x, out=room).sum(1, keepdim=True) + offset[part] * only
            # y = w x r + b of x about the mean of its group, r of the group's N numbers:
            # dx = r (w dy - <w dy> - x r^2 <w dy x> N / (N - 1)), <> being means over the group.
            ratio = numbers / (numbers - 1) / cells
            slope = slopes[part] = -(rstds[part] ** 3) * _of_group(centred * w, ctx.groups) * ratio
            constant = constants[part] = -rstds[part] * _of_group(only * w, ctx.groups) / cells
            torch.addcmul(slope * offset[part] + constant, x, slope, out=x)
            dx[part] = x.addcmul_(above, scale[part])
        dshift = None
        if ctx.shift is not None:
            dshift = (scale * alone + cells * (constants + slopes * away))[:, 0].to(ctx.shift)
        dweight, dbias = (with_x * rstds).sum((0, 1)), alone.sum((0, 1))
        return dx, dshift, dweight.to(weight.dtype), dbias.to(weight.dtype), None, None, None


_CACHED = 2**19  # numbers that a core's cache holds beside as many others


def _few(rows: Tensor, exact: torch.dtype) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
    """Parts of a batch of (batch, cell, C) rows that fit in a cache: exact copies, and twice as much room beside.

    The memory is the same for all parts.
    """
    count = max(1, _CACHED // rows[0].numel())
    copy, room, more = torch.empty(3, min(count, len(rows)), *rows.shape[1:], dtype=exact, device=rows.device)
    for first in range(0, len(rows), count):
        part = slice(first, min(first + count, len(rows)))
        number = part.stop - first
        yield part, copy[:number].copy_(rows[part]), room[:number], more[:number]


def _of_group(values: Tensor, groups: int) -> Tensor:
    """Mean over the channels of each group, (batch, 1, C), for (batch, 1, C) of the channels."""
    return (
        values.unflatten(2, (groups, -1)).mean(3, keepdim=True).expand(-1, -1, -1, values.shape[2] // groups).flatten(2)
    )


def _sum_rows(rows: Tensor) -> Tensor:
    """(batch, cell, C) float32 -> (batch, 1, C) float64 sums over cells, by sums of 64."""
    return rows.unflatten(1, (-1, math.gcd(64, rows.shape[1]))).sum(2).sum(1, keepdim=True, dtype=torch.float64)


def silu(x: Tensor) -> Tensor:
    """Apply x * sigmoid(x), in place where no gradient needs ``x``."""
    return F.silu(x) if torch.is_grad_enabled() else F.silu(x, inplace=True)


def _residual(x: Tensor, branch: Tensor) -> Tensor:
    """(x + branch) / sqrt(2); reuses the branch's memory when no gradient needs it."""
    if torch.is_grad_enabled():
        return (x + branch).mul_(SQRT_HALF)
    return branch.add_(x).mul_(SQRT_HALF)


class Attention(nn.Module):
    """Self-attention among all pixels of the sphere or patch, in heads of 64 channels."""

    def __init__(self, channels: int, geometry: Geometry) -> None:
        super().__init__()
        self.heads = max(1, channels // CHANNELS_PER_HEAD)
        frame = dataclasses.replace(geometry, time_length=1)
        self.norm2 = GroupNorm(channels, frame)
        self.qkv = Conv(channels, 3 * channels, frame, kernel=1)
        self.proj = Conv(channels, channels, frame, kernel=1)
        nn.init.zeros_(self.proj.weight)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm2(x)).permute(0, 2, 3, 1)
        # channel = (head * c + i) * 3 + {q, k, v}
        q, k, v = qkv.reshape(batch, height * width, self.heads, -1, 3).permute(4, 0, 2, 1, 3)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        h = h.reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        return _residual(x, self.proj(h))


class SphereAttention(nn.Module):
    """`Attention` under the name that v1 state dicts of the sphere have for it."""

    def __init__(self, channels: int, geometry: Geometry) -> None:
        super().__init__()
        self.attention = Attention(channels, geometry)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x)


class TemporalAttention(nn.Module):
    """Self-attention among the frames of each pixel, with a learnt bias for their distance."""

    def __init__(self, channels: int, geometry: Geometry) -> None:
        super().__init__()
        self.time_length = geometry.time_length
        self.heads = max(1, channels // CHANNELS_PER_HEAD)
        self.norm2 = GroupNorm(channels, geometry, eps=1e-5)
        frame = dataclasses.replace(geometry, time_length=1)
        self.qkv = Conv(channels, 3 * channels, frame, kernel=1)
        self.proj = Conv(channels, channels, frame, kernel=1)
        nn.init.zeros_(self.proj.weight)
        self.positional_embedding = nn.Parameter(torch.zeros(self.heads, 2 * self.time_length, dtype=DTYPE))

    def forward(self, x: Tensor) -> Tensor:
        frames, channels, height, width = x.shape
        t = self.time_length
        qkv = (
            self.qkv(self.norm2(x))
            .permute(0, 2, 3, 1)
            .reshape(-1, t, height * width, 3, self.heads, channels // self.heads)
        )
        q, k, v = qkv.permute(3, 0, 2, 4, 1, 5)  # (batch, pixel, head, time, c)
        i = torch.arange(t, device=x.device)
        bias = self.positional_embedding[:, i[:, None] - i[None, :] + t - 1]
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        h = h.permute(0, 3, 1, 2, 4).reshape(frames, height, width, channels).permute(0, 3, 1, 2)
        return _residual(x, self.proj(h))


class Block(nn.Module):
    """Residual block: h = conv1 silu(GN(conv0 silu(GN x) + affine e)); (h + skip x) / sqrt(2); then attention."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        geometry: Geometry,
        *,
        resample: str | None = None,
        attention: bool = False,
        temporal: bool = False,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        before = geometry
        if resample == "down":
            before = dataclasses.replace(geometry, size=2 * geometry.size)
        self.norm0 = GroupNorm(inputs, before)
        self.conv0 = Conv(inputs, outputs, geometry, resample=resample)
        self.affine = nn.Linear(embedding, outputs, dtype=DTYPE)
        self.norm1 = GroupNorm(outputs, geometry)
        self.conv1 = Conv(outputs, outputs, geometry)
        nn.init.zeros_(self.conv1.weight)
        project = inputs != outputs or resample is not None
        self.skip = Conv(inputs, outputs, geometry, kernel=1, resample=resample) if project else None
        sphere_or_patch = SphereAttention if geometry.on_sphere else Attention
        self.attn = sphere_or_patch(outputs, geometry) if attention else None
        self.temporal_attention = TemporalAttention(outputs, geometry) if temporal else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv0(self.norm0(x, activate=True))
        h = self.conv1(self.norm1(h, self.affine(embedding), activate=True))
        h = _residual(x if self.skip is None else self.skip(x), h)
        if self.attn is not None:
            h = self.attn(h)
        if self.temporal_attention is not None:
            h = self.temporal_attention(h)
        return h
