"""Fields of late: those finished, in memory, least recently used out first; not thread-safe by itself."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable

from xr_cbottle.cube.keys import Field, Key


class RecentFields:
    """Finished fields up to some bytes. Those that somebody holds stay beyond that.

    Parameters
    ----------
    limit
        Bytes; with 0 only what is held is kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.nbytes = limit, 0
        self._fields: OrderedDict[Key, Field] = OrderedDict()
        self._held: Counter[Key] = Counter()

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, key: object) -> bool:
        return key in self._fields

    @property
    def held(self) -> int:
        """How many keys somebody holds."""
        return len(self._held)

    def get(self, key: Key) -> Field | None:
        """A field, which is then the most recent; None if it is not here."""
        field = self._fields.get(key)
        if field is not None:
            self._fields.move_to_end(key)
        return field

    def put(self, key: Key, field: Field) -> None:
        """Keep a field that is not here yet."""
        if field.nbytes > self.limit and key not in self._held:
            return
        self._fields[key] = field
        self.nbytes += field.nbytes
        self._shrink()

    def clear(self) -> None:
        """Forget all fields."""
        self._fields.clear()
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
        """Forget the oldest that nobody holds until the rest is within the limit."""
        while self.nbytes > self.limit:
            key = next((key for key in self._fields if key not in self._held), None)
            if key is None:
                return
            self.nbytes -= self._fields.pop(key).nbytes
