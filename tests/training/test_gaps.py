"""Data as real models give them: with levels below ground, seas without land, torn instants and broken files."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch")

from tests import trainings  # noqa: E402
from tests.trainings import CELLS, N, simulation  # noqa: E402
from xr_cbottle.bottle import facts, open_bottle  # noqa: E402
from xr_cbottle.bottle.gaps import Gaps  # noqa: E402
from xr_cbottle.bottle.harmonics import Fit  # noqa: E402
from xr_cbottle.grid import healpix  # noqa: E402
from xr_cbottle.network import unet  # noqa: E402
from xr_cbottle.network.edm import Denoiser  # noqa: E402
from xr_cbottle.training import coarse, loop, statistics  # noqa: E402
from xr_cbottle.training import config as configs  # noqa: E402
from xr_cbottle.training import data as training_data  # noqa: E402
from xr_cbottle.training.batches import Batches  # noqa: E402
from xr_cbottle.training.loss import edm_loss  # noqa: E402

UNDER_GROUND = np.arange(CELLS) % 5 == 0  # at 850 hPa
MOUNTAINS = np.arange(CELLS) % 5 == 1  # there the surface pressure is below 850 hPa now and then


@pytest.fixture
def folder(tmp_path):
    return trainings.write(tmp_path)


def written(folder, change, scale="anomaly", **data):
    """A configuration of the files in a folder, after one was changed; of the label ``a`` alone."""
    changed = simulation(0)
    change(changed)
    changed.to_netcdf(folder / "a.nc")
    values = trainings.values(folder)
    values["data"] |= {"scale": scale, "annual_harmonics": 0, **data}
    values["data"]["sources"] = values["data"]["sources"][:1]
    values["training"] |= {"total_images": 8, "batch_size": 4}
    return configs.parse(values)


def below_ground(ds):
    ds.zg[:, 1, UNDER_GROUND] = np.nan


def prepared(config, folder):
    return training_data.prepare(config.data, folder, progress=False)


@pytest.mark.parametrize("scale", ["std", "anomaly", "climatology"])
def test_levels_below_ground_are_gaps_from_the_data_to_the_reader(folder, scale):
    config = written(folder, below_ground, scale)
    run = loop.train(config, folder / "run", progress=False)
    data = run.data
    order = healpix.nest_to_padxy(trainings.ZOOM)
    assert (np.isnan(data.labels[0].values) == (UNDER_GROUND[order] & (np.arange(3) == 2)[:, None])).all()
    spread = np.nanstd(np.asarray(data.labels[0].values[:36], np.float64), axis=(0, 2))
    assert (spread > 0.4).all()
    assert (spread < 2.1).all()
    assert "Z850 20.3 %" in data.said[0]

    from xr_cbottle.training.bottling import pack_run

    path = pack_run(run, folder / "a.cbottle")
    bottle = open_bottle(path)
    assert bottle.manifest.gaps.shares == {"a": {"Z850": pytest.approx(UNDER_GROUND.mean(), abs=1e-6)}}
    assert (bottle.gaps().of("a") == (UNDER_GROUND & (np.arange(3) == 2)[:, None])).all()
    assert "missing in a" in facts.text(facts.facts(bottle))
    assert "Z850 on 20.3 % of the globe" in facts.text(facts.facts(bottle))
    ds = xr.open_dataset(path, engine="cbottle", num_steps=2, batch_size=2).isel(time=[0, 5])
    zg = ds.zg.values
    assert (np.isnan(zg) == (UNDER_GROUND & (np.array([50000, 85000]) == 85000)[:, None])).all()
    assert np.isfinite(ds.tas.values).all()
    assert "Missing in cells where the data of label a have no values: 20.3 % of Z850" in ds.zg.attrs["comment"]
    assert "comment" not in ds.tas.attrs
    coarser = xr.open_dataset(path, engine="cbottle", num_steps=2, batch_size=2, zoom=1).isel(time=[0, 5])
    there = np.where(np.isnan(zg), 0, zg).reshape(2, 2, -1, 4).sum(-1) / (~np.isnan(zg)).reshape(2, 2, -1, 4).sum(-1)
    np.testing.assert_allclose(coarser.zg.values, there, rtol=1e-5)


def test_a_store_gives_what_a_data_set_gives(folder):
    import xr_cbottle
    from xr_cbottle.store import CBottleStore
    from xr_cbottle.training.bottling import pack_run

    path = pack_run(loop.train(written(folder, below_ground), folder / "run", progress=False), folder / "a.cbottle")
    store = CBottleStore(path, num_steps=2, batch_size=2)
    stored = xr.open_zarr(store, consolidated=False, chunks=None).zg.isel(time=3).values
    expected = xr_cbottle.Cube(path, num_steps=2, batch_size=2).to_dataset().zg.isel(time=3).values
    np.testing.assert_array_equal(stored, expected)
    assert np.isnan(stored[1, UNDER_GROUND]).all()


def test_the_network_is_shown_noise_on_the_fill_and_what_it_makes_there_is_not_counted(folder):
    config = written(folder, below_ground)
    data = prepared(config, folder)
    batch = Batches(config, data).training(0, 4)
    net = unet.build(coarse.model_config(config))
    torch.nn.init.normal_(net.model.dec["4x4_aux_conv"].weight)
    shown = {}

    class Watched(Denoiser):
        def __call__(self, x, sigma, **about):
            shown["x"] = x
            found = super().__call__(x, sigma, **about)
            return torch.where(torch.isnan(batch.clean), found + shown.get("off", 0.0), found)

    watched = Watched(net)
    _, plain = edm_loss(watched, batch)
    hidden = torch.isnan(batch.clean)
    torch.testing.assert_close(shown["x"][hidden], (batch.sigma.view(-1, 1, 1, 1) * batch.noise)[hidden])
    shown["off"] = 1e3
    torch.testing.assert_close(edm_loss(watched, batch)[1], plain)


def test_what_is_drawn_does_not_depend_on_what_the_network_says_in_gaps(folder):
    from xr_cbottle.draw.emulator import Emulator
    from xr_cbottle.network import edm
    from xr_cbottle.training.bottling import pack_run

    path = pack_run(loop.train(written(folder, below_ground), folder / "run", progress=False), folder / "a.cbottle")
    emulator = Emulator(path, batch_size=1)
    seen = []
    with emulator.batch(np.array(["2000-01-01"], "datetime64[s]")) as (batch, inputs):
        denoise = emulator.denoise("a", **inputs)
        state = batch.put(np.ones((1, 3, CELLS), np.float32)).double()
        seen = batch.back(denoise(state, torch.tensor(1.0).double()))
        lifted = edm.known_zeros(lambda x, sigma: x, torch.tensor(True))(state, torch.tensor(1.0))
    assert (seen[0, 2, UNDER_GROUND] == 0).all()
    assert (seen[0, 2, ~UNDER_GROUND] != 0).all()
    assert (lifted == 0).all()


@pytest.mark.parametrize("scale", ["std", "climatology"])
def test_instants_that_lack_values_are_masked_or_skipped_and_counted(folder, scale):
    def torn(ds):
        below_ground(ds)
        ds.zg[3:7, 1, MOUNTAINS] = np.nan
        ds.tas[20, 40:60] = np.nan

    masked = prepared(written(folder, torn, scale), folder)
    holes = np.isnan(masked.labels[0].values)
    assert masked.labels[0].gappy == 5
    assert "5 instants lack values beside these: masked" in " ".join(masked.said)
    assert holes[20, 0].sum() == 20
    assert holes[3, 2].sum() == (UNDER_GROUND | MOUNTAINS).sum()
    assert holes[8, 2].sum() == UNDER_GROUND.sum()
    assert masked.gaps.of("a")[2].sum() == UNDER_GROUND.sum()

    skipped = prepared(written(folder, torn, scale, gaps="skip"), folder)
    assert len(skipped.labels[0].times) == N - 5
    assert not np.isnan(np.asarray(skipped.labels[0].values)[:, :2]).any()
    assert skipped.labels[0].times[3] == simulation(0).time.values[7].astype("datetime64[s]")
    with pytest.raises(ValueError, match=r"a\.nc lacks values of Z850 at 2000-01-01T18:00:00, as 5 instants do"):
        prepared(written(folder, torn, scale, gaps="refuse"), folder)


def test_statistics_are_those_of_the_values_that_are_there(folder):
    """Of a swath, which sees each cell now and then, they are those of the cell's own instants."""
    swath = np.random.default_rng(1).random((N, CELLS)) < 0.3

    def seen(ds):
        ds.tas.values[swath] = np.nan

    data = prepared(written(folder, seen, "climatology"), folder)
    known = simulation(0).tas.values[:36]
    there = ~swath[:36]
    mean = np.where(there, known, 0).sum(0) / there.sum(0)
    about = data.climatology
    found = about.center[0] + about.scale[0] * about.mean[0, 0, 0, 0]
    enough = there.mean(0) >= 0.5
    assert (data.gaps is None and enough.all()) or (data.gaps.of("a")[0] == ~enough).all()
    assert enough.sum() > 180
    np.testing.assert_allclose(found[enough], mean[enough], atol=about.scale[0] / 200)
    deviation = np.sqrt(np.where(there, (known - mean) ** 2, 0).sum(0) / there.sum(0))
    np.testing.assert_allclose((about.spread[0, 0] * about.scale[0] / 2)[enough], deviation[enough], rtol=0.01)


