"""The tables of docs/reference/prozvm.md that come from the code; `generate.py` writes them between their marks."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Final

from vmloom_prozvm import errors
from vmloom_prozvm.bytecode.opcodes import OPERATIONS, Opcode, Operand
from vmloom_prozvm.cli.instructions import TITLES, WORDS
from vmloom_prozvm.config import ProzVmConfig
from vmloom_prozvm.gas import SIZED_AFTER, SIZED_BEFORE, GasSchedule
from vmloom_prozvm.optimizer.optimizer import PASSES
from vmloom_prozvm.runtime.context import BLOCK_FIELDS

OPERANDS: Final = {
    Operand.NONE: "",
    Operand.CONSTANT: "constant",
    Operand.NAME: "name",
    Operand.NAME_AND_CONSTANT: "name, constant",
    Operand.TARGET: "target",
    Operand.COUNT: "count",
    Operand.NAME_AND_COUNT: "name, count",
    Operand.CONSTANT_AND_COUNT: "function, count",
    Operand.AMOUNT: "gas",
}
"""What follows an opcode: indices of constants, the index of an instruction, or a number."""
_SECTION: Final = re.compile(r"(<!-- begin (\w+)[^>]*-->\n).*?(<!-- end \2 -->)", re.DOTALL)


def filled(page: str) -> str:
    """The page with its tables as the code has them now. Raises `KeyError` for a table that is not known."""
    return _SECTION.sub(lambda found: f"{found[1]}{_text(TABLES[found[2]])}{found[3]}", page)


def _text(make: Callable[[], Iterator[str]]) -> str:
    return "\n" + "\n".join(make()) + "\n\n"


def instructions() -> Iterator[str]:
    """Every instruction, by group."""
    prices = GasSchedule().base
    for title, (first, last) in TITLES.items():
        if first is not Opcode.LOAD_CONST:
            yield ""
        yield from (f"### {title}", "", "| number | name | operand | takes → gives | gas | | errors |")
        yield "|---|---|---|---|---|---|---|"
        for opcode in (one for one in Opcode if first <= one <= last):
            words, sized = WORDS[opcode], opcode in SIZED_BEFORE or opcode in SIZED_AFTER
            cells = (
                str(int(opcode)),
                f"`{opcode.name}`",
                OPERANDS[OPERATIONS[opcode].operand],
                f"`{words.takes} → {words.gives}`".replace("` ", "`").replace(" `", "`"),
                f"{prices[opcode]:,}{' +' if sized else ''}",
                words.does,
                words.errors,
            )
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def faults() -> Iterator[str]:
    """Every error that a program can cause."""
    yield from ("| error | |", "|---|---|")
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.ProzError) and kind is not errors.ProzError:
            yield f"| `{name}` | {' '.join((kind.__doc__ or '').split())} |"


def passes() -> Iterator[str]:
    """The optimizer's passes in the order of a round."""
    yield from ("| pass | from level | |", "|---|---|---|")
    for level, key, function in PASSES:
        about = inspect.getdoc(inspect.getmodule(function)) or ""
        yield f"| `{key}` | {level} | {' '.join(about.partition(chr(10) * 2)[0].split())} |"


def block_fields() -> Iterator[str]:
    """What BLOCK can ask for."""
    yield ", ".join(f"`{name}`" for name in sorted(BLOCK_FIELDS))


def limits() -> Iterator[str]:
    """The default of every limit, by section of the configuration."""
    yield from ("| section | limit | default |", "|---|---|---|")
    config = ProzVmConfig()
    sections = {"memory": config.memory, "register_config": config.register_config, "code": config.code}
    yield f"| `[vm.prozvm]` | `stack_limit` | {config.stack_limit:,} |"
    for section, model in sections.items():
        for name, value in model.model_dump().items():
            yield f"| [`[vm.prozvm.{section}]`](configuration.md#vmprozvm{section}) | `{name}` | {value:,} |"


TABLES: Final = {
    "instructions": instructions,
    "errors": faults,
    "passes": passes,
    "block": block_fields,
    "limits": limits,
}
"""By the name in the mark."""
