"""Run the example notebooks and write them back in one form.

    python -m tests.execute_notebooks [NAME ...] [--check]

A NAME is the beginning of a notebook's, such as 03. The notebooks are run as they are, with their own settings, in
their own folder, and with the interpreter that runs this. What is written has pictures of few colours and nothing of
the machine or the moment: kernel, times, folders and widgets are taken out. With ``--check`` nothing is run or
written: it says what is wrong with the notebooks as they lie there.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import papermill

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "notebooks"
KERNEL = "xr-cbottle-example"
LIMITS = {"picture": 64_000, "film": 100_000, "notebook": 300_000, "all": 2_000_000}  # bytes
_SHOWN_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_ABSOLUTE = re.compile(r"""(?<![\w.:/~])/(?:root|home|Users|work|tmp|usr|opt|var|private)/[^\s"']*""")


def notebooks(names: Sequence[str] = ()) -> list[Path]:
    """The notebooks whose names begin so; all of them if no name is given."""
    found = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
    return [path for path in found if not names or path.name.startswith(tuple(names))]


@contextmanager
def kernel(name: str = KERNEL, **environment: str) -> Iterator[str]:
    """Name of a kernel that is this interpreter, whatever is installed on the machine.

    One thread of numerics: several notebooks, workers and a server share a machine.

    Parameters
    ----------
    name
        What it is called; two at the same time have two names.
    **environment
        Variables that it has beside those of this process.
    """
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory() as folder:
        spec = {
            "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "Python 3",
            "language": "python",
            "env": {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "MPLBACKEND": "", **environment},
        }
        place = Path(folder, "kernels", name)
        place.mkdir(parents=True)
        (place / "kernel.json").write_text(json.dumps(spec))
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (folder, before)))
        try:
            yield name
        finally:
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before


def execute(
    path: Path,
    folder: Path,
    kernel_name: str,
    parameters: Mapping[str, Any] | None = None,
    before: str = "",
    after: str = "",
) -> nbformat.NotebookNode:
    """Run a notebook.

    Parameters
    ----------
    path
        The notebook, which stays as it is.
    folder
        To run it in.
    kernel_name
        What `kernel` gave.
    parameters
        Settings in place of those of its cell ``parameters``.
    before, after
        Code to run as a first and as a last cell.

    Returns
    -------
    The notebook with outputs, and with the cells that were added.

    Raises
    ------
    papermill.PapermillExecutionError
        If a cell fails.
    """
    notebook = nbformat.read(path, 4)
    if before:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(before))
    if after:
        notebook.cells.append(nbformat.v4.new_code_cell(after))
    with tempfile.TemporaryDirectory() as scratch:
        given, made = Path(scratch, "given.ipynb"), Path(scratch, "made.ipynb")
        nbformat.write(notebook, given)
        papermill.execute_notebook(
            str(given), str(made), dict(parameters or {}), kernel_name=kernel_name, cwd=str(folder), progress_bar=False
        )
        return nbformat.read(made, 4)


def normalised(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without anything of the machine or the moment, its pictures in few colours."""
    cells = []
    for number, cell in enumerate(notebook.cells):
        kept = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        if cell.cell_type == "code":
            outputs = [made for made in map(_output, _joined(cell.outputs)) if made is not None]
            cell = nbformat.v4.new_code_cell(cell.source, outputs=outputs, execution_count=cell.execution_count)
        else:
            cell = nbformat.v4.new_markdown_cell(cell.source)
        cell.id, cell.metadata = f"cell-{number:02d}", nbformat.from_dict(kept)
        cells.append(cell)
    made = nbformat.v4.new_notebook(cells=cells, metadata=nbformat.from_dict(_SHOWN_METADATA))
    nbformat.validate(made)
    return made


def pictures(notebook: nbformat.NotebookNode) -> list[bytes]:
    """The PNG and GIF pictures that a notebook shows, in order."""
    return [
        base64.b64decode(output.data[kind])
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        for kind in ("image/png", "image/gif")
        if kind in output.get("data", {})
    ]


def faults(path: Path) -> list[str]:
    """What is wrong with a notebook as it lies there, a sentence each."""
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]
    found = []
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("it was not run from top to bottom")
    if any(output.output_type == "error" for output in outputs):
        found.append("a cell failed")
    if any(output.get("name") == "stderr" for output in outputs):
        found.append("a cell wrote to stderr, such as a warning")
    if paths := sorted(set(_ABSOLUTE.findall(text))):
        found.append(f"it names folders of a machine: {', '.join(paths)}")
    if notebook.metadata != _SHOWN_METADATA:
        found.append("its metadata are not in the common form")
    kinds = [(picture, "film" if picture.startswith(b"GIF") else "picture") for picture in pictures(notebook)]
    shown = [(len(picture), LIMITS[kind]) for picture, kind in kinds]
    if big := [f"{size} bytes of {limit}" for size, limit in shown if size > limit]:
        found.append(f"pictures are too large: {', '.join(big)}")
    if len(text) > LIMITS["notebook"]:
        found.append(f"it has {len(text)} bytes, more than {LIMITS['notebook']}")
    return found


def _joined(outputs: Sequence[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Outputs with neighbouring pieces of one stream made one: how a stream is cut depends on the moment."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last is not None and output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def _output(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    data = output.get("data")
    if data is None:
        return output
    if "application/vnd.jupyter.widget-view+json" in data:
        return None
    if "text/plain" in data and "xarray" in str(data["text/plain"]):
        data.pop("text/html", None)  # of random names, and ten times as long
    for kind in ("image/png", "image/gif"):
        if kind in data:
            data.pop("text/plain", None)
    if "image/png" in data:
        data["image/png"] = base64.b64encode(_small(base64.b64decode(data["image/png"]))).decode()
    output.metadata = nbformat.NotebookNode()
    return output


def _small(png: bytes) -> bytes:
    from PIL import Image

    image = Image.open(io.BytesIO(png))
    if image.mode == "P":  # it was here before
        return png
    # Median cut, the default, would give most colours to the largest map and mix those of the others.
    image = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=4)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue() if out.tell() < len(png) else png


def main(arguments: Sequence[str] | None = None) -> int:
    """Run notebooks, or check them; 1 if something is wrong with one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--check", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    found = notebooks(options.names)
    if not found:
        parser.error(f"{FOLDER} has no notebook that begins with {' or '.join(options.names)}")
    if not options.check:
        with kernel() as kernel_name:
            for path in found:
                began = time.perf_counter()
                nbformat.write(normalised(execute(path, FOLDER, kernel_name)), path)
                print(f"{path.name}: {time.perf_counter() - began:.0f} s")
    wrong = False
    for path in found:
        problems = faults(path)
        wrong = wrong or bool(problems)
        print(f"{path.name}: {path.stat().st_size // 1000} kB", *problems, sep="\n  ")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