def test_a_fit_of_incomplete_places_is_that_of_their_own_instants():
    rng = np.random.default_rng(0)
    times = np.datetime64("2000-01-01", "s") + np.arange(700) * np.timedelta64(25, "h")
    values = rng.standard_normal((700, 2, 5)) + np.linspace(0, 3, 700)[:, None, None]
    values[rng.random(values.shape) < 0.3] = np.nan
    values[:, 0, 0] = 1.5
    places = np.flatnonzero(np.isnan(values).any(0))
    fit = Fit(1, 1, (2, 5), incomplete=places)
    for part in np.array_split(np.arange(700), 3):
        fit.add(times[part], values[part])
    found = fit.solve().reshape(9, 2, 5)
    rows = fit.rows(times)
    for c in range(2):
        for x in range(5):
            there = ~np.isnan(values[:, c, x])
            alone = np.linalg.lstsq(rows[there], values[there, c, x], rcond=None)[0]
            np.testing.assert_allclose(found[:, c, x], alone, atol=0.03)  # the ridge is 1 % of a harmonic
    whole = Fit(1, 1, (2, 5))
    whole.add(times, np.where(np.isnan(values), 0, values))
    np.testing.assert_allclose(whole.solve()[..., 0, 0], fit.solve()[..., 0, 0], atol=1e-12)
    few = Fit(1, 1, (2, 5), incomplete=places)
    few.add(times, np.where(np.arange(700)[:, None, None] < 5, values, np.nan))
    with pytest.raises(ValueError, match="too few for 9 harmonics"):
        few.solve()
    with pytest.raises(ValueError, match="need more than 4 GiB"):
        Fit(6, 8, (20_000,), incomplete=np.arange(20_000))


