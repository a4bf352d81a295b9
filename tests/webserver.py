"""A web server on this machine that can do ranges, or not, and can break off."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class WebServer:
    """Serves a folder; use it in a `with` block.

    Parameters
    ----------
    folder
        What is served.
    ranges
        Whether ``Range`` and ``If-Range`` are honoured.
    break_after
        Bytes after which the first `breaks` answers break off.
    tags
        Whether there is an ETag.
    delay
        An event to wait for before an answer's body, to hold a client there.
    """

    def __init__(
        self,
        folder: Path,
        ranges: bool = True,
        break_after: int | None = None,
        breaks: int = 1,
        tags: bool = True,
        delay: float = 0.0,
    ):
        self.folder, self.ranges, self.tags, self.delay = Path(folder), ranges, tags, delay
        self.break_after, self.breaks = break_after, breaks
        self.requests: list[tuple[str, str | None]] = []
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                outer._answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> WebServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def gets(self, name: str) -> list[str | None]:
        """The Range headers with which a path that ends in `name` was asked for."""
        return [asked for path, asked in self.requests if path.endswith(name)]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        with self._lock:
            self.requests.append((handler.path, asked))
            breaking = self.break_after is not None and self.breaks > 0
            self.breaks -= breaking
        path = self.folder / handler.path.lstrip("/")
        if not path.is_file():
            handler.send_error(404)
            return
        content = path.read_bytes()
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        start = 0
        if self.ranges and asked and handler.headers.get("If-Range", tag) == tag:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            if start >= len(content):
                handler.send_error(416)
                return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.tags:
            handler.send_header("ETag", tag)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        if self.delay:
            threading.Event().wait(self.delay)
        body = content[start:]
        if breaking:
            handler.wfile.write(body[: self.break_after])
            handler.wfile.flush()
            # A client that learns of the break before it has read what came loses it.
            threading.Event().wait(0.2)
            handler.close_connection = True
            handler.connection.shutdown(2)
            return
        handler.wfile.write(body)
