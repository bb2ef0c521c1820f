"""The events of a run in the order in which geth's tracers see them; the formats are built on these two bases.

geth reports an instruction when it is paid for and before it acts: its line stands before that of the frame it
opens or closes, and an instruction that then fails is reported a second time, with its operands gone. Calls that
are declined, precompiles and SELFDESTRUCT count as frames. The code of an account without code runs no STOP.
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import ops
from ..gas import memory_cost, words_of
from ..halts import (
    ADDRESS_COLLISION,
    HALT_NAMES,
    INVALID_JUMP,
    INVALID_OPCODE,
    RETURN_DATA_OUT_OF_BOUNDS,
    REVERT,
    STACK_OVERFLOW,
    STACK_UNDERFLOW,
    SUCCESS,
    WRITE_PROTECTION,
)
from ..table import OPS
from .hooks import TracedFrame, Tracer

assert ops  # importing the instructions fills OPS

CALLS = {OPS[name].code: name for name in ("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL")}
CREATES = {OPS[name].code: name for name in ("CREATE", "CREATE2")}
SELFDESTRUCT = OPS["SELFDESTRUCT"].code
LOGS = frozenset(OPS[f"LOG{count}"].code for count in range(5))
FRAME_OPCODES = frozenset({*CALLS, *CREATES, SELFDESTRUCT})
UNDEFINED_OPCODES = frozenset(range(256)) - {row.code for row in OPS.values()}
"""Those of no fork."""

# What geth finds out only when the instruction acts, so that it has reported it before. It refuses to write in a
# static call while it prices the instruction, but for these.
_FAULTS_OF_ACTION = frozenset({INVALID_JUMP, INVALID_OPCODE, RETURN_DATA_OUT_OF_BOUNDS})
_WRITES_REFUSED_IN_ACTION = LOGS | {OPS["TSTORE"].code}

_NAMES = {row.code: row.name for row in OPS.values()} | {0xFE: "INVALID"}


def opcode_name(opcode: int) -> str:
    """The instruction's name, be it in the fork or not, as geth spells it."""
    return _NAMES.get(opcode) or f"opcode {opcode:#x} not defined"


def fault_text(frame: TracedFrame, opcode: int, status: int) -> str:
    """Why an instruction halted `frame`, in geth's words."""
    if status == INVALID_OPCODE:
        return f"invalid opcode: {opcode_name(opcode)}"
    need, room = frame.run.table[opcode][:2]
    if status == STACK_UNDERFLOW:
        return f"stack underflow ({len(frame.stack)} <=> {need})"
    if status == STACK_OVERFLOW:
        return f"stack limit reached {len(frame.stack)} ({room})"
    return HALT_NAMES[status]


@dataclass(frozen=True, slots=True)
class FrameEntry:
    """A frame that begins. `kind` is the instruction that opens it; `depth` counts the frames above it.

    `gas` is what the frame has to spend; `value` is in wei, None for STATICCALL. `to` is the account that was
    called, not one it delegates to; `address` the account that the frame acts as.
    """

    kind: str
    depth: int
    sender: bytes
    to: bytes
    input: bytes
    gas: int
    value: int | None
    address: bytes


@dataclass(frozen=True, slots=True)
class FrameExit:
    """A frame that has ended, as `status` of `halts` says.

    `gas_used` is what it took of its gas; `error` is empty if it succeeded.
    """

    depth: int
    output: bytes
    gas_used: int
    error: str
    status: int = SUCCESS

    @property
    def reverted(self) -> bool:
        """Ended by REVERT: output is kept, unused gas too."""
        return self.status == REVERT


@dataclass(slots=True)
class Step:
    """An instruction that is about to act, and what stands then. `depth` is 1 for the first frame.

    `cost` is the whole price, with the gas that a call passes on; of an instruction that cannot be paid it is what
    was charged until then. `refund` is the transaction's counter, with what this instruction adds to it.
    """

    pc: int
    opcode: int
    gas: int
    cost: int
    memory: bytes
    """Empty unless the tracer asks for it."""
    memory_size: int
    stack: list[int]
    return_data: bytes
    depth: int
    address: bytes
    refund: int = 0
    error: str = ""

    @property
    def name(self) -> str:
        """Name of the instruction."""
        return opcode_name(self.opcode)


@dataclass(frozen=True, slots=True)
class _Operands:
    """What an instruction that opens a frame stood before."""

    opcode: int
    gas: int
    stack: tuple[int, ...]
    """Top first."""
    memory_size: int
    balance: int