def test_a_label_is_drawn_with_the_gaps_of_the_label_that_lends_it_a_channel(folder):
    changed = simulation(0)
    below_ground(changed)
    changed.to_netcdf(folder / "a.nc")
    data = prepared(configs.parse(trainings.values(folder)), folder)
    assert (data.gaps.of("b")[2] == UNDER_GROUND).all()
    assert not data.gaps.of("b")[:2].any()


def test_a_channel_without_values_is_refused(folder):
    def empty(ds):
        ds.zg[:, 1] = np.nan

    with pytest.raises(ValueError, match="source 'a': Z850 has no cell with values in 50 % of the training instants"):
        prepared(written(folder, empty), folder)


def test_a_label_that_nobody_lends_its_channels_is_refused(folder):
    values = trainings.values(folder)
    values["data"]["sources"][0]["missing"] = ["Z500"]
    with pytest.raises(
        ValueError, match=r"source 'a': no other label has all the channels that it is missing \(Z500\)"
    ):
        configs.parse(values)


def at(value, place=(7, 11), count=1):
    def change(ds):
        ds.tas[place[0], place[1] : place[1] + count] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at(9.96921e36), r"a\.nc: tas is 9.96921e\+36 at 2000-01-02T18:00:00, which looks like a fill value"),
        (at(np.inf), r"tas is inf at 2000-01-02T18:00:00"),
        (at(-9999.0, count=30), r"tas is -9999 at 2000-01-02T18:00:00, which looks like a fill value"),
        (at(30_000.0), r"a\.nc: tas is 30000 at 2000-01-02T18:00:00, \d\d\.\d deviations from its mean: mend"),
    ],
)
def test_values_that_cannot_be_are_refused_with_file_and_time(folder, change, message):
    with pytest.raises(ValueError, match=message):
        prepared(written(folder, change), folder)


