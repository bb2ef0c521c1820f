"""What the compiler of contracts has done: counted here, read as a snapshot. Safe to share by threads."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from .worker import FORKED

_REASONS_KEPT = 64
"""Reasons for failures that are told apart; later ones count as `other`."""


@dataclass(frozen=True, slots=True)
class JitStatistics:
    """What an engine's compiler has done since the engine was made, and what its memory holds now.

    Attributes:
        compiles: Contracts compiled, whether or not that succeeded.
        failures: Contracts that stay interpreted, by the reason.
        seconds: Processor time that the compiles took.
        code_bytes: Bytes of bytecode that was compiled.
        machine_code_bytes: Bytes of machine code that came of it.
        memory_hits: Contracts whose machine code was in memory when they were met, by the state they were met in.
        disk_hits: Contracts whose machine code was on the disk.
        promotions: Contracts that went from the interpreter to machine code, by the state they run in.
        improvements: Contracts whose machine code was made again, better, since they ran on.
        deoptimisations: How often machine code has gone back to the interpreter for what it leaves to it.
        rests: How often machine code was put aside for a while, since the contract ran no faster in it.
        evictions: Contracts whose machine code left the memory to make room.
        pending: Contracts that wait for the compiler now.
        entries: Contracts whose machine code is in memory now.
        bytes: What their machine code takes, in memory now.
    """

    compiles: int = 0
    failures: dict[str, int] | None = None
    seconds: float = 0.0
    code_bytes: int = 0
    machine_code_bytes: int = 0
    memory_hits: int = 0
    disk_hits: int = 0
    promotions: int = 0
    improvements: int = 0
    deoptimisations: int = 0
    rests: int = 0
    evictions: int = 0
    pending: int = 0
    entries: int = 0
    bytes: int = 0

    @property
    def milliseconds_per_kilobyte(self) -> float:
        """Of compiling, by 1024 bytes of bytecode; 0 while nothing was compiled."""
        return self.seconds * 1e3 * 1024 / self.code_bytes if self.code_bytes else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All of it by name, JSON-ready."""
        return {
            **asdict(self),
            "failures": dict(self.failures or {}),
            "milliseconds_per_kilobyte": self.milliseconds_per_kilobyte,
        }


class Counts:
    """The counting half: one for each engine, shared by its specifications and the thread that compiles."""

    def __init__(self) -> None:
        self.after_fork()
        FORKED.add(self)
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._seconds = 0.0

    def add(self, name: str, number: int = 1) -> None:
        """Count `number` more of the attribute `name` of `JitStatistics`."""
        with self._lock:
            self._counts[name] += number

    def compiled(self, code_bytes: int, machine_code_bytes: int, seconds: float) -> None:
        """Count a compile. One that failed made no bytes."""
        with self._lock:
            self._counts["compiles"] += 1
            self._counts["code_bytes"] += code_bytes
            self._counts["machine_code_bytes"] += machine_code_bytes
            self._seconds += seconds

    def failed(self, reason: str) -> None:
        """Count a contract that stays interpreted."""
        with self._lock:
            known = reason in self._failures or len(self._failures) < _REASONS_KEPT
            self._failures[reason if known else "other"] += 1

    def snapshot(self, **now: int) -> JitStatistics:
        """The counts, with what only others know."""
        with self._lock:
            return JitStatistics(failures=dict(self._failures), seconds=self._seconds, **{**self._counts, **now})

    def after_fork(self) -> None:
        """See `worker.Forked`."""
        self._lock = threading.Lock()
