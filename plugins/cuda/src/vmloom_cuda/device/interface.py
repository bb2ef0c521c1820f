"""What a device can do for us: the little of CUDA that everything else is written against.

`by_cupy` has it from a GPU's driver, `emulated` from the emulator, `on_host` from this processor. Kernels take u64 and
addresses, 64 bits each, and as their first argument how many rows there are; see `vmloom_cuda.ptx`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from numpy.typing import NDArray
from vmloom.errors import VmloomError

if TYPE_CHECKING:
    from .column import DeviceColumn

Array = NDArray[Any]

GPU: Final = "gpu"
EMULATED: Final = "emulated"
HOST: Final = "host"
"""The paths. No figure of the last two says anything about a GPU."""


class DeviceError(VmloomError):
    """A device or its driver failed. The device may be of no use afterwards. `device` is which, where that is known."""

    device: Device | None = None


class OutOfDeviceMemory(DeviceError):
    """There is not as much free memory; with less, the device goes on."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a device: how many are free, and how many there are."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Occupancy:
    """What decides how many threads of a kernel run at once: 4-byte registers and bytes of local memory of a thread.

    `blocks` of `block` threads are resident on a multiprocessor at the same time. All 0 where nobody knows.
    """

    registers: int = 0
    local_bytes: int = 0
    blocks: int = 0
    block: int = 0


class Allocation(Protocol):
    """Memory of a device, from `address`, aligned to 256 bytes. It is free once released, or no longer referred to."""

    address: int
    size: int

    def release(self) -> None:
        """Give it back; once is enough."""


class Event(Protocol):
    """A point in the work of a stream."""

    def seconds_since(self, earlier: Event) -> float:
        """Seconds of the device between two points of a stream that have both been reached."""

    def wait(self) -> None:
        """Until it is reached. Raises `DeviceError` if the work before it failed."""


class Function(Protocol):
    """A kernel."""

    name: str

    def occupancy(self, block: int) -> Occupancy:
        """What is known of it when it runs in blocks of that size."""


class Module(Protocol):
    """PTX, loaded."""

    def function(self, name: str) -> Function:
        """The kernel of that name. Raises `DeviceError` if there is none."""


class Stream(Protocol):
    """Work that is done in its order, while the caller goes on. Each may raise `DeviceError` for what came before."""

    def copy_in(self, address: int, source: Array) -> None:
        """Copy an array without gaps to the device. It may be changed once this returns unless it is pinned."""

    def copy_out(self, target: Array, address: int) -> None:
        """Copy to an array without gaps; it is complete after `synchronize`."""

    def fill(self, address: int, byte: int, size: int) -> None:
        """Set `size` bytes of the device."""

    def launch(self, function: Function, count: int, arguments: Sequence[int], block: int) -> None:
        """Run a kernel on rows 0 to `count` - 1, in blocks of that many threads. No rows are no launch."""

    def record(self) -> Event:
        """The point after all that the stream was given so far."""

    def synchronize(self) -> None:
        """Wait for all of it."""


class Device(Protocol):
    """One device. Its methods may be called by any thread; a stream is for one at a time."""

    index: int
    name: str
    path: str
    """`gpu`, `emulated` or `host`."""

    def memory(self) -> Memory:
        """What is free now, what this process keeps for itself counted as free."""

    def allocate(self, size: int) -> Allocation:
        """Memory of at least `size` bytes. Raises `OutOfDeviceMemory`."""

    def adopt(self, array: Any) -> DeviceColumn:
        """An array that is on this device, of whoever speaks DLPack, where it is; it lives as long as the column.

        Work on it that was given to a stream before is done then. Raises `ValueError` for one elsewhere or with gaps.
        """

    def pinned(self, size: int) -> Array:
        """Memory of this computer, u8 (size,), that copies need no detour for. Raises `DeviceError`."""

    def stream(self) -> Stream:
        """A new stream."""

    def load(self, ptx: bytes) -> Module:
        """Load PTX, which the driver compiles for its device. Raises `DeviceError` with the driver's words."""

    def describe(self) -> dict[str, Any]:
        """Compute capability, multiprocessors, driver and the like, for reports."""
