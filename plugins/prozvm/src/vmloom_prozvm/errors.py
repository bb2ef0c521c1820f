"""What can go wrong in a program, and in code and data that are read.

A `ProzError` is what a program causes: it ends the program and never leaves the VM as an exception. Code that is
refused is a `vmloom.errors.CodeError`. Knows nothing of the rest of the package.
"""

from __future__ import annotations

from vmloom.errors import InputError, InvalidCode


class ProzError(Exception):
    """Base of what a program can cause. `at` is the index of the instruction, once who runs it has filled it in."""

    def __init__(self, message: str = "", *, at: int | None = None) -> None:
        super().__init__(message)
        self.at = at

    def __str__(self) -> str:
        message = super().__str__() or type(self).__name__
        return message if self.at is None else f"instruction {self.at}: {message}"


# Values


class TypeMismatch(ProzError):
    """An operation on values of kinds that it does not take."""


class IndexOutOfRange(ProzError):
    """An index of a list, string or byte string that is negative or not below its length."""


class DivisionByZero(ProzError):
    """DIV or MOD by zero."""


class ValueTooLarge(ProzError):
    """A value beyond `ValueLimits`."""


class NotStorable(ProzError):
    """A function or task where a value with an encoding is needed: state, ledger, hash, output."""


# Names, calls and tasks


class UnknownName(ProzError):
    """A name that nothing was stored under."""


class WrongArity(ProzError):
    """A call with too many or too few arguments."""


class StackUnderflow(ProzError):
    """An instruction that takes more than the stack has. Verified code never causes it."""


class StackOverflow(ProzError):
    """More values on the stack than the limit, counted over all frames."""


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
