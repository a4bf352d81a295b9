"""The code of the documentation: the blocks of a page, and running them as a reader would, one after the other.

A block is ``sh``, ``python``, ``yaml`` or another language. All ``python`` of a page shares one scope, and all ``sh``
and ``python`` one folder. A ``yaml`` block that a sentence before it names (`` `mine/mine.yaml` is ``) is written to
that file. What cannot be run says why, in a comment right before it: ``<!-- not run: the weights are gigabytes -->``.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
RUN = ("sh", "python", "yaml")
#: Languages of blocks that are not run here; each with who else does.
OTHERS = {
    "": "a drawing",
    "text": "nothing to run",
    "json": "tests/bottle/test_manifest.py",
    "js": "tests/serve/test_tools.py",
    "julia": "no Julia is on these machines",
}
_BLOCK = re.compile(r"^(?P<reason><!-- not run: [^\n]*-->\n)?```(?P<language>\S*)\n(?P<text>.*?)^```$", re.M | re.S)
_FILE = re.compile(r"`([\w/.-]+\.ya?ml)` is [^`]*\Z")
_SERVER = "http://127.0.0.1:8000"
#: What pip says when there is nobody to ask.
UNREACHABLE = ("connection broken", "(from versions: none)", "Max retries exceeded", "Could not fetch URL")


@dataclass(frozen=True)
class Block:
    """One block of code: its language, its text, why it is not run, and the file that it is."""

    language: str
    text: str
    reason: str | None = None
    file: str | None = None


def blocks(page: Path) -> list[Block]:
    """The blocks of a page of Markdown, in order."""
    whole = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(whole):
        reason, before = match["reason"], whole[: match.start()]
        file = _FILE.search(before.rstrip())
        found.append(
            Block(
                match["language"],
                match["text"],
                reason and reason[len("<!-- not run: ") : -len(" -->\n")],
                file[1] if file and match["language"] == "yaml" else None,
            )
        )
    return found


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a block of sh, split into words; without comments."""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        for part in line.split(" && "):
            words = shlex.split(part, comments=True)
            if words:
                yield words


@dataclass
class Reader:
    """Somebody who types what a page says, in this process; what installs into it is left out.

    Attributes
    ----------
    folder
        Where they are.
    main
        The command ``xr-cbottle``.
    serve
        Starts a server of some bottles: (a context that gives its URL).
    """

    folder: Path
    main: Callable[[list[str]], int]
    serve: Callable[[list[str]], contextlib.AbstractContextManager[str]]
    url: str = _SERVER
    scope: dict[str, Any] = field(default_factory=dict)
    left: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def read(self, page: Path) -> None:
        """Type every block of a page."""
        with self.left:
            for block in blocks(page):
                if block.reason is None:
                    self._type(block)

    def _type(self, block: Block) -> None:
        if block.language == "python":
            exec(compile(block.text.replace(_SERVER, self.url), "<page>", "exec"), self.scope)
        elif block.language == "sh":
            for words in commands(block.text):
                self._command(words)
        elif block.file is not None:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text.replace("$PWD", str(self.folder)), encoding="utf-8")

    def _command(self, words: list[str]) -> None:
        program = words[0]
        if program == "xr-cbottle" and words[1] == "serve":
            self.url = self.left.enter_context(self.serve(words[2:]))
        elif program == "xr-cbottle":
            status = self.main(words[1:])
            assert status == 0, f"{shlex.join(words)} ended with {status}"
        elif program == "pip" and "--target" in words:
            pip([*words[1:]], self.folder)
        elif program == "pip" or words[:3] == ["python3", "-m", "venv"] or program in (".", "./.ci/test"):
            pass  # the environment is there
        else:
            subprocess.run([sys.executable, *words[1:]] if program == "python" else words, cwd=self.folder, check=True)


def pip(words: list[str], folder: Path) -> None:
    """Run pip in a folder; `ConnectionError` where nobody answers."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words, "--retries=1", "--timeout=20"], cwd=folder, capture_output=True, text=True
    )
    if done.returncode != 0:
        if any(sign in done.stderr for sign in UNREACHABLE):
            raise ConnectionError(done.stderr.strip().splitlines()[-1])
        raise RuntimeError(f"pip {shlex.join(words)} failed:\n{done.stderr}")


class Typist:
    """Somebody who types all of a page into a shell and a Python of their own, installing too.

    Parameters
    ----------
    folder
        A clone of the repository, in which they are.
    """

    _LOOP = """
import sys
scope = {}
for line in sys.stdin:
    exec(open(line.strip()).read(), scope)
    print("done")
"""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Indexes that cannot be reached here are given up at once, and none of this environment is theirs.
        left_out = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
        self.environment = {k: v for k, v in os.environ.items() if k not in left_out}
        self.environment |= {"PIP_RETRIES": "0", "MPLBACKEND": "agg", "PYTHONUNBUFFERED": "1"}
        self.shell = self._started(["bash", "--norc"])
        self.python: subprocess.Popen[str] | None = None
        self.count = 0

    def type(self, page: Path) -> None:
        """Type every block of a page; an error if one fails."""
        for block in blocks(page):
            if block.reason is not None or block.language not in RUN:
                continue
            if block.language == "python":
                if self.python is None:
                    self.python = self._started(
                        [self._said("command -v python"), "-c", self._LOOP], self._said("echo $PATH")
                    )
                self._send(self.python, str(self._kept(block.text, "py")))
                assert self._line(self.python) == "done", f"{page}:\n{block.text}"
            elif block.language == "sh":
                text = re.sub(r"^(xr-cbottle serve .*?)\s*(#.*)?$", r"\1 & sleep 20", block.text, flags=re.M)
                said = self._said(f"set -e; . {self._kept(text, 'sh')} >&2; set +e; echo good")
                assert said == "good", f"{page}:\n{block.text}"
            elif block.file is not None:
                (self.folder / block.file).write_text(block.text)

    def close(self) -> None:
        """Leave, and stop what was started."""
        self._send(self.shell, "kill $(jobs -p); exit")
        for process in (self.shell, self.python):
            if process is not None:
                process.communicate(timeout=60)

    def _started(self, command: list[str], path: str | None = None) -> subprocess.Popen[str]:
        environment = self.environment if path is None else {**self.environment, "PATH": path}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdin=pipe, stdout=pipe, text=True)

    def _kept(self, text: str, suffix: str) -> Path:
        self.count += 1
        path = self.folder / f".typed{self.count}.{suffix}"
        path.write_text(text)
        return path

    def _send(self, process: subprocess.Popen[str], line: str) -> None:
        assert process.stdin is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()

    def _line(self, process: subprocess.Popen[str]) -> str:
        """The last line of what was printed up to now; what a program prints comes before."""
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() in ("done", "good") or process is self.shell:
                return line.strip()
        return ""

    def _said(self, command: str) -> str:
        self._send(self.shell, command)
        return self._line(self.shell)
