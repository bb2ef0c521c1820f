"""What every way of running a program shares: its gas, its transactions, its tasks and what surrounds it.

The interpreter, compiled code and the evaluator of the language each run on a `Run`; the functions of `instructions`
work on nothing else but it and a stack. Frames, registers and names are of those who run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

from ..bytecode.opcodes import Opcode
from ..errors import CallFailed, OutOfGas, ProzError, TypeMismatch, UnknownName, WrongArity
from ..gas import GasSchedule
from ..values import Function, Value, check, kind_of
from .context import CallContext
from .limits import Limits
from .loaded import UNSET
from .tasks import Tasks
from .transactions import TransactionStack
from .world import World

UNLIMITED: Final = 1 << 100
"""Gas of a run without a bound: more than any program can use, so that there is one way to count."""


_DEFAULT_LIMITS: Final = Limits()

Builtin = Callable[..., Any]
"""A function of the host that CALL_NAME can call. It must not change its arguments."""


class Run:
    """One run of one program: over `world`, with `gas`, as the call `context`.

    `gas` None means no bound; `schedule` None means that GAS_CHARGE alone costs anything. `strict` is for contracts:
    see `TransactionStack`. `globals` are variables that the program finds, and functions of the host that CALL_NAME can
    call; the program's own variables are there when it ends, be it with an error.
    """

    def __init__(
        self,
        world: World,
        *,
        schedule: GasSchedule | None = None,
        gas: int | None = None,
        strict: bool = True,
        context: CallContext | None = None,
        globals: MutableMapping[str, Any] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.schedule: Final = schedule
        self.strict: Final = strict
        self.context: Final = context
        self.limits: Final = limits or _DEFAULT_LIMITS
        self.transactions: Final = TransactionStack(world, strict=strict)
        self.tasks: Final = Tasks(self.limits.tasks)
        self.host: Final[MutableMapping[str, Any]] = {} if globals is None else globals
        """The host's variables and functions by name."""
        self.gas: int = UNLIMITED if gas is None else gas
        """What is left, not below 0 between instructions."""
        self._bounded: Final = gas is not None
        self._begun = False

    @property
    def gas_left(self) -> int | None:
        """Gas that the run has left, 0 after `OutOfGas`; None without a bound."""
        return self.gas if self._bounded else None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around all of a run: `begin`, and in the end `TransactionStack.finish` or `fail`."""
        self.begin()
        try:
            yield
            self.transactions.finish()
        except BaseException as error:
            self.fail(error)
            raise

    def begin(self) -> None:
        """Before anything else. Raises `RuntimeError` the second time."""
        if self._begun:
            raise RuntimeError("a machine runs one program once, and this one has: make another for the next run")
        self._begun = True

    def fail(self, error: BaseException) -> None:
        """After an error: what open transactions wrote is forgotten, and gas that ran out is gone."""
        if isinstance(error, OutOfGas):
            self.gas = 0
        self.transactions.revert_all()

    # Gas

    def charge(self, gas: int) -> None:
        """Take `gas` from what is left. Raises `OutOfGas`."""
        self.gas -= gas
        if self.gas < 0:
            raise OutOfGas("out of gas")

    def charge_operands(self, opcode: Opcode, *taken: Value) -> None:
        """Charge for the size of what an instruction takes; what is fixed has been charged."""
        if self.schedule is not None:
            self.charge(self.schedule.sizes(opcode, taken))

    def charge_result(self, opcode: Opcode, result: Value) -> None:
        """Charge for the size of what an instruction made."""
        if self.schedule is not None:
            self.charge(self.schedule.after(opcode, result))

    # What surrounds the program

    def surroundings(self, opcode: Opcode) -> CallContext:
        """The call that the program runs as. Raises `CallFailed` where there is none."""
        if self.context is None:
            raise CallFailed(f"{opcode.name}: the program does not run as a contract")
        return self.context

    def read_host(self, name: str) -> Any:
        """The host's variable as a register has it, `UNSET` if there is none; functions of the host are none.

        Raises `TypeMismatch` and `ValueTooLarge` for what is no value.
        """
        value = self.host.get(name, UNSET)
        if value is UNSET or callable(value):
            return UNSET
        check(value, self.limits.values)
        return value

    def unknown_variable(self, name: str) -> UnknownName:
        """The error of reading a variable that nothing was stored in."""
        if callable(self.host.get(name)):
            return UnknownName(f"{name!r} is a function of the host, which only CALL_NAME can use")
        return UnknownName(f"{name!r}: nothing was stored under this name")

    def host_function(self, name: str) -> Builtin:
        """The function of the host that CALL_NAME calls where no variable has the name. Raises `UnknownName`."""
        function = self.host.get(name)
        if not callable(function):
            raise UnknownName(f"{name!r}: there is no function of this name")
        found: Builtin = function
        return found

    def call_host(self, name: str, function: Builtin, arguments: list[Value]) -> Value:
        """What a function of the host returns. Raises `CallFailed` from what that raises."""
        try:
            result: Value = function(*arguments)
        except ProzError:
            raise
        except Exception as error:
            raise CallFailed(f"{name!r}, a function of the host: {type(error).__name__}: {error}") from error
        check(result, self.limits.values)
        return result


def check_call(callee: Value, count: int) -> Function:
    """`callee` as a function that takes `count` arguments. Raises `TypeMismatch`, `WrongArity`."""
    if type(callee) is not Function:
        raise TypeMismatch(f"{kind_of(callee)} is no function and cannot be called")
    if callee.arity != count:
        raise WrongArity(f"function {callee.name!r} takes {callee.arity} arguments, not {count}")
    return callee
