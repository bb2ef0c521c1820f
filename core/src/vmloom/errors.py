"""Everything that vmloom raises. A failing contract is a result, never one of these.

Messages name the cause, the place (offset, key, file) and the next step; the command line prints them as
one line. Knows nothing of the rest of the package.
"""

from __future__ import annotations

from typing import Self


class VmloomError(Exception):
    """Base of all errors that vmloom raises on purpose."""

    fix: str = ""
    """The way out, such as a command or a line of configuration; empty if there is none to offer."""

    def with_fix(self, fix: str) -> Self:
        """Set `fix` and return the error; a traceback shows it below the message."""
        self.fix = fix
        self.add_note(f"fix: {fix}")
        return self


# Code


class CodeError(VmloomError):
    """Code that a VM refuses, with the byte `offset` at fault where there is one."""

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message if offset is None else f"offset {offset:#x}: {message}")
        self.offset = offset


class CodeTooLarge(CodeError):
    """Code longer than the VM's limit in bytes."""


class ProhibitedOpcode(CodeError):
    """An instruction that the configuration disables."""


class InvalidCode(CodeError):
    """Code whose format is wrong: bad magic, truncated section, unknown version."""


class MissingRequiredExport(CodeError):
    """A module without an entry point that the VM needs."""


class ProhibitedImport(CodeError):
    """A module that imports what is not on the allow list."""


class MemoryTooLarge(CodeError):
    """A module that asks for more memory than the limit."""


# Input


class InputError(VmloomError):
    """Input that cannot be read: not hex, not JSON, out of range."""


class StateError(VmloomError):
    """A state file or store that cannot be read, or misuse of a state (reverting to a checkpoint that is gone)."""


class Unsupported(VmloomError):
    """Something that this VM does not offer."""


class UnknownRevision(VmloomError):
    """A fork or revision that the VM does not know."""


class InvalidTransaction(VmloomError):
    """A transaction that must be refused before execution. `reason` is a stable machine-readable name."""

    reason: str = "INVALID_TRANSACTION"


# Plugins and configuration


class ConfigError(VmloomError):
    """A setting that is unknown or out of range, with its place."""


class PluginError(VmloomError):
    """A plugin that cannot be used, with the cause and the way out."""


class UnknownVm(PluginError):
    """No usable VM of the name asked for."""


class GasEstimationError(VmloomError):
    """No gas limit up to the cap lets the call succeed. `return_data` holds its output, if it reverted."""

    def __init__(self, message: str, *, return_data: bytes = b"") -> None:
        super().__init__(message)
        self.return_data = return_data
