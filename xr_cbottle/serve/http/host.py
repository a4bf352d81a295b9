"""Running the server: a socket, signals, and an end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import uvicorn

from xr_cbottle.serve.http.app import Server, make_app
from xr_cbottle.serve.http.connections import AT_ONCE, Connection, Gate, affordable
from xr_cbottle.serve.http.envelope import LOGGER
from xr_cbottle.serve.http.settings import Settings
from xr_cbottle.serve.http.text import Formatter

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import Bottle

_EVERYWHERE = ("0.0.0.0", "::", "")
_WAIT_TO_BE_ACCEPTED = 2048
_AFTER_GIVING_UP = 2  # seconds for the answers that say so to go out


class Host(uvicorn.Server):
    """Uvicorn with our application, on a socket of its own from the start.

    Parameters
    ----------
    bottles
        Names, paths or URLs of bottles, or open ones.
    settings
        Where it listens, and more.
    ready
        Called when it accepts requests.

    Attributes
    ----------
    url
        Where it is.
    server
        What answers.

    Raises
    ------
    ValueError, BottleNotFound, BottleError
        See `xr_cbottle.serve.http.app.make_app`.
    OSError
        If it cannot listen there.
    """

    def __init__(
        self,
        bottles: Sequence[str | Bottle],
        settings: Settings | None = None,
        ready: Callable[[Host], None] | None = None,
    ) -> None:
        settings = settings or Settings()
        self._listening = _listen(settings.host, settings.port)
        try:
            app = make_app(bottles, settings)
        except BaseException:
            self._listening.close()
            raise
        self.server: Server = app.state.server
        self.url = _url(settings.host, self._listening.getsockname()[1])
        self._ready = ready
        self.gate = Gate(affordable(settings.max_connections), settings.client_wait)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            ws="none",
            http=functools.partial(Connection, gate=self.gate),  # type: ignore[arg-type]
            backlog=AT_ONCE,
            timeout_graceful_shutdown=int(settings.stop_wait) + _AFTER_GIVING_UP,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        asyncio.get_running_loop().set_exception_handler(self.gate.complaint)
        await super().startup(sockets)
        # More may wait to be accepted than are accepted at once.
        self._listening.listen(_WAIT_TO_BE_ACCEPTED)
        if self._ready is not None:
            self._ready(self)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; every second connections are looked through."""
        if counter % 10 == 0:
            self.gate.sweep()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let what is being drawn come to an end."""
        self.server.stop()
        await super().shutdown(sockets)

    def listen(self) -> None:
        """Answer until it is told to exit."""
        with self._listening:
            self.run([self._listening])


def serve(
    bottles: Sequence[str | Bottle],
    settings: Settings | None = None,
    *,
    ready: Callable[[Host], None] | None = None,
) -> bool:
    """Serve bottles until SIGINT or SIGTERM comes; see `Host`.

    Returns
    -------
    Whether all threads have come to an end. If not, a batch was given up that is still being drawn: end the
    process without waiting for it.
    """
    host = Host(bottles, settings, ready)
    with _log(host.server.settings.quiet), _signals_end(host):
        host.listen()
    return not host.server.busy


@contextlib.contextmanager
def serving(bottles: Sequence[str | Bottle], settings: Settings | None = None) -> Iterator[Host]:
    """A server in a thread as long as the block lasts, as for a notebook; see `Host`."""
    started = threading.Event()
    host = Host(bottles, settings, lambda _: started.set())
    thread = threading.Thread(target=host.listen, name="xr_cbottle.host", daemon=True)
    thread.start()
    while not started.wait(0.1):
        if not thread.is_alive():
            raise RuntimeError(f"the server at {host.url} could not be started: its log says why")
    try:
        yield host
    finally:
        host.should_exit = True
        thread.join()


def _listen(host: str, port: int) -> socket.socket:
    where = f"port {port} of {host}"
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.create_server(address, family=family, backlog=_WAIT_TO_BE_ACCEPTED)
        # Connections inherit it. Without it a small answer, which is sent in two pieces, takes 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except socket.gaierror as error:
        raise OSError(
            f"there is no host {host!r} here ({error.strerror}): give 127.0.0.1, or 0.0.0.0 for all"
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"{where} is in use: give another one, or 0 for any that is free") from None
        raise OSError(f"cannot listen at {where} ({error.strerror}): give another host or port") from None


def _url(host: str, port: int) -> str:
    if host in _EVERYWHERE:
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def _log(quiet: bool) -> Iterator[None]:
    """Lines of requests, and what uvicorn complains of, to stderr, unless who calls has other plans with the log."""
    if quiet or LOGGER.handlers or logging.getLogger().handlers:
        yield
        return
    handler, level = logging.StreamHandler(sys.stderr), LOGGER.level
    handler.setFormatter(Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    loggers = (LOGGER, logging.getLogger("uvicorn.error"))
    for logger in loggers:
        logger.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        LOGGER.setLevel(level)


@contextlib.contextmanager
def _signals_end(runner: uvicorn.Server) -> Iterator[None]:
    """Handle signals before uvicorn does and after, when it raises again the one that stopped it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        runner.should_exit = True

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
