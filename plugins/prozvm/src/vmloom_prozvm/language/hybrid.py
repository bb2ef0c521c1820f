"""Programs run by direct evaluation, by bytecode, or by both in turns, whichever suits: the language's interpreter.

`Evaluator` asks the heuristics; `evaluator` walks trees, `vm.VM` runs bytecode and compiles what becomes hot. All
of a run's pieces share its gas, transactions, tasks and variables, so that who ran what is only seen in the statistics.
Nothing here is for consensus: contracts are compiled.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakSet

from vmloom.errors import CodeError

from ..bytecode.program import Bytecode
from ..config import LanguageConfig
from ..errors import ProzError
from ..gas import GasSchedule
from ..runtime import interpreter
from ..runtime.interpreter import Machine
from ..runtime.limits import Limits
from ..runtime.loaded import UNSET, Loaded, load
from ..values import Function, Value
from ..vm import VM
from . import core, tree
from .bytecode_compiler import EvaluatorBytecodeCompiler, statement_indices
from .environment import Environment, Scope
from .evaluator import Frame, TreeEvaluator, know_source
from .lowering import lower
from .needs import all_names
from .parser import parse
from .sourcemap import SourceMap

K = TypeVar("K")
V = TypeVar("V")
PROGRAM_STATEMENTS: Final = 10
"""A program of more statements is compiled."""
FUNCTION_STATEMENTS: Final = 5
"""A function of more statements is compiled."""
_PROGRAMS_KEPT: Final = 1024
_EXPRESSIONS: Final = (
    tree.Literal,
    tree.Name,
    tree.Unary,
    tree.Binary,
    tree.ListLiteral,
    tree.MapLiteral,
    tree.Index,
    tree.Call,
    tree.Lambda,
    tree.Spawn,
    tree.Await,
    tree.Hash,
    tree.VerifySignature,
    tree.Merkle,
    tree.StateAccess,
    tree.Surrounding,
    tree.BlockField,
    tree.ContractCall,
)


@dataclass(slots=True)
class VmStats:
    """What an `Evaluator` has done since it was made."""

    bytecode_compiles: int = 0
    """programs that were compiled to bytecode"""
    vm_executions: int = 0
    """programs, statements and calls of functions that ran as bytecode"""
    vm_fallbacks: int = 0
    """programs that could not be compiled, and were evaluated directly"""
    direct_evals: int = 0
    """programs and statements that were evaluated directly"""


class _Program(NamedTuple):
    """A parsed program as it was lowered among the names that its environment had then."""

    parsed: tree.Program
    known: frozenset[str]
    constants: frozenset[str]
    lowered: core.CoreProgram
    declared: Mapping[str, bool]
    """Its variables, and whether each is constant."""


class _Compiled(NamedTuple):
    """A program as bytecode, ready to run."""

    bytecode: Bytecode
    loaded: Loaded
    places: SourceMap
    indices: tuple[int, ...]
    """Where in the code each statement of the core tree begins, and the end."""


class _Piece(NamedTuple):
    """Statements of a core program, from `begin` to `end`, that run in the same way."""

    as_bytecode: bool
    begin: int
    end: int


class Evaluator:
    """Runs programs on environments.

    With `use_vm` what `should_use_vm_for_node` says runs as bytecode, the rest by direct evaluation; without it
    everything is evaluated directly. Without a `gas_schedule` only GAS costs gas; with one nothing is optimised, and
    gas is the same whatever runs how. `limits`, `use_jit`, `jit_threshold` and `optimization_level` are those of `VM`.
    """

    def __init__(
        self,
        use_vm: bool = True,
        config: LanguageConfig | None = None,
        *,
        gas_schedule: GasSchedule | None = None,
        limits: Limits | None = None,
        use_jit: bool = True,
        jit_threshold: int = 100,
        optimization_level: int = 1,
    ) -> None:
        self.use_vm: Final = use_vm
        self.config: Final = config or LanguageConfig()
        self.vm: Final = VM(use_jit, jit_threshold, optimization_level, gas_schedule=gas_schedule, limits=limits)
        """What bytecode runs on; its own `env` is not used."""
        self._compiler: Final = EvaluatorBytecodeCompiler(source_map=True)
        self._stats = VmStats()
        self._programs: OrderedDict[int, _Program] = OrderedDict()
        self._compiled: OrderedDict[core.CoreProgram, _Compiled | None] = OrderedDict()
        self._large: Final[WeakSet[core.CoreFunction]] = WeakSet()
        """The functions that are to run as bytecode."""

    def evaluate(self, program: tree.Program | str, env: Environment) -> Value:
        """What the program, or the source of one, gives, None if nothing; its variables are in `env` then.

        Raises `LanguageError` for a source that is wrong, before anything has run; `ProzError`, with its `places`, for
        a program that fails: what it wrote in open transactions is forgotten, what it had stored or committed stays.
        """
        return self.eval_with_vm_support(parse(program) if isinstance(program, str) else program, env)

    def eval_with_vm_support(self, node: tree.Node, env: Environment) -> Value:
        """As `evaluate`, also for a statement or expression alone, whose positions are then those of its own source."""
        program = self._lowered(node if isinstance(node, tree.Program) else _program_of(node), env)
        scope = Scope(env, program.declared)
        result = self._run(program, scope)
        for name, constant in program.declared.items():
            env.declare(name, env[name], constant=constant)
        return result

    def should_use_vm(self, node: tree.Node) -> bool:
        """Whether `node` as a whole is to run as bytecode."""
        if not self.use_vm or not self.config.use_hybrid_compiler:
            return False
        if isinstance(node, tree.Program) and node.source.lines >= self.config.compiler_line_threshold:
            return True
        return should_use_vm_for_node(node)

    _should_use_vm = should_use_vm

    def get_vm_stats(self) -> dict[str, int]:
        """Counts: `bytecode_compiles`, `vm_executions`, `vm_fallbacks`, `direct_evals`."""
        return asdict(self._stats)

    # How a program runs

    def _run(self, program: _Program, scope: Scope) -> Value:
        pieces = self._pieces(program)
        if any(piece.as_bytecode for piece in pieces) or self._meets_bytecode(program.lowered, scope):
            compiled = self._find_compiled(program.lowered)
            if compiled is not None:
                return self._run_compiled(program.lowered, compiled, pieces, scope)
        self._stats.direct_evals += 1
        machine = self.vm.machine(scope)
        try:
            return TreeEvaluator(machine).evaluate(program.lowered)
        finally:
            self.vm.settle(machine, scope)

    def _run_compiled(
        self, program: core.CoreProgram, compiled: _Compiled, pieces: list[_Piece], scope: Scope
    ) -> Value:
        """Run all as bytecode, which may be hot, or the pieces one after the other on one machine."""
        try:
            if [piece.as_bytecode for piece in pieces] == [True]:
                self._stats.vm_executions += 1
                return self.vm.execute(compiled.bytecode, scope)
            machine = self.vm.machine(scope)
            mixed = _Mixed(machine, program, compiled, pieces, self._large, self._stats)
            try:
                return machine.run(compiled.loaded, mixed.engine)
            finally:
                self.vm.settle(machine, scope)
        except ProzError as error:
            if not error.places:
                _say_where(error, compiled.places, scope)
            raise

    def _pieces(self, program: _Program) -> list[_Piece]:
        """Which statements are to run how."""
        statements = program.lowered.body
        if self.should_use_vm(program.parsed):
            return [_Piece(True, 0, len(statements))]
        large = [node.span for node in program.parsed.statements if self.should_use_vm(node) and not _is_function(node)]
        choices = [any(one.start <= node.span.start < one.end for one in large) for node in statements]
        pieces, begin = [], 0
        for choice, group in groupby(choices):
            end = begin + sum(1 for _ in group)
            pieces.append(_Piece(choice, begin, end))
            begin = end
        return pieces

    def _meets_bytecode(self, program: core.CoreProgram, scope: Scope) -> bool:
        """Whether the program has functions that are to run as bytecode, or finds such in its environment."""
        if not self.use_vm or not self.config.use_hybrid_compiler:
            return False
        if any(function in self._large for function in program.functions):
            return True
        found = [scope.get(name) for name in all_names(program)]
        return any(type(one) is Function and (one.tree is None or one.tree in self._large) for one in found)

    def _lowered(self, parsed: tree.Program, env: Environment) -> _Program:
        """The core tree of a program among the names of `env`; it is kept."""
        known, constants = frozenset(env), env.constants
        found = self._programs.get(id(parsed))
        if found is None or found.parsed is not parsed or (found.known, found.constants) != (known, constants):
            lowered = lower(parsed, known=known, constants=constants)
            declared = {name: name in lowered.constants for name in lowered.globals}
            found = _Program(parsed, known, constants, lowered, declared)
            large = {node.span for node in tree.walk(parsed) if _is_function(node) and self.should_use_vm(node)}
            self._large.update(function for function in lowered.functions if function.span in large)
            know_source(lowered)
        _keep(self._programs, id(parsed), found)
        return found

    def _find_compiled(self, program: core.CoreProgram) -> _Compiled | None:
        """The program as bytecode, None if there is none and it is to be evaluated directly."""
        if program not in self._compiled:
            _keep(self._compiled, program, self._compile(program))
        found = self._compiled[program]
        if found is None:
            self._stats.vm_fallbacks += 1
        return found

    def _compile(self, program: core.CoreProgram) -> _Compiled | None:
        try:
            bytecode = self._compiler.compile_core(program)
            loaded = load(bytecode, self.vm.limits, strict=False)
        except CodeError:
            if self.config.fallback_to_interpreter:
                return None
            raise
        self._stats.bytecode_compiles += 1
        return _Compiled(bytecode, loaded, SourceMap(bytecode), statement_indices(program))


def evaluate(program: tree.Program | str, env: Environment, use_vm: bool = True) -> Value:
    """What a program gives, run once: as `Evaluator.evaluate`."""
    return Evaluator(use_vm=use_vm).evaluate(program, env)


def should_use_vm_for_node(node: tree.Node) -> bool:
    """Whether bytecode is worth it: for a loop and what has one, for large functions and for large programs.

    Of a program that is not large each statement is asked for by itself.
    """
    if isinstance(node, tree.Program):
        return len(node.statements) > PROGRAM_STATEMENTS
    if isinstance(node, tree.Action | tree.Lambda):
        return len(node.body.statements) > FUNCTION_STATEMENTS or _has_loop(node.body)
    return _has_loop(node)


class _Globals:
    """The main program's variables of a machine, by name."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def get(self, name: str, default: Any) -> Any:
        number = self._machine.global_index.get(name)
        value = UNSET if number is None else self._machine.globals[number]
        return default if value is UNSET else value

    def __setitem__(self, name: str, value: Any) -> None:
        self._machine.globals[self._machine.global_index[name]] = value


