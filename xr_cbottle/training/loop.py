"""The training loop: one network, everything counted in images seen.

Started by ``torchrun``, several processes share each batch and average their gradients: on a CPU, two processes
of one thread train faster than one of two. A run lives in a folder: ``config.json``, ``state.pt`` (weights,
average, optimizer, counters), ``log.jsonl``, the prepared data, and ``tensorboard`` if that is asked for. Starting it
again goes on where the last state was saved and ends with the same weights as a run that was never interrupted.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import torch

from xr_cbottle.network import unet
from xr_cbottle.network.edm import Denoiser
from xr_cbottle.training import start
from xr_cbottle.training.board import Board
from xr_cbottle.training.config import OptimConfig, as_dict
from xr_cbottle.training.heap import keep_freed_memory
from xr_cbottle.training.images import Tensors
from xr_cbottle.training.kinds import make_case
from xr_cbottle.training.loader import Loader
from xr_cbottle.training.patchwise.patch_config import AnyConfig
from xr_cbottle.training.record import LossWindow, by_sigma
from xr_cbottle.training.schedule import learning_rate
from xr_cbottle.training.step import Loss, optimizers, take_step
from xr_cbottle.training.team import Team

VALIDATION_IMAGES = 64


class Run:
    """The state of a run, and the folder it is kept in.

    Parameters
    ----------
    config
        The kind of run follows from it, see `xr_cbottle.training.kinds`.
    folder
        Made if it is not there; a state in it is resumed.
    progress
        Show bars.
    """

    def __init__(
        self, config: AnyConfig, folder: str | os.PathLike[str], *, progress: bool = True, team: Team | None = None
    ) -> None:
        self.config: Any = config  # of one kind or another: who packs a run knows of which
        self.folder, self.progress = Path(folder), progress
        self.team = team = team or Team()
        if config.training.tensorboard and team.leads:
            Board.check()
        self.folder.mkdir(parents=True, exist_ok=True)
        with team.first():
            self.case = make_case(config, self.folder / "data", progress=progress)
        self.data, self.batches = self.case.data, self.case.batches
        self.device = team.device
        torch.manual_seed(config.training.seed)
        self.model_config = self.case.model_config
        self.net = self.case.network().to(self.device)
        self.average = copy.deepcopy(self.net).requires_grad_(False)
        optim = config.training
        self.optimizer = optimizers(self.net, optim)
        self.images, self.seconds = 0, 0.0
        if (self.folder / "state.pt").exists():
            self._resume(self.folder)
        elif optim.initial is not None:
            self._begin_from(os.path.expanduser(os.path.expandvars(optim.initial)))
        self._board: Board | None = None
        self._resumed_at = self.images
        if team.leads:
            self._shorten_log()
            _write_text(self.folder / "config.json", json.dumps(as_dict(config), indent=1))

    def save(self) -> None:
        """Write the state to a new file, which then takes the old one's place."""
        if not self.team.leads:
            return
        state = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "images": self.images,
            "seconds": self.seconds,
            "model": self.model_config.to_json(),
        }
        partial = self.folder / "state.pt.partial"
        torch.save(state, partial)
        os.replace(partial, self.folder / "state.pt")

    def log(self, **values: Any) -> None:
        """Append a line to log.jsonl."""
        if not self.team.leads:
            return
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"images": self.images, **values}) + "\n")
        if self.config.training.tensorboard:
            if self._board is None:
                self._board = Board(self.folder / "tensorboard", self._resumed_at)
            self._board.write(self.images, values)

    def close(self) -> None:
        """Finish the files of TensorBoard."""
        if self._board is not None:
            self._board.close()
            self._board = None

    def _resume(self, folder: Path) -> None:
        state = torch.load(folder / "state.pt", weights_only=True, map_location=self.device)
        if state["model"] != self.model_config.to_json():
            raise ValueError(f"{folder} holds a run of another network; give another folder")
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.images, self.seconds = state["images"], state["seconds"]

    def _begin_from(self, initial: str) -> None:
        """Another run's state, or a bottle's weights."""
        if (Path(initial) / "state.pt").exists():
            self._resume(Path(initial))
            return
        optim = self.config.training
        part = start.from_bottle(initial, optim.sigma_min, optim.sigma_max)
        try:
            state = start.widened(
                part.state, part.config, part.info.channels, self.net, self.model_config, self.data.channels
            )
        except ValueError as error:
            raise ValueError(f"training: initial is {initial}, which has {error}") from None
        for net in (self.net, self.average):
            net.load_state_dict(state)

    def _shorten_log(self) -> None:
        """Take out what came after the state, and a line that a kill cut off: they will be written again."""
        log = self.folder / "log.jsonl"
        if log.exists():
            lines = [line for line in log.read_text().splitlines() if _images(line) <= self.images]
            _write_text(log, "".join(line + "\n" for line in lines))


