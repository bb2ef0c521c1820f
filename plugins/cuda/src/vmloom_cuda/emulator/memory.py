"""The memory of an emulated device: allocations far apart, so that whatever misses one hits nothing.

Each allocation has 2**36 addresses to itself, which are never given to another one. So an access finds its allocation
by the upper bits of the address, and what was freed stays unmapped.
"""

from __future__ import annotations

import threading
from typing import Any, Final

SHIFT: Final = 36
"""Lower bits of an address: the place in its allocation."""
OFFSETS: Final = (1 << SHIFT) - 1
WIDTHS: Final = (1, 2, 4, 8)
"""Bytes that are accessed at once."""
_FIRST: Final = 1 << 49
"""No pointer of a host is as large: x86-64 and AArch64 have 48 bits for them."""
DEFAULT_CAPACITY: Final = 8 << 30
UNSET: Final = 0xA5
"""What every byte is until it is written: zeros would hide that somebody relies on them."""

Views = dict[int, Any]
"""By the upper bits of addresses: the memory there, as integers of one width."""


def views_of(memory: Any) -> tuple[Any, ...]:
    """The whole integers of each width in a buffer: what lies beyond its end is in none of them."""
    whole = memoryview(memory)
    even, quarter, eighth = (whole[: len(whole) // width * width] for width in WIDTHS[1:])
    return whole, even.cast("H"), quarter.cast("I"), eighth.cast("Q")


class DeviceMemory:
    """Allocations, copies to them and from them. One may serve several emulators, as the memory of a GPU does.

    Attributes:
        capacity: How many bytes there are.
        used: How many are allocated.
        views: For each width of `WIDTHS`, the allocations in integers of that width.
        constants: The same of what kernels only read, in the state space of constants.
        generic: Both, and what else has a generic address.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY, *, fill: int = UNSET) -> None:
        """`fill` is the byte that memory holds before it is written."""
        self.capacity, self.used, self.fill = capacity, 0, fill
        self.views: tuple[Views, ...] = ({}, {}, {}, {})
        self.constants: tuple[Views, ...] = ({}, {}, {}, {})
        self.generic: tuple[Views, ...] = ({}, {}, {}, {})
        self._lock = threading.RLock()
        self._allocations: dict[int, memoryview] = {}
        self._next = _FIRST

    def allocate(self, size: int) -> int:
        """The address of `size` bytes. Raises `MemoryError` if there are not that many left."""
        if not 0 <= size <= min(self.capacity - self.used, OFFSETS + 1):
            raise MemoryError(f"{size} bytes asked for, {self.capacity - self.used} of {self.capacity} free")
        return self._mapped(memoryview(bytearray([self.fill]) * size), self.views)

    def constant(self, data: bytes) -> int:
        """The address of a copy of `data` that kernels may not write to."""
        if len(data) > self.capacity - self.used:
            raise MemoryError(f"{len(data)} bytes asked for, {self.capacity - self.used} of {self.capacity} free")
        return self._mapped(memoryview(data), self.constants)

    def _mapped(self, memory: memoryview, space: tuple[Views, ...]) -> int:
        with self._lock:  # kernels are loaded by threads, too
            address = self._next
            self._next += 1 << SHIFT
            self.used += len(memory)
        self._allocations[address] = memory
        for in_space, generic, view in zip(space, self.generic, views_of(memory), strict=True):
            in_space[address >> SHIFT] = generic[address >> SHIFT] = view
        return address

    def free(self, address: int) -> None:
        """Give an allocation back. Raises `ValueError` for an address that `allocate` did not give, or not any more."""
        memory = self._allocations.pop(address, None)
        if memory is None:
            raise ValueError(f"{address:#x} is not the address of an allocation")
        with self._lock:
            self.used -= len(memory)
        for by_place in (*self.views, *self.constants, *self.generic):
            by_place.pop(address >> SHIFT, None)

    def write(self, address: int, data: Any) -> None:
        """Copy a buffer, such as bytes or an array without gaps, to the device.

        Raises `ValueError` where it would go beyond an allocation.
        """
        source = memoryview(data).cast("B")
        self.view(address, len(source))[:] = source

    def read(self, address: int, size: int) -> bytes:
        """A copy of what is there. Raises `ValueError` beyond an allocation."""
        return bytes(self.view(address, size))

    def view(self, address: int, size: int) -> memoryview:
        """The bytes themselves. Raises `ValueError` beyond an allocation."""
        memory = self._allocations.get(address & ~OFFSETS)
        start = address & OFFSETS
        if memory is None or size < 0 or start + size > len(memory):
            where = "no allocation" if memory is None else f"byte {start} of an allocation of {len(memory)}"
            raise ValueError(f"{size} bytes at {address:#x} are not all allocated: that is {where}")
        return memory[start : start + size]
