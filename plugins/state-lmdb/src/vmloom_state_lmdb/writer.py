"""Sees to it that one process at a time writes a store: two would each take the other's commits for their own."""

from __future__ import annotations

import os
from pathlib import Path

from vmloom.errors import StateError

try:
    import fcntl
except ImportError:  # Windows, where a file that is open to be written is nobody else's
    fcntl = None  # type: ignore[assignment]


class WriterLock:
    """Held from its creation to `release` or the end of the process, however that comes about.

    Raises `StateError` if another process holds it, or the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: int | None = os.open(folder / "writer.lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StateError(f"{folder}: cannot be written: {error.strerror}") from None
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.release()
            raise StateError(f"{folder}: another process writes this store").with_fix(
                "stop it, or open the store read-only"
            ) from None

    def release(self) -> None:
        """Let others write; releasing twice is allowed."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
