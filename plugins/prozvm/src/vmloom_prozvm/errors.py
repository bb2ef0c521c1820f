"""What can go wrong in a program, and in code and data that are read.

A `ProzError` is what a program causes: it ends the program and never leaves the VM as an exception. Code that is
refused is a `vmloom.errors.CodeError`. Knows nothing of the rest of the package.
"""

from __future__ import annotations

from typing import Any, Final

from vmloom.errors import InputError, InvalidCode

_LONGEST_NAME: Final = 100
"""Characters of a function's name that messages show."""


class ProzError(Exception):
    """Base of what a program can cause. Who runs the program says by `locate` where that was.

    `at` is the index of the instruction in its function, as it was before optimisation, None until it is known;
    `function` is the name of that, "" for the main program. `trace` has both for every call that had not ended, the
    innermost first.
    """

    def __init__(self, message: str = "", *, at: int | None = None) -> None:
        super().__init__(message)
        self.at = at
        self.function = ""
        self.trace: list[tuple[str, int]] = []
        self.bodies: list[Any] = []
        """The `Bytecode` of each function of the trace, None where that is not known: names may be those of several."""
        self.places: list[tuple[str, Any]] = []
        """The trace in the source, function and `language.sourcemap.Place`, where the evaluator of the language ran."""

    def locate(self, function: str, at: int, body: Any = None) -> None:
        """Add the next call outwards to the trace: its function, the index of the instruction, and the bytecode."""
        if self.at is None:
            self.at, self.function = at, function
        self.trace.append((function, at))
        self.bodies.append(body)

    def __str__(self) -> str:
        message = super().__str__() or type(self).__name__
        if self.at is None:
            return message
        place = f"function `{self.function[:_LONGEST_NAME]}`, " if self.function else ""
        return f"{place}instruction {self.at}: {message}"


# Values


class TypeMismatch(ProzError):
    """An operation on values of kinds that it does not take."""


class IndexOutOfRange(ProzError):
    """An index of a list, string or byte string that is negative or not below its length."""


class DivisionByZero(ProzError):
    """DIV or MOD by zero."""


class ValueTooLarge(ProzError):
    """A value beyond `ValueLimits`."""


class MalformedData(ProzError):
    """DECODE of bytes that are not the canonical encoding of a value."""


class NotStorable(ProzError):
    """A function, task or cell where a value with an encoding is needed: state, ledger, hash, output."""


# Names, calls and tasks


class UnknownName(ProzError):
    """A name that nothing was stored under."""


class WrongArity(ProzError):
    """A call with too many or too few arguments."""


class StackUnderflow(ProzError):
    """An instruction that takes more than the stack has. Verified code never causes it."""


class StackOverflow(ProzError):
    """More values on the stack of one frame than the limit. Verified code never causes it."""


class CallDepthExceeded(ProzError):
    """Functions that call each other deeper than the limit."""


class TaskLimitExceeded(ProzError):
    """More tasks than the limit."""


class TaskCycle(ProzError):
    """A task that awaits itself, or one that awaits it."""


# Gas, transactions and the ledger


class OutOfGas(ProzError):
    """An instruction that costs more gas than is left."""


class NoTransaction(ProzError):
    """TX_COMMIT or TX_REVERT with no transaction open."""


class OpenTransaction(ProzError):
    """A program that ends with a transaction open."""


class StateOutsideTransaction(ProzError):
    """STATE_WRITE with no transaction open."""


class ReadOnlyState(ProzError):
    """STATE_WRITE, LEDGER_APPEND, EMIT or a transfer of wei in a call that must not change anything."""


class MalformedSignature(ProzError):
    """A signature or key of the wrong size, that is not hex, or that is no point of its curve."""


class CallFailed(ProzError):
    """A call of another contract that could not be made."""


class UserRevert(ProzError):
    """REVERT: the program ends and undoes what it did. `output` is the value that it gave as its reason."""

    def __init__(self, output: object = None, *, at: int | None = None) -> None:
        super().__init__("reverted by the program", at=at)
        self.output = output


# Code and data


class NotCanonical(InputError):
    """Data that are not the canonical encoding of a value, with the byte `offset` at fault."""

    def __init__(self, message: str, *, offset: int) -> None:
        super().__init__(f"offset {offset:#x}: {message}")
        self.reason = message
        self.offset = offset


class Unverifiable(InvalidCode):
    """Code that must not run.

    `path` leads to the function at fault: the indices of constants from the program inwards, empty for the program.
    `instruction` or `constant` is an index in that function, None if the fault is not in one. `offset`, in bytes from
    the beginning, is known for containers only.
    """

    def __init__(
        self,
        reason: str,
        *,
        function: str = "",
        path: tuple[int, ...] = (),
        instruction: int | None = None,
        constant: int | None = None,
        offset: int | None = None,
    ) -> None:
        place = f"function `{function}`" if path else "program"
        if instruction is not None:
            place += f", instruction {instruction}"
        elif constant is not None:
            place += f", constant {constant}"
        super().__init__(f"{place}: {reason}", offset=offset)
        self.reason = reason
        self.function = function
        self.path = path
        self.instruction = instruction
        self.constant = constant
