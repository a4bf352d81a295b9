"""Timing on a machine that does other things too: seconds of the processor, of all threads, and a table."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Timing(NamedTuple):
    """Seconds that the processor took for each of several runs."""

    seconds: tuple[float, ...]

    @property
    def least(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def timed(run: Callable[[], object], repeats: int) -> Timing:
    """Run something several times."""
    seconds = []
    for _ in range(repeats):
        begin = time.process_time()
        run()
        seconds.append(time.process_time() - begin)
    return Timing(tuple(seconds))


def alternating(runs: Sequence[Callable[[], object]], repeats: int) -> list[Timing]:
    """Run several things by turns, so that what else the machine does touches them alike."""
    rounds = [[timed(run, 1).seconds[0] for run in runs] for _ in range(repeats)]
    return [Timing(tuple(column)) for column in zip(*rounds, strict=True)]


def matmul_rate(size: int = 2048, repeats: int = 5) -> float:
    """The machine's float32 matmul rate now, in FLOP for each second of the processor."""
    import torch

    a, b = torch.randn(size, size), torch.randn(size, size)
    torch.mm(a, b)
    return 2 * size**3 / timed(lambda: torch.mm(a, b), repeats).least


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns aligned."""
    text = [[str(cell) for cell in row] for row in [heads, *rows]]
    widths = [max(len(row[i]) for row in text) for i in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in text
    )
