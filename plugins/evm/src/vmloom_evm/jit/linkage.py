"""What a compiled contract is a function of: how control comes into it, and how it goes on outside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from vmloom.kernel.structs import fields_of

from ..native.layout import Run
from ..native.machine import ITEM, Build
from ..native.switch import GO_ON, HALTED, LEFT_WITH
from .values import Writer

LEAVE: Final = "leave"
"""A way to the interpreter, which goes on with an instruction that could not be run here."""
CALL: Final = "call"
"""A way to the interpreter's instruction, whose it is anyway."""
HALT: Final = "halt"
"""A way to where halts are dealt with: an instruction has halted, or has a need."""
SIGNALS: Final = {LEAVE: GO_ON, CALL: GO_ON, HALT: HALTED}
PARAMETERS: Final = "ptr %pc, ptr %sp, i64 %gas, ptr %frame"


class Linkage(ABC):
    """Of one contract's function, whose parameters are `PARAMETERS`, in a build of the interpreter."""

    symbol: str
    """Of the function."""

    def __init__(self, build: Build) -> None:
        self.build: Final = build

    @abstractmethod
    def head(self) -> str:
        """The first line of the function."""

    @abstractmethod
    def declarations(self) -> Sequence[str]:
        """What the function refers to elsewhere, besides bodies of instructions."""

    def granted(self) -> str:
        """What LLVM may take for granted where the function begins, once `%memory` is at hand."""
        return ""

    @abstractmethod
    def end(self, writer: Writer, kind: str, pc: str, sp: str, gas: str) -> None:
        """Let control leave, one of the ways above."""


class AmongHandlers(Linkage):
    """One function among the handlers of the threaded driver, which it jumps to."""

    symbol = "compiled"

    def head(self) -> str:
        """See `Linkage.head`."""
        return f"define preserve_nonecc i64 @{self.symbol}({PARAMETERS}) nounwind {{"

    def declarations(self) -> Sequence[str]:
        """See `Linkage.declarations`."""
        return ("@handlers = external constant [256 x ptr]", "declare preserve_nonecc i64 @stop(ptr, ptr, i64, ptr)")

    def end(self, writer: Writer, kind: str, pc: str, sp: str, gas: str) -> None:
        """See `Linkage.end`."""
        if kind == LEAVE:
            counter = writer.emit(f"getelementptr i8, ptr %run, i64 {fields_of(Run)['deoptimised'].offset}")
            count = writer.emit(f"load i64, ptr {counter}, align 8")
            writer.put(f"store i64 {writer.emit(f'add i64 {count}, 1')}, ptr {counter}, align 8")
        handler = "@stop"
        if kind != HALT:
            opcode = writer.emit(f"load i8, ptr {pc}")
            index = writer.emit(f"zext i8 {opcode} to i64")
            entry = writer.emit(f"getelementptr [256 x ptr], ptr @handlers, i64 0, i64 {index}")
            handler = writer.emit(f"load ptr, ptr {entry}")
        result = writer.emit(f"musttail call preserve_nonecc i64 {handler}(ptr {pc}, ptr {sp}, i64 {gas}, ptr %frame)")
        writer.put(f"ret i64 {result}")


class InLoop(Linkage):
    """One function that the loop of the switch driver calls, and which comes back to it with a signal and registers.

    `number` tells the functions of a module apart; see `native.switch`.
    """

    def __init__(self, build: Build, number: int) -> None:
        super().__init__(build)
        self.symbol = f"compiled_{number}"

    def granted(self) -> str:
        """Memory of a frame begins at a multiple of a word: GPUs read byte by byte what is not known to be aligned."""
        return f'  call void @llvm.assume(i1 true) ["align"(ptr %memory, i64 {ITEM})]'

    def head(self) -> str:
        """See `Linkage.head`."""
        return f"define internal {LEFT_WITH} @{self.symbol}({PARAMETERS}) noinline nounwind {{"

    def declarations(self) -> Sequence[str]:
        """See `Linkage.declarations`."""
        return ("declare void @llvm.assume(i1)",)

    def end(self, writer: Writer, kind: str, pc: str, sp: str, gas: str) -> None:
        """See `Linkage.end`."""
        result = "undef"
        for place, value in enumerate((f"i64 {SIGNALS[kind]}", f"ptr {pc}", f"ptr {sp}", f"i64 {gas}")):
            result = writer.emit(f"insertvalue {LEFT_WITH} {result}, {value}, {place}")
        writer.put(f"ret {LEFT_WITH} {result}")
