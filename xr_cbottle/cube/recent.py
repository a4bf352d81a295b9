"""Fields of late: those finished, in memory, least recently used out first; not thread-safe by itself."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from xr_cbottle.cube.keys import Field, Key
from xr_cbottle.cube.shares import Share


class _Recent(NamedTuple):
    field: Field
    turn: int  # when it was used last, in uses


class RecentFields:
    """Finished fields, each in a share of the memory. Those that somebody holds stay beyond all bounds.

    No share takes more than its limit, and all together no more than the largest limit of those that have something.
    """

    def __init__(self) -> None:
        self.nbytes = 0
        self._of: dict[Share, OrderedDict[Key, _Recent]] = {}
        self._bytes: Counter[Share] = Counter()
        self._share: dict[Key, Share] = {}
        self._held: Counter[Key] = Counter()
        self._turn = 0

    def __len__(self) -> int:
        return len(self._share)

    def __contains__(self, key: object) -> bool:
        return key in self._share

    @property
    def held(self) -> int:
        """How many keys somebody holds."""
        return len(self._held)

    def get(self, key: Key, share: Share) -> Field | None:
        """A field, which is then the most recent, and kept for the larger of its share and this; None if not here."""
        before = self._share.get(key)
        if before is None:
            return None
        field = self._of[before][key].field
        if before != share and share.limit > before.limit:
            self._take(key)
            self.put(key, field, share)
        else:
            self._turn += 1
            self._of[before][key] = _Recent(field, self._turn)
            self._of[before].move_to_end(key)
        return field

    def put(self, key: Key, field: Field, share: Share) -> None:
        """Keep a field."""
        if key in self._share:
            self._take(key)
        if field.nbytes > share.limit and key not in self._held:
            return
        self._turn += 1
        self._of.setdefault(share, OrderedDict())[key] = _Recent(field, self._turn)
        self._share[key] = share
        self._bytes[share] += field.nbytes
        self.nbytes += field.nbytes
        self._shrink()

    def clear(self) -> None:
        """Forget all fields."""
        self._of.clear()
        self._bytes.clear()
        self._share.clear()
        self.nbytes = 0

    def hold(self, keys: Iterable[Key]) -> None:
        """Keep what has these keys, now or later, until it is let go as often."""
        self._held.update(keys)

    def release(self, keys: Iterable[Key]) -> None:
        """Let go of what was held."""
        for key in keys:
            self._held[key] -= 1
            if self._held[key] <= 0:
                del self._held[key]
        self._shrink()

    def _shrink(self) -> None:
        """Forget the oldest that nobody holds until the rest is within the limits."""
        for share in list(self._of):
            limit = share.limit
            while self._bytes[share] > limit and self._forget([share]):
                pass
        most = max((share.limit for share in self._of), default=0)
        while self.nbytes > most and self._forget(list(self._of)):
            pass

    def _forget(self, shares: list[Share]) -> bool:
        """Forget the field of some shares that was used longest ago; returns whether there was one to forget."""
        loose = [self._oldest_loose(share) for share in shares if share in self._of]
        found = min((one for one in loose if one is not None), default=None)
        if found is None:
            return False
        self._take(found[1])
        return True

    def _oldest_loose(self, share: Share) -> tuple[int, Key] | None:
        """The field of a share that was used longest ago of those that nobody holds: its last use, and its key."""
        return next(((kept.turn, key) for key, kept in self._of[share].items() if key not in self._held), None)

    def _take(self, key: Key) -> None:
        share = self._share.pop(key)
        nbytes = self._of[share].pop(key).field.nbytes
        self._bytes[share] -= nbytes
        self.nbytes -= nbytes
        if not self._of[share]:
            del self._of[share], self._bytes[share]
