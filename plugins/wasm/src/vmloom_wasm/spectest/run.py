"""Runs scripts of the official test suite, each on plain modules and, beside them, on metered ones.

Every module and every call goes through the package's own reader, metering and engine. A command passes if both
runs do what it expects, and do it alike, to the bit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from vmloom.errors import InputError, InvalidCode, ProhibitedImport, VmloomError

from ..binary.module import Module, decode
from ..binary.reader import MalformedModule
from ..engine import Engine, Instance, SignatureMismatch, TrapKind, WasmTrap, compile_module
from ..engine.verdict import invalidity
from ..metering import DEFAULT, WasmGasCosts
from .commands import Command, CommandKind, Source, Value
from .linking import LeftOut, kinds_linked
from .world import Outcome, World

_TRAPS: Final = {
    "unreachable": TrapKind.UNREACHABLE,
    "out of bounds memory access": TrapKind.MEMORY_OUT_OF_BOUNDS,
    "out of bounds table access": TrapKind.TABLE_OUT_OF_BOUNDS,
    "undefined element": TrapKind.TABLE_OUT_OF_BOUNDS,
    "undefined": TrapKind.TABLE_OUT_OF_BOUNDS,
    "uninitialized element": TrapKind.INDIRECT_CALL_TO_NULL,
    "indirect call type mismatch": TrapKind.BAD_SIGNATURE,
    "integer overflow": TrapKind.INTEGER_OVERFLOW,
    "integer divide by zero": TrapKind.INTEGER_DIVISION_BY_ZERO,
    "invalid conversion to integer": TrapKind.BAD_CONVERSION_TO_INTEGER,
    "call stack exhausted": TrapKind.STACK_OVERFLOW,
}
"""How scripts call traps. "uninitialized element 2" has a number after it."""

_FEATURES: Final = (
    (re.compile(r"SIMD"), "SIMD"),
    (re.compile(r"threads|shared memor|atomic"), "threads"),
    (re.compile(r"memory64|64-bit"), "memory64"),
    (re.compile(r"multiple memories|multi-memory"), "multiple memories"),
    (re.compile(r"tail call"), "tail calls"),
    (re.compile(r"exception"), "exceptions"),
    (re.compile(r"function[ -]references|non-nullable"), "typed function references"),
    (
        re.compile(r"\bgc\b|rec group|struct indexed|array indexed|heap type|locally defined global"),
        "garbage collection",
    ),
    (re.compile(r"custom page size"), "custom page sizes"),
    (re.compile(r"wide arithmetic"), "wide arithmetic"),
)
"""What wasmtime says about features that are switched off."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A command that did not do as expected."""

    line: int
    text: str


@dataclass(slots=True)
class Report:
    """What came of one script: commands passed, commands that failed, and how many were left out by reason."""

    name: str
    passed: int = 0
    differences: list[Difference] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def is_left_out(self) -> bool:
        """Whether nothing of it could be run."""
        return not self.passed and not self.differences


@dataclass(slots=True, eq=False)
class _Pair:
    """A module in both worlds, or why it is in none."""

    plain: Instance | None = None
    metered: Instance | None = None
    trouble: str = ""
    sources: Sequence[_Pair] = ()
    """What it imports from."""
    missed: bool = False
    """Whether something was left out that may have changed its state."""

    @property
    def is_behind(self) -> bool:
        """Whether its state, or that of a module it calls, may not be what the script takes it to be."""
        return self.missed or any(source.is_behind for source in self.sources)


class Runner:
    """Runs scripts, one after another; the metered modules pay by `costs`."""

    def __init__(self, engine: Engine | None = None, costs: WasmGasCosts = DEFAULT) -> None:
        self._engine = engine or Engine()
        self._costs = costs

    def run(self, name: str, commands: Iterable[Command]) -> Report:
        """What comes of the commands of one script."""
        report = Report(name)
        script = _Script(self._engine, self._costs)
        try:
            for command in commands:
                try:
                    complaint = script.check(command)
                except LeftOut as reason:
                    report.left_out[str(reason)] += 1
                    continue
                if complaint:
                    report.differences.append(Difference(command.line, f"{command.kind}: {complaint}"))
                else:
                    report.passed += 1
        except InputError as error:
            report.differences.append(Difference(0, str(error)))
        return report


