"""The envelope that all answers have in common: methods, who may ask, headers for browsers, and a line in the log."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

from xr_cbottle.serve.http.answer import Refused

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGGER = logging.getLogger("xr_cbottle.serve.http")
METHODS = "GET, HEAD, OPTIONS"

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Content-Security-Policy": "frame-ancestors 'self'",
    "Referrer-Policy": "same-origin",
}
_EXPOSED = "ETag, Content-Length, Content-Range, Accept-Ranges, Retry-After"
_PREFLIGHT = {
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
    hosts
        Names by which the server may be called, see `is_known`; None for any.
    origin
        Of pages that may read it; ``"*"`` for any, None for its own only.
    embed
        Of pages that may show it in a frame, beside its own.
    """

    def __init__(
        self,
        app: ASGIApp,
        quiet: bool = False,
        hosts: Collection[str] | None = None,
        origin: str | None = "*",
        embed: str | None = None,
    ) -> None:
        self.app, self.quiet, self.hosts, self.origin = app, quiet, hosts, origin
        self.headers = _in_frames_of(embed) | _for_pages_of(origin)

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
                for name, value in self.headers.items():
                    headers[name] = value
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        app = self._answering(scope)
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

    def _answering(self, scope: Scope) -> ASGIApp:
        """The application, or what is said instead of it."""
        host = Headers(scope=scope).get("Host", "")
        if self.hosts is not None and not is_known(host, self.hosts):
            return Refused(
                403,
                f"this server does not answer as {_name(host)[:80]!a}: if that is its name, start it with "
                "--allow-host NAME",
            ).response()
        if scope["method"] == "OPTIONS":
            return Response(None, 204, {"Allow": METHODS, **(_PREFLIGHT if self.origin else {})})
        if scope["method"] not in ("GET", "HEAD"):
            refusal = Refused(405, f"{scope['method'][:20]} is not possible: this server is for reading").response()
            refusal.headers["Allow"] = METHODS
            return refusal
        return self.app

    def _log(self, scope: Scope, status: int, sent: int, milliseconds: float) -> None:
        client = scope["client"][0] if scope.get("client") else "-"
        path = ascii(scope["path"])[1:-1]
        how = f" {scope['xr_cbottle']}" if "xr_cbottle" in scope else ""
        LOGGER.info(
            "%s %s %s %d %d %.1fms%s", client, scope["method"], path[:300], status or 500, sent, milliseconds, how
        )


def is_known(host: str, names: Collection[str]) -> bool:
    """Whether a ``Host`` header is one of some names, this machine or a bare address.

    A page elsewhere can have its own name lead to this machine (DNS rebinding), and then read what only this machine
    should; it cannot do so without its name.
    """
    name = _name(host)
    if not name or name == "localhost" or name.endswith(".localhost") or name in names:
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _name(host: str) -> str:
    """What is before the port."""
    name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
    return (name or host).lower().rstrip(".")


def _in_frames_of(origin: str | None) -> dict[str, str]:
    """The common headers, with who may show answers in a frame."""
    if origin is None:
        return dict(_HEADERS)
    # X-Frame-Options cannot name an origin, and browsers that know frame-ancestors do not need it.
    headers = {name: value for name, value in _HEADERS.items() if name != "X-Frame-Options"}
    return headers | {"Content-Security-Policy": f"frame-ancestors 'self' {origin}"}


def _for_pages_of(origin: str | None) -> dict[str, str]:
    """Headers that let pages of other origins read answers, or not."""
    if origin is None:
        return {"Cross-Origin-Resource-Policy": "same-origin"}
    # Always, and not only where a request has an Origin: a cache on the way may keep one answer for all.
    found = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": _EXPOSED,
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    return found if origin == "*" else found | {"Vary": "Origin"}
