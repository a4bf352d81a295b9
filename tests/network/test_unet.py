"""The U-Net: shapes, gradients, independence of samples and of layout; its numbers are in test_reference."""

from __future__ import annotations

import pytest
import torch

from xr_cbottle.bottle.architecture import ModelConfig
from xr_cbottle.grid import healpix
from xr_cbottle.network import layers, unet

SMALL = ModelConfig(
    architecture="unet_healpix", level=3, model_channels=16, out_channels=3, condition_channels=1, label_dim=2,
    channel_mult=(1, 2), attn_resolutions=(4,), num_blocks=1,
)  # fmt: skip


def randomized(config: ModelConfig) -> unet.Network:
    torch.manual_seed(0)
    net = unet.build(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter) / max(parameter[0].numel(), 10) ** 0.5)
    return net


def inputs(config: ModelConfig, batch: int = 2) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    channels = config.out_channels + config.condition_channels
    return (
        torch.randn(batch, channels, config.time_length, healpix.n_cells(config.zoom), generator=generator),
        torch.linspace(-1, 1, batch),
        torch.eye(config.label_dim)[[i % config.label_dim for i in range(batch)]],
        torch.arange(batch * config.time_length).reshape(batch, -1) * 3600.0,
        torch.full((batch, config.time_length), 100.0),
    )


def test_shapes_of_a_reduced_network() -> None:
    net = randomized(SMALL)
    y, logits = net(*inputs(SMALL))
    assert y.shape == (2, 3, 1, healpix.n_cells(3))
    assert logits is None
    names = set(net.state_dict())
    assert {
        "device_buffer",
        "model.pos_embed",
        "model.enc.8x8_conv_embed.weight",
        "model.dec.8x8_aux_conv.bias",
    } <= names
    assert "model.enc.4x4_block0.attn.attention.qkv.weight" in names


def test_gradients_pass_through_padding_and_norm() -> None:
    """The analytic gradient of the padded gather, in float64, averaged corners included."""
    pad = layers.FacePad(2)
    x = torch.randn(1, 2, 24, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pad, (x,))
    norm = layers.GroupNorm(4, layers.Geometry(2, 12)).double()
    y = torch.randn(2, 4, 24, 2, dtype=torch.float64, requires_grad=True)
    shift = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(norm, (y, shift))


@pytest.mark.parametrize("time_length", [1, 3])
def test_both_paths_of_group_norm_agree(time_length: int) -> None:
    norm = layers.GroupNorm(8, layers.Geometry(4, 12, time_length))
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    x = torch.randn(2 * time_length, 8, 48, 4).to(memory_format=torch.channels_last) + 3
    shift = torch.randn(2, 8).repeat_interleave(time_length, 0)
    with_gradient = norm(x, shift)
    with torch.no_grad():
        without = norm(x, shift)
        plain = norm(x)
    torch.testing.assert_close(without, with_gradient, atol=2e-5, rtol=1e-5)
    unit = ((plain - norm.bias[:, None, None]) / norm.weight[:, None, None]).unflatten(0, (2, time_length))
    unit = unit.transpose(1, 2).reshape(2, norm.groups, -1)
    torch.testing.assert_close(unit.var(-1, correction=1), torch.ones(2, norm.groups), atol=1e-3, rtol=0)


def test_training_and_evaluation_compute_the_same() -> None:
    net = randomized(SMALL)
    arguments = inputs(SMALL)
    trained, _ = net.train()(*arguments)
    with torch.inference_mode():
        evaluated, _ = net.eval()(*arguments)
    torch.testing.assert_close(evaluated, trained, atol=1e-4, rtol=1e-4)


