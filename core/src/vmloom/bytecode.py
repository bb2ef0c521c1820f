"""What can be found out about code without running it, and what making it better came to. VMs fill these in.

`VirtualMachine.analyse` and `VirtualMachine.optimise` return them; offsets are bytes from the code's beginning, or what
the VM's disassembly calls offsets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class BasicBlock:
    """Instructions that run one after the other: those from offset `start` up to `end`, which is not among them.

    `needs` and `changes` are items of the stack: how many it has to find there, and how many more there are after it.
    `successors` are the starts of the blocks that may follow, None if the code cannot tell.
    """

    start: int
    end: int
    needs: int
    changes: int
    successors: tuple[int, ...] | None
    is_reachable: bool = True

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "start": self.start,
            "end": self.end,
            "needs": self.needs,
            "changes": self.changes,
            "successors": None if self.successors is None else list(self.successors),
            "reachable": self.is_reachable,
        }


@dataclass(frozen=True, slots=True)
class CodeAnalysis:
    """What is known of code.

    `stack_low` and `stack_high` bound the depth of the stack in what can be reached, None where there is no bound.
    `selectors` are the four-byte names of functions that a dispatcher compares the input with, by the offset of the
    function; `unresolved` the offsets of jumps whose target is not known.
    """

    size: int
    blocks: tuple[BasicBlock, ...]
    jump_destinations: tuple[int, ...] = ()
    unresolved: tuple[int, ...] = ()
    stack_low: int | None = None
    stack_high: int | None = None
    selectors: dict[str, int] = field(default_factory=dict)

    @property
    def unreachable_bytes(self) -> int:
        """Bytes in blocks that no path reaches."""
        return sum(block.end - block.start for block in self.blocks if not block.is_reachable)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "size": self.size,
            "blocks": [block.to_dict() for block in self.blocks],
            "jump_destinations": list(self.jump_destinations),
            "unresolved": list(self.unresolved),
            "stack_low": self.stack_low,
            "stack_high": self.stack_high,
            "selectors": dict(self.selectors),
            "unreachable_bytes": self.unreachable_bytes,
        }


@dataclass(frozen=True, slots=True)
class Applied:
    """A change by a rule: at which offset of the original, and the bytes and gas of one execution that it saves.

    None where that cannot be told of one change, since it makes others possible.
    """

    rule: str
    offset: int | None
    saved_bytes: int | None
    saved_gas: int | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rule that was not applied, or code that was left alone: at which offset, if at one, and why."""

    rule: str
    reason: str
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class OptimisationReport:
    """`code` does what `original` does, at no more gas; `applied` and `refused` say how it came about."""

    original: bytes
    code: bytes
    applied: tuple[Applied, ...] = ()
    refused: tuple[Refusal, ...] = ()

    @property
    def saved_bytes(self) -> int:
        """Bytes by which the code is shorter."""
        return len(self.original) - len(self.code)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "original_size": len(self.original),
            "size": len(self.code),
            "saved_bytes": self.saved_bytes,
            "code": "0x" + self.code.hex(),
            "applied": [
                {"rule": one.rule, "offset": one.offset, "saved_bytes": one.saved_bytes, "saved_gas": one.saved_gas}
                for one in self.applied
            ],
            "refused": [{"rule": one.rule, "offset": one.offset, "reason": one.reason} for one in self.refused],
        }
