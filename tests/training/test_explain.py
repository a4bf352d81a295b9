"""Every key of a configuration is documented."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from xr_cbottle.training import config as configs
from xr_cbottle.training import explain
from xr_cbottle.training.data_config import DataConfig
from xr_cbottle.training.packing_config import PackingConfig
from xr_cbottle.training.patchwise import patch_config as patchwise
from xr_cbottle.training.source_config import SourceConfig, SstConfig, StoreConfig, VariableConfig

CLASSES = [
    configs.Config, DataConfig, SstConfig, StoreConfig, SourceConfig, VariableConfig,
    configs.NetworkConfig, configs.OptimConfig, configs.BottleConfig,
    patchwise.SuperresConfig, patchwise.PatchDataConfig, patchwise.PatchSource, patchwise.PatchNetworkConfig,
    PackingConfig, patchwise.PartConfig, patchwise.DistilConfig, patchwise.TeacherConfig,
]  # fmt: skip


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_key_has_a_type_and_a_meaning(cls):
    documented = explain.documented(cls)
    assert sorted(name for keys in documented for name in keys.names) == sorted(
        field.name for field in dataclasses.fields(cls)
    )
    assert all(keys.text for keys in documented)
    hints = typing.get_type_hints(cls)
    assert all(explain.type_words(hints[name]) for keys in documented for name in keys.names)


def test_text_has_types_defaults_and_meanings():
    text = explain.text()
    for expected in (
        "  zoom: int\n        HEALPix level of the network;",
        "  sigma_min, sigma_max: float [0.02, 200]\n",
        "      validation_start: str, optional [null]\n",
        "  start, end, step: str [step PT1H]\n",
        "  tensorboard: bool [false]\n",
        "  scale: 'std' or 'anomaly' or 'climatology' [std]\n",
        "  betas: list of float [[0.9, 0.99]]\n",
        "Of super-resolution:\nsuperres:\n",
        "            Its keys are those above: files, catalog, entry, parameters, variables.\n",
    ):
        assert expected in text
    assert max(map(len, text.splitlines())) <= 120
