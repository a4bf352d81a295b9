"""The README: its Python draws what the comments say, its commands are commands, its pictures and links are there."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest

from xr_cbottle import cli
from xr_cbottle.bottle import location
from xr_cbottle.draw.emulator import Emulator
from xr_cbottle.evaluation import evaluate_command as evaluation

README = Path(__file__).parents[2] / "README.md"
pytestmark = [
    pytest.mark.skipif(not README.is_file(), reason="only in a checkout"),
    pytest.mark.skipif("gcm" not in location.bundled(), reason="the bottle gcm is not here"),
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.usefixtures("unfilled")
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
    # The map is of what was read; of the 24 instants of rain, one is there already; the store is of three members.
    assert counts == [0, 0, 0, 1, 0, 23, 24, 0, 0]
    assert len(set(drawn)) == len(drawn)


def test_commands_are_commands():
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("xr-cbottle ")]
    assert len(commands) >= 4
    for command in commands:
        if command[0] == "evaluate":
            evaluation.parser().parse_args(command[1:])
        elif command[0] != "train":
            cli.parser().parse_args(command)


def test_the_two_commands_of_a_newcomer():
    """The first makes an environment, the second installs from the checkout and draws; the last is CI's."""
    first, second = blocks("sh")[0].strip().splitlines()
    assert first.startswith("python3 -m venv .venv && . .venv/bin/activate && pip install")
    assert second.startswith("pip install -q -c constraints.txt '.[")
    assert second.endswith("xr-cbottle demo")
    extras = re.search(r"\.\[(.*?)\]", second)[1].split(",")
    assert set(extras) <= set(
        tomllib.loads((README.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    )
    last = blocks("sh")[-1].strip()
    assert last == "./.ci/test"
    assert last in (README.parent / ".ci" / "run").read_text()


def test_it_can_be_read_in_a_minute():
    assert len(README.read_text().splitlines()) < 120


def test_pictures_are_there_and_small():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README.read_text()):
        assert (README.parent / path).stat().st_size < 200_000


def test_links_into_the_repository_lead_somewhere():
    prose = re.sub(r"```.*?```|`[^`\n]*`(?!\])", "", README.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(((?!https?:)[^)#]+)\)", prose)
    assert "examples/notebooks/README.md" in targets
    for target in targets:
        assert (README.parent / target).exists(), target
