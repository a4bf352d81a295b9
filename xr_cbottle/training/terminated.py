"""Signals that end a run, as a question that its loop asks between two steps, so that it can save."""

from __future__ import annotations

import signal
import threading
from typing import Any


class Terminated:
    """SIGTERM and SIGINT as a question; a second one ends the process at once.

    Within ``with`` the object, called, says whether one has come. Elsewhere than in the main thread none is caught.
    """

    def __enter__(self) -> Terminated:
        self.asked = False
        self.previous: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            self.previous = {kind: signal.signal(kind, self._ask) for kind in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for kind, handler in self.previous.items():
            signal.signal(kind, handler)
        self.previous = {}

    def __call__(self) -> bool:
        return self.asked

    def _ask(self, *_: object) -> None:
        self.asked = True
        self.__exit__()
