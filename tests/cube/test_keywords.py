"""Keywords: one record each, from which signatures, help, catalogs and the command line are made."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path

import pytest

import xr_cbottle
from tests.bottles import synthetic_bottle
from xr_cbottle.backend import CbottleBackendEntrypoint
from xr_cbottle.cli import parser
from xr_cbottle.cube.keywords import KEYWORDS, Keywords, checked, from_text, table
from xr_cbottle.cube.reading import Reading
from xr_cbottle.serve.http.settings import OF_DATA, Settings


@pytest.fixture(scope="module")
def bottle(tmp_path_factory):
    return synthetic_bottle(tmp_path_factory.mktemp("keywords") / "b.cbottle", 2, ("tas",))


def test_the_page_of_keywords_has_the_table_of_the_code():
    """``python -c "from xr_cbottle.cube.keywords import table; print(table())"`` makes it."""
    assert f"\n{table()}\n" in (Path(__file__).parents[2] / "docs" / "keywords.md").read_text()


def test_every_keyword_has_a_record_and_a_type():
    assert tuple(typing.get_type_hints(Keywords)) == tuple(KEYWORDS)
    for keyword in KEYWORDS.values():
        assert keyword.about.endswith(".")
        assert keyword.usual
        assert keyword.group in ("data set", "sampler", "machine", "reading")


@pytest.mark.parametrize(
    "function", [xr_cbottle.Cube.__init__, CbottleBackendEntrypoint.open_dataset, xr_cbottle.downscale]
)
def test_signatures_and_help_show_every_keyword(function):
    parameters = inspect.signature(function).parameters
    takes_all = function is not xr_cbottle.downscale
    names = [name for name, keyword in KEYWORDS.items() if takes_all or keyword.downscale]
    assert set(names) <= set(parameters)
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name in names:
        assert parameters[name].default == KEYWORDS[name].default
        assert parameters[name].annotation is not inspect.Parameter.empty
    doc = inspect.getdoc(xr_cbottle.Cube if function is xr_cbottle.Cube.__init__ else function)
    assert all(f"\n{name}\n" in doc for name in names)
    assert "{keywords}" not in doc


def test_the_engine_takes_what_the_cube_takes():
    assert set(KEYWORDS) <= set(CbottleBackendEntrypoint.open_dataset_parameters)


def test_the_command_line_has_an_option_for_every_keyword_that_it_takes():
    commands = parser()._subparsers._group_actions[0].choices
    options = {action.dest for action in commands["sample"]._actions}
    assert {name for name, keyword in KEYWORDS.items() if keyword.metavar} - options == {"cache_size"}
    assert set(OF_DATA) <= {action.dest for action in commands["serve"]._actions}


def test_reading_changes_no_values():
    reading = {name for name, keyword in KEYWORDS.items() if keyword.group == "reading"}
    assert set(Reading.__dataclass_fields__) == reading - {"weights"}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("zoom", "3", 3), ("zoom", 3.0, 3), ("zoom", "", None), ("seed", " 7 ", 7), ("members", "0", None),
        ("members", "4", 4), ("members", "0,2,5", [0, 2, 5]), ("members", "[1, 3]", [1, 3]), ("label", "era5", "era5"),
        ("sigma_max", "80", 80.0), ("progress", "true", True), ("time", "PT6H", "PT6H"),
        ("sigmas", "80, 2,0.5", [80.0, 2.0, 0.5]), ("sigmas", "[9,1]", [9.0, 1.0]),
        ("time", "1990-01-01/1990-02-01/PT6H", slice("1990-01-01", "1990-02-01", "PT6H")),
        ("time", "1990-01-01,1990-02-01", ["1990-01-01", "1990-02-01"]), ("unknown", "x", "x"),
    ],
)  # fmt: skip
def test_text_is_read_exactly(name, text, value):
    assert from_text(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("zoom", "1.5", "zoom is '1.5': it must be an integer"), ("zoom", 1.5, "zoom is 1.5: it must be an integer"),
        ("seed", "9" * 5000, "it must be an integer"), ("sigma_min", "low", "it must be a positive number"),
        ("sigmas", "80;2", "give noise levels with commas, such as 80,20,4,0.5"),
        ("members", "few", "such as 0,2,5"), ("members", ",", "such as 0,2,5"), ("members", "(" * 900, "such as 0,2,5"),
        ("time", "a//b", "write START/END"), ("progress", "maybe", "choose True, False"),
    ],
)  # fmt: skip
def test_text_that_is_nothing_of_the_kind(name, text, says):
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        from_text(name, text)


def test_what_is_not_known_or_not_taken(bottle):
    with pytest.raises(TypeError, match="unknown keyword tim: a data set takes zoom, time"):
        xr_cbottle.Cube(bottle, tim="P1D")
    with pytest.raises(TypeError, match="unknown keyword cache_dir: downscale takes"):
        xr_cbottle.downscale(None, bottle, cache_dir="here")
    with pytest.raises(TypeError, match="unknown keyword zoom: a server takes"):
        Settings(data={"zoom": 3})
    with pytest.raises(ValueError, match="num_steps is 1"):
        Settings(data={"num_steps": 1})


def test_checked_fills_in_what_is_not_given():
    values = checked({"seed": 5, "members": 2}, "a data set")
    assert tuple(values) == tuple(KEYWORDS)
    assert (values["seed"], values["members"], values["zoom"], values["sr_mode"]) == (5, (0, 1), None, "tiles")
