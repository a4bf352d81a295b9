"""Other environments that the tests need, made once with pip and kept in ``.environments/``.

Each is a list of exact versions in ``tests/clients/``. Whoever changes a list gets a new environment. Where the
package registry cannot be reached, the test is skipped, and says so.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from tests.pages import UNREACHABLE

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".environments"
LISTS = Path(__file__).resolve().parent / "clients"


@dataclass(frozen=True)
class Environment:
    """A python with its packages.

    Attributes
    ----------
    executable
        The interpreter.
    path
        ``PYTHONPATH``; empty for a machine on which there is nothing of this repository.
    """

    executable: str
    path: tuple[str, ...] = ()

    def python(self, code_or_path: str | Path, *args: object, timeout: float = 600) -> str:
        """Run python.

        Parameters
        ----------
        code_or_path
            Text of a program, or a `Path` to one.
        *args
            Its arguments.
        timeout
            Seconds.

        Returns
        -------
        What it printed.

        Raises
        ------
        RuntimeError
            With all that it said, if it failed.
        """
        program = [str(code_or_path)] if isinstance(code_or_path, Path) else ["-c", code_or_path]
        variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        variables |= {"PYTHONPATH": os.pathsep.join(self.path), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [self.executable, *program, *map(str, args)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=variables,
            cwd=ROOT if self.path else FOLDER,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(program)[:200]} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")
        return done.stdout


def client() -> Environment:
    """Another machine: zarr 2, intake 0.7, neither xr_cbottle nor torch."""
    folder = _made("zarr2", _new_python)
    return Environment(str(_interpreter(folder)))


def old_intake() -> Environment:
    """The environment of the tests with intake 0.7 and intake-xarray 0.7 instead of 2."""
    return Environment(sys.executable, (str(_made("intake07", _overlay)), str(ROOT)))


def new_intake() -> Environment:
    """The environment of the tests with intake 2 and intake-xarray 2, whether these are in it or not."""
    return Environment(sys.executable, (str(_made("intake2", _overlay)), str(ROOT)))


def old_intake_xarray() -> Environment:
    """The environment of the tests with intake 2 and intake-xarray 0.7."""
    return Environment(sys.executable, (str(_made("intake_xarray07", _overlay)), str(ROOT)))


def _made(name: str, make: Callable[[Path, Path], None]) -> Path:
    """The folder of an environment, made by whoever comes first."""
    packages = LISTS / f"{name}.txt"
    digest = hashlib.sha256(packages.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = FOLDER / f"{name}-{digest}"
    finished = folder / "finished"
    FOLDER.mkdir(exist_ok=True)
    with FileLock(FOLDER / f"{name}.lock"):
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder, packages)
            finished.touch()
    return folder


def _overlay(folder: Path, packages: Path) -> None:
    _pip("--target", folder, "--requirement", packages)


def _new_python(folder: Path, packages: Path) -> None:
    venv.create(folder, with_pip=False)
    _pip("--requirement", packages, python=_interpreter(folder))


def _interpreter(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _pip(*arguments: object, python: Path | None = None) -> None:
    command = [sys.executable, "-m", "pip", *(["--python", str(python)] if python else [])]
    command += ["install", "--quiet", "--no-deps", "--no-compile", "--disable-pip-version-check", "--retries=1"]
    done = subprocess.run([*command, "--timeout=20", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        if any(sign in done.stderr for sign in UNREACHABLE):
            pytest.skip(f"the package registry cannot be reached: {done.stderr.strip().splitlines()[-1]}")
        raise RuntimeError(f"pip {' '.join(map(str, arguments))} failed:\n{done.stdout}\n{done.stderr}")
