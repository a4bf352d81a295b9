"""Command line of a training run."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from xr_cbottle.bottle.sampler import step_counts
from xr_cbottle.training.bridge_config import BridgeConfig
from xr_cbottle.training.config import Config
from xr_cbottle.training.patchwise import patch_config as configs
from xr_cbottle.training.validations import is_best

STOPPED = 130
"""Exit status of a run that a signal stopped before its end, and that saved its state."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train by a configuration, or say what that will take; with ``--pack`` write the weights as a bottle."""
    parser = argparse.ArgumentParser(prog="xr-cbottle train", description=__doc__)
    parser.add_argument("config", type=Path, nargs="?", help="YAML file, see examples/training/gcm.yaml")
    # torchrun takes a --run for an abbreviation of its own options: hence the second name.
    parser.add_argument(
        "--run", "--folder", type=Path, help="folder of the run, resumed if it is there [name of the config]"
    )
    parser.add_argument("--pack", type=Path, metavar="OUT.cbottle", help="then write the bottle")
    parser.add_argument(
        "--into", type=Path, metavar="BOTTLE.cbottle",
        help="of super-resolution, bridges and --coherence: what is packed is this bottle, with that added or replaced",
    )  # fmt: skip
    parser.add_argument(
        "--expert", nargs=3, action="append", default=[], metavar=("SIGMA", "CONFIG.yaml", "FOLDER"),
        help="pack another run too, used for noise levels >= SIGMA; repeat with falling SIGMA; FOLDER@IMAGES: "
        "as it was then (keep_images), FOLDER@best or FOLDER@best-LOW-HIGH: as it was best (keep_best)",
    )  # fmt: skip
    parser.add_argument(
        "--figures", type=Path, metavar="FILE.json", help="results of an evaluation, to keep in the bottle's manifest"
    )
    parser.add_argument(
        "--calibrate", type=int, default=0, metavar="N",
        help="before packing draw N instants of each label, at times that were learnt, and mend mean, spread, spectra "
        "and, of the channels matched, distributions of what is drawn",
    )  # fmt: skip
    parser.add_argument(
        "--choose-levels", metavar="N,N,...",
        help="before packing choose noise levels for each of these numbers of steps, by drawing; num_steps=N then "
        "takes them",
    )  # fmt: skip
    parser.add_argument(
        "--coherence", action="store_true",
        help="fit how long weather lasts and how fast it travels to the sources, and pack that too, for "
        "coherence=latents; with --into nothing is trained: what is packed is that bottle with it",
    )  # fmt: skip
    parser.add_argument("--only-pack", action="store_true", help="train no further")
    parser.add_argument(
        "--dry-run", action="store_true",
        help="say what memory, disk and time it will take, from a few steps on this device; nothing is written",
    )  # fmt: skip
    parser.add_argument(
        "--prepare", action="store_true",
        help="prepare the data and do not train: where the data are seen, by many processes; what was killed goes on",
    )  # fmt: skip
    parser.add_argument(
        "--processes", type=int, metavar="N", help="processes that --prepare uses [as many as there are cores]"
    )
    parser.add_argument("--explain", action="store_true", help="say what the keys of a configuration mean")
    options = parser.parse_args(arguments)
    if options.explain:
        from xr_cbottle.training import explain

        print(explain.text(), end="")
        return 0
    if options.config is None:
        parser.error("CONFIG.yaml is missing; --explain says what is in it")
    if options.dry_run and (options.only_pack or options.pack is not None):
        parser.error("--dry-run writes nothing: leave --pack out")
    if options.prepare and (options.dry_run or options.only_pack or options.pack is not None):
        parser.error("--prepare prepares data alone: leave --pack and --dry-run out")
    if options.processes is not None and (not options.prepare or options.processes < 1):
        parser.error("--processes is a number of processes, and of --prepare")
    if options.only_pack and options.pack is None:
        parser.error("--only-pack needs --pack OUT.cbottle")
    if options.calibrate < 0 or (options.calibrate and options.pack is None):
        parser.error("--calibrate takes a number of instants, and needs --pack OUT.cbottle")
    if options.choose_levels is not None and options.pack is None:
        parser.error("--choose-levels needs --pack OUT.cbottle")
    try:
        steps = step_counts(options.choose_levels) if options.choose_levels is not None else ()
        config = configs.load(options.config)
    except FileNotFoundError as error:
        parser.error(f"there is no file {error.filename}: give a configuration such as examples/training/gcm.yaml")
    except (ValueError, OSError) as error:
        parser.error(str(error))
    coarse = isinstance(config, Config)
    if options.coherence:
        if not isinstance(config, Config) or options.pack is None:
            parser.error("--coherence is fitted to the sources of a coarse network, and needs --pack OUT.cbottle")
        if options.into is not None:
            return _add_coherence(parser, options.into, options.pack, config)
        if config.network.replay is not None:
            parser.error(
                "--coherence is fitted to sources of all labels, and this run has none of those that it keeps: pack it "
                "first, then give --coherence --into with a configuration of all"
            )
    if options.into is not None and options.pack is None:
        parser.error("--into says what is packed: give --pack OUT.cbottle too, which may be the same file")
    if options.pack is not None and coarse != (options.into is None):
        parser.error(
            "--into is of super-resolution, its distillation and bridges: leave it out" if coarse
            else "this is packed into a bottle that is there: give --into BOTTLE.cbottle"
        )  # fmt: skip
    bridge = isinstance(config, BridgeConfig)
    if not coarse and (options.figures or options.calibrate or steps):
        parser.error("--figures, --choose-levels and --calibrate are of coarse networks: leave them out")
    if options.expert and not (coarse or bridge):
        parser.error("--expert is of coarse networks and bridges: leave it out")
    run = options.run or Path(options.config.stem)

    if options.dry_run:
        return _dry_run(parser, config, run)
    if options.prepare:
        return _prepare(parser, config, run, options.processes)

    if options.pack is not None:
        trained = [Path(folder) for _, _, folder in options.expert] + ([run] if options.only_pack else [])
        for folder in (_at(path)[0] for path in trained):
            if not (folder / "state.pt").is_file():
                parser.error(f"{folder} holds no run that was trained (it has no state.pt): give the folder of one")

    from xr_cbottle.training import loop  # imports torch

    state = _trained(run, config, loop.Run) if options.only_pack else loop.train(config, run)
    if state.interrupted:
        if state.team.leads:
            print(f"stopped at {state.images:,} of {config.training.total_images:,} images: the same command goes on")
        return STOPPED
    if bridge and options.into is not None and state.team.leads:
        from xr_cbottle.training.bridge_packing import pack_bridge

        lower = [(float(sigma), _trained(Path(at), configs.load(path), loop.Run)) for sigma, path, at in options.expert]
        print(pack_bridge(state, options.pack, options.into, experts=lower))
    elif options.into is not None and state.team.leads:
        from xr_cbottle.training.patchwise.part_packing import pack_part

        print(pack_part(state, options.pack, options.into))
    elif options.pack is not None and state.team.leads:
        from xr_cbottle.training.bottling import pack_run
        from xr_cbottle.training.figures import condensed

        figures = condensed(json.loads(options.figures.read_text())) if options.figures else None
        experts = [
            (float(sigma), _trained(Path(folder), configs.load(path), loop.Run))
            for sigma, path, folder in options.expert
        ]
        packed = pack_run(
            state, options.pack, figures, experts=experts, calibrate=options.calibrate, choose_levels=steps
        )  # fmt: skip
        if options.coherence and isinstance(config, Config):
            from xr_cbottle.training.coherent_bottle import add_coherence

            packed = add_coherence(packed, packed, config.data)
        print(packed)
    return 0


