"""Columns that stay on a device between operations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .interface import Allocation, Array, Device

ELSEWHERE: Final = "is not on {name}: hand in what is there, or a NumPy array"
GAPS: Final = "has gaps: make a copy without"


@dataclass(slots=True)
class Adopted:
    """See `Allocation`: memory of somebody else's array, kept alive."""

    address: int
    size: int
    array: Any

    def release(self) -> None:
        """See `Allocation.release`."""
        self.array = None


class DeviceColumn:
    """A column in a device's memory, without gaps. It has the length, `dtype` and `shape` of the array that it is like.

    What an accelerator computes from such columns stays on their device. The memory is free once nothing refers to it.
    """

    def __init__(self, device: Device, allocation: Allocation, dtype: Any, shape: Sequence[int]) -> None:
        self.device, self.allocation = device, allocation
        self.dtype, self.shape = np.dtype(dtype), tuple(shape)
        if self.nbytes > allocation.size:
            raise ValueError(f"{self.nbytes} bytes of a column do not fit into {allocation.size}")

    @classmethod
    def of(cls, device: Device, column: Array) -> DeviceColumn:
        """A copy of an array on the device. Raises `OutOfDeviceMemory`, `DeviceError`."""
        packed = np.ascontiguousarray(column)
        found = cls(device, device.allocate(packed.nbytes), packed.dtype, column.shape)
        stream = device.stream()
        stream.copy_in(found.address, packed)
        stream.synchronize()
        return found

    def to_host(self) -> Array:
        """A copy as an array. Raises `DeviceError`."""
        target = np.empty(self.shape, self.dtype)
        stream = self.device.stream()
        stream.copy_out(target, self.address)
        stream.synchronize()
        return target

    def reshape(self, *shape: int) -> DeviceColumn:
        """The same memory in another shape, such as rows of one size as bytes. Raises `ValueError`."""
        if math.prod(shape) != math.prod(self.shape):
            raise ValueError(f"{self.shape} cannot become {shape}")
        return DeviceColumn(self.device, self.allocation, self.dtype, shape)

    @property
    def address(self) -> int:
        """Of the first byte."""
        return self.allocation.address

    @property
    def nbytes(self) -> int:
        """All its bytes."""
        return int(self.dtype.itemsize * math.prod(self.shape))

    @property
    def ndim(self) -> int:
        """Dimensions."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<column {self.dtype} {self.shape} on {self.device.name}>"
