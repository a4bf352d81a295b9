"""``model.json`` and ``batch_info.json``."""

from __future__ import annotations

import json

import pytest

from xr_cbottle.bottle.architecture import BatchInfo, ModelConfig


def test_round_trip() -> None:
    config = ModelConfig(architecture="unet_healpix", level=4, channel_mult=(1, 2), attn_resolutions=(4,), num_blocks=2)
    assert ModelConfig.from_json(config.to_json()) == config
    info = BatchInfo(("tas", "pr"), (1.0, 2.0), (280.0, 0.0))
    assert BatchInfo.from_json(info.to_json()) == info
    assert hash(config) == hash(ModelConfig.from_json(config.to_json()))


def test_published_json_has_only_the_published_keys() -> None:
    assert "channel_mult" not in json.loads(ModelConfig().to_json())
    assert ModelConfig.from_json(ModelConfig().to_json()) == ModelConfig()


def test_unknown_keys_are_ignored_and_missing_ones_have_defaults() -> None:
    config = ModelConfig.from_json({"model_channels": 32, "from_the_future": 1})
    assert config.model_channels == 32
    assert config.calendar_include_legacy_bug


def test_the_published_coarse_network_is_zoom_6_whatever_its_level() -> None:
    assert ModelConfig(architecture="unet_hpx64", level=10).zoom == 6
    assert ModelConfig(architecture="unet_healpix", level=4).zoom == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"architecture": "transformer"}, "architecture must be one of unet_hpx64"),
        ({"model_channels": "many"}, "model_channels must be an integer from 4 to 4096, got 'many'"),
        ({"out_channels": True}, "out_channels must be an integer"),
        ({"enable_classifier": 1}, "enable_classifier must be true or false"),
        ({"architecture": "unet_healpix", "level": 2, "channel_mult": [1, 2, 2, 2]}, "cannot be halved 3 times"),
        ({"channel_mult": "122"}, "channel_mult must be a list"),
    ],
)
def test_wrong_model(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig.from_json(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": ["tas"]}, "scales, center missing"),
        ({"channels": ["tas"], "scales": [1, 2], "center": [0]}, "scales has 2 entries for 1 channels"),
        ({"channels": ["tas"], "scales": [0], "center": [0]}, "finite number > 0"),
        ({"channels": ["tas", "tas"], "scales": [1, 1], "center": [0, 0]}, "holds a name twice"),
    ],
)
def test_wrong_batch_info(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BatchInfo.from_json(values)
    with pytest.raises(ValueError, match="not JSON"):
        BatchInfo.from_json("{")
