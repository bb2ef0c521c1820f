"""A small assembler: EVM programs as Python expressions, for tests, examples and tools.

    counter = sstore(0, add(sload(0), 1)) + ret_top(sload(0))
    program = label("again") + call(callee, gas=50_000) + jumpi("again", iszero) + stop

An instruction is both code and a function of its operands, the top of the stack first: `add` is the bare opcode,
`add(1, 2)` pushes both before it, `add(1)` takes its second operand from the stack. Operands are numbers, bytes
(addresses), code that pushes one word, or the name of a label. Labels belong to one program: code in which one stands
twice does not assemble. Knows nothing of forks or engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from . import ops
from .disassembly import disassemble
from .table import OPS

assert ops  # importing the instructions fills OPS

WORD = 32
"""bytes"""
LABEL_SIZE = 2
"""Bytes of a pushed label: enough for code of 64 KiB, more than a contract may have."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """The offset called `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class _Reference:
    """`LABEL_SIZE` bytes that hold the offset called `name`."""

    name: str


@dataclass(frozen=True, repr=False)
class Bytecode:
    """EVM code in the making. `+` joins two, `*` repeats one, `bytes()` assembles, `str()` lists instructions."""

    parts: tuple[bytes | _Mark | _Reference, ...] = ()

    def __add__(self, other: Bytecode) -> Bytecode:
        return Bytecode(self.parts + other.parts) if isinstance(other, Bytecode) else NotImplemented

    def __mul__(self, times: int) -> Bytecode:
        return Bytecode(self.parts * times)

    def __bytes__(self) -> bytes:
        """The code. Raises `ValueError` for a label that is missing or stands twice."""
        offsets: dict[str, int] = {}
        offset = 0
        for part in self.parts:
            if isinstance(part, _Mark):
                if part.name in offsets:
                    raise ValueError(f"label {part.name!r} stands twice")
                offsets[part.name] = offset
            else:
                offset += LABEL_SIZE if isinstance(part, _Reference) else len(part)
        return b"".join(_resolve(part, offsets) for part in self.parts if not isinstance(part, _Mark))

    def __len__(self) -> int:
        return len(bytes(self))

    def __str__(self) -> str:
        """One instruction a line, with its offset."""
        lines = []
        for one in disassemble(bytes(self), {row.code: row for row in OPS.values()}):
            remark = f"  ; {one.remark}" if one.remark else ""
            lines.append(f"{one.offset:04x}  {f'{one.name} {one.operand}'.rstrip()}{remark}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        rows = {row.code: row for row in OPS.values()}
        words = (f"{one.name} {one.operand}".rstrip() for one in disassemble(bytes(self), rows))
        return f"<{type(self).__name__} {'; '.join(words)}>"


def _resolve(part: bytes | _Reference, offsets: dict[str, int]) -> bytes:
    if isinstance(part, bytes):
        return part
    if part.name not in offsets:
        raise ValueError(f"no label {part.name!r} in this code")
    return offsets[part.name].to_bytes(LABEL_SIZE, "big")


Operand: TypeAlias = int | bytes | str | Bytecode
"""What an instruction takes: a number, big-endian bytes such as an address, a label's name, or code that pushes it."""


@dataclass(frozen=True, repr=False)
class Op(Bytecode):
    """An instruction: code by itself, and a function of its operands that gives code."""

    pops: int = field(default=0, kw_only=True)

    def __call__(self, *operands: Operand) -> Bytecode:
        """Push `operands`, the last one first, and run the instruction; those left out are taken from the stack."""
        if len(operands) > self.pops:
            raise TypeError(f"{self!r} takes {self.pops} operands, {len(operands)} given")
        return joined(*(push(operand) for operand in reversed(operands)), self)


def op(name: str) -> Op:
    """The instruction called `name`, such as `ADD`. Raises `KeyError` if there is none; not for PUSH: use `push`."""
    row = OPS[name]
    if row.immediate:
        raise KeyError(f"{name} has immediate bytes: use push")
    return Op((bytes([row.code]),), pops=row.pops)


# Building blocks


def raw(code: bytes | str) -> Bytecode:
    """Bytes as they are, or as hex: data, or instructions that this module does not know."""
    return Bytecode((bytes.fromhex(code.removeprefix("0x")) if isinstance(code, str) else bytes(code),))


def joined(*codes: Bytecode) -> Bytecode:
    """One after the other."""
    return Bytecode(tuple(part for code in codes for part in code.parts))


def push(operand: Operand, size: int | None = None) -> Bytecode:
    """Push a number with the shortest PUSH (0 with PUSH1, which every fork has) or with `size` bytes.

    Bytes are pushed as wide as they are, a label as its offset; code stands for itself. Raises `ValueError` for what
    does not fit a word.
    """
    if isinstance(operand, Bytecode):
        return operand
    if isinstance(operand, str):
        return Bytecode((bytes([OPS["PUSH1"].code - 1 + LABEL_SIZE]), _Reference(operand)))
    if isinstance(operand, int):
        width = max(1, (operand.bit_length() + 7) // 8) if size is None else size
        if operand < 0 or operand >> (8 * width):
            raise ValueError(f"{operand} does not fit {width} bytes")
        operand = operand.to_bytes(width, "big")
    if not 0 < len(operand) <= WORD:
        raise ValueError(f"PUSH has 1 to {WORD} bytes, not {len(operand)}")
    return Bytecode((bytes([OPS["PUSH1"].code - 1 + len(operand)]) + operand,))


def dup(n: int) -> Op:
    """Copy stack item `n`, 1 being the top."""
    return op(f"DUP{n}")


def swap(n: int) -> Op:
    """Exchange the top of the stack with the item `n` below it."""
    return op(f"SWAP{n}")


def label(name: str) -> Bytecode:
    """A JUMPDEST that `jump(name)` and `jumpi(name, condition)` lead to."""
    return mark(name) + jumpdest


def mark(name: str) -> Bytecode:
    """Name this offset, for data that `push(name)` points at; no JUMPDEST."""
    return Bytecode((_Mark(name),))


# Instructions, in order of their opcodes

stop = op("STOP")
add = op("ADD")
mul = op("MUL")
sub = op("SUB")
div = op("DIV")
sdiv = op("SDIV")
mod = op("MOD")
smod = op("SMOD")
addmod = op("ADDMOD")
mulmod = op("MULMOD")
exp = op("EXP")
signextend = op("SIGNEXTEND")
lt = op("LT")
gt = op("GT")
slt = op("SLT")
sgt = op("SGT")
eq = op("EQ")
iszero = op("ISZERO")
and_ = op("AND")
or_ = op("OR")
xor = op("XOR")
not_ = op("NOT")
byte = op("BYTE")
shl = op("SHL")
shr = op("SHR")
sar = op("SAR")
clz = op("CLZ")
keccak256 = op("KECCAK256")
address = op("ADDRESS")
balance = op("BALANCE")
origin = op("ORIGIN")
caller = op("CALLER")
callvalue = op("CALLVALUE")
calldataload = op("CALLDATALOAD")
calldatasize = op("CALLDATASIZE")
calldatacopy = op("CALLDATACOPY")
codesize = op("CODESIZE")
codecopy = op("CODECOPY")
gasprice = op("GASPRICE")
extcodesize = op("EXTCODESIZE")
extcodecopy = op("EXTCODECOPY")
returndatasize = op("RETURNDATASIZE")
returndatacopy = op("RETURNDATACOPY")
extcodehash = op("EXTCODEHASH")
blockhash = op("BLOCKHASH")
coinbase = op("COINBASE")
timestamp = op("TIMESTAMP")
number = op("NUMBER")
difficulty = op("DIFFICULTY")
prevrandao = difficulty
gaslimit = op("GASLIMIT")
chainid = op("CHAINID")
selfbalance = op("SELFBALANCE")
basefee = op("BASEFEE")
blobhash = op("BLOBHASH")
blobbasefee = op("BLOBBASEFEE")
pop = op("POP")
mload = op("MLOAD")
mstore = op("MSTORE")
mstore8 = op("MSTORE8")
sload = op("SLOAD")
sstore = op("SSTORE")
jump = op("JUMP")
jumpi = op("JUMPI")
pc = op("PC")
msize = op("MSIZE")
gas = op("GAS")
jumpdest = op("JUMPDEST")
tload = op("TLOAD")
tstore = op("TSTORE")
mcopy = op("MCOPY")
push0 = op("PUSH0")
log0 = op("LOG0")
log1 = op("LOG1")
log2 = op("LOG2")
log3 = op("LOG3")
log4 = op("LOG4")
create = op("CREATE")
return_ = op("RETURN")
create2 = op("CREATE2")
revert = op("REVERT")
selfdestruct = op("SELFDESTRUCT")
invalid = raw("fe")

# Calls: memory ranges are (offset, size)

Range: TypeAlias = tuple[Operand, Operand]
NOWHERE: Range = (0, 0)


def call(
    to: Operand, *, gas: Operand = gas, value: Operand = 0, input: Range = NOWHERE, output: Range = NOWHERE
) -> Bytecode:
    """CALL with all the gas there is, unless told; pushes 1 for success."""
    return op("CALL")(gas, to, value, *input, *output)


def callcode(
    to: Operand, *, gas: Operand = gas, value: Operand = 0, input: Range = NOWHERE, output: Range = NOWHERE
) -> Bytecode:
    """CALLCODE with all the gas there is, unless told; pushes 1 for success."""
    return op("CALLCODE")(gas, to, value, *input, *output)


def delegatecall(to: Operand, *, gas: Operand = gas, input: Range = NOWHERE, output: Range = NOWHERE) -> Bytecode:
    """DELEGATECALL with all the gas there is, unless told; pushes 1 for success."""
    return op("DELEGATECALL")(gas, to, *input, *output)


def staticcall(to: Operand, *, gas: Operand = gas, input: Range = NOWHERE, output: Range = NOWHERE) -> Bytecode:
    """STATICCALL with all the gas there is, unless told; pushes 1 for success."""
    return op("STATICCALL")(gas, to, *input, *output)


# Phrases


def ret_top(value: Operand | None = None) -> Bytecode:
    """Return the word on top of the stack, or `value`. Overwrites the first word of memory."""
    return (mstore(0) if value is None else mstore(0, value)) + return_(0, WORD)


def mstore_bytes(data: bytes | Bytecode, offset: int = 0) -> Bytecode:
    """Write `data` to memory at `offset` word by word, with zeros up to the end of the last."""
    content = bytes(data)
    words = (content[start : start + WORD].ljust(WORD, b"\0") for start in range(0, len(content), WORD))
    return joined(*(mstore(offset + WORD * n, word) for n, word in enumerate(words)))


def ret_bytes(data: bytes | Bytecode) -> Bytecode:
    """Return `data`."""
    return mstore_bytes(data) + return_(0, len(bytes(data)))


def deployer(runtime: bytes | Bytecode) -> Bytecode:
    """Init code that deploys `runtime`."""
    content = bytes(runtime)
    copy = codecopy(0, "runtime", push(len(content), 2)) + return_(0, push(len(content), 2))
    return raw(bytes(copy + mark("runtime")) + content)


def create_from(init_code: bytes | Bytecode, *, value: Operand = 0, salt: Operand | None = None) -> Bytecode:
    """CREATE, or CREATE2 with a `salt`, from init code that is first written to memory; pushes the address."""
    size = len(bytes(init_code))
    making = create(value, 0, size) if salt is None else create2(value, 0, size, salt)
    return mstore_bytes(init_code) + making


def repeat(times: int, body: Bytecode) -> Bytecode:
    """Run `body` `times` times, 1 or more. It finds a counter on top of the stack and must leave it there."""
    again = f"again{next(_fresh)}"
    return push(times) + label(again) + body + sub(swap(1), 1) + jumpi(again, dup(1)) + pop if times else Bytecode()


_fresh: Iterator[int] = count()
