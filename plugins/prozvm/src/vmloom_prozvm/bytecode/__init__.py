"""Programs as data: what instructions there are, how programs are written, read, checked and kept as bytes."""

from __future__ import annotations

from .assembly import assemble
from .container import pack, unpack
from .opcodes import Opcode
from .program import Bytecode, BytecodeBuilder, function
from .verify import CodeLimits, stack_depths, verify

__all__ = [
    "Bytecode",
    "BytecodeBuilder",
    "CodeLimits",
    "Opcode",
    "assemble",
    "function",
    "pack",
    "stack_depths",
    "unpack",
    "verify",
]