def test_outliers_may_be_said_to_be_weather(folder):
    prepared(written(folder, at(30_000.0), most_deviations=float("inf")), folder)


def test_what_is_really_twice_in_a_field_is_no_fill_value(folder):
    """Cells with ice of one thickness far above all others, as glaciers in IFS, and zeros of a field mostly 0."""

    def plausible(ds):
        ds.tas[:] = np.where(np.arange(CELLS) < 9, 10.0, np.random.default_rng(0).random((N, CELLS)) * 3)
        ds.zg[:, 0] = np.maximum(ds.zg[:, 0] - 5000, 0)

    prepared(written(folder, plausible), folder)


def given(files):
    def change(folder, source):
        ds = simulation(0)
        parts = {"a1.nc": ds.isel(time=slice(0, 20)), "a2.nc": ds.isel(time=slice(20, None))}
        parts["falling.nc"] = ds.isel(time=[*range(20), 30, 29, *range(31, 40)])
        parts["overlap.nc"] = ds.isel(time=slice(19, 40))
        parts["twice.nc"] = xr.concat([ds.isel(time=slice(0, 3)), ds.isel(time=[2])], "time")
        for name, part in parts.items():
            part.to_netcdf(folder / name)
        source["files"] = [str(folder / name) for name in files]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (given(["a1.nc", "a1.nc"]), r"the file .*a1\.nc is given twice: list it once"),
        (given(["a1.nc", "overlap.nc"]), r"overlap\.nc has the time 2000-01-05T18:00:00, which .*a1\.nc has too"),
        (given(["a2.nc", "a1.nc"]), r"a1\.nc begins at 2000-01-01T00:00:00, before .*a2\.nc ends at 2000-01-10T18"),
        (given(["falling.nc"]), r"falling\.nc: its times do not rise: after 2000-01-08T12:00:00 comes 2000-01-08T06"),
        (given(["twice.nc"]), r"twice\.nc has the time 2000-01-01T12:00:00 twice"),
    ],
)
def test_times_that_are_not_in_order_are_refused_with_file_and_time(folder, change, message):
    values = trainings.values(folder)
    values["data"]["sources"] = values["data"]["sources"][:1]
    change(folder, values["data"]["sources"][0])
    with pytest.raises(ValueError, match=message):
        prepared(configs.parse(values), folder)
    assert not list((folder / "cache").glob("*.partial/*.raw/*"))  # nothing was read


def test_one_file_in_two_sources_of_a_label_is_refused(folder):
    values = trainings.values(folder)
    source = values["data"]["sources"][0]
    values["data"] |= {"scale": "climatology", "sources": [source, source], "annual_harmonics": 0}
    with pytest.raises(ValueError, match=r"a\.nc is read by two sources of this label, at the same times"):
        prepared(configs.parse(values), folder)


