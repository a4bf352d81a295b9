"""Which bottle a report is of: its digest, and that of what its values are made of.

A bottle that is packed again with the figures of its report has another digest, and draws the same. The digest of what
its values are made of leaves out all that is said about it, so that a report can be told to be of what ships.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xr_cbottle.bottle.bottle import Bottle

WORDS = ("name", "title", "summary", "licence", "source", "references", "created", "trained_on")
"""Keys of a manifest that only say something about a bottle."""


def digest_of_values(bottle: Bottle) -> str:
    """sha256 (hexadecimal) of a bottle's manifest without words about it, and of its files."""
    plain = {key: value for key, value in bottle.manifest.plain().items() if key not in WORDS}
    told = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    undeclared = [f"{where}={known}" for where, known in sorted(bottle.files.known.items()) if known]
    return hashlib.sha256("\n".join([told, *undeclared]).encode()).hexdigest()


def identified(bottle: Bottle) -> dict[str, str]:
    """The bottle of a report as ``figures.json`` has it: name, digest, and digest of what its values are made of."""
    return {
        "name": bottle.manifest.name, "digest": f"sha256:{bottle.digest}",
        "values": f"sha256:{digest_of_values(bottle)}",
    }  # fmt: skip