class _Mixed(TreeEvaluator):
    """Runs a program's pieces on one machine: some by the machine's loop, the others itself."""

    def __init__(
        self,
        machine: Machine,
        program: core.CoreProgram,
        compiled: _Compiled,
        pieces: list[_Piece],
        large: WeakSet[core.CoreFunction],
        stats: VmStats,
    ) -> None:
        super().__init__(machine, _Globals(machine))
        self._machine = machine
        self._program = program
        self._compiled = compiled
        self._pieces = pieces
        self._large = large
        self._stats = stats

    def engine(self, machine: Machine, frame: interpreter.Frame) -> None:
        """Run the program in place of the machine's loop, and leave to that the tasks that nobody awaited."""
        self._main = frame
        result = self.enter(Frame("", self.globals), self._program, None)
        following = machine.leave(result)
        if following is not None:
            machine.loop(following)

    def prefers_bytecode(self, function: Function) -> bool:
        return function.tree in self._large

    def run_bytecode(self, function: Function, arguments: list[Value]) -> Value:
        self._stats.vm_executions += 1
        loaded = self._machine.find_function(function)
        try:
            return self._machine.go_on(loaded, self.depth + 1, 0, [], arguments)
        except ProzError as error:
            _say_where(error, self._compiled.places, self._machine.host)
            raise

    def link(self, function: Function) -> None:
        self._machine.find_function(function)

    def statements(self, frame: Frame, body: core.CoreProgram | core.CoreFunction) -> None:
        if not isinstance(body, core.CoreProgram):
            super().statements(frame, body)
            return
        for piece in self._pieces:
            if piece.as_bytecode:
                self._stats.vm_executions += 1
                self._run_piece(frame, piece)
            else:
                self._stats.direct_evals += 1
                self.run_statements(frame, body, body.body[piece.begin : piece.end])

    def _run_piece(self, frame: Frame, piece: _Piece) -> None:
        """Let the machine run statements of the main program."""
        begin, end = self._compiled.indices[piece.begin], self._compiled.indices[piece.end]
        try:
            self._machine.run_part(self._main, begin, end)
        except ProzError as error:
            _say_where(error, self._compiled.places, self._machine.host)
            raise
        if self._main.stack:
            frame.result = self._main.stack.pop()


