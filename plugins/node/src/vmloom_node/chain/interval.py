"""Blocks at regular times."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread, current_thread


class IntervalMiner:
    """Calls `mine` each `seconds`, in a thread of its own, until it is stopped. What goes wrong is logged."""

    def __init__(self, mine: Callable[[], object], seconds: float) -> None:
        if seconds <= 0:
            raise ValueError(f"{seconds} seconds between blocks")
        self._mine = mine
        self.seconds = seconds
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="vmloom-miner", daemon=True)

    def start(self) -> None:
        """Begin; the first block comes after `seconds`."""
        self._thread.start()

    def stop(self) -> None:
        """End, once the block that is being made is done."""
        self._stopped.set()
        if self._thread is not current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self.seconds):
            try:
                self._mine()
            except Exception:
                import structlog  # only what goes wrong needs it

                structlog.get_logger("vmloom").exception("a block could not be mined")
