"""The instances that a script of the official test suite makes, in one build of their modules: plain or metered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from ..binary.module import F32, F64, I32, I64, decode
from ..binary.writer import encode
from ..engine import (
    Engine,
    HostFunctions,
    Instance,
    Limits,
    Linked,
    SignatureMismatch,
    TrapKind,
    WasmTrap,
    compile_module,
)
from ..metering import EXHAUSTED_EXPORT, GAS_EXPORT, STACK_EXPORT, START_EXPORT, Exhausted, WasmGasCosts, instrument
from .commands import Action
from .linking import PRINTING, LeftOut, with_own_imports

GAS: Final = 1 << 62
"""Units for each call: more than any script uses."""
STACK_WORDS: Final = 1 << 15
"""Words for each call: enough for what scripts compute, and less than the machine's own stack holds."""
_LIMITS: Final = Limits(memory_pages=1 << 16, table_elements=1 << 20, tables=100)
_TYPES: Final = {"i": I32, "I": I64, "f": F32, "F": F64}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Results as bits, or how it trapped."""

    results: tuple[int, ...] | None
    trap: str = ""

    def __str__(self) -> str:
        return self.trap if self.results is None else f"({', '.join(f'{bits:#x}' for bits in self.results)})"


class World:
    """The instances of a script in one build, plain or metered."""

    def __init__(self, engine: Engine, costs: WasmGasCosts | None) -> None:
        """Metered with `costs`; plain without."""
        self._engine = engine
        self._costs = costs
        self._offered: dict[str, Instance] = {}
        self._reachable: list[Instance] = []  # all that were ever offered, as others may still call them

    def instantiate(self, code: bytes) -> Instance | WasmTrap:
        """A new instance after its start function, or why that trapped. Raises `LeftOut`, `VmloomError`."""
        given = decode(code)
        module = with_own_imports(given, self._constant)
        if self._costs:
            module = instrument(module, self._costs)
        compiled = compile_module(self._engine, code if module is given else encode(module))
        functions = HostFunctions(self._engine)
        for place in compiled.imports:
            self._offer(functions, *place)
        try:
            instance = Linked(compiled, functions).instantiate(_LIMITS)
            if self._costs and START_EXPORT in compiled.functions:
                self._fill(instance)
                instance.call(START_EXPORT)
        except WasmTrap as trap:
            return trap
        return instance

    def register(self, name: str, instance: Instance) -> None:
        """Offer the exports of an instance to the modules that follow."""
        self._offered[name] = instance
        self._reachable.append(instance)

    def perform(self, action: Action, instance: Instance) -> Outcome:
        """Do what `action` says. Raises `LeftOut` if references would have to be passed."""
        try:
            if action.is_get:
                return Outcome((instance.variable(action.field).get(),))
            values = [value.bits or 0 for value in action.arguments]
            self._fill(instance)
            returned = instance.call(action.field, *values)
        except SignatureMismatch:
            raise LeftOut("references as arguments or results") from None
        except WasmTrap as trap:
            return Outcome(None, self._kind(trap, instance).value)
        return Outcome(returned if isinstance(returned, tuple) else () if returned is None else (returned,))

    def _fill(self, instance: Instance) -> None:
        """Fill the meters of `instance`, and of all whose functions it may call."""
        if not self._costs:
            return
        for one in (instance, *self._reachable):
            one.variable(GAS_EXPORT).set(GAS)
            one.variable(EXHAUSTED_EXPORT).set(0)
            one.variable(STACK_EXPORT).set(STACK_WORDS)

    def _kind(self, trap: WasmTrap, instance: Instance) -> TrapKind:
        """Why it stopped; what the meters stopped looks like `unreachable`."""
        for one in (instance, *self._reachable) if self._costs else ():
            exhausted = one.variable(EXHAUSTED_EXPORT).get()
            if exhausted == Exhausted.STACK:
                return TrapKind.STACK_OVERFLOW
            if exhausted == Exhausted.GAS:
                return TrapKind.OTHER
        return trap.kind

    def _offer(self, functions: HostFunctions, module: str, name: str) -> None:
        """Define the host function that a module imports, if there is one; else linking fails."""
        if module == "spectest":
            if name in PRINTING:
                functions.define(module, name, PRINTING[name], lambda *_: None)
            return
        source = self._offered.get(module)
        kind = source.compiled.functions.get(name) if source is not None else None
        if source is None or kind is None:
            return
        types = f"{kind.parameters}:{kind.results}"
        if "?" in types:
            raise LeftOut("imports a function with references as arguments or results")
        functions.define(module, name, types, partial(_passed_on, source, name))

    def _constant(self, module: str, name: str) -> tuple[int, int] | None:
        source = self._offered.get(module)
        letter, mutable = source.compiled.globals.get(name, ("?", True)) if source is not None else ("?", True)
        if source is None or mutable or letter == "?":
            return None
        return _TYPES[letter], source.variable(name).get()


def _passed_on(source: Instance, name: str, _caller: Instance, *values: int) -> Any:
    return source.call(name, *values)
