"""What stands around the code: links of the documentation, the wheel, and facts that stand in two files."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

import xr_cbottle
from tests.benchmarks import same_values

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md"))
    if "node_modules" not in path.parts
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s[^)]*)?\)|(?:src|href)=\"([^\"]+)\"")
_CODE = re.compile(r"^(```|~~~).*?^\1|(?<!\[)`[^`\n]*`", re.M | re.S)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def anchor(heading: str) -> str:
    """Anchor of a heading, as GitHub makes it."""
    plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)).strip().lower()
    return plain.replace(" ", "-")


def broken(document: Path) -> list[str]:
    """Relative links of a document that lead nowhere."""
    text = _CODE.sub("", document.read_text(encoding="utf-8"))
    found = []
    for link in ("".join(match) for match in _LINK.findall(text)):
        if re.match(r"[a-z+]+:", link):  # elsewhere
            continue
        path, _, part = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists():
            found.append(link)
        elif part and target.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", _CODE.sub("", target.read_text(encoding="utf-8")), re.M)
            if part not in map(anchor, headings):
                found.append(link)
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_relative_links_lead_somewhere(name):
    assert broken(ROOT / name) == []


def test_a_broken_link_is_seen(tmp_path):
    (tmp_path / "there.md").write_text("# A house, drawn\n")
    (tmp_path / "a.md").write_text(
        "[a](there.md) [b](there.md#a-house-drawn) [c](there.md#a-hut) [d](gone.md) [e](https://x.org/gone)\n"
        '<img src="gone.png">\n```\n[f](code.md)\n```\n# Own\n[g](#own) [h](#other)\n'
    )
    assert broken(tmp_path / "a.md") == ["there.md#a-hut", "gone.md", "gone.png", "#other"]


def test_every_public_document_is_looked_at():
    assert {"README.md", "CONTRIBUTING.md", "examples/training/README.md"} <= set(DOCUMENTS)


def test_the_wheel_says_that_it_has_types_and_holds_the_bottles(tmp_path):
    pytest.importorskip("hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "xr_cbottle/py.typed" in names
    assert "Typing :: Typed" in PROJECT["project"]["classifiers"]
    for path in (*(ROOT / "checkpoints").glob("*.cbottle"), *(ROOT / "catalogs").glob("*.yaml")):
        assert f"xr_cbottle/{path.relative_to(ROOT).as_posix()}" in names
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "xr_cbottle").rglob("*.py")}
    assert modules <= set(names)
    assert not any("web/source" in name or "/tests/" in name for name in names)


def test_the_commit_hook_has_the_tested_version_of_ruff():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (revision,) = [repo["rev"] for repo in hooks if repo["repo"].endswith("ruff-pre-commit")]
    assert f"ruff=={revision.removeprefix('v')}\n" in (ROOT / "constraints.txt").read_text()


def test_the_citation_has_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == xr_cbottle.__version__
    assert citation["license"] == PROJECT["project"]["license"]


def test_the_recipe_of_conda_asks_for_the_same():
    recipe = yaml.safe_load((ROOT / ".github/conda/recipe.yaml").read_text())
    names = {"torch": "pytorch", "dask[array]": "dask-core", "netCDF4": "netcdf4"}
    asked = [re.fullmatch(r"([^<>=]+)(.*)", line).groups() for line in PROJECT["project"]["dependencies"]]
    wanted = {f"{names.get(name, name)} {bound}" for name, bound in asked}
    wanted.add(f"python {PROJECT['project']['requires-python']}")
    assert set(recipe["requirements"]["run"]) == wanted
    assert recipe["context"]["version"] == xr_cbottle.__version__
    assert recipe["about"]["summary"] == PROJECT["project"]["description"]


def test_every_python_that_is_declared_is_tried_as_a_release():
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    tested = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["versions"]
    assert jobs["try"]["strategy"]["matrix"]["python"] == tested["strategy"]["matrix"]["python"]
    assert (jobs["publish"]["needs"], jobs["try"]["needs"]) == ("try", "build")


def test_every_python_that_is_declared_is_tested():
    classifiers = PROJECT["project"]["classifiers"]
    declared = [
        line.rpartition(" ")[2] for line in classifiers if line.startswith("Programming Language :: Python :: 3.")
    ]
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert jobs["versions"]["strategy"]["matrix"]["python"] == declared
    assert PROJECT["project"]["requires-python"] == f">={declared[0]}"


def test_digests_of_values_say_what_differs():
    one, other = np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)
    other[1, 2] = np.nextafter(np.float32(0), np.float32(1))  # one bit
    before = {"same": same_values.digest(one), "bit": same_values.digest(one), "gone": same_values.digest(one)}
    after = {"same": same_values.digest(one.copy()), "bit": same_values.digest(other), "new": same_values.digest(one)}
    found = list(same_values.differences(before, after))
    assert [sentence.partition(":")[0] for sentence in found] == ["bit", "gone", "new"]
    assert same_values.digest(one) != same_values.digest(one.T)
