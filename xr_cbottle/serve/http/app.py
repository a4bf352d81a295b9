"""The server: an ASGI application over the data sets of some bottles, and how it is run.

``/{bottle}/{dataset}.zarr/{key}`` is a Zarr hierarchy in formats 2 and 3 whose chunks are drawn when they are
asked for (`xr_cbottle.serve.hierarchy`, `xr_cbottle.serve.address`); ``gcm@93cbcee5`` is the bottle of that digest.
``/catalog.json`` and ``/catalog.yaml`` say what there is, ``/health`` how it goes, and ``/`` is a page to look
at it all. Who may draw, and who waits, is up to `xr_cbottle.serve.http.admission`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import yaml
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from xr_cbottle import __version__
from xr_cbottle.bottle.errors import BottleError
from xr_cbottle.grid import healpix
from xr_cbottle.serve.http import answer, page
from xr_cbottle.serve.http.admission import Admission
from xr_cbottle.serve.http.answer import Content, Refused
from xr_cbottle.serve.http.connections import client_of
from xr_cbottle.serve.http.envelope import Envelope
from xr_cbottle.serve.http.lane import ClientGone, Gone, Lane, Unavailable
from xr_cbottle.serve.http.settings import Settings
from xr_cbottle.serve.http.shelf import Shelf
from xr_cbottle.serve.http.text import printable_in

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import Bottle
    from xr_cbottle.cube.cube import Cube
    from xr_cbottle.draw.emulator import Emulator
    from xr_cbottle.serve.hierarchy import Chunk, Hierarchy

_LONGEST_PATH = 1024
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_FEW_CELLS = 2**16
_READERS = 2 * (os.cpu_count() or 2)


class Server:
    """The server: bottles, the lanes in which they draw, and counts.

    Parameters
    ----------
    bottles, settings
        See `make_app`.
    """

    def __init__(self, bottles: Sequence[str | Bottle], settings: Settings) -> None:
        self.settings, self.shelf, self.began = settings, Shelf(bottles, settings), time.monotonic()
        self.lanes = {name: self._lane(name, cube, settings.max_waiting) for name, cube in self.shelf.cubes.items()}
        self.emulators: dict[str, Emulator] = {}
        first = next(iter(self.shelf.cubes.values()))
        self.cache, self.share = first.instant_cache, first.reading.share()
        self.admission = Admission(settings.max_requests, settings.loading_wait)
        self.readers: anyio.CapacityLimiter | None = None

    def _lane(self, name: str, cube: Cube, most: int) -> Lane:
        return Lane(name, functools.partial(self._load, name), cube.instant_cache, cube.spec.batch_size, most)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Load networks from the start; nobody needs to wait for that but who wants to draw."""
        self.readers = anyio.CapacityLimiter(_READERS)
        for lane in self.lanes.values():
            lane.open()
        yield

    def _load(self, name: str) -> None:
        self.emulators[name] = self.shelf.cubes[name].emulator()

    def stop(self) -> None:
        """Finish what is being drawn, if that is soon enough, and begin nothing more."""
        for lane in self.lanes.values():
            lane.stop(self.settings.stop_wait)

    @property
    def busy(self) -> bool:
        """Whether a thread loads or draws."""
        return any(lane.busy for lane in self.lanes.values())

    async def data(self, request: Request) -> Response:
        """A document or chunk of a data set."""
        path = request.scope["path"]
        if len(path) > _LONGEST_PATH:
            raise Refused(404, f"a path of {len(path)} characters leads nowhere: data sets are listed in /catalog.json")
        bottle, _, rest = path[1:].partition("/")
        dataset, zarr, key = rest.partition(".zarr/")
        if not zarr or "/" in dataset:
            raise Refused(404, "there is nothing here: / says what is served, and /catalog.json says it to programs")
        name, pinned = self.shelf.find(bottle)
        hierarchy = self.shelf.kept(name, dataset) or await self._read(lambda: self.shelf.open(name, dataset))
        document = hierarchy.documents().get(key)
        if document is not None:
            # Not immutable: it says which version serves it.
            return await Content.of(document, "application/json", answer.CHANGING).answer(request)
        chunk = hierarchy.chunk(key)
        if chunk is None:
            raise Refused(404, f"this data set has no {ascii(key)[:80]}: its .zmetadata or zarr.json says what it has")
        caching = answer.IMMUTABLE if pinned and not self.settings.alter_values else answer.CHANGING
        tag = answer.entity_tag(hierarchy.cube.spec.token, hierarchy.chunking, chunk.nbytes, key)

        async def read() -> bytes:
            return await self._chunk(request, name, hierarchy, chunk)

        content = Content(chunk.nbytes, tag, read, "application/octet-stream", caching, packs=not chunk.frames)
        return await content.answer(request)

    async def _chunk(self, request: Request, name: str, hierarchy: Hierarchy, chunk: Chunk) -> bytes:
        if not chunk.frames:
            return await self._read(chunk.read)
        cube = hierarchy.cube
        keys, spec = chunk.keys, cube.spec
        with _departure(request) as gone:
            client = client_of(request.client.host if request.client else "")
            async with self.admission.fields(self.lanes[name], keys, cube.gather, client, gone) as how:
                request.scope["xr_cbottle"] = how
                # Its instants are in memory: of a few cells it is made sooner than a thread gets to it.
                cells = healpix.n_cells(spec.native_zoom) if spec.fine is None else spec.fine.cells(spec.fine.zoom)
                few = len(keys) * cells <= _FEW_CELLS
                return chunk.read() if few else await self._read(chunk.read)

    async def _read(self, work: Callable[[], Any]) -> Any:
        return await anyio.to_thread.run_sync(work, limiter=self.readers)

    async def catalog_json(self, request: Request) -> Response:
        """Answer what is served, for the page and for programs."""
        bottles = await self._read(self.shelf.catalog)
        for entry in bottles:
            entry["loaded"] = self.lanes[entry["name"]].status == "ok"
        body = json.dumps(printable_in({"version": __version__, "bottles": bottles}), ensure_ascii=False).encode()
        return await Content.of(body, "application/json", answer.FRESH).answer(request)

    async def catalog_yaml(self, request: Request) -> Response:
        """Answer what is served, as a catalog of intake."""
        dataset = request.path_params.get("dataset")
        catalog = await self._read(lambda: self.shelf.intake(base_url(request), dataset))
        body = yaml.safe_dump(catalog, sort_keys=False, allow_unicode=True, width=120).encode()
        return await Content.of(body, "application/yaml", answer.FRESH).answer(request)

    async def health(self, request: Request) -> Response:
        """How it goes; 503 as long as nothing can be drawn."""
        statuses = {lane.status for lane in self.lanes.values()}
        status = "loading" if "loading" in statuses else "ok" if "ok" in statuses else "failed"
        cache = self.cache
        counts = self.admission.counts
        found = {
            "status": status,
            "version": __version__,
            "uptime_s": round(time.monotonic() - self.began, 1),
            "bottles": {
                name: lane.facts() | {"instants_drawn": getattr(self.emulators.get(name), "drawn", 0)}
                for name, lane in self.lanes.items()
            },
            "requests": {
                "waiting": self.admission.requests,
                **{how: counts[how] for how in ("drawn", "joined", "cached", "refused")},
            },
            "cache": {"bytes": cache.nbytes, "limit": self.share.limit, "fields": len(cache)},
        }
        return JSONResponse(printable_in(found), 200 if status == "ok" else 503, {"Cache-Control": "no-store"})

    async def page(self, request: Request) -> Response:
        """The page, or one of its files."""
        name = request.path_params.get("file", page.INDEX)
        found = await self._read(lambda: page.file(name))
        if found is None:
            raise Refused(404, f"the page has no file {ascii(name)[:80]}")
        body, media_type = found
        return await Content.of(body, media_type, answer.FRESH).answer(request)


