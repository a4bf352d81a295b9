"""The training loop: one network, everything counted in images seen.

Started by ``torchrun`` or ``srun``, several processes share each batch and average their gradients: on a CPU, two
processes of one thread train faster than one of two. A run lives in a folder: ``config.json``, ``state.pt`` (weights,
average, optimizer, counters, and what they were made of), ``log.jsonl``, the prepared data, and ``tensorboard`` if that
is asked for. Starting it again goes on where the last state was saved and ends with the same weights as a run that was
never interrupted. A state is never saved after a loss that was not finite.
"""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xr_cbottle.network import unet
from xr_cbottle.network.edm import Denoiser
from xr_cbottle.training.board import Board
from xr_cbottle.training.changed_settings import changed
from xr_cbottle.training.config import OptimConfig
from xr_cbottle.training.globe_case import GlobeCase
from xr_cbottle.training.heap import keep_freed_memory
from xr_cbottle.training.images import Tensors
from xr_cbottle.training.kinds import make_case
from xr_cbottle.training.loader import Loader
from xr_cbottle.training.lock import FolderLock
from xr_cbottle.training.parsing import as_dict
from xr_cbottle.training.patchwise.patch_config import AnyConfig
from xr_cbottle.training.record import LossWindow, Watch, by_sigma
from xr_cbottle.training.run_states import RunStates, has_not, read_state
from xr_cbottle.training.schedule import learning_rate
from xr_cbottle.training.step import Loss, autocast, choose_learning, optimizers, take_step
from xr_cbottle.training.team import Team
from xr_cbottle.training.terminated import Terminated
from xr_cbottle.training.validations import BEST, Validations

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
    team
        Processes that share it.
    at
        Name of a state that was kept, in place of the last one: its images (``keep_images``), or ``best`` or
        ``best-LOW-HIGH`` (``keep_best``).
    """

    def __init__(
        self,
        config: AnyConfig,
        folder: str | os.PathLike[str],
        *,
        progress: bool = True,
        team: Team | None = None,
        at: int | str | None = None,
    ) -> None:
        self.config: Any = config  # of one kind or another: who packs a run knows of which
        self.folder, self.progress = Path(folder), progress
        self.states = RunStates(self.folder)
        self.team = team = team or Team()
        if config.training.tensorboard and team.leads:
            Board.check()
        self.folder.mkdir(parents=True, exist_ok=True)
        with team.first():
            self.case = make_case(config, self.folder / "data", progress=progress)
        self.data, self.batches = self.case.data, self.case.batches
        self.device = team.device
        self.batches.noise_later = config.training.device_noise and self.device.type == "cuda"
        torch.manual_seed(config.training.seed)
        self.model_config = self.case.model_config
        self.net = self.case.network().to(self.device)
        self.net.model.recompute = config.training.recompute
        self.average = copy.deepcopy(self.net).requires_grad_(False)
        optim = config.training
        self.optimizer = optimizers(self.net, optim)
        self.images, self.seconds, self.interrupted = 0, 0.0, False
        self.validations = Validations()
        state = self.states.file(at)
        if state.exists() or at is not None:
            self._resume(state)
        else:
            self._begin(os.path.expanduser(os.path.expandvars(optim.initial)) if optim.initial is not None else None)
        self._board: Board | None = None
        self._resumed_at = self.images
        if team.leads and at is None:
            self._shorten_log()
            _write_text(self.folder / "config.json", json.dumps(as_dict(config), indent=1))

    def save(self) -> None:
        """Write the state to a new file, which then takes the old one's place."""
        if self.team.leads:
            self.states.save({**self._weights(), "optimizer": self.optimizer.state_dict()})

    def _weights(self) -> dict[str, Any]:
        """The state but for what only training goes on from."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "images": self.images,
            "seconds": self.seconds,
            "model": self.model_config.to_json(),
            "data": self.case.data_digest,
            "config": json.dumps(as_dict(self.config)),
            "validations": self.validations.state_dict(),
        }

    def keep(self) -> None:
        """Keep the state that was saved last beside those that follow."""
        if self.team.leads:
            self.states.keep(self.images)

    def keep_best(self, names: Sequence[str]) -> None:
        """Keep the weights as they are under some names, once on the disk for all of them."""
        if self.team.leads:
            self.states.keep_best(self._weights(), names)

    def log(self, **values: Any) -> None:
        """Append a line to log.jsonl."""
        if not self.team.leads:
            return
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"images": self.images, **values}) + "\n")
        if (board := self._shown()) is not None:
            board.write(self.images, values)

    def look(self) -> None:
        """Draw some instants by the averaged weights, and write down how far they are from the data."""
        if self.team.leads and isinstance(self.case, GlobeCase):
            found = self.case.look(self.average, self.config.training.look_instants)
            self.log(**found.line)
            self.say(f"look at {self.images:,} images: {found.words}")
            if (board := self._shown()) is not None:
                board.write_maps(self.images, {f"look/{name}": values for name, values in found.maps.items()})

    def _shown(self) -> Board | None:
        """The board, if there is to be one."""
        if self._board is None and self.config.training.tensorboard:
            self._board = Board(self.folder / "tensorboard", self._resumed_at)
        return self._board

    def close(self) -> None:
        """Finish the files of TensorBoard."""
        if self._board is not None:
            self._board.close()
            self._board = None

    def _resume(self, file: Path) -> None:
        try:
            state = read_state(file, self.device)
        except FileNotFoundError:
            raise ValueError(f"{self.folder} {has_not(file)}") from None
        folder = file.parent
        if state["model"] != self.model_config.to_json():
            raise ValueError(f"{folder} holds a run of another network; give another folder")
        if state.get("data", self.case.data_digest) != self.case.data_digest:
            if folder == self.folder:
                raise ValueError(
                    f"{folder} holds a run on other data than the configuration now gives: give another folder, and "
                    f"initial: {folder} to go on from its weights"
                )
            self.say(f"{folder} was trained on other data; this run goes on from it")
        if folder == self.folder and (settings := changed(json.loads(state.get("config", "{}")), self.config)):
            self.say("goes on with other settings than before: " + "; ".join(settings))
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        if "optimizer" in state:
            self.optimizer.load_state_dict(state["optimizer"])
        if "validations" in state and folder == self.folder:
            self.validations.load_state_dict(state["validations"])
        self.images, self.seconds = state["images"], state["seconds"]

    def _begin(self, initial: str | None) -> None:
        """Begin from another run's state, or from the weights of a bottle, if that is asked for."""
        if initial is not None and (there := RunStates(Path(initial)).file()).exists():
            self._resume(there)
            return
        begun = self.case.begun(self.net, initial)
        if begun is None:
            return
        state, lines = begun
        for net in (self.net, self.average):
            net.load_state_dict(state)
        self.say("\n".join(lines))

    def say(self, text: str) -> None:
        """Print, unless nobody is to be told, or another process does."""
        if self.progress and self.team.leads:
            print(text)

    def _shorten_log(self) -> None:
        """Take out what came after the state, and a line that a kill cut off: they will be written again."""
        log = self.folder / "log.jsonl"
        if log.exists():
            lines = [line for line in log.read_text().splitlines() if _images(line) <= self.images]
            _write_text(log, "".join(line + "\n" for line in lines))


