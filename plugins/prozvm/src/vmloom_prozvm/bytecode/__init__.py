"""Programs as data: what instructions there are, how programs are written, read, checked and kept as bytes."""

from __future__ import annotations

from vmloom_prozvm.bytecode.opcodes import Opcode
from vmloom_prozvm.bytecode.program import Bytecode, BytecodeBuilder, function

__all__ = ["Bytecode", "BytecodeBuilder", "Opcode", "function"]
