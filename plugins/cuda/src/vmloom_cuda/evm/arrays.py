"""Calls as arrays: a column of each, which goes to a device as it is. Nothing from outside is believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from vmloom import BlockContext, ExecutionContext
from vmloom_evm.delegation import delegation_target
from vmloom_evm.native.packing import DoesNotFit
from vmloom_native.columns import rising

from ..device.column import DeviceColumn
from ..operations.checking import packed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from vmloom.engine.columns import CallColumns
    from vmloom_evm.native.state import NativeState

    from ..device.interface import Array, Device

ADDRESS: Final = 20
"""Bytes."""
WORD: Final = 4
"""Words of 64 bits of a number of the EVM, the least significant first."""
MOST_GAS: Final = (1 << 63) - 1
MOST: Final = (1 << 256) - 1
EVM_NAMES: Final = ("", "evm")


@dataclass(frozen=True, slots=True, eq=False)
class CallArrays:
    """`n` calls in one block, each of depth 0, from its origin, and neither static nor with blobs.

    All columns but offsets, gas and `contract`, which are checked and copied, may be `DeviceColumn` on the device
    of the batch. Arrays with gaps are copied. Raises `ValueError` for another type or shape, for offsets that do not
    rise or lead beyond the data, for contracts that there are not, and for numbers out of range.
    """

    contracts: Sequence[bytes]
    """Addresses of 20 bytes, of the contracts that are called."""
    data: Array | DeviceColumn
    """Inputs: u8 (n, width), or u8 (size,) with `offsets`."""
    callers: Array | DeviceColumn | bytes
    """u8 (n, 20), or the address of all."""
    gas: Array | int
    """Gas limits: u64 (n,), or that of all; below 2**63."""
    block: BlockContext = field(default_factory=BlockContext)
    offsets: Array | None = None
    """Where in `data` each input begins and the last one ends: u64 (n + 1,)."""
    contract: Array | int = 0
    """Which of `contracts` is called: (n,) of any type of integers, or that of all."""
    value: Array | DeviceColumn | int = 0
    """What CALLVALUE tells, in wei: u64 (n, 4), least significant first, or that of all. Nothing moves."""
    gas_price: int = 0
    """Of all calls, in wei per gas."""
    codes: Sequence[bytes] | None = None
    """What runs as each of `contracts`: by default the code that the state has there."""

    def __post_init__(self) -> None:
        count, data, offsets = _inputs(self.data, self.offsets)
        found = {
            "data": data,
            "offsets": offsets,
            "callers": _callers(self.callers, count),
            "gas": _gas(self.gas, count),
            "contract": _contract(self.contract, count, len(self.contracts)),
            "value": _value(self.value, count),
            "contracts": tuple(self.contracts),
            "codes": None if self.codes is None else tuple(self.codes),
        }
        for name, column in found.items():
            object.__setattr__(self, name, column)
        _in_range("gas_price", self.gas_price, MOST)
        for number, address in enumerate(self.contracts):
            if not isinstance(address, bytes) or len(address) != ADDRESS:
                raise ValueError(f"contracts: number {number} is {address!r}, and an address is {ADDRESS} bytes")
        if self.codes is not None and len(self.codes) != len(self.contracts):
            raise ValueError(f"codes: {len(self.codes)} of {len(self.contracts)} contracts; there is one for each")

    def __len__(self) -> int:
        return len(self.data) if self.offsets is None else len(self.offsets) - 1

    @classmethod
    def of(cls, calls: CallColumns) -> CallArrays:
        """The arrays of columns of Python's objects. Raises `DoesNotFit` for what arrays cannot hold."""
        count, inputs = len(calls), calls.inputs
        sizes = np.fromiter(map(len, inputs), np.uint64, count)
        data, offsets = np.frombuffer(b"".join(inputs), np.uint8), None
        if count and (sizes == sizes[0]).all():
            data = data.reshape(count, int(sizes[0]))
        else:
            offsets = np.concatenate([np.zeros(1, np.uint64), np.cumsum(sizes, dtype=np.uint64)])
        try:
            both, contract = _contracts_of(calls)
            return cls(
                [address for address, _ in both],
                data,
                np.frombuffer(b"".join(calls.callers), np.uint8).reshape(count, ADDRESS),
                np.array(calls.gas_limits, np.uint64),
                calls.block,
                offsets=offsets,
                contract=contract,
                gas_price=calls.gas_price,
                codes=[code for _, code in both],
            )
        except (OverflowError, ValueError):
            raise DoesNotFit from None

    def gas_limits(self) -> NDArray[np.uint64]:
        """Of each call."""
        return np.broadcast_to(np.asarray(self.gas, np.uint64), len(self))

    def device(self) -> Device | None:
        """The device that columns are on, None if all are arrays. Raises `ValueError` if they are on several."""
        columns = [getattr(self, one.name) for one in fields(self)]
        found = {id(one.device): one.device for one in columns if isinstance(one, DeviceColumn)}
        if len(found) > 1:
            raise ValueError(f"columns are on {' and '.join(sorted(one.name for one in found.values()))}")
        return next(iter(found.values()), None)

    def on_host(self) -> CallArrays:
        """The same calls, all columns as arrays. Raises `DeviceError`."""
        if self.device() is None:
            return self
        columns: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        there = {name: one.to_host() for name, one in columns.items() if isinstance(one, DeviceColumn)}
        return CallArrays(**{**columns, **there})

    def code_of(self, number: int, state: NativeState) -> bytes:
        """What runs as the contract of that number. Raises `ValueError` for what only somebody else can run."""
        if self.codes is not None:
            return self.codes[number]
        address = self.contracts[number]
        account = state.get_account(address)
        if account is None or not account.code:
            return b""
        delegate = delegation_target(account.code)
        if account.vm not in EVM_NAMES or delegate is not None:
            why = f"is for the VM {account.vm}" if delegate is None else f"delegates to 0x{delegate.hex()}"
            raise ValueError(
                f"contracts: the code at 0x{address.hex()}, number {number}, {why}; hand in what is to run as `codes`"
            )
        return account.code

    def context(self, place: int) -> ExecutionContext:
        """What the call in a place says. Its columns are arrays; see `on_host`."""
        caller = bytes(_row(self.callers, place))
        value = self.value
        return ExecutionContext(
            caller=caller,
            address=self.contracts[self.number(place)],
            origin=caller,
            value=value if isinstance(value, int) else int.from_bytes(_row(value, place), "little"),
            input=self._input(place),
            gas_limit=int(self.gas if isinstance(self.gas, int) else self.gas[place]),
            gas_price=self.gas_price,
            block=self.block,
        )

    def number(self, place: int) -> int:
        """Which of the contracts a call is of."""
        return int(self.contract if isinstance(self.contract, int) else self.contract[place])

    def _input(self, place: int) -> bytes:
        if self.offsets is None:
            return _row(self.data, place)
        assert not isinstance(self.data, DeviceColumn)
        return self.data[int(self.offsets[place]) : int(self.offsets[place + 1])].tobytes()


