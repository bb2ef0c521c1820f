"""From source text to a result by way of bytecode alone: the compiler as people use it who have a program to run."""

from __future__ import annotations

from typing import Final

from ..bytecode.program import Bytecode
from ..errors import ProzError
from ..values import Value
from ..vm import VM
from .bytecode_compiler import EvaluatorBytecodeCompiler
from .diagnostics import Diagnostic, LanguageError
from .lexer import Lexer
from .parser import Parser
from .sourcemap import describe_error
from .tree import Source


class ZexusCompiler:
    """Compiles one source, which messages call `name`, and runs what it became."""

    def __init__(self, code: str, name: str = "<source>", *, strict_names: bool = False) -> None:
        self.source: Final = Source(code, name)
        self.strict_names: Final = strict_names
        self.bytecode: Bytecode | None = None
        """What `compile` made."""
        self.errors: list[Diagnostic] = []
        """What is wrong with the source, once it was compiled; empty if nothing is."""

    def compile(self) -> Bytecode | None:
        """The program, with source maps; None if it cannot be compiled, and `errors` says why."""
        self.bytecode, self.errors = None, []
        compiler = EvaluatorBytecodeCompiler(strict_names=self.strict_names, source_map=True)
        try:
            self.bytecode = compiler.compile(Parser(Lexer(self.source)).parse_program())
            self.errors = compiler.errors
        except LanguageError as error:
            self.errors = list(error.diagnostics)
        return self.bytecode

    def run_bytecode(self, debug: bool = False, *, vm: VM | None = None) -> Value:
        """What the program returns, run by `vm`, or by a workbench of its own; compiled first if it was not.

        With `debug` the program is printed before it runs.

        Raises:
            LanguageError: The source cannot be compiled.
            ProzError: The program fails; a note of the error shows where in the source.
        """
        bytecode = self.bytecode or self.compile()
        if bytecode is None:
            raise LanguageError(self.source, self.errors)
        if debug:
            print(bytecode.disassemble())
        try:
            return (vm or VM()).execute(bytecode)
        except ProzError as error:
            error.add_note(describe_error(error, bytecode, self.source))
            raise


Compiler = ZexusCompiler
