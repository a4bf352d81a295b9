"""Instants that are frames of windows: joined, bounded, the same bits in any way of reading; on a real small bottle."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import xarray as xr

from tests import bottles
from xr_cbottle import Cube
from xr_cbottle.bottle.records import LabelSpec, TimeSpec, VideoSpec
from xr_cbottle.bottle.sampler import SamplerDefaults
from xr_cbottle.cube import cache
from xr_cbottle.draw.emulator import Instant
from xr_cbottle.draw.video import Video, Window
from xr_cbottle.store import CBottleStore

SPEC = VideoSpec(4, "PT6H", 2, ("a", "b"), SamplerDefaults(2, 0.02, 10.0))
START = np.datetime64("1980-01-01", "s")  # windows of 18 hours, an anchor every 36
SOME = slice(1, 14)


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windowed")
    return bottles.synthetic_bottle(folder / "small.cbottle", video=SPEC, superres=bottles.fine_specs())


@pytest.fixture(autouse=True)
def empty_cache():
    cache.shared().clear()


def cube(bottle, **keywords):
    return Cube(bottle, coherence="video", **keywords)


def opened(bottle, **keywords):
    return cube(bottle, **keywords).to_dataset()


def drawn(one):
    return one.emulator().drawn + one.emulator().ahead


def test_windows_are_joined_and_end_at_anchors(bottle):
    """By hand: two anchors, the window after the first, and the one from where that ends to the second."""
    one = cube(bottle)
    made, hours = Video(one.emulator()), np.timedelta64(1, "h")
    first, second = made.roots("a", [Instant("a", 0, 0, START + 36 * i * hours) for i in range(2)])
    (early,) = made.windows("a", [Window(Instant("a", 0, 0, START), {0: first})])
    (late,) = made.windows("a", [Window(Instant("a", 0, 0, START + 18 * hours), {0: early[3], 3: second})])
    states = [first, *early[1:], *late[1:]]
    times = START + 6 * np.arange(7) * hours
    assert np.abs(late[2] - early[3]).max() > 1e-2
    ds = one.to_dataset()
    tas = bottles.CHANNELS.index("tas")
    for i, state in enumerate(states):
        field = made.fields("a", times[i : i + 1], [state])[0, tas]
        np.testing.assert_array_equal(ds.tas.isel(time=i).values, field)


def test_an_anchor_is_the_instant_of_a_data_set_without_video(bottle):
    ds, plain = opened(bottle), Cube(bottle).to_dataset()
    for i in (0, 6, 600):
        np.testing.assert_allclose(ds.tas.isel(time=i), plain.tas.isel(time=i), rtol=1e-6)  # a state is float32
    assert np.abs(ds.tas.isel(time=3) - plain.tas.isel(time=3)).max() > 1


def test_any_way_of_reading_gives_the_same_values(bottle):
    whole = opened(bottle).ta.isel(time=SOME).values
    for i in (12, 3, 7, 0, 11):
        cache.shared().clear()
        np.testing.assert_array_equal(opened(bottle).ta.isel(time=1 + i).values, whole[i])
    cache.shared().clear()
    chunked = cube(bottle).to_dataset({"time": 5}).ta.isel(time=SOME).compute(scheduler="threads").values
    np.testing.assert_array_equal(chunked, whole)
    cache.shared().clear()
    ds = opened(bottle, members=[5, 0], time="P1D")
    np.testing.assert_array_equal(ds.ta.sel(member=0).isel(time=slice(1, 4)).values, whole[3:12:4])
    code = (
        "import sys; from tests.cube.test_windowed import opened;"
        "sys.stdout.buffer.write(opened(sys.argv[1]).ta.isel(time=8).values.tobytes())"
    )
    other = subprocess.run([sys.executable, "-c", code, str(bottle)], check=True, capture_output=True).stdout
    assert other == whole[7].tobytes()


def test_members_seeds_labels_and_windows_are_other_weather(bottle):
    fields = [
        opened(bottle).tas.isel(time=5), opened(bottle, seed=1).tas.isel(time=5),
        opened(bottle, members=[1]).tas.isel(member=0, time=5), opened(bottle, label="b").tas.isel(time=5),
        opened(bottle).tas.isel(time=5 + 4 * 365), opened(bottle, num_steps=3).tas.isel(time=5),
    ]  # fmt: skip
    values = [field.values for field in fields]
    assert all(np.abs(a - b).max() > 1e-2 for i, a in enumerate(values) for b in values[:i])


def test_each_window_is_drawn_once_and_an_instant_hangs_on_one_chain(bottle):
    one = cube(bottle, batch_size=1)
    ds, count = one.to_dataset(), drawn(one)

    def new(**selection):
        nonlocal count
        ds.isel(**selection).tas.load()
        before, count = count, drawn(one)
        return count - before

    assert new(time=2) == 1 + 3  # an anchor, and the frames that follow it
    assert new(time=[1, 3]) == 0
    assert new(time=4) == 1 + 2  # the next anchor, and the frames between
    assert new(time=slice(0, 7)) == 0
    assert new(time=2224) == 1 + 3 + 1 + 2  # the fourth frame of a chain, all of its windows and both anchors
    assert not cache.shared().held
    cache.shared().clear()
    assert new(time=slice(6, 30)) == 5 + 4 * (3 + 2)


def test_threads_draw_each_window_once(bottle):
    one = cube(bottle, batch_size=1)
    ds, count, found = one.to_dataset(), drawn(one), {}

    def read(i):
        found[i] = ds.tas.isel(time=i).values

    threads = [threading.Thread(target=read, args=(i,)) for i in range(1, 12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(found) == list(range(1, 12))
    assert drawn(one) - count == 3 + 2 * (3 + 2)
    cache.shared().clear()
    np.testing.assert_array_equal(np.stack([found[i] for i in range(1, 12)]), ds.tas.isel(time=slice(1, 12)).values)


def test_a_small_memory_changes_no_value(bottle):
    whole = opened(bottle).tas.isel(time=SOME).values
    cache.shared().clear()
    np.testing.assert_array_equal(opened(bottle, cache_size=0).tas.isel(time=SOME).values, whole)
    assert not cache.shared().held


def test_a_folder_keeps_windows_too(bottle, tmp_path):
    one = cube(bottle, cache_dir=tmp_path, batch_size=1)
    whole = one.to_dataset().tas.isel(time=slice(0, 3)).values
    count = drawn(one)
    cache.shared().clear()
    np.testing.assert_array_equal(one.to_dataset().tas.isel(time=slice(0, 3)).values, whole)
    one.to_dataset().tas.isel(time=3).load()  # of a window that is in the folder
    assert drawn(one) == count


def test_times_between_frames_are_refused_with_the_nearest(tmp_path, bottle):
    hourly = bottles.synthetic_bottle(
        tmp_path / "hourly.cbottle", video=SPEC, time=TimeSpec("1980-01-01", "1980-03-01T03:00:00", "PT1H")
    )
    ds = opened(hourly)
    assert ds.sizes["time"] == 241  # every frame, and not every hour
    assert str(ds.time.values[-1]) == "1980-03-01T00:00:00.000000000"
    for time in ("PT1H", "PT9H"):
        with pytest.raises(ValueError, match=rf"^the step {time} is no multiple of [^\n]*frames every PT6H$"):
            opened(hourly, time=time)
    with pytest.raises(ValueError, match=r"^1980-01-05T04:00 lies between [^\n]* the nearest is 1980-01-05T06:00; "):
        opened(hourly, time="1980-01-05T04")
    late = opened(hourly, time=slice("1980-01-05T01", "1980-01-06", "PT12H"))
    assert str(late.time.values[0]) == "1980-01-05T06:00:00.000000000"
    mean = opened(hourly, time="P1D", time_method="mean").tas.isel(time=0).values
    np.testing.assert_allclose(mean, ds.tas.isel(time=slice(0, 4)).values.mean(0), rtol=1e-5)


def test_the_fine_level_refines_it(bottle):
    fine = opened(bottle, zoom=5).tas.isel(time=3, cell=slice(0, 1024)).values
    cache.shared().clear()
    np.testing.assert_array_equal(opened(bottle, zoom=5).tas.isel(time=3, cell=slice(0, 1024)).values, fine)


def test_attributes_store_and_facts_say_so(bottle):
    from xr_cbottle.bottle.bottle import open_bottle
    from xr_cbottle.bottle.facts import facts, text
    from xr_cbottle.serve import address

    ds = opened(bottle, zoom=5)
    assert "windows of 4 frames PT6H apart" in ds.attrs["coherence"]
    assert "every P1DT12H, or 2 windows, there is an anchor" in ds.attrs["coherence"]
    assert ds.attrs["coherence_anchor"] == "an instant that the coarse network draws, independent of all others"
    assert ds.attrs["coherence_sampler"] == "Heun, 2 steps, sigma 10 to 0.02"
    assert opened(bottle, num_steps=3).attrs["coherence_sampler"] == "Heun, 3 steps, sigma 10 to 0.02"
    assert "superres_coherence" in ds.attrs
    stored = xr.open_zarr(CBottleStore(bottle, coherence="video"), consolidated=False).tas.isel(time=9).values
    np.testing.assert_array_equal(stored, opened(bottle).tas.isel(time=9).values)
    asked = address.parse("PT6H_inst_s0_m0_z2_wvideo")
    assert str(asked) == "PT6H_inst_s0_m0_z2_wvideo"
    assert Cube(bottle, **asked.keywords()).spec == cube(bottle, time="PT6H", zoom=2).spec
    known = facts(open_bottle(bottle))
    assert known["coherence"] == ["none", "video", "a duration"]
    assert "coherence='video'" in text(known)
    with pytest.warns(UserWarning, match="open it with coherence='video'"):
        xr.open_dataset(bottle, engine="cbottle", time="P1D", time_method="mean")


def test_who_has_no_video_says_so(tmp_path):
    plain = bottles.synthetic_bottle(tmp_path / "plain.cbottle")
    with pytest.raises(ValueError, match=r"^coherence is 'video': plain has no network that draws windows of frames, "):
        cube(plain)
    one = bottles.synthetic_bottle(
        tmp_path / "one.cbottle", video=VideoSpec(3, "PT6H", 1, ("b",)), labels={"a": LabelSpec(0), "b": LabelSpec(1)}
    )
    with pytest.raises(ValueError, match=r"^coherence is 'video': that of one was trained on b and knows nothing of a"):
        cube(one)
    assert np.isfinite(opened(one, label="b").tas.isel(time=slice(0, 3)).values).all()  # windows from anchor to anchor


def test_what_it_costs_is_said(bottle):
    from xr_cbottle.cube.cost import estimate
    from xr_cbottle.cube.output_form import OutputForm
    from xr_cbottle.cube.portions import portions

    def batches(**keywords):
        one = Cube(bottle, time=slice("1980-01-01", "1980-01-15"), batch_size=1, **keywords)
        return estimate(one, ["tas"], portions(one, None, OutputForm())).batches

    assert batches() == 60
    assert batches(coherence="video") == 11 + 20 * 4  # of an instant's cost: anchors, and windows of four frames
