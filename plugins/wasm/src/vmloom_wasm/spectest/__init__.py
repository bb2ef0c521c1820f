"""The official test suite of WebAssembly, on plain modules and on metered ones side by side.

Called by `vmloom wasm spectest`. Beside the engine, this is all that uses wasmtime itself: its assembler.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .commands import Action, Command, CommandKind, Source, Value
from .run import Difference, Report, Runner
from .wast import read_wast
from .wast2json import read_json

__all__ = ["Action", "Command", "CommandKind", "Difference", "Report", "Runner", "Source", "Value", "read_script"]


def read_script(path: Path) -> Iterator[Command]:
    """The commands of a script: text, or what `wast2json` made of it if its name ends with .json.

    Raises `InputError` where it cannot be read.
    """
    return read_json(path) if path.suffix == ".json" else read_wast(path)
