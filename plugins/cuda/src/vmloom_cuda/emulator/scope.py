"""What an instruction sees while it is translated: registers as variables of Python, symbols as addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .errors import PtxError
from .syntax import Address, Function, Group, Immediate, Operand, Register, Statement, Symbol, Variable, Vector

SPECIAL: Final = {
    **{f"%{name}.{axis}": f"T.{name}_{axis}" for name in ("tid", "ntid", "ctaid", "nctaid") for axis in "xyz"},
    "%laneid": "(T.tid_x & 31)",
    "%warpid": "(T.tid_x >> 5)",
    "%nwarpid": "(T.ntid_x + 31 >> 5)",
    "%smid": "0",
    "%nsmid": "1",
    "%gridid": "0",
    "%dynamic_smem_size": "0",
    "%total_smem_size": "0",
    "%lanemask_eq": "(1 << (T.tid_x & 31))",
    "%lanemask_lt": "((1 << (T.tid_x & 31)) - 1)",
    "%lanemask_le": "((2 << (T.tid_x & 31)) - 1)",
    "%lanemask_gt": "(-2 << (T.tid_x & 31) & 0xFFFFFFFF)",
    "%lanemask_ge": "(-1 << (T.tid_x & 31) & 0xFFFFFFFF)",
    "%clock": "(count & 0xFFFFFFFF)",
    "%clock64": "count",
}
"""Special registers: the grid, and a device that has one processor and a cycle for each instruction."""
SPECIAL_WIDTHS: Final = {"%clock64": 64, "%gridid": 64}


def all_ones(width: int) -> str:
    """The mask of a width."""
    return hex((1 << width) - 1)


class Scope:
    """One function. Variables of Python are `r` and a number for registers, `p` and a number for parameters."""

    def __init__(self, function: Function, symbols: Mapping[str, int], functions: Mapping[str, Function]) -> None:
        self.function, self.symbols, self.functions = function, symbols, functions
        self._registers: dict[str, tuple[str, int]] = {}
        self._parameters: dict[str, str] = {}
        self.frame, self.places = _frame(function)

    # Registers

    def variable(self, name: str, it: Statement) -> tuple[str, int]:
        """A register's variable and width."""
        found = self._registers.get(name)
        if found is None:
            width = self.function.width(name)
            if width is None:
                raise PtxError(it.line, f"the register {name!r} is not declared")
            found = self._registers[name] = (f"r{len(self._registers)}", width)
        return found

    def value(self, operand: Operand, width: int, it: Statement, *, wider: bool = False) -> str:
        """An operand of that many bits as an expression; a register that is `wider` gives its lowest bits."""
        match operand:
            case Register(name=name, negated=negated):
                return self._register_value(name, negated, width, it, wider)
            case Immediate(value=value):
                return hex(value & ((1 << width) - 1))
            case Symbol(name=("true" | "false") as name) if width == 1:
                return "1" if name == "true" else "0"
            case Symbol(name=name) if width == 64:
                return self.address_of(name, it)
        raise PtxError(it.line, f"{it.text!r} has an operand of another kind")

    def _register_value(self, name: str, negated: bool, width: int, it: Statement, wider: bool) -> str:
        if name in SPECIAL:
            if SPECIAL_WIDTHS.get(name, 32) not in (width, 32) or width < 32 or negated:
                raise PtxError(it.line, f"{name!r} has no {width} bits")
            return SPECIAL[name]
        if name.startswith("%") and "." in name:
            raise PtxError(it.line, f"the special register {name!r} is not emulated")
        variable, has = self.variable(name, it)
        if negated and has != 1:
            raise PtxError(it.line, f"{name!r} is no predicate, so it cannot be negated")
        if has == width:
            return f"({variable} ^ 1)" if negated else variable
        if wider and has > width > 1:
            return f"({variable} & {all_ones(width)})"
        raise PtxError(it.line, f"{it.text!r} takes {width} bits, and {name!r} has {has}")

    def signed(self, operand: Operand, width: int, it: Statement, *, wider: bool = False) -> str:
        """An operand as a signed number."""
        if isinstance(operand, Immediate):
            value = operand.value & ((1 << width) - 1)
            return f"({value - (1 << width) if value >> (width - 1) else value})"
        sign = hex(1 << (width - 1))
        return f"(({self.value(operand, width, it, wider=wider)} ^ {sign}) - {sign})"

    def target(self, operand: Operand, width: int, it: Statement, *, wider: bool = False) -> tuple[str, int]:
        """The variable that a result goes to, and its width, which is `width` unless it may be `wider`."""
        if not isinstance(operand, Register) or operand.negated or operand.name in SPECIAL:
            raise PtxError(it.line, f"the result of {it.text!r} goes to no register")
        variable, has = self.variable(operand.name, it)
        if has != width and not (wider and has > width > 1):
            raise PtxError(it.line, f"{it.text!r} makes {width} bits, and {operand.name!r} has {has}")
        return variable, has

    # Memory

    def address_of(self, name: str, it: Statement) -> str:
        """The address of a variable or a function, or the place of a local one in its frame."""
        if name in self.places:
            return f"(frame + {self.places[name]})"
        if name in self.symbols:
            return hex(self.symbols[name])
        if any(name == one.name for one in (*self.function.parameters, *self.function.results)):
            raise PtxError(it.line, f"the address of the parameter {name!r} is not emulated")
        raise PtxError(it.line, f"{name!r} is not defined")

    def address(self, operand: Operand, it: Statement) -> str:
        """What stands between brackets, in a state space other than that of parameters."""
        if not isinstance(operand, Address):
            raise PtxError(it.line, f"{it.text!r} has no address")
        base = self.value(operand.base, 64, it)
        return base if operand.offset == 0 else f"{base} + {operand.offset}"

    def elements(self, operand: Operand, it: Statement, count: int) -> tuple[Operand, ...]:
        """The operands of a vector of `count`, or the only one."""
        found = operand.elements if isinstance(operand, Vector) else (operand,)
        if len(found) != count:
            raise PtxError(it.line, f"{it.text!r} has {len(found)} elements, not {count}")
        return found

    # Parameters

    def parameter(self, name: str, it: Statement | None = None) -> tuple[str, Variable]:
        """The variable that holds a parameter's bytes as one integer, and its declaration."""
        declared = self.function.passed.get(name)
        if declared is None:
            for one in (*self.function.parameters, *self.function.results):
                if one.name == name:
                    declared = one
        if declared is None:
            raise PtxError(it.line if it else self.function.line, f"{name!r} is no parameter")
        variable = self._parameters.setdefault(name, f"p{len(self._parameters)}")
        return variable, declared

    def group(self, operand: Operand, it: Statement) -> list[tuple[str, Variable]]:
        """The parameters in the parentheses of a call."""
        if not isinstance(operand, Group):
            raise PtxError(it.line, f"{it.text!r} without parentheses")
        names = [one.name for one in operand.elements if isinstance(one, Symbol)]
        if len(names) != len(operand.elements):
            raise PtxError(it.line, "only parameters are emulated in a call")
        return [self.parameter(name, it) for name in names]


MOST_LOCAL: Final = 512 << 10
"""Bytes of local memory that a thread of CUDA may have."""


def _frame(function: Function) -> tuple[int, dict[str, int]]:
    """The bytes of a call's local memory, and where in it each variable lies."""
    size, places = 0, {}
    for name, local in function.locals.items():
        size = -(-size // local.alignment) * local.alignment
        places[name] = size
        size += local.size
        if size > MOST_LOCAL:
            raise PtxError(local.line, f"{function.name!r} has more than {MOST_LOCAL} bytes of local memory")
    return size, places
