"""What a contract does to the world outside of it: events, and calls of other contracts, with their prices.

One `Outside` serves one run; its methods are the callbacks of the `CallContext` that the run's program gets. The
instructions and their own prices are not known here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from vmloom import Event, ExecutionContext, StateAccess
from vmloom.calls import call_contract
from vmloom.context import ADDRESS_SIZE
from vmloom.marks import WARM_ACCOUNTS
from vmloom.vm import VmHost

from .config import CallPrices
from .errors import CallFailed, OutOfGas, ReadOnlyState, TypeMismatch, ValueTooLarge
from .runtime.transactions import TransactionStack
from .values import Value, kind_of

MAX_TOPICS: Final = 4
"""Of one event, as receipts have them. Yellow paper, section 4.3.1."""
WORD_BITS: Final = 256
"""Bits of a topic, and of an amount of wei."""


class Outside:
    """Events and calls of the contract that runs as `context`. `refund` is the gas that its callees want refunded."""

    def __init__(self, context: ExecutionContext, state: StateAccess, host: VmHost, prices: CallPrices) -> None:
        self._context: Final = context
        self._state: Final = state
        self._host: Final = host
        self._prices: Final = prices
        self.refund = 0

    def emit(self, topics: list[int], data: bytes, transactions: TransactionStack) -> None:
        """EMIT: at most 4 topics, each of 256 bits; the event is there once the open transactions commit.

        Raises `ReadOnlyState`, `TypeMismatch` and `ValueTooLarge`.
        """
        self.must_not_be_static("EMIT")
        if len(topics) > MAX_TOPICS:
            raise ValueTooLarge(f"EMIT: {len(topics)} topics; an event has at most {MAX_TOPICS}")
        for topic in topics:
            _check_word(topic, "EMIT: a topic")
        event = Event(self._context.address, tuple(topics), data)
        transactions.after(lambda: self._state.emit(event))

    def call(self, address: bytes, input: bytes, value: int, gas_left: int | None) -> tuple[Value, int]:
        """CALL_CONTRACT: call the contract at `address`, 20 bytes, with `value` wei and all but a 64th of the gas.

        Returns `{"status": 1 or 0, "output": bytes}`, 1 for success, and the gas used; a callee that fails is no error
        of the caller. Raises `OutOfGas` where the call's own price cannot be paid, `ReadOnlyState` for wei in a static
        call, `TypeMismatch` for what is no address, and `ValueTooLarge`.
        """
        if gas_left is None:
            raise CallFailed("CALL_CONTRACT: contracts are called with a limit of gas only")
        if len(address) != ADDRESS_SIZE:
            raise TypeMismatch(f"CALL_CONTRACT: an address has {ADDRESS_SIZE} bytes, not {len(address)}")
        _check_word(value, "CALL_CONTRACT: the value")
        if value:
            self.must_not_be_static("CALL_CONTRACT with wei")
        price = self._price(address, value)
        if price > gas_left:
            raise OutOfGas(f"CALL_CONTRACT: the call costs {price} gas, {gas_left} are left")
        left = gas_left - price
        call = replace(
            self._context,
            caller=self._context.address,
            address=address,
            value=value,
            input=input,
            gas_limit=left - left // 64,  # EIP-150
            depth=self._context.depth + 1,
            code_address=None,
        )
        result = call_contract(self._host, self._state, call)
        self.refund += result.gas_refunded
        return {"status": result.status, "output": result.return_data}, price + result.gas_used

    def must_not_be_static(self, what: str) -> None:
        """Raise `ReadOnlyState` in a call that may change nothing."""
        if self._context.is_static:
            raise ReadOnlyState(f"{what} in a static call")

    def _price(self, address: bytes, value: int) -> int:
        """Gas for making the call, beyond the instruction's own. Marks the account as accessed."""
        price = 0
        number = int.from_bytes(address, "big")
        if number not in self._state.marks(WARM_ACCOUNTS):
            self._state.mark(WARM_ACCOUNTS, number)
            price += self._prices.cold_account
        if value:
            price += self._prices.value
            if self._state.is_empty(address):
                price += self._prices.new_account
        return price


def _check_word(number: Value, what: str) -> None:
    """Raise unless `number` is an integer of 0 to 2^256 - 1."""
    if type(number) is not int:
        raise TypeMismatch(f"{what} must be an integer, not {kind_of(number)}")
    if number < 0 or number.bit_length() > WORD_BITS:
        raise ValueTooLarge(f"{what} must be 0 to 2^{WORD_BITS} - 1")