def train(config: AnyConfig, run: str | os.PathLike[str], *, progress: bool = True, stop_at: int | None = None) -> Run:
    """Train until ``total_images`` or ``max_hours``, or until SIGTERM or SIGINT, saving as it goes.

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

    Raises
    ------
    ValueError
        If another process trains in that folder, if it holds a run on other data, or if a loss is not finite.
    """
    keep_freed_memory()
    optim = config.training
    team = Team.from_environment(optim.batch_size)
    if not team.leads:
        return _train(config, run, team, progress=False, stop_at=stop_at)
    if optim.tensorboard:
        Board.check()
    Path(run).mkdir(parents=True, exist_ok=True)
    with FolderLock(Path(run)) as lock:
        return _train(config, run, team, progress=progress, stop_at=stop_at, alive=lock.touch)


def _train(
    config: AnyConfig,
    run: str | os.PathLike[str],
    team: Team,
    *,
    progress: bool,
    stop_at: int | None,
    alive: Callable[[], None] = lambda: None,
) -> Run:
    optim = config.training
    state = Run(config, run, progress=progress, team=team)
    end = optim.total_images if stop_at is None else min(stop_at, optim.total_images)
    network = torch.compile(state.net) if optim.compile else state.net
    if few := state.images < optim.few_images:
        choose_learning(state.net, few)
    denoiser = Denoiser(team.shared(network))  # type: ignore[arg-type]
    validation = state.batches.validating(VALIDATION_IMAGES) if len(state.batches.validation) else None
    if validation is None and (optim.keep_best or optim.patience_images is not None):
        raise ValueError(
            "training: keep_best and patience_images look at instants that are held out, and there are none: give the "
            "sources a validation_start"
        )
    share = optim.batch_size // team.size
    window, watch = LossWindow(), Watch(state.case)
    saved = time.monotonic()
    first = state.images + team.rank * share
    with (
        Terminated() as terminated,
        _bar(state, end) as bar,
        Loader(
            state.batches.training, first, optim.batch_size, share, threads=optim.loaders, device=state.device
        ) as loader,
    ):
        stop, stalled = False, state.validations.stalled(state.images, optim.patience_images)
        while state.images < end and not (stop or stalled):
            began = time.monotonic()
            batch = next(loader).to(state.device)
            watch.check()
            if few and state.images >= optim.few_images:
                few = False
                choose_learning(state.net, few)
                del denoiser  # lest its hooks stay
                denoiser = Denoiser(team.shared(network))  # type: ignore[arg-type]
            late = optim.max_hours is not None and state.seconds > 3600 * optim.max_hours
            losses, sigma, norm, stop = take_step(
                state.net, state.average, denoiser, state.optimizer, batch, optim, state.images,
                loss=state.case.loss, team=team, stop=terminated() or late,
            )  # fmt: skip
            state.interrupted = stop and not late
            watch.note(state.images + team.rank * share, batch, losses, sigma, norm)
            before, state.images = state.images, state.images + optim.batch_size
            alive()

            window.add(sigma, losses, norm)
            state.seconds += time.monotonic() - began
            bar.update(optim.batch_size)
            if before // optim.log_images != state.images // optim.log_images:
                entry = window.close(team)
                bar.set_postfix(loss=f"{entry['loss']:.4f}")
                state.log(lr=optim.lr * learning_rate(optim, state.images), seconds=round(state.seconds, 1), **entry)
            due = before // optim.validate_images != state.images // optim.validate_images
            if due and validation is not None:
                found = validate(state.average, validation, optim, state.case.loss, team)
                state.log(**found)
                better = state.validations.add(state.images, found)
                if optim.keep_best:
                    watch.check()
                    state.keep_best(better)
                stalled = state.validations.stalled(state.images, optim.patience_images)
            kept, passed, looks = (
                count is not None and before // count != state.images // count
                for count in (optim.keep_images, optim.save_images, optim.look_images)
            )
            if looks:
                state.look()
            if kept or passed or time.monotonic() - saved > optim.save_seconds:
                watch.check()
                state.save()
                saved = time.monotonic()
            if kept:
                state.keep()
    watch.check()
    state.save()
    if stalled:
        at, loss = state.validations.lowest[BEST]
        state.say(f"stops at {state.images:,} images: the validation loss was lowest, {loss:.4f}, at {at:,} images")
    team.wait()
    state.close()
    return state


@torch.no_grad()
def validate(
    net: unet.Network, batch: Tensors, optim: OptimConfig, loss: Loss, team: Team | None = None
) -> dict[str, Any]:
    """Mean loss of held-out images, all and by noise level; a team shares them, a few at a time."""
    device, team = next(net.parameters()).device, team or Team()
    count = min(optim.batch_device or optim.batch_size, optim.batch_size)
    mine: list[tuple[int, Tensor, Tensor]] = []
    for first in range(0, len(batch.sigma), count)[team.rank :: team.size]:
        with autocast(optim, device):
            part = loss(Denoiser(net), batch.part(first, count).to(device), optim)
        mine.append((first, part.plain.float().cpu(), part.sigma.cpu()))
    found = sorted((part for parts in team.gather_objects(mine) for part in parts), key=lambda part: part[0])
    losses, sigma = torch.cat([part[1] for part in found]), torch.cat([part[2] for part in found])
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
