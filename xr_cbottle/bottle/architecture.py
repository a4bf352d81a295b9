"""The architecture of a network, in words that need no torch: the JSON members of a cBottle v1 checkpoint.

`ModelConfig` is ``model.json`` and `BatchInfo` is ``batch_info.json``. Both are frozen, so that
they can be cache keys, and both forget keys they do not know, as NVlabs/cBottle does.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from xr_cbottle.base.plain_text import one_line
from xr_cbottle.bottle import json_text, limits
from xr_cbottle.grid import healpix

Architecture = Literal["unet_hpx64", "unet_hpx1024_patch", "unet_healpix", "unet_patch"]
ARCHITECTURES: tuple[str, ...] = get_args(Architecture)

#: Networks of overlapping patches, for super-resolution.
PATCH_ARCHITECTURES = ("unet_hpx1024_patch", "unet_patch")
#: Those whose depths are said; of the others they are the published ones.
SHAPED = ("unet_healpix", "unet_patch")

#: The published coarse network is always zoom 6, whatever its ``level`` says.
PUBLISHED_ZOOM = 6
#: How often the published patch network halves a patch.
PUBLISHED_PATCH_HALVINGS = 4
_CHANNEL = re.compile(rf"[A-Za-z0-9_]{{1,{limits.NAME_LETTERS}}}")


def _as_mapping(text: str | bytes | Mapping[str, Any], what: str) -> dict[str, Any]:
    return dict(text) if isinstance(text, Mapping) else json_text.read_object(text, what)


def _integer(name: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"model.json: {name} must be an integer from {least} to {most}, got {_shown(value)}")
    return value


def _integers(name: str, value: Any, least: int, most: int, length: int, fewest: int = 1) -> tuple[int, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not fewest <= len(value) <= length:
        raise ValueError(
            f"model.json: {name} must be a list of {fewest} to {length} integers from {least} to {most}, "
            f"got {_shown(value)}"
        )
    return tuple(_integer(name, v, least, most) for v in value)


def _shown(value: Any) -> str:
    return one_line(repr(value), 80)


#: Least and largest value of the integers in ``model.json``.
_BOUNDS = {
    "model_channels": (4, limits.MODEL_CHANNELS),
    "label_dim": (0, limits.LABEL_VECTOR),
    "out_channels": (1, limits.CHANNELS),
    "condition_channels": (0, 2 * limits.CHANNELS + limits.FORCINGS + 5),
    "time_length": (1, limits.FRAMES),
    "level": (0, limits.ZOOM),
    "position_embed_channels": (0, limits.CHANNELS),
    "img_resolution": (1, limits.PATCH_CELLS),
    "num_blocks": (1, limits.BLOCKS),
}


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """``model.json`` of a cBottle v1 checkpoint (``ModelConfigV1``), with three keys of our own.

    Parameters
    ----------
    architecture
        ``unet_hpx64``: the published coarse and video network, always zoom 6.
        ``unet_hpx1024_patch``: the published patch network of super-resolution.
        ``unet_healpix``: our name for the coarse network at any ``level``, whose shape is given by
        the last three fields; NVlabs/cBottle does not know it.
        ``unet_patch``: the same for the patch network; it attends at the coarsest resolution only.
    model_channels, out_channels, condition_channels, label_dim, time_length
        Widths of the network, and the number of frames that temporal attention joins (1: none).
    level
        HEALPix level of the cells; ignored for ``unet_hpx64``.
    calendar_include_legacy_bug
        Whether local solar time is second - longitude (as published) or + longitude.
    enable_classifier
        Whether there is a head of logits at a low resolution.
    channel_mult, attn_resolutions, num_blocks
        ``unet_healpix`` and ``unet_patch`` only: width of each resolution over ``model_channels``, cells along a
        face edge where there is attention (``unet_healpix``), and blocks a resolution (the decoder has one more).
    """

    architecture: str = "unet_hpx64"
    model_channels: int = 192
    label_dim: int = 1024
    out_channels: int = 45
    condition_channels: int = 1
    time_length: int = 1
    label_dropout: float = 0.0
    level: int = 10
    calendar_include_legacy_bug: bool = True
    noise_dependent_dropout_config: Any = None
    enable_classifier: bool = False
    position_embed_channels: int = 20
    img_resolution: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 2, 2)
    attn_resolutions: tuple[int, ...] = (8,)
    num_blocks: int = 4

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise ValueError(f"model.json: architecture must be one of {known}, got {_shown(self.architecture)}")
        for name, (least, most) in _BOUNDS.items():
            _integer(name, getattr(self, name), least, most)
        widths = _integers("channel_mult", self.channel_mult, 1, limits.CHANNEL_MULTIPLE, limits.RESOLUTIONS)
        sizes = _integers("attn_resolutions", self.attn_resolutions, 1, 2**limits.ZOOM, limits.RESOLUTIONS, fewest=0)
        object.__setattr__(self, "channel_mult", widths)
        object.__setattr__(self, "attn_resolutions", sizes)
        for name in ("calendar_include_legacy_bug", "enable_classifier"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"model.json: {name} must be true or false, got {_shown(getattr(self, name))}")
        if self.architecture == "unet_healpix" and self.level < len(self.channel_mult) - 1:
            raise ValueError(
                f"model.json: level {self.level} cannot be halved {len(self.channel_mult) - 1} times; "
                "use fewer channel_mult or a higher level"
            )

        halvings = len(self.channel_mult) - 1 if self.architecture in SHAPED else PUBLISHED_PATCH_HALVINGS
        if self.architecture in PATCH_ARCHITECTURES and self.img_resolution % 2**halvings:
            raise ValueError(
                f"model.json: a patch of {self.img_resolution} cells along an edge cannot be halved {halvings} times; "
                "use fewer channel_mult or another img_resolution"
            )

    @property
    def least_weights(self) -> int:
        """Number of weights that the network has at least: those of its embeddings of noise, labels and positions.

        Whoever promises more than a checkpoint holds is found out by it, before anything is made.
        """
        width = self.model_channels
        embedded = self.position_embed_channels if self.architecture in PATCH_ARCHITECTURES else width
        return 20 * width**2 + self.label_dim * width + embedded * healpix.n_cells(self.zoom)

    @property
    def zoom(self) -> int:
        """HEALPix level of the cells the network works on."""
        return PUBLISHED_ZOOM if self.architecture == "unet_hpx64" else self.level

    @classmethod
    def from_json(cls, text: str | bytes | Mapping[str, Any]) -> ModelConfig:
        """Read ``model.json``; unknown keys are ignored, wrong values raise ValueError."""
        values = _as_mapping(text, "model.json")
        if (deviation := values.get("sigma_data", 0.5)) != 0.5:
            raise ValueError(
                f"model.json: sigma_data is {_shown(deviation)}, and networks of 0.5 alone are computed here: get a "
                "version that knows it"
            )
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    def to_json(self) -> str:
        """Text of ``model.json``, without the keys NVlabs/cBottle does not have if it knows the architecture."""
        values = dataclasses.asdict(self)
        if self.architecture not in SHAPED:
            for key in ("channel_mult", "attn_resolutions", "num_blocks"):
                del values[key]
        return json.dumps(values)


@dataclasses.dataclass(frozen=True)
class BatchInfo:
    """``batch_info.json``: the channels a network makes and how they were normalised.

    Parameters
    ----------
    channels
        Channel names, in the order of the network's output.
    scales, center
        physical = normalised * scale + center, in each channel's unit.
    time_step, time_unit
        Distance of a video network's frames, e.g. 6 and ``"HOUR"``.
    """

    channels: tuple[str, ...]
    scales: tuple[float, ...]
    center: tuple[float, ...]
    time_step: int = 1
    time_unit: str = "HOUR"

    def __post_init__(self) -> None:
        if isinstance(self.channels, str) or not isinstance(self.channels, Sequence):
            raise ValueError("batch_info.json: channels must be a list of names")
        if not 1 <= len(self.channels) <= limits.CHANNELS:
            raise ValueError(f"batch_info.json: channels must be a list of 1 to {limits.CHANNELS} names")
        channels = tuple(self.channels)
        for name in channels:
            if not isinstance(name, str) or not _CHANNEL.fullmatch(name):
                raise ValueError(
                    f"batch_info.json: channels must be names of letters, digits and _, got {_shown(name)}"
                )
        if len(set(channels)) != len(channels):
            raise ValueError("batch_info.json: channels holds a name twice; names must differ")
        object.__setattr__(self, "channels", channels)
        for name in ("scales", "center"):
            values = _numbers(name, getattr(self, name))
            if len(values) != len(channels):
                raise ValueError(
                    f"batch_info.json: {name} has {len(values)} entries for {len(channels)} channels; they must match"
                )
            object.__setattr__(self, name, values)
        if not all(scale > 0 for scale in self.scales):
            raise ValueError("batch_info.json: every one of scales must be a finite number > 0")
        step = self.time_step
        if isinstance(step, bool) or not isinstance(step, int) or not 1 <= step <= limits.STEP_SECONDS:
            raise ValueError(f"batch_info.json: time_step must be an integer >= 1, got {_shown(step)}")
        if not isinstance(self.time_unit, str) or not _CHANNEL.fullmatch(self.time_unit):
            raise ValueError(f"batch_info.json: time_unit must be a word such as HOUR, got {_shown(self.time_unit)}")

    @classmethod
    def from_json(cls, text: str | bytes | Mapping[str, Any]) -> BatchInfo:
        """Read ``batch_info.json``; unknown keys are ignored, wrong values raise ValueError."""
        values = _as_mapping(text, "batch_info.json")
        missing = [key for key in ("channels", "scales", "center") if key not in values]
        if missing:
            raise ValueError(f"batch_info.json: {', '.join(missing)} missing; it must have channels, scales and center")
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})

    def to_json(self) -> str:
        """Text of ``batch_info.json``."""
        return json.dumps(dataclasses.asdict(self))


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    """Finite numbers, of which text is none."""
    good = isinstance(values, Sequence) and not isinstance(values, str)
    if not good or any(isinstance(value, (bool, str)) for value in values):
        raise ValueError(f"batch_info.json: {name} must be a list of numbers")
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"batch_info.json: {name} must be a list of numbers") from None
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"batch_info.json: every one of {name} must be a finite number")
    return numbers
