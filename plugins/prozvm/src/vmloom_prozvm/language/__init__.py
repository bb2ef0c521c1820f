"""The contract language: from source text to values, by direct evaluation, by bytecode, or by both in turns.

    source -> Lexer -> Parser -> tree -> lower -> core tree -> evaluator, or bytecode_compiler -> the machine

`evaluate` runs a program among the names of an `Environment`, `ZexusCompiler` compiles and runs a source of its own,
`compile_contract` makes what is deployed. The tree is what people wrote, the core tree what it means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmloom.lazy import importer

if TYPE_CHECKING:
    from .abi import AbiError, decode_reason, decode_result, encode_call, encode_construction, load_abi
    from .bytecode_compiler import EvaluatorBytecodeCompiler
    from .compiler import Compiler, ZexusCompiler
    from .contract import Contract, compile_contract
    from .diagnostics import Diagnostic, LanguageError, SyntaxErrors
    from .environment import Environment
    from .formatter import format_source
    from .hybrid import Evaluator, evaluate, should_use_vm_for_node
    from .lexer import Lexer
    from .lowering import lower
    from .parser import Parser, UltimateParser, parse
    from .sourcemap import SourceMap, describe_error, line_of, locate

__all__ = [
    "AbiError",
    "Compiler",
    "Contract",
    "Diagnostic",
    "Environment",
    "Evaluator",
    "EvaluatorBytecodeCompiler",
    "LanguageError",
    "Lexer",
    "Parser",
    "SourceMap",
    "SyntaxErrors",
    "UltimateParser",
    "ZexusCompiler",
    "compile_contract",
    "decode_reason",
    "decode_result",
    "describe_error",
    "encode_call",
    "encode_construction",
    "evaluate",
    "format_source",
    "line_of",
    "load_abi",
    "locate",
    "lower",
    "parse",
    "should_use_vm_for_node",
]

# Listing plugins imports what is around this package, and must stay instant.
__getattr__ = importer(
    __name__,
    {
        "AbiError": "abi",
        "Compiler": "compiler",
        "Contract": "contract",
        "Diagnostic": "diagnostics",
        "Environment": "environment",
        "Evaluator": "hybrid",
        "EvaluatorBytecodeCompiler": "bytecode_compiler",
        "LanguageError": "diagnostics",
        "Lexer": "lexer",
        "Parser": "parser",
        "SourceMap": "sourcemap",
        "SyntaxErrors": "diagnostics",
        "UltimateParser": "parser",
        "ZexusCompiler": "compiler",
        "compile_contract": "contract",
        "decode_reason": "abi",
        "decode_result": "abi",
        "describe_error": "sourcemap",
        "encode_call": "abi",
        "encode_construction": "abi",
        "evaluate": "hybrid",
        "format_source": "formatter",
        "line_of": "sourcemap",
        "load_abi": "abi",
        "locate": "sourcemap",
        "lower": "lowering",
        "parse": "parser",
        "should_use_vm_for_node": "hybrid",
    },
)