class _Script:
    """The state of one script between its commands."""

    def __init__(self, engine: Engine, costs: WasmGasCosts) -> None:
        self._engine = engine
        self._plain = World(engine, None)
        self._metered = World(engine, costs)
        self._last = _Pair(trouble="there is no module")
        self._named: dict[str, _Pair] = {}
        self._registered: dict[str, _Pair] = {}
        self._definitions: dict[str | None, Source] = {}

    def check(self, command: Command) -> str:
        """What is wrong with the outcome of `command`; nothing if it is as expected. Raises `LeftOut`."""
        checks = {
            CommandKind.MODULE: self._module,
            CommandKind.DEFINITION: self._definition,
            CommandKind.INSTANCE: self._instance,
            CommandKind.REGISTER: self._register,
            CommandKind.ASSERT_INVALID: self._refused,
            CommandKind.ASSERT_MALFORMED: self._refused,
            CommandKind.ASSERT_UNLINKABLE: self._unlinkable,
            CommandKind.ASSERT_UNINSTANTIABLE: self._uninstantiable,
            CommandKind.ASSERT_EXCEPTION: self._exception,
        }
        return checks.get(command.kind, self._action)(command)

    # Modules

    def _module(self, command: Command) -> str:
        return self._started(command.name, command.source)

    def _definition(self, command: Command) -> str:
        source = self._definitions[command.name] = self._definitions[None] = _given(command.source)
        self._accepted(_code(source))
        return ""

    def _instance(self, command: Command) -> str:
        return self._started(command.text or None, self._definitions.get(command.name))

    def _started(self, name: str | None, source: Source | None) -> str:
        """Instantiate a module in both worlds; later commands name it, or mean it as the last one."""
        pair = self._last = _Pair(trouble="its module could not be run")
        if name:
            self._named[name] = pair
        try:
            code = _code(_given(source))
            pair.sources = self._sources(code)
            plain, metered = self._instances(code)
        except LeftOut as reason:
            pair.trouble = str(reason)
            raise
        except VmloomError as error:
            return f"is not run: {error}"
        if isinstance(plain, WasmTrap) or isinstance(metered, WasmTrap):
            return f"plain: {plain}, metered: {metered}"
        pair.plain, pair.metered, pair.trouble = plain, metered, ""
        return ""

    def _instances(self, code: bytes) -> tuple[Instance | WasmTrap, Instance | WasmTrap]:
        """Instantiate a module in both worlds. Raises `LeftOut`, and `VmloomError` if it is invalid or not linked."""
        sources = self._sources(code)
        try:
            self._accepted(code)
            if any(source.trouble for source in sources):
                raise LeftOut("imports from a module that was left out")
            return self._plain.instantiate(code), self._metered.instantiate(code)
        except LeftOut:
            for source in sources:
                source.missed = True  # it may have written their memories and tables
            raise

    def _sources(self, code: bytes) -> list[_Pair]:
        """The modules that this one imports from; all there are, if it cannot be read."""
        try:
            names = {entry.module for entry in decode(code).imports}
        except MalformedModule:
            names = set(self._registered)
        return [self._registered[name] for name in sorted(names) if name in self._registered]

    def _accepted(self, code: bytes) -> Module:
        """The module, if it is valid. Raises `LeftOut` if it has a feature that is switched off, and `InvalidCode`."""
        if (verdict := invalidity(self._engine, code)) is not None:
            if feature := feature_of(verdict.message):
                raise LeftOut(feature)
            raise InvalidCode(verdict.message)
        return decode(code)

    def _register(self, command: Command) -> str:
        name = command.name
        self._registered[command.text] = self._last if name is None else self._named.get(name, self._last)
        pair = self._pair(name)
        for world, instance in ((self._plain, pair.plain), (self._metered, pair.metered)):
            if instance is not None:
                world.register(command.text, instance)
        return ""

    def _pair(self, name: str | None) -> _Pair:
        pair = self._last if name is None else self._named.get(name, _Pair(trouble="its module could not be run"))
        if pair.trouble:
            raise LeftOut(pair.trouble)
        return pair

    def _refused(self, command: Command) -> str:
        code = _code(_given(command.source))
        verdict = invalidity(self._engine, code)
        if verdict is not None and (feature := feature_of(verdict.message)):
            raise LeftOut(feature)
        # As for a contract: the reader comes first, then the validator; and the compiler alone must refuse it, too.
        is_refused = verdict is not None or _is_malformed(code)
        try:
            compile_module(self._engine, code)
        except InvalidCode:
            return "" if is_refused else "refused by the compiler only"
        return f"{'compiled' if is_refused else 'accepted'}, though {command.text}"

    def _unlinkable(self, command: Command) -> str:
        code = _code(_given(command.source))
        if not kinds_linked(self._accepted(code).imports):
            raise LeftOut("linking of memories, tables and globals")
        if any(source.trouble for source in self._sources(code)):
            raise LeftOut("imports from a module that was left out")
        for world in (self._plain, self._metered):
            try:
                world.instantiate(code)
            except (ProhibitedImport, SignatureMismatch):
                continue
            return "linked"
        return ""

    def _uninstantiable(self, command: Command) -> str:
        for made in self._instances(_code(_given(command.source))):
            if not isinstance(made, WasmTrap):
                return "instantiated"
            if made.kind is not _trap_named(command.text):
                return f"{made.kind}, not {command.text}"
        return ""

    # Actions

    def _exception(self, command: Command) -> str:
        raise LeftOut("exceptions")

    def _action(self, command: Command) -> str:
        action = command.action
        if action is None:
            raise LeftOut("a command without an action")
        pair = self._pair(action.module)
        assert pair.plain is not None, "as there is no trouble"
        assert pair.metered is not None, "likewise"
        try:
            if not all(value.is_number for value in action.arguments):
                raise LeftOut("references as arguments or results")
            plain = self._plain.perform(action, pair.plain)
            metered = self._metered.perform(action, pair.metered)
        except LeftOut:
            pair.missed = True
            raise
        except VmloomError as error:
            return str(error)
        if plain != metered:
            return f"plain: {plain}, metered: {metered}"
        if complaint := _complaint(command, plain):
            if pair.is_behind:
                raise LeftOut("after a call that was left out")
            return complaint
        return ""


