"""Figures of a run for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Board:
    """Writes the numbers of each line of the log as scalars, over images seen.

    Parameters
    ----------
    folder
        Where TensorBoard's event files go.
    images
        Images seen so far: what an interrupted run wrote beyond them is not shown.

    Raises
    ------
    ModuleNotFoundError
        If tensorboard is not installed.
    """

    def __init__(self, folder: Path, images: int = 0) -> None:
        self.check()
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=images + 1)

    @staticmethod
    def check() -> None:
        """Fail now, if it will fail later."""
        import tensorboard  # noqa: F401

    def write(self, images: int, values: Mapping[str, Any]) -> None:
        """Write a line of the log; a mapping in it becomes ``name/key``."""
        for name, value in values.items():
            for tag, number in value.items() if isinstance(value, dict) else [("", value)]:
                self._writer.add_scalar(f"{name}/{tag}" if tag else name, number, images)
        self._writer.flush()

    def write_maps(self, images: int, maps: Mapping[str, Any]) -> None:
        """Write (row, column) pictures of values from 0 to 1 by their names."""
        for name, values in maps.items():
            self._writer.add_image(name, values, images, dataformats="HW")
        self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()
