"""What surrounds a program that runs as a contract: the call and the block, and the ways out of it.

Made by who runs contracts; the interpreter and generated code only read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Final

from vmloom.context import ZERO_ADDRESS, BlockContext

from ..errors import CallFailed, UnknownName
from ..values import Value

BLOCK_FIELDS: Final = frozenset(entry.name for entry in fields(BlockContext))
"""What BLOCK may ask for: `number`, `timestamp` (seconds), `coinbase` (20 bytes), `gas_limit` and so on."""


def _no_events(_topics: list[int], _data: bytes) -> None:
    raise CallFailed("EMIT: nobody takes events here")


def _no_calls(_address: bytes, _input: bytes, _value: int, _gas: int | None) -> tuple[Value, int]:
    raise CallFailed("CALL_CONTRACT: there are no contracts to call here")


@dataclass(frozen=True, slots=True)
class CallContext:
    """The call that a program runs as. Addresses are 20 bytes, `value` is in wei."""

    input: bytes = b""
    caller: bytes = ZERO_ADDRESS
    address: bytes = ZERO_ADDRESS
    value: int = 0
    block: BlockContext = field(default_factory=BlockContext)
    emit: Callable[[list[int], bytes], None] = _no_events
    """(topics, data): record an event. May raise a `ProzError`."""
    call: Callable[[bytes, bytes, int, int | None], tuple[Value, int]] = _no_calls
    """(address, input, value, gas that is left, None for no bound) -> (what the program gets, gas used).

    How much of the gas the callee gets is decided there. May raise a `ProzError`.
    """

    def block_field(self, name: str) -> int | bytes:
        """The field of the block that BLOCK asks for. Raises `UnknownName`."""
        if name not in BLOCK_FIELDS:
            raise UnknownName(f"BLOCK: a block has no field `{name}`")
        found: int | bytes = getattr(self.block, name)
        return found