def _dry_run(parser: argparse.ArgumentParser, config: configs.AnyConfig, run: Path) -> int:
    """Say what a run will take; 1 if something that it needs is not there."""
    from xr_cbottle.training import estimate
    from xr_cbottle.training.team import Team

    leads = Team.described(os.environ).leads
    try:
        found = estimate.estimate(config, run, progress=leads)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if leads:
        print(found.text() + "\n(nothing was written)")
    return 1 if found.problems else 0


def _prepare(parser: argparse.ArgumentParser, config: configs.AnyConfig, run: Path, processes: int | None) -> int:
    from xr_cbottle.training.prepare_command import prepare_run

    try:
        print(prepare_run(config, run, processes=processes))
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return 0


def _at(run: Path) -> tuple[Path, str | None]:
    """Folder of a run, and the name of a state that was kept: ``FOLDER@IMAGES``, ``FOLDER@best``."""
    name, at, kept = run.name.rpartition("@")
    return (run.with_name(name), kept) if at and name and (kept.isdigit() or is_best(kept)) else (run, None)


def _trained(run: Path, config: Any, make: Callable[..., Any]) -> Any:
    folder, at = _at(run)
    return make(config, folder, at=at)


def _add_coherence(parser: argparse.ArgumentParser, into: Path, out: Path, config: Config) -> int:
    from xr_cbottle.bottle.errors import BottleError
    from xr_cbottle.training.coherent_bottle import add_coherence

    try:
        print(add_coherence(into, out, config.data))
    except (ValueError, OSError, BottleError) as error:
        parser.error(str(error))
    return 0
