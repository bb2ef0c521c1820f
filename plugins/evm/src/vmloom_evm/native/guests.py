"""What is not EVM code in a native run: precompiles, be they kernels or Python, and contracts of other VMs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from vmloom import ExecutionContext
from vmloom.kernel.memory import size_of
from vmloom.kernel.room import usual_room
from vmloom.precompile import PrecompileKernel

from ..guests import Ending, run_foreign, run_precompile
from . import layout
from .arena import NEAR_PRECOMPILES
from .pages import refer

if TYPE_CHECKING:
    from vmloom_native.library import Library

    from ..specification import Specification
    from .memory import NativeMemory
    from .session import Session
    from .state import NativeState

_libraries: Final[dict[PrecompileKernel, Library]] = {}


def install_precompiles(memory: NativeMemory, specification: Specification) -> None:
    """Let native code find the precompiles of `specification`. All are guests until they are called: see `_install`."""
    size = size_of(layout.Precompile)
    items = sorted(specification.precompiles.items())
    table = memory.allot("precompiles", size * max(1, len(items)))
    near = memory.pages["near_precompiles"].address
    ctypes.memset(near, 0, NEAR_PRECOMPILES)
    far = 0
    for number, (address, _) in enumerate(items):
        row: Any = refer(layout.Precompile, table.address + size * number)
        row.address = address
        if address < NEAR_PRECOMPILES:
            ctypes.c_uint8.from_address(near + address).value = number + 1
        else:
            far += 1
    memory.set("precompiles", table.address)
    memory.set("precompile_count", len(items))
    memory.set("far_precompiles", far)


def _install(memory: NativeMemory, number: int, kernel: PrecompileKernel, name: str) -> None:
    """Let native code run a precompile by its kernel from now on.

    Not before the first call, for few programs call more than a few precompiles, and each has to be loaded, or even
    compiled.
    """
    library = kernel_library(kernel, name)
    row: Any = refer(layout.Precompile, memory.get("precompiles") + size_of(layout.Precompile) * number)
    row.gas = library.address("gas")
    row.room = library.address("room")
    row.run = library.address("run")
    row.is_kernel = 1


def kernel_library(kernel: PrecompileKernel, name: str) -> Library:
    """The compiled functions `gas`, `room` and `run` of a precompile."""
    found = _libraries.get(kernel)
    if found is None:
        from vmloom_native.build import compiled, kernel_digest
        from vmloom_native.llvm import present_features

        room = kernel.room or usual_room
        functions: dict[str, Callable[..., Any]] = {"gas": kernel.gas, "room": room, "run": kernel.run}

        def make() -> str:
            from vmloom_native.program import Program

            program = Program(cpu_features=present_features())
            for name, function in functions.items():
                program.export(name, function)
            return program.ir()

        parts: list[bytes | str] | None = None
        with suppress(ModuleNotFoundError):  # those of modules without a file are known by their IR
            parts = ["precompile", kernel_digest(*functions.values())]
            parts += [f"{function.__module__}.{function.__qualname__}" for function in functions.values()]
        found = _libraries[kernel] = compiled(parts, make, subject=f"the precompile {name}")
    return found


class Guests:
    """Runs guests for a native run."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def meet(self, state: NativeState) -> None:
        """Run the guest of the current frame, and close the frame as it ended; or leave both to native code."""
        state.undo_host()  # what a frame that failed before had a guest write
        self.session.before_guest(state)
        frame: Any = refer(layout.Frame, state.memory.get("frame"))
        guest = frame.guest
        if guest:
            precompile = sorted(self.session.specification.precompiles.items())[guest - 1][1]
            kernel = precompile.kernel
            if kernel is not None:
                _install(state.memory, guest - 1, kernel, precompile.name)
                frame.kind = layout.KERNEL_PRECOMPILE
            else:
                self._finish(state, frame, run_precompile(precompile, self._context(frame), state))
        else:
            self._foreign(state, frame)

    def _foreign(self, state: NativeState, frame: Any) -> None:
        """Hand the call over to the VM of the account."""
        account = state.get_account(frame.code_address.to_bytes(20, "big"))
        assert account is not None
        with state.lent_to_python():
            ending = run_foreign(self.session.host, account.vm, account.code, self._context(frame), state)
        self._finish(state, frame, ending)

    def _context(self, frame: Any) -> ExecutionContext:
        """The call that `frame` is, as other VMs and precompiles see it."""
        memory, block = self.session.memory, self.session.block
        assert block is not None
        count = memory.get("blob_count")
        hashes = ctypes.string_at(memory.get("blob_hashes"), 32 * count) if count else b""
        return ExecutionContext(
            caller=frame.caller.to_bytes(20, "big"),
            address=frame.address.to_bytes(20, "big"),
            origin=ctypes.string_at(memory.field("origin"), 20)[::-1],
            value=frame.value,
            input=ctypes.string_at(frame.input.address, frame.input_size),
            gas_limit=frame.gas,
            gas_price=int.from_bytes(ctypes.string_at(memory.field("gas_price"), 32), "little"),
            depth=max(0, frame.depth),
            is_static=frame.is_static,
            blob_hashes=tuple(hashes[at : at + 32][::-1] for at in range(0, len(hashes), 32)),
            block=block,
            code_address=None if frame.code_address == frame.address else frame.code_address.to_bytes(20, "big"),
        )

    def _finish(self, state: NativeState, frame: Any, ending: Ending) -> None:
        """Close the frame with the output of its guest, which goes through its memory."""
        status, gas, output, refund = ending
        memory = self.session.memory
        state.note_host()  # if the frame fails, what its guest did is undone, too
        finish: Callable[..., int] = self.session.interpreter.finish_guest
        while frame.memory.address + len(output) > memory.get("memory_end"):
            memory.grow_memory(len(output))
        ctypes.memmove(frame.memory.address, output, len(output))
        stopped = finish(memory.run, status, gas, refund, len(output))
        while stopped:
            state.meet(stopped)
            stopped = finish(memory.run, status, gas, refund, len(output))
