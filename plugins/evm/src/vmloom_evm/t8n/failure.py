"""Why a transition did not happen, by the exit codes that tools know."""

from __future__ import annotations

from enum import IntEnum

from vmloom.errors import VmloomError


class ExitCode(IntEnum):
    """The process's exit code."""

    EVM = 2
    """The block is invalid, whatever its transactions."""
    CONFIG = 3
    """The fork is unknown, or the environment lacks what it needs."""
    MISSING_BLOCK_HASH = 4
    """A contract asked for a block hash that the environment does not have."""
    JSON = 10
    IO = 11
    RLP = 12


class TransitionError(VmloomError):
    """One line for people, and the `code` for programs."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code
