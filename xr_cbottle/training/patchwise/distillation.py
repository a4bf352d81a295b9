"""A patch network of few steps as a case: it learns where its teacher's way from each of its noise levels ends.

A sampler of few steps goes from a noise level to a clean state at once, and adds fresh noise of the next level. So
the network has to know, at these few levels, the end of the teacher's ODE that goes through a state: the consistency
function (Song et al. 2023, https://arxiv.org/abs/2303.01469). As the levels are known beforehand, that end is found by
the teacher's own steps (Luhman and Luhman 2021, https://arxiv.org/abs/2101.02388) instead of being bootstrapped from
noise level to noise level: one way down passes all levels, every state on it has the same end, and there is no second
network that lags behind. What is learnt is a map, not a mean: its values at the last level are samples.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from xr_cbottle.bottle.records import DISTILLED, SuperresSpec
from xr_cbottle.network import unet
from xr_cbottle.network.edm import Denoiser, edm_schedule, heun
from xr_cbottle.training.case import Losses
from xr_cbottle.training.config import OptimConfig
from xr_cbottle.training.patchwise.denoising import conditioned, patch_facts, specification, weighted_error
from xr_cbottle.training.patchwise.patch_batches import PatchBatch, PatchBatches
from xr_cbottle.training.patchwise.patch_config import DistilConfig, SuperresConfig, TeacherConfig, parse
from xr_cbottle.training.patchwise.patch_data import prepare
from xr_cbottle.training.run_sources import expanded
from xr_cbottle.training.run_states import RunStates, read_state

T = TypeVar("T")


class Lesson:
    """Lesson of a teacher: what a network of few steps learns from it.

    Parameters
    ----------
    teacher
        The network that is learnt from; it learns nothing.
    distil
        Noise levels, and the teacher's steps.
    """

    def __init__(self, teacher: unet.Network, distil: TeacherConfig) -> None:
        self.teacher, self.distil = teacher.requires_grad_(False), distil
        self.levels = levels(distil.sigmas, distil.steps)

    def loss(self, denoiser: Denoiser, batch: PatchBatch, optim: OptimConfig) -> Losses:
        """Weighted square error of the end of the teacher's way, at each of the student's levels on it."""
        self.teacher.to(batch.sigma.device)
        with torch.no_grad():
            states, end = self.way(batch)
        denoise = conditioned(denoiser, batch)
        errors = []
        for sigma, state in zip(self.distil.sigmas, states, strict=True):
            level = torch.full_like(batch.sigma, sigma)
            errors.append(weighted_error(denoise(state, level), end, level))
        sigmas = torch.tensor(self.distil.sigmas, device=batch.sigma.device).expand(len(end), -1)
        plain = torch.stack(errors, 1)
        return Losses(plain.mean(1), plain.flatten(), sigmas.flatten())

    def way(self, batch: PatchBatch) -> tuple[list[Tensor], Tensor]:
        """The teacher's states at the student's levels, and where its way ends: (b, channel, row, column) float32."""
        denoise = conditioned(Denoiser(self.teacher), batch)
        state = (batch.clean + self.distil.sigmas[0] * batch.noise).double()
        states = []
        for leg in self.levels:
            states.append(state.float())
            state = heun(lambda x, sigma: denoise(x.float(), sigma).double(), state, leg)
        return states, state.float()


class Distillation:
    """A run of distillation; `xr_cbottle.training.case.TrainingCase` documents its methods.

    Attributes
    ----------
    teacher_config
        Of the run that is learnt from, whose data are used.
    teacher_images
        Images that the teacher saw.
    lesson
        What is learnt.
    """

    role = DISTILLED

    def __init__(self, config: DistilConfig, *, progress: bool = True) -> None:
        self.config, self.packing = config, config.part
        folder = Path(expanded(config.distil.run))
        self.teacher_config, state = teacher_config(folder), _teacher_state(folder)
        self.patches = self.teacher_config.superres
        self.data = prepare(self.patches, folder / "data", progress=progress)
        self.batches = PatchBatches(config.training, self.data, share=1)  # the teacher's way of each is dear
        self.model_config = self.teacher_config.model_config
        self.teacher_images = int(state["images"])
        teacher = unet.build(self.model_config)
        teacher.load_state_dict(state["average" if self.teacher_config.part.weights == "average" else "net"])
        self.lesson = Lesson(teacher, config.distil)

    @property
    def data_digest(self) -> str:
        """Digest of the data."""
        return self.data.digest

    def network(self) -> unet.Network:
        """The student, which starts as its teacher."""
        return copy.deepcopy(self.lesson.teacher).requires_grad_(True)

    def begun(self, net: unet.Network, source: str | None) -> None:
        """Refuse a bottle to start from; a run's state is taken by the loop."""
        if source is not None:
            raise ValueError(f"training: initial is {source}, which is no folder of a run of distillation: give one")

    def loss(self, denoiser: Denoiser, batch: PatchBatch, optim: OptimConfig) -> Losses:
        """Weighted square error of the end of the teacher's way, at each of the student's levels on it."""
        return self.lesson.loss(denoiser, batch, optim)

    def spec(self) -> SuperresSpec:
        """Specification of how the network is used, for the manifest."""
        return specification(self.patches, self.data, sigmas=self.config.distil.sigmas, window=self.config.part.window)

    def facts(self) -> dict[str, Any]:
        """Facts for the manifest about the data, the network and its teacher."""
        return {
            **patch_facts(self.data, self.model_config),
            "teacher_images": self.teacher_images,
            "method": f"ends of the teacher's ODE, {self.config.distil.steps} steps of Heun's method a level",
        }


def levels(sigmas: tuple[float, ...], steps: int) -> list[Tensor]:
    """The teacher's noise levels from each of the student's to the next, and from the last to 0.

    Between levels they are spaced as EDM's; to 0 from a tenth of the last level.
    """
    legs = [edm_schedule(steps + 1, low, high)[:-1] for high, low in itertools.pairwise(sigmas)]
    last = edm_schedule(steps, sigmas[-1] / 10, sigmas[-1]) if steps > 1 else torch.tensor([sigmas[-1], 0.0]).double()
    return [*legs, last]


def teacher_config(folder: Path) -> SuperresConfig:
    """Configuration of the run that is learnt from.

    Raises
    ------
    ValueError
        If the folder holds none, or one of another kind.
    """
    text = _of_teacher(folder, lambda: (folder / "config.json").read_text(encoding="utf-8"))
    config = parse(json.loads(text), str(folder))
    if not isinstance(config, SuperresConfig):
        raise ValueError(f"distil: run is {str(folder)!r}, which is no run of super-resolution: give one that is")
    return config


def _teacher_state(folder: Path) -> dict[str, Any]:
    return _of_teacher(folder, lambda: read_state(RunStates(folder).file()))


def _of_teacher(folder: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except FileNotFoundError as error:
        raise ValueError(
            f"distil: run is {str(folder)!r}, which has no {Path(error.filename).name}: give the folder of a run of "
            "super-resolution"
        ) from None
