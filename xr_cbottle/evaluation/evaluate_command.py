"""Command line of an evaluation."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xr_cbottle.bottle.sampler import SOLVERS
from xr_cbottle.cube import checks

_DESCRIPTION = """\
Hold a bottle against the simulation that it imitates, and write a report: index.html, one page with a table of
figures, targets and verdicts and with pictures, and figures.json with the same figures for programs.

The reference should be held-out time: years that the bottle was not trained on. The bottle is drawn at instants of
the reference, evenly over its days and its hours of the day, and compared with it there. Drawn instants are kept; the
same command draws nothing again, and goes on where it was interrupted.

Beside every figure stands that of a null bottle: climatology plus noise, without a network and a sea. What it meets too
is no test and does not count. Bounds are stricter than they were first set (both are shown), so that something of half
the quality fails them. Runs of the simulation under another sea or CO2 (--climate) are held against the bottle that is
asked for the same; their files say what they are by the attributes run, sst_offset, sst_pattern, co2_ppmv, sst_forcing.

Instead of a bottle, stored HEALPix data (a netCDF file, a pattern in quotes, a zarr store) are held against others."""

_EXAMPLES = """\
examples:
  xr-cbottle evaluate jcm sim/jcm_1990.nc -o report
  xr-cbottle evaluate jcm sim/jcm_1990.nc sim/jcm_1991.nc --more 'sim/jcm_198?.nc' -o report
  xr-cbottle evaluate gcm --reference jcm='sim/jcm_199[01].nc' --reference plasim=sim/plasim_1990.nc \\
      --more jcm='sim/jcm_198?.nc' --more plasim='sim/plasim_198?.nc' -o report
  xr-cbottle evaluate gcm --reference jcm=sim/jcm_1990.nc --climate jcm=sim/jcm_1990_plus4K.nc \\
      --climate jcm='sim/jcm_*_rising.nc' -o report
  xr-cbottle evaluate 'run1/*.nc' 'run2/*.nc' -o report
"""
_LABELLED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)", re.DOTALL)
_GIVEN = ("instants", "reference_instants", "monthly", "climate", "zoom", "name", "drawn", "copies")
_KEYWORDS = (
    "num_steps", "sigma_min", "sigma_max", "sigmas", "solver", "seed", "precision", "device", "batch_size", "weights",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate, and print where the report is and how many targets are met."""
    options = parser().parse_args(arguments)
    from xr_cbottle.evaluation import report

    references = _references(options)
    others = _others(options.more, list(references))
    keywords = {name: getattr(options, name) for name in _KEYWORDS if getattr(options, name) is not None}
    climates = _others(options.climates, list(references), "--climate")
    given = {name: getattr(options, name) for name in _GIVEN}
    settings = report.EvaluationSettings(
        **{name: value for name, value in given.items() if value is not None}, keywords=keywords,
        progress=False if options.quiet else None,
    )  # fmt: skip
    made = report.evaluate(
        options.bottle, references, options.output, others=others, climates=climates, settings=settings
    )
    from xr_cbottle.evaluation.document import summary

    print(f"{made.page}: {summary(made.rows)}")
    return 0


