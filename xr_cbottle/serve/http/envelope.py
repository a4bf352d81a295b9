"""What all answers have in common: methods, headers that let any page read them, and a line in the log."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.responses import Response

from xr_cbottle.serve.http.answer import Refused

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGGER = logging.getLogger("xr_cbottle.serve.http")
METHODS = "GET, HEAD, OPTIONS"

# Always, and not only where a request has an Origin: a cache on the way may keep one answer for all.
_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Content-Length, Content-Range, Accept-Ranges, Retry-After",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}
_PREFLIGHT = {
    "Allow": METHODS,
    "Access-Control-Allow-Methods": METHODS,
    "Access-Control-Allow-Headers": "Range, If-None-Match, If-Range, Cache-Control, Content-Type",
    "Access-Control-Allow-Private-Network": "true",
    "Access-Control-Max-Age": "86400",
}


class Envelope:
    """Middleware around the application.

    Parameters
    ----------
    app
        What answers GET and HEAD.
    quiet
        No line for each request.
    """

    def __init__(self, app: ASGIApp, quiet: bool = False) -> None:
        self.app, self.quiet = app, quiet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, sent = time.monotonic(), 0, 0

        async def send_and_count(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        app = self.app
        if scope["method"] == "OPTIONS":
            app = Response(None, 204, _PREFLIGHT)
        elif scope["method"] not in ("GET", "HEAD"):
            refusal = Refused(405, f"{scope['method'][:20]} is not possible: this server is for reading").response()
            refusal.headers["Allow"] = METHODS
            app = refusal
        try:
            await app(scope, receive, send_and_count)
        except Exception:
            LOGGER.exception("%s failed", ascii(scope["path"])[:300])
            if status:  # half of an answer is out: the client learns it by the end of the connection
                raise
            failed = Refused(500, "this could not be read; the log of the server says why").response()
            await failed(scope, receive, send_and_count)
        finally:
            if not self.quiet:
                self._log(scope, status, sent, 1000 * (time.monotonic() - began))

    def _log(self, scope: Scope, status: int, sent: int, milliseconds: float) -> None:
        client = scope["client"][0] if scope.get("client") else "-"
        path = ascii(scope["path"])[1:-1]
        how = f" {scope['xr_cbottle']}" if "xr_cbottle" in scope else ""
        LOGGER.info(
            "%s %s %s %d %d %.1fms%s", client, scope["method"], path[:300], status or 500, sent, milliseconds, how
        )