def test_samples_do_not_see_each_other() -> None:
    net = randomized(SMALL)
    arguments = inputs(SMALL, 3)
    with torch.inference_mode():
        together, _ = net(*arguments)
        swapped, _ = net(*(a[[2, 1, 0]] for a in arguments))
        changed, _ = net(*(torch.cat([a[:1], a[1:] * 0.5]) for a in arguments))
    torch.testing.assert_close(swapped[[2, 1, 0]], together, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(changed[:1], together[:1], atol=1e-5, rtol=1e-5)


def test_inference_leaves_its_inputs_alone() -> None:
    net = randomized(SMALL)
    arguments = inputs(SMALL)
    kept = [a.clone() for a in arguments]
    with torch.inference_mode():
        first, _ = net(*arguments)
        second, _ = net(*arguments)
    assert all(torch.equal(a, b) for a, b in zip(arguments, kept, strict=True))
    assert torch.equal(first, second)


def test_a_filter_other_than_the_mean_is_used() -> None:
    net = randomized(SMALL)
    state = net.state_dict()
    with torch.inference_mode():
        before, _ = net(*inputs(SMALL))
        for name in state:
            if name.endswith("resample_filter"):
                state[name] = torch.tensor([[[[0.1, 0.2], [0.3, 0.4]]]])
        net.load_state_dict(state)
        after, _ = net(*inputs(SMALL))
    assert (after - before).abs().max() > 1e-3


def test_local_time_with_and_without_the_legacy_bug() -> None:
    """At 06 UTC the sun stands highest at 90 E; the bug puts it at 90 W."""
    lon = torch.from_numpy(healpix.lonlat(3)[0][healpix.nest_to_padxy(3)])
    for bug, noon in ((False, 90.0), (True, 270.0)):
        config = ModelConfig(**{**vars(SMALL), "calendar_include_legacy_bug": bug})
        calendar = unet.SphereUNet(config).calendar(torch.tensor([[6 * 3600.0]]), torch.tensor([[0.0]]))
        cosine = calendar[0, 0, :, 0]  # cos(2 pi local / day): least at noon
        assert abs(float(lon[cosine.argmin()]) - noon) < 6


def test_temporal_attention_joins_frames() -> None:
    config = ModelConfig(**{**vars(SMALL), "time_length": 3})
    net = randomized(config)
    x, *others = inputs(config)
    with torch.inference_mode():
        before, _ = net(x, *others)
        x[:, :, 2] += 1
        after, _ = net(x, *others)
    assert (after - before)[:, :, 0].abs().max() > 1e-4


def test_patch_network_at_its_smallest() -> None:
    config = ModelConfig(
        architecture="unet_hpx1024_patch", level=2, model_channels=8, out_channels=2, condition_channels=4, label_dim=0,
        img_resolution=16,
    )  # fmt: skip
    y = randomized(config)(torch.randn(2, 2 + 4 + 20, 16, 16), torch.zeros(2))
    assert y.shape == (2, 2, 16, 16)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.02)]
)
@pytest.mark.parametrize("activate", [False, True])
def test_norm_and_activation_of_training_have_the_gradient_of_torch(dtype, tolerance, activate, monkeypatch):
    monkeypatch.setattr(layers, "_CACHED", 2 * 96 * 8)  # two images, then one
    generator = torch.Generator().manual_seed(0)
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    x = 2 * torch.randn(3, 96, 8, generator=generator) + 1
    shift, above = torch.randn(3, 8, generator=generator), torch.randn(x.shape, generator=generator)
    weight, bias = torch.randn(2, 8, generator=generator)

    def torchs(x, shift, weight, bias):
        moved = (x + shift[:, None]).transpose(1, 2)
        groups = moved.reshape(3, 2, -1)
        normed = (groups - groups.mean(2, keepdim=True)) / (groups.var(2, keepdim=True) + 1e-6).sqrt()
        y = normed.reshape(moved.shape).transpose(1, 2) * weight + bias
        return torch.nn.functional.silu(y) if activate else y

    found = []
    for norm, kind in (
        (lambda *leaves: layers._Normalised.apply(*leaves, 2, 1e-6, activate), dtype),
        (torchs, torch.float64),
    ):
        leaves = [x.to(dtype), shift.to(dtype), weight.to(exact), bias.to(exact)]
        leaves = [t.to(torch.promote_types(t.dtype, kind), copy=True).requires_grad_() for t in leaves]
        y = norm(*leaves)
        y.backward(above.to(dtype).to(y.dtype))
        found.append([y.detach().double(), *(leaf.grad.double() for leaf in leaves)])
    for ours, theirs in zip(*found, strict=True):
        assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def test_padding_of_training_has_the_gradient_of_the_gather() -> None:
    for size, padding in ((4, 1), (4, 2), (2, 2)):
        pad = layers.FacePad(size, padding)
        rows = torch.randn(2, healpix.FACES * size**2, 3, dtype=torch.float64)
        found = []
        for padded in (lambda r, pad=pad: layers._Padded.apply(r, pad), pad.rows):
            leaf = rows.clone().requires_grad_()
            y = padded(leaf)
            y.backward(torch.arange(y.numel(), dtype=torch.float64).view(y.shape).sin())
            found.append((y.detach(), leaf.grad))
        assert torch.equal(found[0][0], found[1][0])
        torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-13, atol=1e-13)
