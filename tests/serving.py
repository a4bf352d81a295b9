"""Servers for the tests, in this process or in one of their own, and a plain client."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from xr_cbottle.serve.http import host
from xr_cbottle.serve.http.settings import OF_DATA, Settings


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


class Client:
    """Asks a server.

    Parameters
    ----------
    url
        Where it is.
    address
        Of this machine, such as ``127.0.0.2``, from which it asks; None for any.
    """

    def __init__(self, url: str, address: str | None = None) -> None:
        self.url, self.address = url, address
        self.host, self.port = urlsplit(url).hostname, urlsplit(url).port

    def ask(self, path: str, method: str = "GET", timeout: float = 300, **headers: str) -> Answer:
        """One request on a connection of its own; the path goes out as it is."""
        source = (self.address, 0) if self.address else None
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout, source_address=source)
        # Paths that are none are what is tested.
        connection._validate_path = lambda _: None
        connection._encode_request = lambda request: request.encode("latin-1")
        try:
            connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def ask_all(self, paths: Sequence[str]) -> list[Answer]:
        """All at once."""
        with ThreadPoolExecutor(len(paths)) as pool:
            return list(pool.map(self.ask, paths))

    def health(self) -> dict:
        return self.ask("/health").json

    def bottle(self, name: str) -> dict:
        """How a bottle is."""
        return self.health()["bottles"][name]

    def until(self, condition, seconds: float = 300) -> dict:
        """Wait until the health is as wanted."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            health = self.health()
            if condition(health):
                return health
            time.sleep(0.02)
        raise AssertionError(f"never happened: {health}")

    def loaded(self) -> None:
        """Wait until all that can be loaded is."""
        self.until(lambda health: health["status"] != "loading")

    def send(self, path: str) -> socket.socket:
        """Ask, and leave the answer for later or never."""
        asking = socket.create_connection((self.host, self.port), timeout=60)
        asking.sendall(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
        return asking


@contextlib.contextmanager
def running(bottles: Sequence[str | Path], wait: bool = True, **settings) -> Iterator[Client]:
    """A server in a thread of this process, with a cache of its own if it is given a size that no other has."""
    data = {name: settings.pop(name) for name in OF_DATA if name in settings}
    given = Settings(port=0, **{"quiet": True, "stop_wait": 0, **settings}, data={"device": "cpu", **data})
    with host.serving([str(bottle) for bottle in bottles], given) as serving:
        client = Client(serving.url)
        if wait:
            client.loaded()
        yield client


class Process:
    """``xr-cbottle serve`` as a user starts it; use it in a `with` block.

    Parameters
    ----------
    *arguments
        Of the command.
    wait
        Until it has loaded what it can.
    files
        How many it may have open; None for as many as this process.
    """

    def __init__(self, *arguments: object, wait: bool = True, files: int | None = None) -> None:
        limit = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh"] if files else []
        command = [*limit, sys.executable, "-m", "xr_cbottle.cli", "serve", *map(str, arguments), "--port", "0"]
        self._wait = wait
        # To a file: a pipe that nobody reads would stop the server one day.
        self._log = tempfile.NamedTemporaryFile("a+")  # noqa: SIM115
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, text=True)

    def __enter__(self) -> Process:
        line = self.process.stdout.readline()
        match = re.match(r"(http://127\.0\.0\.1:[0-9]+) ", line)
        if match is None:
            self.process.kill()
            raise AssertionError(f"{line}{self.end()}")
        self.client = Client(match[1])
        if self._wait:
            self.client.loaded()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self._log.close()

    def stop(self, number: int) -> tuple[int, str, str]:
        """Send a signal; exit code, and what was written to stdout and stderr."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> tuple[int, str, str]:
        """Wait for the end."""
        out = self.process.stdout.read()
        return self.process.wait(300), out, self.log()

    def log(self) -> str:
        """What it has written to stderr so far."""
        return Path(self._log.name).read_text()
