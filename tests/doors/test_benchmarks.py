"""The command that makes the page of benchmarks."""

from __future__ import annotations

import pytest

from tests.benchmarks import __main__ as benchmarks


def test_a_page_is_its_parts_in_their_order():
    made = {name: f"{benchmarks.heading(name)}figures of {name}\n" for name in reversed(benchmarks.PARTS)}
    text = benchmarks.page(made)
    assert benchmarks.sections(text) == made
    assert list(benchmarks.sections(text)) == list(benchmarks.PARTS)
    del made["open"]
    assert "open" not in benchmarks.sections(benchmarks.page(made))


@pytest.mark.long
def test_a_part_is_made_again_and_the_others_stay(tmp_path):
    out = tmp_path / "benchmarks.md"
    before = {name: f"{benchmarks.heading(name)}figures of {name}\n" for name in benchmarks.PARTS}
    out.write_text(benchmarks.page(before))
    benchmarks.main(["open", "--short", "--out", str(out)])
    after = benchmarks.sections(out.read_text())
    assert [name for name in before if before[name] != after[name]] == ["open"]
    assert "tests.benchmarks.bench_open 1`" in after["open"]


def test_a_part_that_is_not_there_is_said(capsys):
    with pytest.raises(SystemExit):
        benchmarks.main(["nothing"])
    assert "nothing is no part: choose among network, reads" in capsys.readouterr().err
