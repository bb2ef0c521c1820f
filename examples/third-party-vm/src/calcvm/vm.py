"""The calculator: thirteen instructions on a stack of 256-bit numbers.

    00 STOP         05 STORE slot value   0a EMIT value
    01 PUSH n data  06 LOAD slot          0b SAY n data    append data to the output
    02 ADD          07 JUMP target        0c ECHO          append the input to the output
    03 SUB          08 JUMPIF flag target
    04 MUL          09 REVERT

PUSH and SAY are followed by a length byte and that many bytes. Operands are on the stack, the last one on top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydantic import BaseModel, ConfigDict, Field
from vmloom import (
    CallFrame,
    Event,
    ExecutionContext,
    ExecutionResult,
    ExecutionState,
    Instruction,
    StackError,
    StateAccess,
    VirtualMachine,
    VmVersion,
)
from vmloom.errors import CodeTooLarge, InvalidCode, ProhibitedOpcode
from vmloom.factory import VmHost

WORD = 2**256
NAMES = ("STOP", "PUSH", "ADD", "SUB", "MUL", "STORE", "LOAD", "JUMP", "JUMPIF", "REVERT", "EMIT", "SAY", "ECHO")
PUSH, STORE, LOAD, EMIT, SAY, ECHO = map(NAMES.index, ("PUSH", "STORE", "LOAD", "EMIT", "SAY", "ECHO"))
GAS = {STORE: 100, LOAD: 20, EMIT: 50}
"""Gas of the instructions that cost more than 1; SAY and ECHO cost 1 more for each byte of output."""


class CalcConfig(BaseModel):
    """The section `[vm.calc]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_code_size: int = Field(default=4096, ge=0)
    """bytes"""
    stack_limit: int = Field(default=64, ge=1)
    """items"""
    disabled: tuple[str, ...] = ()
    """Names of instructions that code may not contain."""


class _Frame(CallFrame):
    """A call with its place in the world."""

    def __init__(self, context: ExecutionContext, code: bytes, state: StateAccess, stack_limit: int) -> None:
        starts = frozenset(instruction.offset for instruction in decode(code))
        super().__init__(context, code, jump_destinations=starts)
        self.world = state
        self.stack_limit = stack_limit

    def immediate(self) -> bytes:
        """The data of the PUSH or SAY at `pc`; empty for other instructions."""
        if self.code[self.pc] not in (PUSH, SAY):
            return b""
        return self.code[self.pc + 2 : self.pc + 2 + self.code[self.pc + 1]]


def decode(code: bytes) -> Iterator[Instruction]:
    """The instructions of `code`; `remark` says what is wrong with one."""
    pc = 0
    while pc < len(code):
        if code[pc] >= len(NAMES):
            yield Instruction(pc, f"{code[pc]:#04x}", remark="no instruction")
            pc += 1
        elif code[pc] in (PUSH, SAY):
            size = code[pc + 1] if pc + 1 < len(code) else 0
            data = code[pc + 2 : pc + 2 + size]
            is_whole = pc + 2 + size <= len(code) and (code[pc] == SAY or size <= 32)
            yield Instruction(pc, NAMES[code[pc]], "0x" + data.hex(), "" if is_whole else "bad length")
            pc += 2 + size
        else:
            yield Instruction(pc, NAMES[code[pc]])
            pc += 1


def _step(frame: _Frame, name: str) -> None:
    """Run one instruction whose gas is paid, and leave `pc` at the next one."""
    pop, push, address = frame.pop_stack, frame.push_stack, frame.context.address
    following = frame.pc + (2 + len(frame.immediate()) if name in ("PUSH", "SAY") else 1)
    if frame.context.is_static and name in ("STORE", "EMIT"):
        return frame.fail(f"{name} in a static call")
    match name:
        case "STOP":
            frame.stop()
        case "PUSH":
            push(int.from_bytes(frame.immediate(), "big"))
        case "ADD" | "SUB" | "MUL":
            second, first = pop(), pop()
            push(ARITHMETIC[name](first, second) % WORD)
        case "STORE":
            value, slot = pop(), pop()
            frame.world.set_storage(address, slot, value)
        case "LOAD":
            push(frame.world.get_storage(address, pop()))
        case "JUMP" | "JUMPIF":
            target = pop()
            if name == "JUMP" or pop():
                if not frame.is_valid_jump_destination(target):
                    return frame.fail(f"jump to {target}, which is no instruction")
                following = target
        case "REVERT":
            frame.revert("REVERT")
        case "EMIT":
            frame.world.emit(Event(address, (), pop().to_bytes(32, "big")))
        case "SAY":
            frame.output += frame.immediate()
        case "ECHO":
            frame.output += frame.context.input
    frame.pc = following
    return None


ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "ADD": lambda a, b: a + b,
    "SUB": lambda a, b: a - b,
    "MUL": lambda a, b: a * b,
}


class CalcVm(VirtualMachine):
    """The calculator as a virtual machine."""

    def __init__(self, *, config: CalcConfig, host: VmHost) -> None:
        self._config = config
        self._host = host  # a VM that calls contracts of other VMs asks it for them

    @property
    def vm_type(self) -> str:
        """`calc`."""
        return "calc"

    @property
    def vm_version(self) -> VmVersion:
        """The plugin's version."""
        return VmVersion(1, 2, 0)

    def validate_code(self, code: bytes) -> None:
        """Every instruction is known, whole and not disabled."""
        if len(code) > self._config.max_code_size:
            raise CodeTooLarge(f"{len(code)} bytes, the limit is {self._config.max_code_size}")
        for instruction in decode(code):
            if instruction.remark:
                raise InvalidCode(f"{instruction.name}: {instruction.remark}", offset=instruction.offset)
            if instruction.name in self._config.disabled:
                raise ProhibitedOpcode(f"{instruction.name} is disabled", offset=instruction.offset)

    def execute(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        """Run `code`, which must be valid, until it stops, reverts, fails or ends."""
        self.validate_code(code)
        checkpoint, events = state.snapshot(), len(state.events)
        frame = _Frame(context, code, state, self._config.stack_limit)
        while frame.state is ExecutionState.RUNNING:
            if frame.pc >= len(code):
                frame.stop()
            elif frame.consume_gas(self._price(frame)):
                try:
                    _step(frame, NAMES[code[frame.pc]])
                except StackError as error:
                    frame.fail(str(error))
        if frame.state is not ExecutionState.SUCCESS:
            state.revert(checkpoint)
        if frame.state is ExecutionState.FAILED:
            return ExecutionResult(frame.state, context.gas_limit, error=frame.message)
        return ExecutionResult(
            frame.state,
            frame.gas_used,
            frame.output,
            events=tuple(state.events[events:]),
            state_changes=tuple(state.changes_since(checkpoint)),
            error=frame.message,
        )

    def disassemble(self, code: bytes) -> Iterator[Instruction]:
        """The instructions; bytes that are none are shown as they are."""
        return decode(code)

    @staticmethod
    def _price(frame: _Frame) -> int:
        opcode = frame.code[frame.pc]
        size = {SAY: frame.immediate(), ECHO: frame.context.input}.get(opcode, b"")
        return GAS.get(opcode, 1) + len(size)
