"""The kernels of lanes, with the contracts compiled into them that run often.

What has been compiled of a contract keeps its stack in registers, and nothing in it is fetched or decoded. It is in the
same module as the interpreter, so that each more makes the module anew: which takes seconds, in the background where a
process of its own does it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from vmloom.hashing import keccak256
from vmloom.kernel.subset import KernelError
from vmloom_evm.jit.compile import Uncompilable, checked_blocks
from vmloom_evm.native import lanes
from vmloom_evm.native.lane_build import PRECOMPILES, LaneSizes, lane_program

from ..device.interface import DeviceError
from ..device.on_host import HostDevice, loaded
from ..ptx import EmissionError, module
from .given import spread_call
from .placing import LEAST

if TYPE_CHECKING:
    from vmloom_evm.specification import Specification

    from ..device.interface import Device, Module
    from ..ptx import PtxModule
    from .image import StateImage
    from .placing import Placed

HOT: Final = 1 << 16
"""Executions after which a contract is compiled, by default."""
BODIES: Final = (
    lanes.run_lane,
    lanes.analyse_code,
    lanes.spread_transaction,
    spread_call,
    lanes.summarise,
    lanes.pack_outcome,
)
MOST_CONTRACTS: Final = 8
LONGEST: Final = 16 << 10
"""Bytes of code. LLVM takes more than linear time for what is long."""


class LaneKernels:
    """The kernels of `BODIES` on a device.

    `contracts` are compiled at once, others once they have been called `hot` times, or none if that is None; calls from
    other contracts do not count. Raises `vmloom_evm.jit.compile.Uncompilable` for one of `contracts` that cannot be.
    """

    def __init__(
        self,
        specification: Specification,
        sizes: LaneSizes,
        device: Device,
        *,
        contracts: Sequence[bytes] = (),
        hot: int | None = HOT,
        precompiles: Set[str] = PRECOMPILES,
    ) -> None:
        self._specification, self._sizes, self._device = specification, sizes, device
        self.hot, self._precompiles = hot, precompiles
        self._notices = True
        self._module: Module | None = None
        self._runs: Counter[bytes] = Counter()
        self._settled: set[bytes] = set()
        """Hashes of codes that are compiled, or never will be."""
        self._next: _Making | None = None
        for code in contracts:
            self._check(code)
        self._use(tuple(dict.fromkeys(contracts)))
        self._settled.update(map(_hash_of, contracts))
        self.refused: Counter[str] = Counter()
        """Contracts that were to be compiled and could not be, by reason."""

    @property
    def contracts(self) -> tuple[bytes, ...]:
        """Those that are compiled."""
        return self._contracts

    @property
    def module(self) -> Module:
        """The kernels on the device. Raises `DeviceError`, `EmissionError` and `KernelError`."""
        if self._module is None:
            self._module = loaded(self._device, self.kernels)
        return self._module

    @property
    def kernels(self) -> PtxModule:
        """The kernels."""
        return self._kernels

    @property
    def numbers(self) -> Mapping[bytes, int]:
        """By the hashes of their codes, as rows of codes have them, the numbers by which compiled contracts are run."""
        return self._numbers

    def _use(self, contracts: tuple[bytes, ...], kernels: PtxModule | None = None) -> None:
        self._contracts = contracts
        self._kernels = kernels or self._with(contracts)
        self._numbers = {_hash_of(code): number for number, code in enumerate(contracts, 1)}
        self._module = None

    def _with(self, contracts: Sequence[bytes]) -> PtxModule:
        bodies = {one.__name__: one for one in BODIES}
        program = lane_program(self._specification, self._sizes, contracts, self._precompiles)
        return module(bodies, program=program)

    def _check(self, code: bytes) -> None:
        """Raises `Uncompilable`."""
        if len(code) > LONGEST:
            raise Uncompilable("size", f"{len(code)} bytes of code, at most {LONGEST} are compiled for lanes")
        checked_blocks(self._specification, code, self._specification.rules.stack_limit)

    # Which contracts

    def note(self, image: StateImage, placed: Placed) -> None:
        """Count what is going to run; make the next kernels, or use those that have been made meanwhile."""
        if self.hot is None or not self._notices:
            return
        for row, times in placed.codes_called(image):
            if times >= LEAST and row:
                self._runs[image.code_hash(row)] += times
                self._consider(image, row)
        if self._next is not None and self._next.is_over:
            self._take(self._next)

    @contextmanager
    def unnoticed(self) -> Iterator[None]:
        """What runs meanwhile does not count: nobody will ask for it again."""
        former, self._notices = self._notices, False
        try:
            yield
        finally:
            self._notices = former

    def _consider(self, image: StateImage, row: int) -> None:
        """Begin to compile a contract, if it has run often enough and no other one is under way."""
        digest = image.code_hash(row)
        assert self.hot is not None
        if digest in self._settled or self._runs[digest] < self.hot or self._next is not None:
            return
        if len(self._contracts) >= MOST_CONTRACTS:
            return
        self._settled.add(digest)
        code = image.code(row)
        try:
            self._check(code)
        except Uncompilable as refusal:
            self.refused[refusal.reason] += 1
            return
        contracts = (*self._contracts, code)
        self._next = _Making(contracts, self._with, self._device)

    def _take(self, made: _Making) -> None:
        """Use the next kernels, unless they could not be made or the device does not take them."""
        self._next = None
        if made.failure is not None:
            self.refused[type(made.failure).__name__] += 1
            return
        self._use(made.contracts, made.kernels)
        self._module = made.module

    def wait(self) -> None:
        """Until kernels that are being made are in use."""
        if self._next is not None:
            self._next.join()
            self._take(self._next)


class _Making:
    """Kernels on their way: a process makes PTX of what `make` gives, and a driver takes a minute for that PTX.

    Batches go on meanwhile, but for those on this processor, which makes the kernels itself.
    """

    def __init__(
        self, contracts: tuple[bytes, ...], make: Callable[[Sequence[bytes]], PtxModule], device: Device
    ) -> None:
        self.contracts = contracts
        self.kernels: PtxModule | None = None
        self.module: Module | None = None
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(make, device), name="vmloom-cuda-emission", daemon=True)
        self._thread.start()
        if isinstance(device, HostDevice):
            self.join()

    def _run(self, make: Callable[[Sequence[bytes]], PtxModule], device: Device) -> None:
        try:
            self.kernels = make(self.contracts)
            self.module = loaded(device, self.kernels)
        except (Uncompilable, EmissionError, DeviceError, KernelError) as error:
            self.failure = error

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to wait for."""
        return not self._thread.is_alive()

    def join(self) -> None:
        """Wait."""
        self._thread.join()


def _hash_of(code: bytes) -> bytes:
    """Of a code, as its row has it: a number, the least word first."""
    return keccak256(code)[::-1]
