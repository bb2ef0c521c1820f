"""The workbench: programs run as they are written, on a dictionary that stands for names, state, ledger and gas.

It is lenient where contracts are strict: STATE_WRITE outside a transaction writes at once, TX_COMMIT and TX_REVERT
without one do nothing, and RETURN with nothing to return gives None. The interpreter is the same one. Nothing here is
for consensus: `prozvm.ProzVm` runs contracts.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from operator import is_
from time import perf_counter
from typing import Any, Final

from .bytecode.program import Bytecode
from .gas import GasSchedule
from .jit import CompiledFunction, JITCompiler
from .optimizer import BytecodeOptimizer
from .runtime.interpreter import Machine
from .runtime.limits import Limits
from .runtime.loaded import Loaded, load
from .runtime.world import LEDGER_KEY, STATE_KEY, TIME_KEY, DictWorld
from .values import Function, Value

GAS_KEY: Final = "_gas_remaining"
"""Where `VM.env` has the gas that is left."""
UNLIMITED: Final = float("inf")
"""The gas of a workbench as it is made."""
RESERVED: Final = frozenset({STATE_KEY, LEDGER_KEY, TIME_KEY, GAS_KEY})
"""Names in `VM.env` that no program can read or store."""
_PROGRAMS_KEPT: Final = 1024


class VM:
    """Runs programs on `env`, which is the caller's to read and change between runs:

    | key | |
    |---|---|
    | `_blockchain_state` | values by key, which STATE_READ and STATE_WRITE use |
    | `_ledger` | the entries that LEDGER_APPEND made, read-only and stamped |
    | `_block_timestamp` | the time of the stamps, in UNIX seconds; 0 if it is not there |
    | `_gas_remaining` | gas that is left, `float("inf")` for no bound |
    | any other | a variable of programs, or a function of Python that CALL_NAME can call |

    With `use_jit`, a program that has run `jit_threshold` times is optimised by `optimization_level` (0 to 3) and
    compiled, with `native` to machine code if it can be. Without a `gas_schedule` only GAS_CHARGE costs gas; with one
    nothing is optimised, or gas would depend on how often a program has run. The instruction that an error names is the
    one of the program as it was given.

    Raises `ValueError` for a threshold below 1 or a level that does not exist.
    """

    def __init__(
        self,
        use_jit: bool = True,
        jit_threshold: int = 100,
        optimization_level: int = 1,
        *,
        gas_schedule: GasSchedule | None = None,
        limits: Limits | None = None,
        debug: bool = False,
        native: bool = True,
        disk_cache: bool = False,
    ) -> None:
        self.use_jit: Final = use_jit
        self.jit_threshold: Final = jit_threshold
        self.optimization_level: Final = optimization_level
        self.gas_schedule: Final = gas_schedule
        self.limits: Final = limits or Limits()
        self.env: dict[str, Any] = {GAS_KEY: UNLIMITED}
        optimizer = BytecodeOptimizer(optimization_level, limits=self.limits.values, stack_limit=self.limits.stack)
        self.jit: Final = JITCompiler(
            hot_threshold=jit_threshold,
            optimization_level=optimization_level,
            optimize=optimizer.optimize_bytecode if gas_schedule is None else None,
            debug=debug,
            native=native,
            disk_cache=disk_cache,
        )
        self._known: dict[int, _Known] = {}

    def execute(self, bytecode: Bytecode, env: MutableMapping[str, Any] | None = None) -> Value:
        """What the program returns, None if that is nothing. It runs on `env`, by default the workbench's own.

        Raises `CodeError` for a program that is not well-formed, and `ProzError` for one that fails: what it wrote in
        open transactions is forgotten then, what it had committed stays.
        """
        known = self._find(bytecode)
        if known.compiled is not None:
            return known.compiled(self, stack=[], env=self.env if env is None else env)
        machine = self.machine(env)
        begun = perf_counter()
        try:
            return machine.run(known.loaded)
        finally:
            self.settle(machine, env)
            if known.may_become_hot:
                self._promote(known, perf_counter() - begun)

    def get_jit_stats(self) -> dict[str, Any]:
        """What the compiler has done so far; times in seconds."""
        return self.jit.get_stats()

    def clear_jit_cache(self) -> None:
        """Forget all compiled code, and how often programs have run."""
        self.jit.clear_cache()
        self._known.clear()

    # For compiled code

    def machine(self, env: MutableMapping[str, Any] | None = None) -> Machine:
        """What a program runs on: `env`, by default the workbench's own, and the gas that is left in it.

        Raises `ValueError` for gas that is neither a whole number from 0 nor infinity.
        """
        names = self.env if env is None else env
        return Machine(
            DictWorld(names, limits=self.limits.values),
            schedule=self.gas_schedule,
            gas=_gas(names.get(GAS_KEY, UNLIMITED)),
            strict=False,
            globals=_Names(names),
            limits=self.limits,
        )

    def settle(self, machine: Machine, env: MutableMapping[str, Any] | None = None) -> None:
        """Write the gas that `machine` has left where its run found it."""
        if machine.gas_left is not None:
            (self.env if env is None else env)[GAS_KEY] = machine.gas_left

    def _find(self, bytecode: Bytecode) -> _Known:
        known = self._known.get(id(bytecode))
        if known is None or not known.is_unchanged(bytecode):
            if len(self._known) >= _PROGRAMS_KEPT:
                self._known.clear()
            known = self._known[id(bytecode)] = _Known(bytecode, self.limits, self.use_jit)
        return known

    def _promote(self, known: _Known, seconds: float) -> None:
        """Count an execution, and compile what has become hot."""
        if self.jit.should_compile(self.jit.track_execution(known.bytecode, seconds)):
            compiled = self.jit.compile_hot_path(known.bytecode, schedule=self.gas_schedule, limits=self.limits)
            known.compiled, known.may_become_hot = compiled, False


class _Known:
    """A program that has run, ready to run again as long as nobody changes it.

    Collections among the constants are values: who changes one in place has to clear the cache.
    """

    __slots__ = ("_parts", "bytecode", "compiled", "loaded", "may_become_hot")

    def __init__(self, bytecode: Bytecode, limits: Limits, may_become_hot: bool) -> None:
        self.bytecode: Final = bytecode  # keeps it alive, so that no other program gets its identity
        self.loaded: Final[Loaded] = load(bytecode, limits, strict=False)
        self.compiled: CompiledFunction | None = None
        self.may_become_hot = may_become_hot
        self._parts: Final = tuple(_parts(bytecode))

    def is_unchanged(self, bytecode: Bytecode) -> bool:
        """Whether the program consists of the same objects as before."""
        parts = tuple(_parts(bytecode))
        return len(parts) == len(self._parts) and all(map(is_, parts, self._parts))


def _parts(bytecode: Bytecode) -> Iterator[object]:
    """Every constant and instruction of a program and its functions."""
    yield from bytecode.instructions
    for constant in bytecode.constants:
        yield constant
        if type(constant) is Function:
            yield from _parts(constant.bytecode)


class _Names(MutableMapping[str, Any]):
    """The dictionary of a workbench as programs see it: without what is reserved."""

    __slots__ = ("_env",)

    def __init__(self, env: MutableMapping[str, Any]) -> None:
        self._env = env

    def get(self, name: str, default: Any = None) -> Any:
        return default if name in RESERVED else self._env.get(name, default)

    def __getitem__(self, name: str) -> Any:
        if name in RESERVED:
            raise KeyError(name)
        return self._env[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in RESERVED:  # the program keeps it to itself
            self._env[name] = value

    def __delitem__(self, name: str) -> None:
        if name in RESERVED:
            raise KeyError(name)
        del self._env[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._env if name not in RESERVED)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _gas(remaining: Any) -> int | None:
    """Gas for a machine, None for no bound. Raises `ValueError`."""
    if remaining == UNLIMITED:
        return None
    if type(remaining) is not int or remaining < 0:
        raise ValueError(f"{GAS_KEY}: must be a whole number from 0, or float('inf') for no bound; got {remaining!r}")
    return remaining