def train(config: AnyConfig, run: str | os.PathLike[str], *, progress: bool = True, stop_at: int | None = None) -> Run:
    """Train until ``total_images`` or ``max_hours``, or until SIGTERM, saving as it goes.

    Parameters
    ----------
    config
        Of any kind of run.
    run
        Folder of the run; if it holds a state, the run goes on from it.
    progress
        Show bars.
    stop_at
        Stop (and save) after so many images; the schedule is still that of ``total_images``.

    Returns
    -------
    Run
        With the averaged network in ``.average``.
    """
    keep_freed_memory()
    optim = config.training
    team = Team.from_environment(optim.batch_size)
    state = Run(config, run, progress=progress and team.leads, team=team)
    end = min(stop_at or optim.total_images, optim.total_images)
    denoiser = Denoiser(torch.compile(state.net) if optim.compile else state.net)  # type: ignore[arg-type]
    validation = state.batches.validating(VALIDATION_IMAGES) if len(state.batches.validation) else None
    share = optim.batch_size // team.size
    window = LossWindow()
    saved = time.monotonic()
    first = state.images + team.rank * share
    with (
        _Terminated() as terminated,
        _bar(state, end) as bar,
        Loader(
            state.batches.training, first, optim.batch_size, share, threads=optim.loaders, device=state.device
        ) as loader,
    ):
        stop = False
        while state.images < end and not stop:
            began = time.monotonic()
            batch = next(loader).to(state.device)

            late = optim.max_hours is not None and state.seconds > 3600 * optim.max_hours
            losses, sigma, norm, stop = take_step(
                state.net, state.average, denoiser, state.optimizer, batch, optim, state.images,
                loss=state.case.loss, team=team, stop=terminated() or late,
            )  # fmt: skip
            before, state.images = state.images, state.images + optim.batch_size

            window.add(sigma, losses, norm)
            state.seconds += time.monotonic() - began
            bar.update(optim.batch_size)
            if before // optim.log_images != state.images // optim.log_images:
                entry = window.close(team)
                bar.set_postfix(loss=f"{entry['loss']:.4f}")
                state.log(lr=optim.lr * learning_rate(optim, state.images), seconds=round(state.seconds, 1), **entry)
            due = before // optim.validate_images != state.images // optim.validate_images
            if due and validation is not None and team.leads:
                state.log(**validate(state.average, validation, optim, state.case.loss))
            passed = optim.save_images is not None and before // optim.save_images != state.images // optim.save_images
            if passed or time.monotonic() - saved > optim.save_seconds:
                state.save()
                saved = time.monotonic()
    state.save()
    state.close()
    return state


@torch.no_grad()
def validate(net: unet.Network, batch: Tensors, optim: OptimConfig, loss: Loss) -> dict[str, Any]:
    """Mean loss of held-out images, all and by noise level."""
    device = next(net.parameters()).device
    found = [
        loss(Denoiser(net), batch.part(first, optim.batch_size).to(device), optim)
        for first in range(0, len(batch.sigma), optim.batch_size)
    ]
    losses, sigma = (torch.cat([getattr(part, name).cpu() for part in found]) for name in ("plain", "sigma"))
    return {"validation": round(float(losses.mean()), 5), "validation_by_sigma": by_sigma(sigma, losses)}


def _bar(state: Run, end: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=end, initial=state.images, unit="image", disable=not state.progress, smoothing=0.05)


def _images(line: str) -> float:
    """Images seen at a line of the log; of one that is not whole, too many."""
    try:
        return float(json.loads(line)["images"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


class _Terminated:
    """SIGTERM as a question that the loop asks, so that it can save."""

    def __enter__(self) -> _Terminated:
        self.asked = False
        self.previous: Any = None
        if threading.current_thread() is threading.main_thread():
            self.previous = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGTERM, self.previous)

    def __call__(self) -> bool:
        return self.asked

    def _ask(self, *_: object) -> None:
        self.asked = True
