"""One run of a contract: its gas, its memory, what it has said so far, and how it ends.

Host functions are given the `Run` and work through it. It knows nothing of how modules are found or results are made.
"""

from __future__ import annotations

from typing import Final, NoReturn

from vmloom import ExecutionContext, StateAccess
from vmloom.marks import WARM_ACCOUNTS, WARM_SLOTS
from vmloom.vm import VmHost

from .contract import Contract, InputPlace, OutputPlace
from .engine.instance import PAGE, Instance
from .metering.instrument import EXHAUSTED_EXPORT, GAS_EXPORT
from .metering.sequences import Exhausted
from .prices import HostPrices

MOST_GAS: Final = (1 << 63) - 1
"""Units that the counter holds. What a caller gives beyond it cannot be used up."""
OUTPUT_AREA: Final = 8
"""Bytes in which a contract may leave pointer and length of its output."""


class Ending(Exception):
    """How a run ends before its last instruction."""


class Finished(Ending):
    """With success and `output`."""

    def __init__(self, output: bytes) -> None:
        super().__init__()
        self.output = output


class Reverted(Finished):
    """On purpose: changes are undone, gas that is left stays."""


class Failure(Ending):
    """By an error: changes are undone and all gas is gone."""


class OutOfGas(Failure):
    """Something costs more than is left."""

    def __init__(self) -> None:
        super().__init__("out of gas")


