"""The README's examples: the Python runs and draws what its comments say, the commands are commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from xr_cbottle import cli
from xr_cbottle.bottle import location
from xr_cbottle.cube import keywords
from xr_cbottle.draw.emulator import Emulator
from xr_cbottle.evaluation import evaluate_command as evaluation

README = Path(__file__).parents[2] / "README.md"
pytestmark = [
    pytest.mark.skipif(not README.is_file(), reason="only in a checkout"),
    pytest.mark.skipif("gcm" not in location.bundled(), reason="the bottle gcm is not here"),
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def test_python_runs_and_draws_what_it_says(tmp_path, monkeypatch):
    drawn = []

    def draw_instants(self, instants):
        drawn.extend(instants)
        return np.full((len(instants), len(self.channels), 12 * 4**self.zoom), 280.0, np.float32)

    monkeypatch.setattr(Emulator, "draw_instants", draw_instants)
    monkeypatch.chdir(tmp_path)
    counts, scope = [], {}
    for line in blocks("python")[0].splitlines():
        before = len(drawn)
        exec(line, scope)
        if line:
            counts.append(len(drawn) - before)
    # Of the 24 instants of rain, one is there already; the store is of three members.
    assert counts == [0, 0, 1, 23, 120, 0]
    assert len(set(drawn)) == len(drawn)


def test_the_catalog_opens_as_it_says():
    scope = {}
    exec(blocks("python")[1], scope)
    assert dict(scope["ds"].sizes) == {"member": 4, "time": 102272, "pressure": 3, "cell": 768}
    assert scope["ds"].attrs["seed"] == 7
    steps = scope["cat"]["gcm"](chunks={}, num_steps=9).to_dask()
    assert (steps.attrs["num_steps"], steps.tas.chunks[1]) == (9, (3072,))


def test_commands_are_commands():
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("xr-cbottle ")]
    assert len(commands) >= 5
    for command in commands:
        if command[0] == "evaluate":
            evaluation.parser().parse_args(command[1:])
        elif command[0] != "train":
            cli._parser().parse_args(command)


def test_the_two_commands_of_a_newcomer():
    first, second = (block.strip() for block in blocks("sh")[:2])
    assert first.endswith("xr-cbottle demo")
    assert second == "./.ci/test"
    assert second in (README.parent / ".ci" / "run").read_text()


def test_pictures_are_there_and_small():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README.read_text()):
        assert (README.parent / path).stat().st_size < 200_000


def test_links_into_the_repository_lead_somewhere():
    prose = re.sub(r"```.*?```|`[^`\n]*`(?!\])", "", README.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(((?!https?:)[^)#]+)\)", prose)
    assert "examples/notebooks" in targets
    for target in targets:
        assert (README.parent / target).exists(), target


def test_the_table_of_keywords_is_that_of_the_code():
    """``python -c "from xr_cbottle.cube.keywords import table; print(table())"`` makes it."""
    assert keywords.table() in README.read_text()
