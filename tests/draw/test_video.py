"""Windows of frames, of which any may be given: what their network is told, and what they are a function of."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests import bottles
from xr_cbottle import Emulator
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.bottle.records import VideoSpec
from xr_cbottle.bottle.sampler import SamplerDefaults
from xr_cbottle.draw import conditions, noise
from xr_cbottle.draw.emulator import Instant
from xr_cbottle.draw.video import Video, Window
from xr_cbottle.grid import healpix
from xr_cbottle.network import edm

SPEC = VideoSpec(4, "PT6H", 2, ("a", "b"), SamplerDefaults(2, 0.02, 10.0))
COUNT = len(bottles.CHANNELS)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = bottles.synthetic_bottle(tmp_path_factory.mktemp("video") / "small.cbottle", video=SPEC)
    return Video(Emulator(path))


@pytest.fixture(scope="module")
def states():
    return np.random.default_rng(0).standard_normal((3, COUNT, 192)).astype(np.float32)


def window(given=(), time="1980-01-02T06", seed=0, member=0, label="a"):
    return Window(Instant(label, seed, member, np.datetime64(time, "s")), dict(given))


def test_the_network_is_told_what_the_published_one_is(video, states):
    """By hand: the given frames and 0, the SST, then 1 where a frame is given; local time and season of each frame."""
    one = window({0: states[0], 3: states[1]})
    order, back = healpix.nest_to_padxy(2), healpix.padxy_to_nest(2)
    times = np.datetime64("1980-01-02T06", "s") + np.arange(4) * np.timedelta64(6, "h")
    told = np.zeros((1, COUNT + 2, 4, 192), np.float32)
    told[0, :COUNT, 0], told[0, :COUNT, 3] = states[0], states[1]
    told[0, COUNT] = conditions.encode_sst(video.emulator.sst.at(times))
    told[0, COUNT + 1, [0, 3]] = 1
    inputs = dict(
        condition=torch.from_numpy(told[..., order]), labels=torch.tensor([[1.0, 0.0]]),
        second_of_day=torch.from_numpy(conditions.second_of_day(times).T),
        day_of_year=torch.from_numpy(conditions.day_of_year(times).T),
    )  # fmt: skip
    latents = noise.normals((COUNT, 4, 192), stage="video", seed=0, member=0, time=times[0])
    sigmas = edm.edm_schedule(2, 0.02, 10.0)
    with torch.inference_mode():
        state = torch.from_numpy(latents[None][..., order]).double() * sigmas[0]
        solved = edm.heun(lambda x, s: video.networks.experts[0][1](x, s.expand(1), **inputs), state, sigmas).numpy()
    drawn = video.windows("a", [one])[0]
    assert drawn.shape == (4, COUNT, 192)
    expected = solved[0].swapaxes(0, 1)[..., back]
    np.testing.assert_allclose(drawn[1:3], expected[1:3], atol=1e-5)
    assert np.abs(expected[0] - states[0]).max() > 0.1  # random weights do not give it back; we do
    np.testing.assert_array_equal(drawn[[0, 3]], states[:2])


def test_any_frames_may_be_given_and_each_counts(video, states):
    choices = [{}, {0: states[0]}, {3: states[0]}, {0: states[0], 1: states[1]}, {0: states[0], 3: states[1]}]
    drawn = [video.windows("a", [window(given)])[0] for given in choices]
    inside = [frames[2] for frames in drawn]
    assert all(np.abs(a - b).max() > 1e-3 for i, a in enumerate(inside) for b in inside[:i])
    for given, frames in zip(choices, drawn, strict=True):
        for number, state in given.items():
            np.testing.assert_array_equal(frames[number], state)


def test_a_window_is_a_function_of_its_time_seed_member_label_and_given_frames(video, states):
    given = {0: states[0]}
    asked = [
        window(given), window(given, seed=1), window(given, member=1), window(given, time="1980-01-03"), window(),
        window({0: states[1]}),
    ]  # fmt: skip
    together = video.windows("a", asked)
    alone = [video.windows("a", [one])[0] for one in reversed(asked)][::-1]
    np.testing.assert_array_equal(together, alone)
    assert all(np.abs(a[1] - b[1]).max() > 1e-3 for i, a in enumerate(together) for b in together[:i])
    assert np.abs(video.windows("b", asked[:1])[0][1] - together[0][1]).max() > 1e-3


def test_several_windows_of_a_batch_are_each_their_own(tmp_path, states):
    path = bottles.synthetic_bottle(tmp_path / "small.cbottle", video=SPEC)
    made = Video(Emulator(path, batch_size=9))
    assert made.batch_size == 2
    asked = [window({0: states[0]}), window(time="1981-07-01"), window({1: states[2]}, member=3)]
    whole = made.windows("b", asked)
    for one, frames in zip(asked, whole, strict=True):
        np.testing.assert_allclose(made.windows("b", [one])[0], frames, atol=2e-6)
    assert made.emulator.drawn == 2 * (3 + 4 + 3)


def test_what_the_data_of_a_label_lacked_comes_from_its_donor(video, states):
    """Label b knows no rlut: that of the given frames is not told to it, but to the donor, which draws rlut."""
    lent = bottles.CHANNELS.index("rlut")
    other = states[0].copy()
    other[lent] += 1
    one, two = (video.windows("b", [window({0: state})])[0][1:] for state in (states[0], other))
    np.testing.assert_array_equal(np.delete(one, lent, 1), np.delete(two, lent, 1))
    assert np.abs(one[:, lent] - two[:, lent]).max() > 1e-3


def test_states_are_brought_into_the_statistics_of_the_network_and_back(video, states, monkeypatch):
    """Both checkpoints have centres and scales of their own; a state is in those of the coarse networks."""
    coarse, own = video.emulator.model, video.networks
    scales, center = own.scales * 2, own.center + 3
    as_told = (states[0] * coarse.scales[:, None] + coarse.center[:, None] - center[:, None]) / scales[:, None]
    expected = video.windows("a", [window({0: as_told.astype(np.float32)})])[0][1:]
    moved = dataclasses.replace(own, scales=scales, center=center)
    monkeypatch.setattr(Video, "networks", moved)
    drawn = video.windows("a", [window({0: states[0]})])[0]
    physical = drawn[1:] * coarse.scales[:, None] + coarse.center[:, None]
    np.testing.assert_allclose(
        (physical - center[:, None]) / scales[:, None], expected, atol=2e-3  # of a float32 of Z500
    )  # fmt: skip
    np.testing.assert_array_equal(drawn[0], states[0])


def test_bad_frames_and_bottles_are_refused_in_a_sentence(video, states, tmp_path):
    with pytest.raises(ValueError, match=r"^frame 4 is given: a window has frames 0 to 3$"):
        video.windows("a", [window({4: states[0]})])
    with pytest.raises(ValueError, match=r"^the given frame 1 has shape \(8, 48\): it must be \(8, 192\)$"):
        video.windows("a", [window({1: states[0][:, :48]})])
    plain = bottles.synthetic_bottle(tmp_path / "plain.cbottle")
    with pytest.raises(ValueError, match=r"^plain has no video network: choose a bottle that has one$"):
        Video(Emulator(plain))
    with pytest.raises(ValueError, match=r"^an emulator draws no instants from others: open a data set with "):
        Emulator(plain, coherence="video").draw("1980-01-01")


def test_a_network_of_other_frames_is_refused_when_it_is_packed(tmp_path, monkeypatch):
    making = bottles.video_config
    monkeypatch.setattr(bottles, "video_config", lambda config, frames: making(config, frames + 1))
    with pytest.raises(BottleError, match="draws a video of 5 frames and the manifest says windows of 4 frames"):
        bottles.synthetic_bottle(tmp_path / "x.cbottle", video=SPEC)
    monkeypatch.setattr(bottles, "video_config", lambda config, frames: config)
    with pytest.raises(BottleError, match="draws single instants and the manifest says windows of 4 frames"):
        bottles.synthetic_bottle(tmp_path / "x.cbottle", video=SPEC)