@contextlib.contextmanager
def _departure(request: Request) -> Iterator[Gone]:
    """Watch for the client's end from the moment on that somebody wants to know of it."""
    watching: list[asyncio.Future[None]] = []

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            continue

    def gone() -> asyncio.Future[None]:
        if not watching:
            watching.append(asyncio.ensure_future(disconnected()))
        return watching[0]

    try:
        yield gone
    finally:
        for task in watching:
            task.cancel()


def base_url(request: Request) -> str:
    """Where the server is, as the client says it; what is no host and port is not repeated."""
    host = request.headers.get("Host", "")
    if not _HOST.fullmatch(host):
        address, port = request.scope.get("server") or ("127.0.0.1", 8000)
        host = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return f"{request.scope['scheme']}://{host}{request.scope.get('root_path', '').rstrip('/')}"


def make_app(bottles: Sequence[str | Bottle], settings: Settings | None = None) -> Starlette:
    """The application.

    Parameters
    ----------
    bottles
        Names, paths or URLs of bottles, or open ones.
    settings
        Its settings; those of where it listens are not used.

    Returns
    -------
    An ASGI application; ``state.server`` is its `Server`.

    Raises
    ------
    ValueError
        If there is no bottle, two have one name, or a setting is wrong.
    BottleNotFound, BottleError
        If one is not there, or not what it should be.
    """
    told = settings or Settings()
    server = Server(bottles, told)
    routes = [
        Route("/", server.page),
        Route("/static/{file}", server.page),
        Route("/catalog.json", server.catalog_json),
        Route("/catalog.yaml", server.catalog_yaml),
        Route("/catalog/{dataset}.yaml", server.catalog_yaml),
        Route("/health", server.health),
        Route("/{path:path}", server.data),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Envelope, quiet=told.quiet, hosts=told.hosts, origin=told.cors, embed=told.embed)],
        exception_handlers={
            Refused: _refused,
            Unavailable: _unavailable,
            ClientGone: _gone,
            BottleError: _spoiled,
            FileNotFoundError: _spoiled,
        },
        lifespan=server.lifespan,
    )
    app.state.server = server
    return app


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error.response()


def _unavailable(request: Request, error: Exception) -> Response:
    assert isinstance(error, Unavailable)
    return Refused(429 if error.busy else 503, str(error), error.retry_after).response()


def _spoiled(request: Request, error: Exception) -> Response:
    """A bottle was replaced, spoiled or taken away after it was opened."""
    sentence = str(error).rstrip(".")
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        sentence = f"{error.filename} is gone"
    for name, bottle in request.app.state.server.shelf.bottles.items():
        sentence = sentence.replace(bottle.path, name)  # where it lies is nobody's business
    return Refused(503, f"this cannot be had until the server is started again: {sentence}", 300).response()


def _gone(request: Request, error: Exception) -> Response:
    return Response(None, 499)  # nobody reads it but the log
