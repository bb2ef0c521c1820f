"""Programs as data: what instructions there are, how programs are written, read, checked and kept as bytes."""

from __future__ import annotations

from vmloom_prozvm.bytecode.assembly import assemble
from vmloom_prozvm.bytecode.container import pack, unpack
from vmloom_prozvm.bytecode.opcodes import Opcode
from vmloom_prozvm.bytecode.program import Bytecode, BytecodeBuilder, function
from vmloom_prozvm.bytecode.verify import CodeLimits, stack_depths, verify

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
