"""Runs of a bridge, the network between two states, as frozen data classes read from one YAML file.

It is a file with the sections of a coarse network's, but with ``bridge`` and without ``bottle``.
``examples/training/bridge.yaml`` is a complete one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xr_cbottle.bottle.errors import SchemaError
from xr_cbottle.bottle.records import BridgeSpec
from xr_cbottle.grid.time_tree import TimeTree
from xr_cbottle.training.config import NetworkConfig, OptimConfig
from xr_cbottle.training.data_config import DataConfig
from xr_cbottle.training.packing_config import PackingConfig


@dataclass(frozen=True)
class EndsConfig:
    """Two states, and what lies between them.

    Attributes
    ----------
    interval
        The most that the two are apart, an ISO-8601 duration: that of the states that are drawn first.
    step
        How far what lies half way between them is at least from either; ``interval`` is 2, 4, 8, ... times that. The
        data must be a series with this step, or one that divides it.
    end_noise
        Noise that is added to the states, in units of the network, whose data have a deviation of 0.5: log-uniform
        between these two for each image. What is drawn is never as exact as data are.
    before_only, after_only, neither
        Shares of the images that are told of the state before, of the one after, or of none.
    """

    interval: str = "P8D"
    step: str = "PT6H"
    end_noise: tuple[float, ...] = (0.02, 0.1)
    before_only: float = 0.1
    after_only: float = 0.1
    neither: float = 0.05

    def __post_init__(self) -> None:
        try:
            self.tree  # noqa: B018
        except SchemaError as error:
            raise ValueError(f"bridge: {error.field} is {error.got!r}, must be {error.must}") from None
        if len(self.end_noise) != 2 or not 0 < self.end_noise[0] <= self.end_noise[1]:
            raise ValueError(f"bridge: end_noise is {self.end_noise}, must be two numbers > 0, the second no smaller")
        shares = self.before_only, self.after_only, self.neither
        if min(shares) < 0 or sum(shares) >= 1:
            raise ValueError(
                f"bridge: before_only, after_only and neither are {shares}, must be shares that add up to less than 1"
            )

    @property
    def tree(self) -> TimeTree:
        """The tree over time that such a network is for."""
        return BridgeSpec(self.step, self.interval).tree()


@dataclass(frozen=True)
class BridgeConfig:
    """A run of a bridge: the sections of the YAML file. A key ``base`` names a file that fills the gaps.

    Attributes
    ----------
    bridge
        The states between which is drawn.
    data
        What is learnt from, as of the bottle that the network is for.
    network
        What learns. With ``training: initial`` it begins as the network of a bottle that knows nothing of the states.
    training
        How; an image is an instant with one state before it and one after it.
    part
        What it is packed as.
    """

    bridge: EndsConfig
    data: DataConfig
    network: NetworkConfig
    training: OptimConfig
    part: PackingConfig = field(default_factory=PackingConfig)

    def __post_init__(self) -> None:
        if self.network.from_ is not None:
            raise ValueError("network: from is of coarse networks: a bridge begins from training: initial")
        if len(self.data.labels) > self.network.label_dim:
            raise ValueError(
                f"network: label_dim is {self.network.label_dim}, but there are {len(self.data.labels)} labels; "
                "make it at least that"
            )
