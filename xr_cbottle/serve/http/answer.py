"""Answers over HTTP to requests for bytes whose length and tag are known before they are."""

from __future__ import annotations

import functools
import gzip
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from xr_cbottle.serve.http.text import printable

IMMUTABLE = "public, max-age=31536000, immutable"
CHANGING = "public, max-age=300"
FRESH = "no-cache"

_RANGE = re.compile(r"bytes=(?P<first>[0-9]*)-(?P<last>[0-9]*)", re.IGNORECASE)
_MOST_DIGITS = 18  # of a position; more are beyond any end
_LONGEST_SENTENCE = 400
_LEAST_PACKED = 1000  # bytes: less is one packet on the wire either way


class Refused(Exception):
    """A request that is answered with a sentence."""

    def __init__(self, status: int, sentence: str, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after = status, sentence, retry_after

    def response(self) -> Response:
        """The answer, as plain text; what it quotes cannot be more than text."""
        sentence = printable(self.sentence)
        if len(sentence) > _LONGEST_SENTENCE:
            sentence = sentence[: _LONGEST_SENTENCE - 3] + "..."
        headers = {"Cache-Control": "no-store"}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return Response(sentence + "\n", self.status, headers, media_type="text/plain")


@dataclass(frozen=True)
class Content:
    """Bytes to be had.

    Attributes
    ----------
    length, tag
        How many there are, and an entity tag, with its quotes.
    read
        Gets them.
    media_type, caching
        Values of ``Content-Type`` and ``Cache-Control``.
    packs
        Whether it becomes much smaller by gzip, as text and coordinates do, for clients that take it so.
    """

    length: int
    tag: str
    read: Callable[[], Awaitable[bytes]]
    media_type: str
    caching: str
    packs: bool = False

    @classmethod
    def of(cls, body: bytes, media_type: str, caching: str) -> Content:
        """Bytes that are there, of text."""

        async def read() -> bytes:
            return body

        return cls(len(body), entity_tag(body), read, media_type, caching, packs=len(body) >= _LEAST_PACKED)

    async def answer(self, request: Request) -> Response:
        """The answer to a request, conditional or for a range. Bytes are read only if they are sent."""
        headers = {"ETag": self.tag, "Cache-Control": self.caching, "Accept-Ranges": "bytes"}
        if self.packs:
            headers["Vary"] = "Accept-Encoding"
        # Parts are of the bytes themselves, and so is the length that HEAD tells.
        whole = request.method != "HEAD" and "Range" not in request.headers
        packed = self.packs and whole and takes_gzip(request.headers.get("Accept-Encoding", ""))
        if packed:
            headers["ETag"] = f'{self.tag[:-1]}-gzip"'
        if _names(request.headers.get("If-None-Match", ""), headers["ETag"]):
            return Response(None, 304, headers)
        if packed:
            headers["Content-Encoding"] = "gzip"
            body = await self.read()
            return Response(await anyio.to_thread.run_sync(_packed, body), 200, headers, self.media_type)
        if request.method == "HEAD":
            headers["Content-Length"] = str(self.length)
            return Response(None, 200, headers, self.media_type)
        wanted = None
        if request.headers.get("If-Range", self.tag) == self.tag:
            wanted = byte_range(request.headers.get("Range", ""), self.length)
        if wanted is None:
            return Response(await self.read(), 200, headers, self.media_type)
        if not wanted:
            headers["Content-Range"] = f"bytes */{self.length}"
            return Response(None, 416, headers)
        body = (await self.read())[wanted.start : wanted.stop]
        headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{self.length}"
        return Response(body, 206, headers, self.media_type)


def entity_tag(*parts: bytes | str | int) -> str:
    """An entity tag for what some parts name."""
    digest = hashlib.sha256()
    for part in parts:
        text = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(text).to_bytes(8, "little") + text)
    return f'"{digest.hexdigest()[:32]}"'


def takes_gzip(header: str) -> bool:
    """Whether an ``Accept-Encoding`` header takes gzip."""
    for one in header[:1000].lower().split(","):
        coding, _, weight = one.partition(";")
        if coding.strip() in ("gzip", "*"):
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0{0,3})?\s*", weight)
    return False


@functools.lru_cache(maxsize=8)
def _packed(body: bytes) -> bytes:
    """Bytes as gzip, the same for the same: what is asked for often is packed once."""
    return gzip.compress(body, 6, mtime=0)


def byte_range(header: str, length: int) -> range | None:
    """The positions that a ``Range`` header asks for.

    Returns
    -------
    None for the whole: no header, one that is not understood, or several ranges at once, which a server may
    ignore. An empty range if there is no such part.
    """
    match = _RANGE.fullmatch(header.strip()) if len(header) < 200 else None
    if match is None or not (match["first"] or match["last"]):
        return None
    first, last = (_position(match[name]) for name in ("first", "last"))
    if first is None:
        return range(max(0, length - (last or 0)), length)
    if last is not None and last < first:
        return None
    return range(first, min(length, length if last is None else last + 1))


def _position(digits: str) -> int | None:
    return int(digits.lstrip("0")[:_MOST_DIGITS] or 0) if digits else None


def _names(if_none_match: str, tag: str) -> bool:
    tags = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return tag in tags or "*" in tags