def _is_malformed(code: bytes) -> bool:
    try:
        decode(code)
    except MalformedModule:
        return True
    return False


def feature_of(message: str) -> str:
    """The feature that is switched off of which wasmtime's `message` speaks, or nothing."""
    return next((name for pattern, name in _FEATURES if pattern.search(message)), "")


def _complaint(command: Command, outcome: Outcome) -> str:
    """How `outcome` is not what the command expects."""
    if command.kind is CommandKind.ACTION:
        return "" if outcome.results is not None else outcome.trap
    if command.kind is not CommandKind.ASSERT_RETURN:
        return "" if outcome.trap == _trap_named(command.text).value else f"{outcome}, not {command.text}"
    if not all(value.is_number for value in command.expected):
        raise LeftOut("references as arguments or results")
    results = outcome.results
    if results is None or len(results) != len(command.expected) or not _match(command.expected, results):
        return f"{outcome}, not ({', '.join(map(str, command.expected))})"
    return ""


def _match(expected: Iterable[Value], results: Iterable[int]) -> bool:
    return all(value.matches(bits) for value, bits in zip(expected, results, strict=True))


def _trap_named(text: str) -> TrapKind:
    """The kind of trap that a script calls so. Raises `LeftOut` for one that the engine knows not."""
    kind = _TRAPS.get(text) or _TRAPS.get(re.sub(r" \d+$", "", text))
    if kind is None:
        raise LeftOut(f"expects the trap {text}")
    return kind


def _given(source: Source | None) -> Source:
    if source is None:
        raise LeftOut("its module could not be run")
    return source


def _code(source: Source) -> bytes:
    if source.trouble:
        raise LeftOut(source.trouble)
    return source.code
