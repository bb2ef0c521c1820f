"""Traces of contracts: a JSON line for each instruction, in the manner of EIP-3155, with functions and source lines."""

from __future__ import annotations

import json
from typing import Any, Final, TextIO

from vmloom import ExecutionResult

from .bytecode.program import Bytecode
from .language.sourcemap import SourceMap
from .literals import literal
from .runtime.stepping import Stepped

_LONGEST: Final = 80
"""Characters of a value of the stack."""


class Tracer:
    """Writes lines about the instructions of `program` to `sink`.

    Each has `pc`, the index in `function`, "" for the main program; `op` and `opName`; `gas`, what was left before, and
    `gasCost` in hex; `depth` in calls of functions; `stack` before, the top last, as the language writes values; and
    `line`, where the program has a source map.
    """

    def __init__(self, program: Bytecode, sink: TextIO) -> None:
        self._places: Final = SourceMap(program)
        self._sink: Final = sink

    def step(self, seen: Stepped) -> None:
        """One instruction. The end of a function without RETURN is none."""
        if seen.opcode is None:
            return
        line: dict[str, Any] = {
            "pc": seen.at,
            "function": seen.function,
            "op": int(seen.opcode),
            "opName": seen.opcode.name,
            "gas": hex(seen.gas),
            "gasCost": hex(seen.cost),
            "depth": seen.depth,
            "stack": [literal(value, _LONGEST) for value in seen.stack],
        }
        place = self._places.line_of(seen.function, seen.original)
        self._write(line if place is None else {**line, "line": place})

    def finish(self, result: ExecutionResult) -> None:
        """The last line: output, gas used, and the error if there was one."""
        line = {"output": result.return_data.hex(), "gasUsed": hex(result.gas_used)}
        self._write({**line, "error": result.error} if result.error else line)

    def _write(self, line: dict[str, Any]) -> None:
        self._sink.write(json.dumps(line, separators=(",", ":")) + "\n")
