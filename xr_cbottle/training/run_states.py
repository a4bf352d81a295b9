"""States of a run on the disk: the last one, those that are kept by their images, and those that were best."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from xr_cbottle.training.validations import BEST, is_best

LAST, KEPT = "state.pt", "kept"
_ALWAYS = {"net", "average", "images", "seconds", "model"}
"""What every state has."""


class RunStates:
    """States in the folder of a run, each written beside its place and then put into it: whole or not there.

    Parameters
    ----------
    folder
        Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, at: int | str | None = None) -> Path:
        """The file of the last state, or of one that was kept: by its images, or as ``best`` or ``best-LOW-HIGH``."""
        return self.folder / LAST if at is None else self.folder / KEPT / f"{at}.pt"

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the last state."""
        partial = self._partial(self.file())
        torch.save(dict(state), partial)
        os.replace(partial, self.file())

    def keep(self, images: int) -> None:
        """Keep the last state beside those that follow."""
        kept = self.file(images)
        kept.parent.mkdir(exist_ok=True)
        partial = self._partial(kept)
        shutil.copyfile(self.file(), partial)
        os.replace(partial, kept)

    def keep_best(self, state: Mapping[str, Any], names: Sequence[str]) -> None:
        """Keep a state under some names, once on the disk for all of them."""
        if not names:
            return
        whole = self.folder / KEPT / f"{BEST}.partial"
        whole.parent.mkdir(exist_ok=True)
        # Of a process that was killed below it may be another name of a state that is kept, which must stay as it is.
        whole.unlink(missing_ok=True)
        torch.save(dict(state), whole)
        for name in names:
            link = self._partial(self.file(name))
            link.unlink(missing_ok=True)
            _link(whole, link)
            os.replace(link, self.file(name))
        whole.unlink()

    @staticmethod
    def _partial(file: Path) -> Path:
        return file.with_name(file.name + ".partial")


def read_state(file: Path, device: torch.device | str = "cpu", *, mapped: bool = False) -> dict[str, Any]:
    """State of a run from its file, its tensors on a device, or for a look at them mapped from the disk.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is damaged, or no state of a run.
    """
    try:
        state = torch.load(file, weights_only=True, map_location=device, mmap=mapped)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, EOFError, LookupError, TypeError, pickle.UnpicklingError, zipfile.BadZipFile):
        state = None
    if not isinstance(state, dict) or not set(state) >= _ALWAYS:
        raise ValueError(
            f"{file} is damaged, or no state of a run: go on from one that was kept ({file.parent / KEPT}), or give "
            "another folder"
        )
    return state


def has_not(file: Path) -> str:
    """Words for a state that was not kept, with those that were."""
    names = [path.stem for path in file.parent.glob("*.pt")]
    images = sorted(int(name) for name in names if name.isdigit()) or "none: train with keep_images"
    best = ", ".join(sorted(name for name in names if is_best(name))) or "none: train with keep_best"
    if is_best(file.stem):
        return f"has no state {file.stem}; it has {best}"
    return f"has no state of {file.stem} images; it has {images}"


def _link(file: Path, link: Path) -> None:
    """A second name of a file, or a copy where the file system knows no such thing."""
    try:
        os.link(file, link)
    except OSError:
        shutil.copyfile(file, link)