class FrameTracer(Tracer):
    """Base of tracers of frames: override `on_enter` and `on_exit`, which are called for each frame, in order."""

    # Undefined ones for geth's words of them: they end their frame, so that to watch them costs nothing.
    opcodes: frozenset[int] | None = FRAME_OPCODES | UNDEFINED_OPCODES

    def __init__(self) -> None:
        self._operands: _Operands | None = None
        self._starting_gas: list[int] = []
        self._error = ""
        self.exited = False
        """Whether a frame has ended since `exited` was last set."""

    def on_enter(self, entry: FrameEntry) -> None:
        """A frame begins."""

    def on_exit(self, leaving: FrameExit) -> None:
        """A frame has ended."""

    # From hooks to events

    def before(self, frame: TracedFrame, opcode: int) -> None:
        """Take down the operands, which are gone when the frame opens."""
        if opcode in FRAME_OPCODES:
            self._operands = _Operands(
                opcode,
                frame.gas,
                tuple(frame.stack[:-8:-1]),
                len(frame.memory),
                frame.state.get_balance(frame.account) if opcode == SELFDESTRUCT else 0,
            )

    def enter(self, frame: TracedFrame) -> None:
        """Report the frame, with what its instruction tells of it."""
        operands, self._operands = self._operands, None
        self._starting_gas.append(frame.gas)
        if operands is None:
            kind = "CREATE" if frame.is_create else "CALL"
            to = frame.address if frame.depth == 0 else frame.code_address
        else:
            kind = CALLS.get(operands.opcode) or CREATES[operands.opcode]
            to = frame.address if frame.is_create else _account(operands.stack[1])
        parent = frame.parent
        assert parent is not None
        self.on_enter(
            FrameEntry(
                kind=kind,
                depth=frame.depth,
                # The code of another account that runs as this one is called by this one.
                sender=parent.account,
                to=to.to_bytes(20, "big"),
                input=frame.code if frame.is_create else frame.input,
                gas=frame.gas,
                value=None if kind == "STATICCALL" else frame.value,
                address=frame.account,
            )
        )

    def leave(self, frame: TracedFrame, status: int, output: bytes) -> None:
        """Report the end, and before it that of an account which destroyed itself."""
        operands, self._operands = self._operands, None
        if operands is not None and operands.opcode == SELFDESTRUCT:
            self._destroyed(frame, operands)
        start = self._starting_gas.pop()
        left = frame.gas if status in (SUCCESS, REVERT) else 0
        if frame.is_create and status == SUCCESS:
            output = frame.state.get_code(frame.account)
            left -= frame.rules.code_deposit_byte * len(output)
        error, self._error = self._error or HALT_NAMES[status], ""
        self._exit(FrameExit(frame.depth, output, start - left, error, status))

    def after(self, frame: TracedFrame, opcode: int) -> None:
        """Report a call or creation that was declined: no frame has been opened."""
        operands, self._operands = self._operands, None
        if operands is not None:
            self._declined(frame, operands)

    def fault(self, frame: TracedFrame, opcode: int, status: int) -> None:
        """Keep the reason for the frame's end."""
        self._operands = None
        self._error = fault_text(frame, opcode, status)

    def _exit(self, leaving: FrameExit) -> None:
        self.exited = True
        self.on_exit(leaving)

    def _destroyed(self, frame: TracedFrame, operands: _Operands) -> None:
        heir = _account(operands.stack[0]).to_bytes(20, "big")
        depth = frame.depth + 1
        self.on_enter(
            FrameEntry("SELFDESTRUCT", depth, frame.account, heir, b"", 0, operands.balance, address=frame.account)
        )
        self._exit(FrameExit(depth, b"", 0, ""))

    def _declined(self, frame: TracedFrame, operands: _Operands) -> None:
        """Report what would have been a frame. Its gas is back, unless it was burnt by a collision."""
        opcode, stack = operands.opcode, operands.stack
        status = frame.run.status
        burnt = 0
        if opcode in CREATES:
            burnt = operands.gas - frame.gas - creation_cost(frame, operands) if status == ADDRESS_COLLISION else 0
            gas = burnt or frame.gas - (frame.gas // 64 if frame.rules.all_but_one_64th else 0)
            kind, to, value = CREATES[opcode], 0, stack[0]
            offset, size = stack[1:3]
        else:
            kind, to = CALLS[opcode], _account(stack[1])
            has_value = kind in ("CALL", "CALLCODE")
            value = stack[2] if has_value else frame.value
            offset, size = stack[3:5] if has_value else stack[2:4]
            stipend = frame.rules.call_stipend if has_value and value else 0
            paid_from = frame.gas - stipend  # all that was passed on is back, the stipend too
            limit = paid_from - paid_from // 64 if frame.rules.all_but_one_64th else stack[0]
            gas = min(stack[0], limit) + stipend
        data = bytes(frame.memory[offset : offset + size]) if size else b""
        self.on_enter(
            FrameEntry(
                kind,
                frame.depth + 1,
                frame.account,
                to.to_bytes(20, "big"),
                data,
                gas,
                None if kind == "STATICCALL" else value,
                address=frame.account,
            )
        )
        self._exit(FrameExit(frame.depth + 1, b"", burnt, HALT_NAMES[status], status))


class StepTracer(FrameTracer):
    """Base of tracers of instructions: override `on_step` and, for those that fail in action, `on_fault`.

    `wants_memory`: whether steps carry the memory, which is costly.
    """

    opcodes = None
    wants_memory = False

    def __init__(self) -> None:
        super().__init__()
        self._step: Step | None = None
        self._refunds: list[int] = [0]
        """What the frames above the current one have gathered."""

    def on_step(self, step: Step) -> None:
        """An instruction is about to act, or cannot: then `step.error` says why."""

    def on_fault(self, step: Step) -> None:
        """The instruction reported last has failed in action: `step` is it again, with operands gone."""

    def before(self, frame: TracedFrame, opcode: int) -> None:
        """Take down what stands before the instruction."""
        super().before(frame, opcode)
        if not frame.code:
            return
        self._step = Step(
            pc=frame.pc,
            opcode=opcode,
            gas=frame.gas,
            cost=0,
            memory=bytes(frame.memory) if self.wants_memory else b"",
            memory_size=len(frame.memory),
            stack=frame.stack.copy(),
            return_data=frame.return_data,
            depth=frame.depth + 1,
            address=frame.account,
        )

    def after(self, frame: TracedFrame, opcode: int) -> None:
        """Report the instruction."""
        if self._step is not None:
            self._report(frame, self._cost(frame, opcode))
        super().after(frame, opcode)

    def enter(self, frame: TracedFrame) -> None:
        """Report the instruction that opens the frame, then the frame."""
        parent = frame.parent
        assert parent is not None
        if self._step is not None:
            passed_on = frame.gas if frame.is_create else 0  # geth's price of a call has it, that of a creation not
            self._report(parent, self._step.gas - parent.gas - passed_on)
        self._refunds.append(self._refund(parent))
        super().enter(frame)

    def leave(self, frame: TracedFrame, status: int, output: bytes) -> None:
        """Report the instruction that closes the frame, then its end."""
        step = self._step
        if step is not None:
            self._report(frame, step.gas - frame.gas)
            if status == REVERT:
                self._report_again(frame, step, HALT_NAMES[REVERT])
        self._refunds.pop()
        super().leave(frame, status, output)

    def fault(self, frame: TracedFrame, opcode: int, status: int) -> None:
        """Report the instruction with the reason, once or twice."""
        super().fault(frame, opcode, status)
        step = self._step
        if step is None:
            return
        cost = max(frame.run.table[opcode][2], step.gas - frame.gas)
        in_action = status in _FAULTS_OF_ACTION
        if in_action or (status == WRITE_PROTECTION and opcode in _WRITES_REFUSED_IN_ACTION):
            self._report(frame, cost)
            self._report_again(frame, step, self._error)
        else:
            step.error = self._error
            self._report(frame, cost)

    def _cost(self, frame: TracedFrame, opcode: int) -> int:
        assert self._step is not None
        operands = self._operands
        if operands is not None and opcode in CREATES and frame.run.status == ADDRESS_COLLISION:
            return creation_cost(frame, operands)
        return self._step.gas - frame.gas

    def _report(self, frame: TracedFrame, cost: int) -> None:
        step, self._step = self._step, None
        assert step is not None
        step.cost = cost
        step.refund = self._refund(frame)
        self.on_step(step)

    def _report_again(self, frame: TracedFrame, step: Step, error: str) -> None:
        self.on_fault(
            Step(
                pc=step.pc,
                opcode=step.opcode,
                gas=step.gas,
                cost=step.cost,
                memory=bytes(frame.memory) if self.wants_memory else b"",
                memory_size=len(frame.memory),
                stack=frame.stack.copy(),
                return_data=b"",
                depth=step.depth,
                address=step.address,
                refund=step.refund,
                error=error,
            )
        )

    def _refund(self, frame: TracedFrame) -> int:
        return max(0, self._refunds[-1] + frame.refund)


def creation_cost(frame: TracedFrame, operands: _Operands) -> int:
    """What a creation costs beside the gas that it passes on, worked out where that gas is gone. EIP-3860."""
    rules = frame.rules
    word_price = rules.initcode_word + (rules.keccak_word if CREATES[operands.opcode] == "CREATE2" else 0)
    growth = memory_cost(frame.memory_words) - memory_cost(words_of(operands.memory_size))
    return frame.run.table[operands.opcode][2] + growth + word_price * words_of(operands.stack[2])


def _account(word: int) -> int:
    return word & ((1 << 160) - 1)