def test_a_channel_that_is_one_number_is_refused(folder):
    def still(ds):
        ds.tas[:] = 280.0

    for scale in ("std", "climatology"):
        with pytest.raises(ValueError, match=r"channel\(s\) \['tas'\] never vary"):
            prepared(written(folder, still, scale), folder)


def test_a_strange_deviation_is_said(folder):
    """Of a pressure in hPa whose unit says Pa."""
    config = written(folder, lambda ds: ds.__setitem__("tas", (ds.tas - 288) / 100 + 288))
    assert any(line.startswith("tas: its deviation is 0.1") for line in prepared(config, folder).said)


@pytest.mark.parametrize(
    ("days", "asked", "told"), [(365, 2, 2), (40, 2, 0), (300, 2, 1), (240, 1, 0), (320, 2, 1), (365, 0, 0)]
)
def test_harmonics_of_the_year_are_those_that_the_days_tell(days, asked, told):
    times = np.datetime64("2000-01-01", "s") + np.arange(days) * np.timedelta64(1, "D")
    assert statistics.resolved(times, asked) == told


def test_less_than_a_year_has_fewer_harmonics_and_says_so(folder):
    config = written(folder, lambda ds: None, "climatology", annual_harmonics=2)
    data = prepared(config, folder)
    assert (data.climatology.mean[:, :, 1:] == 0).all()
    assert (data.climatology.mean[:, :, 0] != 0).any()
    assert "a: its training instants do not cover the year, and tell 0 harmonics of it, not 2" in data.said[-1]


def test_gaps_of_a_bottle_go_to_a_file_and_back(tmp_path):
    absent = np.random.default_rng(0).random((2, 3, 48)) < 0.3
    absent[:, 1] = False
    known = Gaps(("a", "b"), ("tas", "pr", "sst"), absent)
    known.write(tmp_path / "gaps.nc")
    with xr.open_dataset(tmp_path / "gaps.nc") as stored:
        assert stored.absent.shape == (2, 2, 6)
        assert (Gaps.from_dataset(stored).absent == absent).all()


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("training", {"lr": float("inf")}, "training: lr is inf, must be a number >= 0"),
        ("training", {"lr": float("nan")}, "training: lr is nan, must be a number >= 0"),
        ("training", {"lr": 0, "matrix_lr": 0}, "nothing would be learnt"),
        ("training", {"warmup_images": -1}, "warmup_images is -1, must not be negative"),
        ("training", {"betas": [0.9, 1.5]}, r"betas are \(0.9, 1.5\), must be two numbers in \[0, 1\)"),
        ("training", {"max_hours": -2}, "max_hours is -2, must be positive"),
        ("training", {"batch_size": 10**9}, "batch_size is 1000000000, must be at most 65536"),
        ("network", {"model_channels": 10**9}, "^network: model_channels must be an integer from 4 to 4096"),
        ("network", {"num_blocks": 0}, "^network: num_blocks must be an integer from 1 to 32"),
        ("network", {"label_dim": 10**9}, "^network: label_dim must be an integer from 0 to 65536"),
        ("data", {"least_presence": 0}, "least_presence is 0.0, must be above 0, and at most 1"),
        ("data", {"most_deviations": float("nan")}, "most_deviations is nan, must be above 1"),
        ("data", {"gaps": "fill"}, "gaps is 'fill', must be 'mask', 'skip' or 'refuse'"),
        ("data", {"channels": ["tas", "Z500", "Z700"]}, "zg has no level 70000 Pa; it has 50000, 85000 Pa"),
    ],
)
def test_what_cannot_be_learnt_is_one_sentence_before_anything_is_read(folder, section, change, message):
    values = trainings.values(folder)
    values["data"]["sources"] = values["data"]["sources"][:1]
    values[section] |= change
    with pytest.raises(ValueError, match=message) as error:
        loop.train(configs.parse(values), folder / "run", progress=False)
    assert "\n" not in str(error.value)
    assert not list((folder / "cache").glob("*.partial/*.raw/*"))