class Run:
    """A contract at work for one call.

    Attributes:
        context: The call.
        address: The account whose storage it uses.
        return_data: What the last call that it made has returned.
        output: What it set as its output, None as long as it has not.
        refund: Gas that the contracts that it called want refunded.
    """

    def __init__(
        self,
        contract: Contract,
        context: ExecutionContext,
        state: StateAccess,
        host: VmHost,
        prices: HostPrices,
        units_per_gas: int,
    ) -> None:
        self.contract = contract
        self.context = context
        self.state = state
        self.host = host
        self.prices = prices
        self.address = context.address
        self.return_data = b""
        self.output: bytes | None = None
        self.refund = 0
        self._units = units_per_gas
        self._address_number = int.from_bytes(context.address, "big")
        self._granted = min(context.gas_limit * units_per_gas, MOST_GAS)
        self.instance: Instance

    # Course

    def perform(self, instance: Instance, entry: str) -> tuple[bool, bytes]:
        """Run the export `entry` of `instance` to its end. Returns whether it succeeded, and its output.

        Raises `Ending`, and `WasmTrap` for one of which `exhausted` tells more.
        """
        self.instance = instance
        self._gas = gas = instance.variable(GAS_EXPORT)
        self.get_gas, self.set_gas = gas.get, gas.set
        self.memory = instance.memory if self.contract.has_memory else _NO_MEMORY
        gas.set(self._granted)
        self._pay_for_instance()
        for name in self.contract.initializers:
            instance.call(name)
        output_area, pointer = self._place_input()
        status = instance.call(entry, len(self.context.input), pointer, output_area)
        return bool(status), self._read_output(output_area)

    def _pay_for_instance(self) -> None:
        prices, contract = self.prices, self.contract
        self.charge(prices.entry + prices.segment * contract.segments)
        self.charge_copy(contract.segment_bytes)
        if self.memory.size:
            self.charge_units(contract.price_of_pages(self.memory.size // PAGE))

    def _place_input(self) -> tuple[int, int]:
        """Put the input where the contract finds it. Returns the addresses of the area for the output and of it."""
        contract, data = self.contract, self.context.input
        area = OUTPUT_AREA if contract.output is OutputPlace.AREA else 0
        size = area + (len(data) if contract.input is not InputPlace.ASKED_FOR else 0)
        if not size or not contract.has_memory:
            return 0, 0
        self.charge_copy(size)
        place = self._allocate(size)
        if area:
            self.write(place, bytes(area))
        if size > area:
            self.write(place + area, data)
        return place if area else 0, place + area if size > area else 0

    def _allocate(self, size: int) -> int:
        """Memory that the contract does not use: it hands it out itself, or it is made."""
        if self.contract.allocator:
            return int(self.instance.call(self.contract.allocator, size))
        place = self.memory.size
        pages = -(-size // PAGE)
        self.charge_units(self.contract.price_of_pages(pages))
        if not self.memory.grow(pages):
            raise Failure(f"there is no room for {size} bytes of input: memory may not grow by {pages} pages")
        return place

    def _read_output(self, area: int) -> bytes:
        if self.output is not None:
            return self.output
        place = self.contract.output
        if place is OutputPlace.AREA and area:
            packed = self.read(area, OUTPUT_AREA)
            pointer, size = int.from_bytes(packed[:4], "little"), int.from_bytes(packed[4:], "little")
        elif place in (OutputPlace.VALUES, OutputPlace.ADDRESSES):
            pointer, size = (self.instance.variable(name).get() for name in ("output_ptr", "output_len"))
            if place is OutputPlace.ADDRESSES:
                pointer, size = (int.from_bytes(self.read(at, 4), "little") for at in (pointer, size))
        else:
            return b""
        return self.read(pointer, size) if size else b""

    @property
    def exhausted(self) -> Exhausted:
        """What the instrumentation ran out of, if it trapped for that."""
        return Exhausted(self.instance.variable(EXHAUSTED_EXPORT).get())

    # Gas

    @property
    def gas_left(self) -> int:
        """Gas that is left, less what is begun of one."""
        left: int = self.get_gas()
        return left // self._units

    @property
    def gas_used(self) -> int:
        """Gas that ran away so far, a begun one counted whole."""
        return -(-(self._granted - self.get_gas()) // self._units)

    def charge(self, gas: int) -> None:
        """Take `gas`. Raises `OutOfGas`, and takes nothing, if less is left."""
        left, units = self.get_gas(), gas * self._units
        if units > left:
            raise OutOfGas
        self.set_gas(left - units)

    def charge_units(self, units: int) -> None:
        """Take units of the gas table. Raises `OutOfGas`, and takes nothing, if less is left."""
        left = self.get_gas()
        if units > left:
            raise OutOfGas
        self.set_gas(left - units)

    def charge_copy(self, size: int) -> None:
        """Take what copying `size` bytes costs."""
        if size:
            self.charge(self.prices.copy_word * self.words(size))

    @staticmethod
    def words(size: int) -> int:
        """Words of 32 bytes in `size` bytes, a begun one counted whole."""
        return (size + 31) >> 5

    def set_aside(self, wanted: int) -> int:
        """Take gas for a call: `wanted`, or all but one 64th if that is less. EIP-150."""
        left = self.gas_left
        given = min(wanted, left - (left >> 6))
        self.charge(given)
        return given

    def give_back(self, gas: int) -> None:
        """Return what a call has not used."""
        self.set_gas(min(self.get_gas() + gas * self._units, MOST_GAS))

    def must_have_more_gas_than(self, gas: int) -> None:
        """Raise `OutOfGas` if not more than `gas` is left. EIP-2200."""
        if self.gas_left <= gas:
            raise OutOfGas

    def must_not_be_static(self, what: str) -> None:
        """Raise `Failure` in a call that may change nothing. EIP-214."""
        if self.context.is_static:
            raise Failure(f"{what} in a static call")

    # Access, which costs more the first time. EIP-2929

    def touch_slot(self, slot: int) -> bool:
        """Note an access to a slot of this account. Returns whether it is the transaction's first."""
        return self._touch(WARM_SLOTS, (self._address_number, slot))

    def touch_account(self, address: bytes) -> bool:
        """Note an access to an account. Returns whether it is the transaction's first."""
        return self._touch(WARM_ACCOUNTS, int.from_bytes(address, "big"))

    def _touch(self, kind: str, key: int | tuple[int, int]) -> bool:
        if key in self.state.marks(kind):
            return False
        self.state.mark(kind, key)
        return True

    # Memory

    def read(self, offset: int, size: int) -> bytes:
        """A copy of `size` bytes of memory, whose copying has been paid."""
        try:
            return self.memory.read(offset, size)
        except IndexError as error:
            raise Failure(str(error)) from None

    def write(self, offset: int, data: bytes) -> None:
        """Put `data` into memory."""
        try:
            self.memory.write(offset, data)
        except IndexError as error:
            raise Failure(str(error)) from None

    def write_padded(self, offset: int, data: bytes, size: int) -> None:
        """Put `data` and zeros, `size` bytes together, into memory."""
        self.must_hold(offset, size)  # before so many zeros are made
        self.write(offset, data.ljust(size, b"\0"))

    def must_hold(self, offset: int, size: int) -> None:
        """Raise `Failure` unless `size` bytes at `offset` are within memory."""
        if offset + size > self.memory.size:
            raise Failure(f"{size} bytes at {offset:#x} are not within the memory of {self.memory.size} bytes")

    def read_word(self, offset: int) -> int:
        """The word of 32 bytes at `offset`, big-endian."""
        return int.from_bytes(self.read(offset, 32), "big")

    def write_word(self, offset: int, word: int) -> None:
        """Put a word of 32 bytes, big-endian, at `offset`."""
        self.write(offset, word.to_bytes(32, "big"))


class _NoMemory:
    """What a module that exports no memory has instead."""

    size = 0

    def read(self, offset: int, size: int) -> bytes:
        if size:
            self._fail()
        return b""

    def write(self, offset: int, data: bytes) -> None:
        if data:
            self._fail()

    def grow(self, pages: int) -> bool:
        return False

    @staticmethod
    def _fail() -> NoReturn:
        raise IndexError("the module exports no memory")


_NO_MEMORY: Final = _NoMemory()
