"""A loaded bottle: what an instant is a function of, and what it is not."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.bottles import synthetic_bottle
from xr_cbottle import open_bottle
from xr_cbottle.draw import emulator, models
from xr_cbottle.draw.emulator import Emulator, Instant, Sampler

TIMES = np.datetime64("1980-02-01T00", "s") + np.arange(5) * np.timedelta64(6, "h")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_bottle(tmp_path_factory.mktemp("bottles") / "small.cbottle", sigma_mins=(10.0, 0.0))


@pytest.fixture
def small(path: Path) -> Emulator:
    return Emulator(path, device="cpu", batch_size=4)


def scaled(small: Emulator, a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference in units of each channel's scale."""
    return float(np.abs((a - b) / small.model.scales[:, None]).max())


def test_draw_is_a_labelled_array(small: Emulator) -> None:
    drawn = small.draw(TIMES[:2], member=1, seed=7)
    assert drawn.dims == ("time", "channel", "cell")
    assert drawn.shape == (2, 8, 12 * 4**2)
    assert drawn.dtype == np.float32
    assert drawn.channel.values.tolist() == list(small.channels)
    assert np.isfinite(drawn).all()
    assert small.drawn == 2
    np.testing.assert_array_equal(small.draw(str(TIMES[0]), member=1, seed=7)[0], drawn[0])


def test_an_instant_does_not_depend_on_its_company(small: Emulator) -> None:
    together = small.draw(TIMES).values
    alone = np.concatenate([small.draw(t).values for t in TIMES[::-1]])[::-1]
    assert scaled(small, together, alone) < 1e-4
    mixed = small.draw_instants(
        [Instant("b", 3, 2, TIMES[1]), Instant("a", 0, 0, TIMES[2]), Instant("b", 0, 0, TIMES[0])]
    )
    assert scaled(small, mixed[1], together[2]) < 1e-4


def test_everything_in_its_name_matters(small: Emulator) -> None:
    base = Instant("a", 0, 0, TIMES[0])
    others = [
        base._replace(label="b"),
        base._replace(seed=2**40),
        base._replace(member=1),
        base._replace(time=TIMES[1]),
    ]
    values = small.draw_instants([base, *others])
    for other in values[1:]:
        assert scaled(small, values[0], other) > 1e-2


def test_batch_shape_moves_only_the_last_bits(path: Path, small: Emulator) -> None:
    by_one = Emulator(path, device="cpu", batch_size=1).draw(TIMES).values
    assert scaled(small, by_one, small.draw(TIMES).values) < 1e-4


def test_every_expert_is_used(path: Path) -> None:
    emulator_ = Emulator(path, device="cpu", batch_size=1)
    calls: list[int] = []
    for i, (_, denoiser) in enumerate(emulator_.model.experts):
        denoiser.network.register_forward_hook(lambda *_, i=i: calls.append(i))
    emulator_.draw(TIMES[0])
    assert set(calls) == {0, 1}
    assert calls == sorted(calls)
    assert len(calls) == emulator_.sampler.evaluations


def test_the_users_sst_is_used(path: Path, small: Emulator) -> None:
    warmer = open_bottle(path).sst_dataset() + 4.0
    from xr_cbottle.fields.sst import SeaSurfaceTemperature

    other = Emulator(path, device="cpu", batch_size=4, sst=SeaSurfaceTemperature.from_dataset(warmer, 2, "sst"))
    assert scaled(small, other.draw(TIMES[0]).values, small.draw(TIMES[0]).values) > 1e-2


def test_a_model_is_loaded_once_for_all_threads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models.store(torch.device("cpu")).clear()
    emulator._emulators.clear()
    loads = []
    original = models._load_model
    monkeypatch.setattr(models, "_load_model", lambda *a: (loads.append(a), original(*a))[1])
    found: list[Emulator] = []
    threads = [
        threading.Thread(target=lambda: found.append(emulator.get(open_bottle(path), device="cpu"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(set(map(id, found))) == 1
    emulator.get(open_bottle(path), device="cpu", sampler=Sampler(2, 0.1, 10.0))
    assert len(loads) == 1


def test_a_failed_load_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models.store(torch.device("cpu")).clear()
    monkeypatch.setattr(models, "_load_model", lambda *a: (_ for _ in ()).throw(OSError("no disk")))
    with pytest.raises(OSError, match="no disk"):
        Emulator(path, device="cpu")
    monkeypatch.undo()
    Emulator(path, device="cpu")


def test_bfloat16_is_close(path: Path, small: Emulator) -> None:
    low = Emulator(path, device="cpu", batch_size=4, precision="bfloat16")
    assert 1e-4 < scaled(small, low.draw(TIMES[0]).values, small.draw(TIMES[0]).values) < 0.5


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"precision": "double"}, "choose one of float32"),
        ({"device": "tpu"}, "use cpu, cuda or cuda:N"),
        ({"device": "cuda:99"}, "torch sees . GPUs"),
    ],
)
def test_wrong_settings(path: Path, keywords: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Emulator(path, **keywords)


def test_a_long_draw_counts_all_and_shows_them_once(small: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    import tqdm.auto

    shown: list[int] = []
    monkeypatch.setattr(tqdm.auto.tqdm, "update", lambda self, n=1: shown.append(n))
    before = small.drawn
    small.draw(TIMES)
    assert small.drawn - before == len(TIMES)
    assert shown == [4, 1]


def test_wrong_requests(small: Emulator) -> None:
    with pytest.raises(ValueError, match="has the labels a, b"):
        small.draw(TIMES[0], label="icon")
    with pytest.raises(ValueError, match="label is 3: small has the labels a, b"):
        small.draw(TIMES[0], label=3)
    with pytest.raises(ValueError, match="member is -1"):
        small.draw(TIMES[0], member=-1)
    with pytest.raises(ValueError, match="seed is"):
        small.draw(TIMES[0], seed=-1)
