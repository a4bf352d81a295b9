"""Options and fixtures that several test modules share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reference",
        default=str(Path(__file__).parent / "reference"),
        help="folder of fixtures recorded from NVlabs/cBottle",
    )
    parser.addoption("--long", action="store_true", help="also run the tests that are marked long")
    parser.addoption("--kills", type=int, default=2, help="how often test_kills kills each command")
    parser.addoption("--reads", type=int, default=60, help="random reads that test_random_reads makes")


def pytest_configure(config: pytest.Config) -> None:
    # The order is the one below; xdist's own begins with the files that have most tests, which are short ones.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skipped = set()
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes long: --long runs it"))
                skipped.add(item)
    if hasattr(config, "workerinput"):  # several processes: the last one would be waited for, if a slow file came last
        slow = {item.path for item in items if item.get_closest_marker("slow") and item not in skipped}
        items.sort(key=lambda item: item.path not in slow)


# These machines are shared: how long an example takes says nothing about the code.
settings.register_profile("default", deadline=None)
settings.load_profile("default")


@pytest.fixture
def unfilled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave places of a batch empty, where a test counts what is touched; `test_read_path` is about those places."""
    from xr_cbottle.cube.read_path import ReadPath

    monkeypatch.setattr(ReadPath, "following", lambda self, pairs: [])