def _row(column: Any, place: int) -> bytes:
    return column if isinstance(column, bytes) else column[place].tobytes()


def _contracts_of(calls: CallColumns) -> tuple[list[tuple[bytes, bytes]], Array | int]:
    """The contracts, each with its code, and which of them is called."""
    count, both = len(calls), list(zip(calls.addresses, calls.codes, strict=True))
    if both.count(both[0]) == count:
        return both[:1], 0
    numbers: dict[tuple[bytes, bytes], int] = {}
    contract = np.fromiter((numbers.setdefault(one, len(numbers)) for one in both), np.uint32, count)
    return list(numbers), contract


# What is refused


def _inputs(data: Any, offsets: Any) -> tuple[int, Array | DeviceColumn, Array | None]:
    """How many inputs there are, and their columns."""
    if offsets is None:
        width = getattr(data, "shape", ())[1:2]
        found = _packed("data", data, "uint8", width if width else (1,))
        return len(found), found, None
    found = _packed("data", data, "uint8", ())
    places = rising(offsets, len(found), "offsets")
    return len(places) - 1, found, places


def _callers(callers: Any, count: int) -> Array | DeviceColumn | bytes:
    if isinstance(callers, bytes):
        if len(callers) != ADDRESS:
            raise ValueError(f"callers: {len(callers)} bytes, and an address has {ADDRESS}")
        return callers
    found: Array | DeviceColumn = _aligned("callers", _column("callers", callers, "uint8", (ADDRESS,), count), 4)
    return found


def _gas(gas: Any, count: int) -> Array | int:
    if isinstance(gas, (int, np.integer)):
        return _in_range("gas", gas, MOST_GAS)
    found: Array = _column("gas", gas, "uint64", (), count, on_host=True).copy()  # ours, now that it is checked
    if count and int(found.max()) > MOST_GAS:
        place = int(found.argmax())
        raise ValueError(f"gas: {int(found[place])} of call {place}; a call has {MOST_GAS} at most")
    return found


def _contract(contract: Any, count: int, contracts: int) -> Array | int:
    """Numbers of contracts, which lead into others, and so are checked and copied."""
    if isinstance(contract, (int, np.integer)):
        if count and not 0 <= contract < contracts:
            raise ValueError(f"contract: number {contract}, and there are {contracts}")
        return int(contract)
    if not isinstance(contract, np.ndarray) or contract.dtype.kind not in "iu" or contract.shape != (count,):
        given = f"{contract.dtype} {contract.shape}" if isinstance(contract, np.ndarray) else type(contract).__name__
        raise ValueError(f"contract: a column should be integers ({count},), not {given}")
    if count and not 0 <= int(contract.min()) <= int(contract.max()) < contracts:
        place = int(np.flatnonzero((contract < 0) | (contract >= contracts))[0])
        raise ValueError(f"contract: number {int(contract[place])} of call {place}, and there are {contracts}")
    return contract.astype(np.uint32)


def _value(value: Any, count: int) -> Array | DeviceColumn | int:
    if isinstance(value, (int, np.integer)):
        return _in_range("value", value, MOST)
    found: Array | DeviceColumn = _aligned("value", _column("value", value, "uint64", (WORD,), count), 8)
    return found


def _in_range(name: str, number: int | np.integer[Any], most: int) -> int:
    if not 0 <= number <= most:
        raise ValueError(f"{name}: {number} is not from 0 to {most}")
    return int(number)


def _column(name: str, column: Any, kind: str, row: tuple[int, ...], count: int, *, on_host: bool = False) -> Any:
    """A column of so many rows, without gaps."""
    if on_host and isinstance(column, DeviceColumn):
        raise ValueError(f"{name}: it is looked at here, so it has to be an array: hand in `to_host()`")
    found = _packed(name, column, kind, row)
    if len(found) != count:
        raise ValueError(f"{name}: {len(found)} rows of {count} calls")
    return found


def _packed(name: str, column: Any, kind: str, row: tuple[int, ...]) -> Any:
    try:
        return packed(column, kind, row)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _aligned(name: str, column: Any, alignment: int) -> Any:
    """Devices read words only where they lie at multiples of their size."""
    if isinstance(column, DeviceColumn) and column.address % alignment:
        raise ValueError(f"{name}: it begins at address {column.address:#x} of the device, no multiple of {alignment}")
    return column