def _say_where(error: ProzError, known: SourceMap, names: Mapping[str, Any]) -> None:
    """Give an error its places: in the program that `known` is of, or in a function of `names` from an earlier one."""
    bodies = error.bodies if len(error.bodies) == len(error.trace) else [None] * len(error.trace)
    for (name, index), body in zip(error.trace, bodies, strict=True):
        # A function of an earlier program may have the name of one of this program, and has a map of its own.
        place = SourceMap(body).place("", index) if name and body is not None else None
        place = place or known.place(name, index)
        if place is None:
            found = (one for one in names.values() if type(one) is Function and one.name == name)
            place = next((SourceMap(one.bytecode).place("", index) for one in found), None)
        error.places.append((name, place))


def _program_of(node: Any) -> tree.Program:
    """A program of one statement or expression."""
    statement = tree.ExpressionStatement(node.span, node) if isinstance(node, _EXPRESSIONS) else node
    return tree.Program(node.span, (statement,), tree.Source(""))


def _is_function(node: tree.Node) -> bool:
    return isinstance(node, tree.Action | tree.Lambda)


def _has_loop(node: tree.Node) -> bool:
    """Whether running `node` may run a loop that is written in it, not in a function in it."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, tree.While | tree.ForEach):
            return True
        waiting += [child for child in tree.children(one) if not _is_function(child)]
    return False


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _PROGRAMS_KEPT:
        kept.popitem(last=False)