def parser() -> argparse.ArgumentParser:
    """Parser of ``xr-cbottle evaluate``."""
    made = argparse.ArgumentParser(
        prog="xr-cbottle evaluate", description=_DESCRIPTION, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    made.add_argument("bottle", metavar="BOTTLE", help="path, URL or name of a bottle; or stored data")
    made.add_argument(
        "reference", nargs="*", metavar="REFERENCE",
        help="held-out data of one label: netCDF files, patterns, or a zarr store, at the bottle's zoom or a finer one",
    )  # fmt: skip
    made.add_argument(
        "-o", "--output", default="report", type=Path, metavar="FOLDER", help="of the report [%(default)s]"
    )
    labels = made.add_argument_group("labels and years")
    labels.add_argument("--label", help="of the bottle, for REFERENCE [the bottle's default]")
    labels.add_argument(
        "--reference", dest="labelled", nargs="+", action="append", default=[], metavar="LABEL=FILE",
        help="the reference of one label, instead of REFERENCE; repeat for others, which are then compared too",
    )  # fmt: skip
    labels.add_argument(
        "--more", nargs="+", action="append", default=[], metavar="[LABEL=]FILE",
        help="other years of the same simulation, which the bottle may know: for the noise floor (what the simulation "
        "shows between two of its years) and for the response to Nino 3.4, which takes several years",
    )  # fmt: skip
    labels.add_argument(
        "--climate", dest="climates", nargs="+", action="append", default=[], metavar="[LABEL=]FILE",
        help="runs of the same simulation under another sea or CO2, told apart by their attribute run; repeat for "
        "others. The run under the observed sea at the same dates must be in the reference or the other years, but for "
        "trends",
    )  # fmt: skip
    much = made.add_argument_group("how much is compared")
    much.add_argument("--instants", type=int, metavar="N", help="to draw of each label [180]")
    much.add_argument(
        "--reference-instants", type=int, metavar="N", help="to read of each reference [four times as many]"
    )
    much.add_argument(
        "--monthly", type=int, metavar="N", help="instants of each month of the other years, for Nino 3.4; 0: none [2]"
    )
    much.add_argument(
        "--climate-instants", dest="climate", type=int, metavar="N", help="to draw of each run of --climate [32]"
    )
    much.add_argument("--copies", type=int, metavar="N", help="resampled, for sampling errors [100]")
    much.add_argument("--zoom", type=int, metavar="Z", help="HEALPix level of the comparison [the bottle's]")
    much.add_argument("--name", help="of the bottle in the report [its own]")
    much.add_argument("--drawn", type=Path, metavar="FOLDER", help="keep drawn instants there [FOLDER/drawn]")
    sampler = made.add_argument_group("the bottle's values")
    sampler.add_argument("--num-steps", type=int, metavar="N", help="of the sampler [the bottle's]")
    sampler.add_argument("--sigma-min", type=float, metavar="S", help="of the sampler [the bottle's]")
    sampler.add_argument("--sigma-max", type=float, metavar="S", help="of the sampler [the bottle's]")
    sampler.add_argument(
        "--sigmas", type=_sigmas, metavar="S,S,...", help="noise levels of the sampler, instead of the three above"
    )
    sampler.add_argument("--solver", help=f"of the sampler: {', '.join(SOLVERS)} [the bottle's]")
    sampler.add_argument("--seed", type=int, metavar="S", help="of all noise [0]")
    sampler.add_argument("--precision", help="float32, tf32, bfloat16 or float16 [float32]")
    sampler.add_argument("--device", help="cpu, cuda, cuda:1 [the GPU if there is one]")
    sampler.add_argument("--batch-size", type=int, metavar="N", help="instants drawn at once")
    sampler.add_argument("--weights", metavar="FOLDER", help="local copies of the bottle's files")
    made.add_argument("--quiet", action="store_true", help="no progress bars")
    return made


def _sigmas(text: str) -> tuple[float, ...]:
    try:
        return checks.levels("sigmas", checks.parse_levels("sigmas", text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _references(options: argparse.Namespace) -> dict[str, list[str]]:
    """{label: files}; the label "" is the bottle's default."""
    if options.labelled:
        if options.reference or options.label is not None:
            raise ValueError(
                "give either REFERENCE files of one label, with --label, or --reference LABEL=FILE for each label"
            )
        return _grouped(options.labelled, "--reference")
    if not options.reference:
        raise ValueError(
            "there is nothing to hold it against: give the files of a reference, or --reference LABEL=FILE for each "
            "label"
        )
    return {options.label or "": list(options.reference)}


def _others(given: list[list[str]], labels: list[str], option: str = "--more") -> dict[str, list[str]]:
    """{label: files} of an option, without a label if there is only one."""
    if not given:
        return {}
    if len(labels) == 1:
        found: dict[str, list[str]] = {}
        for name in (name for group in given for name in group):
            match = None if Path(name).exists() else _LABELLED.fullmatch(name)  # names of files may have a "=" too
            label, file = (match[1], match[2]) if match else (labels[0], name)
            found.setdefault(label, []).append(file)
        return found
    return _grouped(given, option)


def _grouped(given: list[list[str]], option: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for group in given:
        match: Any = _LABELLED.fullmatch(group[0])
        if match is None:
            raise ValueError(f"{option} {group[0]} does not say of which label: write {option} LABEL={group[0]}")
        label = match[1]
        for name in [match[2], *group[1:]]:
            match = _LABELLED.fullmatch(name)
            label, name = (match[1], match[2]) if match else (label, name)
            found.setdefault(label, []).append(name)
    return found
