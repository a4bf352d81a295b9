"""Commands that tell of bottles, show them, serve them, fetch them and pack them."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xr_cbottle.base.plain_text import one_line, printable
from xr_cbottle.bottle.sampler import step_counts
from xr_cbottle.cli.options import bottle_of, cube_of
from xr_cbottle.cli.terminal import say

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import Bottle
    from xr_cbottle.bottle.manifest import Manifest


def info(options: argparse.Namespace) -> None:
    from xr_cbottle.bottle import facts

    found = facts.facts(bottle_of(options))
    if options.json:
        shown = json.dumps(found, indent=2, ensure_ascii=False)
        say(shown if printable(shown) == shown else json.dumps(found, indent=2))
    else:
        say(facts.text(found, whole=options.all))


def list_bottles(options: argparse.Namespace) -> None:
    from xr_cbottle.cli import listing

    found = listing.rows()
    say(json.dumps(found, indent=2) if options.json else listing.text(found))


def cite(options: argparse.Namespace) -> None:
    from xr_cbottle.cli import citation

    stored = citation.is_file(options.bottle)
    say(citation.bibtex(citation.attributes(options.bottle) if stored else cube_of(options).lazy_dataset().attrs))


def plot(options: argparse.Namespace) -> None:
    from xr_cbottle import plot as maps

    cube = cube_of(options)
    name = options.variable
    if name not in cube.layouts and name not in cube.static:
        known = ", ".join([*cube.layouts, *cube.static])
        raise ValueError(f"{cube.bottle.manifest.name} has no variable {name!r}: choose among {known}")
    ds = cube.lazy_dataset().isel(time=0)
    if "member" in ds.dims:
        ds = ds.isel(member=0)
    field = ds[name]
    if "pressure" in field.dims:
        levels = list(cube.layouts[name].pressures or ())
        if options.pressure not in levels:
            asked = "needs a pressure" if options.pressure is None else f"is not at {options.pressure} Pa"
            raise ValueError(f"{name} {asked}: give --pressure with one of {', '.join(str(p) for p in levels)} (Pa)")
        field = field.sel(pressure=options.pressure)
    elif options.pressure is not None:
        raise ValueError(f"{name} has no pressure levels: leave --pressure out")
    if options.limits is not None and not options.limits[0] < options.limits[1]:
        raise ValueError(f"the limits {options.limits[0]:g} {options.limits[1]:g} are no range: give the lower first")
    out = Path(options.output or f"{cube.bottle.manifest.name}_{name}.png")
    title = f"{maps.describe(field)}\n{maps.origin(ds)}"
    field = field.load()
    if bool(field.isnull().all()):
        label = ds.attrs.get("label")
        reason = f" under the label {label}" if label else ""
        raise ValueError(f"{name} has no value anywhere{reason}: choose another variable or another label")
    maps.save(lambda: maps.map(field, land=cube.emulator().sst.land, title=title, limits=options.limits).figure, out)
    say(out)


def demo(options: argparse.Namespace) -> None:
    from xr_cbottle.cli.demo import show

    show(options.bottle, options.output)


def serve(options: argparse.Namespace) -> None:
    from xr_cbottle.serve.http import host
    from xr_cbottle.serve.http.settings import OF_DATA, Settings, is_local

    given = {name: value for name, value in vars(options).items() if value is not None}
    own = {name: given[name] for name in Settings.__dataclass_fields__ if name in given}
    own |= {"cors": None} if options.no_cors else {}
    settings = Settings(**own, data={name: given[name] for name in OF_DATA if name in given})
    if not is_local(settings.host):
        say(f"warning: everybody who reaches {settings.host} can make this machine draw", error=True)

    def ready(server: host.Host) -> None:
        say(f"{server.url} (Ctrl-C stops)")
        for line in server.server.shelf.lines(server.url):
            say(f"  {line}")
        sys.stdout.flush()

    if not host.serve(options.bottles, settings, ready=ready):
        sys.stdout.flush()
        os._exit(0)  # a batch that was given up may take minutes, and a thread cannot be ended


def fetch(options: argparse.Namespace) -> None:
    from xr_cbottle.bottle import bottle as bottles
    from xr_cbottle.bottle import facts

    bottle = bottle_of(options)
    say(one_line(f"{bottle.manifest.name}: {bottle.manifest.licence}"), error=True)
    out = _pinned_path(options, bottle) if options.pin else None
    progress = not options.quiet
    bottles.fetch(bottle, progress, superres=not options.no_superres, again=options.again)
    if out is not None:
        from xr_cbottle.bottle.archive import replacing

        manifest = bottles.pinned(bottle_of(options), progress)
        with replacing(out) as temporary:
            temporary.write_text(manifest.to_json(), encoding="utf-8")
        say(f"{out}: the manifest with the sizes and digests of {len(manifest.files)} files")
    without = " but those of super-resolution" if options.no_superres and bottle.manifest.superres else ""
    say(f"{bottle.manifest.name}: all its files{without} are here, {facts.size(bottle.nbytes or bottle.size)}")


def _pinned_path(options: argparse.Namespace, bottle: Bottle) -> Path:
    """Where ``--pin`` writes; refused before anything is fetched if that cannot be."""
    if options.no_superres:
        raise ValueError("--pin needs every file: leave --no-superres out")
    beside = [spec.location for spec in bottle.manifest.files if "://" not in spec.location]
    if beside:
        raise ValueError(
            f"{bottle.manifest.name} holds {beside[0]} itself: --pin is for bottles whose files are all URLs"
        )
    out = Path(options.output or f"{bottle.manifest.name}-pinned.cbottle")
    if out.exists():
        raise ValueError(f"{out} is there already: remove it, or give another name with --output")
    return out


def pack(options: argparse.Namespace) -> None:
    from xr_cbottle.bottle import facts
    from xr_cbottle.bottle.bottle import open_bottle
    from xr_cbottle.bottle.repacking import STATIC, repack, with_networks, with_static

    steps = step_counts(options.choose_levels) if options.choose_levels is not None else ()
    changed = {name: getattr(options, name) for name in ("solver", "num_steps") if getattr(options, name) is not None}
    with tempfile.TemporaryDirectory() as folder:
        bottle = _to_pack(options, Path(folder, "draft.cbottle"))
        sampler = bottle.manifest.sampler.replaced(**changed)
        if steps:
            from xr_cbottle.training.level_choice import choose_levels

            choices = choose_levels(bottle, sampler, steps)
            sampler = sampler.offering([choice.sigmas for choice in choices])
            for choice in choices:
                say(choice)
        manifest, files = _with_parts(bottle.manifest, options)
        if options.networks_of is not None:
            manifest, networks = with_networks(manifest, open_bottle(options.networks_of), Path(folder))
            files |= networks
        if options.static:
            manifest, files[STATIC] = with_static(manifest, options.static, Path(folder))
        repack(options.out, bottle, dataclasses.replace(manifest, sampler=sampler), files)
    say(facts.text(facts.facts(open_bottle(options.out))))


def _with_parts(manifest: Manifest, options: argparse.Namespace) -> tuple[Manifest, dict[str, Path]]:
    """The manifest with what the command line adds to a bottle or replaces, and its files by their locations."""
    from xr_cbottle.bottle.records import ConditionSpec

    changed: dict[str, Any] = {}
    files: dict[str, Path] = {}
    for name in ("sst", "climatology", "coherence") if options.bottle is not None else ():
        if (file := getattr(options, name)) is not None:
            known = getattr(manifest, name)
            location = f"{name}.nc"
            changed[name] = ConditionSpec(location, variable=None if known is None else known.variable)
            files[location] = file
    if options.figures is not None:
        from xr_cbottle.training.figures import condensed

        changed["trained_on"] = {**manifest.trained_on, **condensed(json.loads(options.figures.read_text()))}
    return dataclasses.replace(manifest, **changed), files


def _to_pack(options: argparse.Namespace, draft: Path) -> Bottle:
    """The bottle that ``pack`` packs: another one, or a draft made of a manifest and its files."""
    from xr_cbottle.bottle.bottle import open_bottle
    from xr_cbottle.bottle.manifest import Manifest
    from xr_cbottle.bottle.packing import pack

    if options.bottle is not None:
        if options.manifest is not None or options.part:
            raise ValueError("--from has a manifest and networks of its own: leave --manifest and --part out")
        return open_bottle(options.bottle)
    for name in ("coherence", "networks_of"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} is added to a bottle that is there: give --from BOTTLE")
    if options.manifest is None or not options.part:
        raise ValueError("pack makes a bottle of --manifest and --part, or of --from BOTTLE: give one of the two")
    manifest = Manifest.from_json(options.manifest.read_text())
    return open_bottle(pack(draft, manifest, options.part, options.sst, options.climatology))
