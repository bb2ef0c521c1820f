"""Names of functions, for people to read. Core specification 2.0, appendix 7.4.

Nothing depends on them: a broken name section is ignored, as the specification wants it.
"""

from __future__ import annotations

from .module import Kind, Module
from .reader import MalformedModule, Reader

_FUNCTIONS = 1


def function_names(module: Module) -> dict[int, str]:
    """Return the names of functions by their index, imported ones first in it.

    From the name section; where it has none, from exports and imports. Names are whatever the module's author wrote:
    of any length, with any character.
    """
    names = {index: f"{entry.module}.{entry.name}" for index, entry in enumerate(module.imported(Kind.FUNCTION))}
    for export in module.exports:
        if export.kind is Kind.FUNCTION:
            names.setdefault(export.index, export.name)
    for custom in module.customs:
        if custom.name == "name":
            try:
                names.update(_section(Reader(custom.data)))
            except MalformedModule:
                continue
    return names


def _section(reader: Reader) -> dict[int, str]:
    """Read the content of a name section, of which only the names of functions are kept."""
    names: dict[int, str] = {}
    while not reader.at_end:
        kind = reader.u8()
        part = Reader(reader.take(reader.u32()))
        if kind == _FUNCTIONS:
            for _ in range(part.count("names")):
                index = part.u32()
                names[index] = part.name()
    return names
