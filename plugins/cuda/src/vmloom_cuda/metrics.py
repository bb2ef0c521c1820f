"""What the accelerator did: by operation and kernel, and how often the host had to do it. Safe to share by threads."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .operations.batch import Counts


@dataclass(slots=True)
class _Operation:
    batches: int = 0
    rows: int = 0
    kernel_seconds: float = 0.0
    seconds_with_copies: float = 0.0
    seconds: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    launches: int = 0
    parts: int = 0
    halvings: int = 0
    fallbacks: int = 0
    escapes: int = 0
    escape_causes: dict[str, int] = field(default_factory=dict)
    path: str = ""
    kernels: set[str] = field(default_factory=set)


class CudaMetrics:
    """Counts since the last `clear`.

    Seconds of an operation: those of its kernels alone; with copies; and all that the accelerator took, which adds the
    checking and packing of columns, and waiting for other batches.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._operations: dict[str, _Operation] = {}
            self._kernels: dict[str, dict[str, int]] = {}
            self._last = ""

    def add(self, operation: str, path: str, counts: Counts, seconds: float) -> None:
        """Count a batch that ran on devices by `path`; `seconds` are those of all of it."""
        with self._lock:
            found = self._operations.setdefault(operation, _Operation())
            found.batches += 1
            found.rows += counts.rows
            found.kernel_seconds += counts.kernel_seconds
            found.seconds_with_copies += counts.seconds
            found.seconds += seconds
            found.bytes_in += counts.bytes_in
            found.bytes_out += counts.bytes_out
            found.launches += counts.launches
            found.parts += counts.parts
            found.halvings += counts.halvings
            found.path = path
            found.kernels.update(counts.kernels)
            for name, occupancy in counts.kernels.items():
                self._kernels[f"{operation}.{name}"] = asdict(occupancy)

    def add_fallback(self, operation: str, reason: str) -> None:
        """Count a batch that the host did in place of a device; the last reason is kept."""
        with self._lock:
            self._operations.setdefault(operation, _Operation()).fallbacks += 1
            self._last = reason

    def add_escapes(self, operation: str, causes: Mapping[str, int]) -> None:
        """Count rows that a device left to the host, by what they asked for that it does not do."""
        with self._lock:
            found = self._operations.setdefault(operation, _Operation())
            for cause, rows in causes.items():
                found.escapes += rows
                found.escape_causes[cause] = found.escape_causes.get(cause, 0) + rows

    def to_dict(self) -> dict[str, Any]:
        """All counts by name, operations in their order."""
        with self._lock:
            operations = [
                {"operation": name, **asdict(one), "kernels": sorted(one.kernels)}
                for name, one in sorted(self._operations.items())
            ]
            return {
                "operations": operations,
                "kernels": {name: dict(one) for name, one in sorted(self._kernels.items())},
                "escapes": sum(one.escapes for one in self._operations.values()),
                "fallbacks": sum(one.fallbacks for one in self._operations.values()),
                "last_fallback": self._last,
            }
