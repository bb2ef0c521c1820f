"""What the scripts of the official test suite consist of, whichever form they were read from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CommandKind(StrEnum):
    """What a command asks for. The names are those of scripts."""

    MODULE = "module"
    DEFINITION = "module definition"
    """A module that is instantiated later, by INSTANCE."""
    INSTANCE = "module instance"
    REGISTER = "register"
    ACTION = "action"
    ASSERT_RETURN = "assert_return"
    ASSERT_TRAP = "assert_trap"
    ASSERT_EXHAUSTION = "assert_exhaustion"
    ASSERT_EXCEPTION = "assert_exception"
    ASSERT_INVALID = "assert_invalid"
    ASSERT_MALFORMED = "assert_malformed"
    ASSERT_UNLINKABLE = "assert_unlinkable"
    ASSERT_UNINSTANTIABLE = "assert_uninstantiable"
    """`assert_trap` of a module."""


@dataclass(frozen=True, slots=True)
class Value:
    """An argument or an expected result: the bits of a number, or a kind of NaN.

    Attributes:
        type: "i32", "i64", "f32", "f64", or what else stands there, of which nothing more is known.
        bits: Unsigned; None if it is no number.
        nan: "canonical" or "arithmetic" for all NaNs of that kind, else "".
    """

    type: str
    bits: int | None = None
    nan: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it can be passed or compared."""
        return self.bits is not None or bool(self.nan)

    def matches(self, bits: int) -> bool:
        """Whether a result of this type with these bits is as expected. Core specification 2.0, section 4.3.3."""
        if not self.nan:
            return bits == self.bits
        exponent, quiet, sign = (
            (0xFF << 23, 1 << 22, 1 << 31) if self.type == "f32" else (0x7FF << 52, 1 << 51, 1 << 63)
        )
        if self.nan == "arithmetic":
            return bits & (exponent | quiet) == exponent | quiet
        return bits & ~sign == exponent | quiet

    def __str__(self) -> str:
        return f"{self.type}:{f'nan:{self.nan}' if self.nan else '?' if self.bits is None else f'{self.bits:#x}'}"


@dataclass(frozen=True, slots=True)
class Source:
    """A module of a script: its bytes, or why there are none."""

    code: bytes = b""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """A call of an export, or with `is_get` the reading of a global, of the module `module`, or the last one."""

    field: str
    arguments: tuple[Value, ...] = ()
    module: str | None = None
    is_get: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        kind: What it asks for.
        line: Where it is in the script.
        name: The identifier of a module, or of the one that REGISTER and INSTANCE refer to; None for the last one.
        source: Of commands that have a module.
        action: Of commands that have one.
        expected: What ASSERT_RETURN expects.
        text: How the failure is called that others expect, or under which name REGISTER offers a module, or how
            INSTANCE calls it.
    """

    kind: CommandKind
    line: int
    name: str | None = None
    source: Source | None = None
    action: Action | None = None
    expected: tuple[Value, ...] = ()
    text: str = ""
