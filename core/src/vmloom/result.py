"""What an execution leaves behind: status, gas, output, events and state changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class ExecutionState(Enum):
    """Where an execution stands, or how it ended."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    REVERTED = "reverted"
    """Ended on purpose, with output and unused gas; its changes are undone."""
    FAILED = "failed"
    """Ended by an error such as out of gas: all gas is used and its changes are undone."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (ExecutionState.PENDING, ExecutionState.RUNNING)


@dataclass(frozen=True, slots=True)
class Event:
    """A log: `topics` are 32-byte words as integers, indexed by explorers; `data` is free."""

    address: bytes
    topics: tuple[int, ...]
    data: bytes

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values: hex strings."""
        return {
            "address": "0x" + self.address.hex(),
            "topics": [f"{topic:#066x}" for topic in self.topics],
            "data": "0x" + self.data.hex(),
        }


@dataclass(frozen=True, slots=True)
class StateChange:
    """One field of one account, before and after. `field` is balance, nonce, code, vm, storage, record or exists.

    `key` is the slot (int) or record key (bytes) of a storage or record change, else None. An account that exists no
    more has no storage and no records either, which need not be told one by one.
    """

    address: bytes
    field: str
    key: int | bytes | None
    old: Any
    new: Any

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values: bytes and storage words as hex strings, other numbers as they are."""

        def plain(value: Any) -> Any:
            if isinstance(value, bytes):
                return "0x" + value.hex()
            return f"{value:#x}" if self.field == "storage" and isinstance(value, int) else value

        key = f"{self.key:#x}" if isinstance(self.key, int) else plain(self.key)
        return {
            "address": "0x" + self.address.hex(),
            "field": self.field,
            "key": key,
            "old": plain(self.old),
            "new": plain(self.new),
        }


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """Outcome of one execution.

    `gas_used` is what ran away of the gas limit before refunds, `gas_refunded` what the refund counter holds;
    both in gas. A call inside a transaction may hold less than 0, where it takes back what calls before it were
    promised. `error` says why it did not succeed, empty otherwise.
    """

    state: ExecutionState
    gas_used: int
    return_data: bytes = b""
    gas_refunded: int = 0
    events: tuple[Event, ...] = ()
    state_changes: tuple[StateChange, ...] = ()
    error: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What a VM adds of its own, such as the engine used or instruction metrics."""

    @property
    def success(self) -> bool:
        """Whether it ended without revert or error."""
        return self.state is ExecutionState.SUCCESS

    @property
    def status(self) -> int:
        """1 for success, 0 otherwise, as receipts have it."""
        return int(self.success)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values: bytes become 0x strings, enums their names."""
        return {
            "status": self.status,
            "state": self.state.value,
            "gas_used": self.gas_used,
            "gas_refunded": self.gas_refunded,
            "return_data": "0x" + self.return_data.hex(),
            "events": [event.to_dict() for event in self.events],
            "state_changes": [change.to_dict() for change in self.state_changes],
            "error": self.error,
            **({"metadata": self.metadata} if self.metadata else {}),
        }
