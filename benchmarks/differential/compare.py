"""Takes the steps of a case on several engines, each on a state of its own, and says where they differ."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from threading import local
from typing import Any, Final
from zlib import crc32

from vmloom import Account, MemoryState, StateAccess
from vmloom_evm.config import EvmConfig, EvmJitConfig
from vmloom_evm.engine import Engine
from vmloom_evm.forks import FORKS
from vmloom_evm.jit import leaving, tiers
from vmloom_evm.native import memory as native_memory
from vmloom_evm.native.engine import NativeEngine
from vmloom_evm.native.state import NativeState
from vmloom_evm.reference.engine import REFERENCE
from vmloom_evm.specification import Specification
from vmloom_evm.trace.eip3155 import Eip3155Tracer
from vmloom_evm.trace.hooks import Tracer
from vmloom_evm.trace.structlog import StructLogTracer
from vmloom_evm.transaction.types import TransactionRefused
from vmloom_evm.vm import Evm

from .cases import FEW_MAZES, STEPS, Author, Case, Step

FORCED: Final = EvmConfig(engine="jit", jit=EvmJitConfig(trigger="first", disk_cache=False))
TIERED: Final = EvmConfig(engine="jit", jit=EvmJitConfig(patience=1e-9, disk_cache=False, cache_size=32 << 20))
"""With a memory for machine code that `FORCED` does not share."""
TIERED_RUNS: Final = 3
"""Runs of a code until Python is asked about it."""
JUMPS: Final = 61
"""In a tiered run, the first pause comes after so many jumps or less, and others after so many."""
RESTED: Final = 3
"""Pauses in a tiered run for which a program that has left its machine code is interpreted."""
USUAL: Final = ("reference", "native")
SWEPT: Final = 10
"""More runs with less gas of each program that is compiled: compiling takes longer than all of them."""
UNTRACED: Final = 0.9
"""Of the traced programs where contracts are compiled, since those are interpreted; and traces take long."""
FEW: Final = 4
"""Rows of a table that has no room to spare."""
LITTLE: Final = 1 << 8
"""Bytes of an arena that has no room to spare."""
MANY_MAZES: Final = 0.5
USES: Final = 40
"""Cases that a state is used for, until it has grown."""
SHOWN: Final = 600
"""Characters of each side of a difference."""


@cache
def specification_of(fork: str) -> Specification:
    """The fork of this name with all installed precompiles."""
    return Evm(EvmConfig(revision=fork)).specification(FORKS[fork])


class Restless(tiers.Installation):
    """In tiered runs, pauses after a few jumps, again and again."""

    def paused(self) -> None:
        """See there; what `FORCED` does is left as it is."""
        super().paused()
        if self.tier.config is TIERED.jit:
            self._memory.set("countdown", JUMPS)


class TieredEngine(NativeEngine):
    """Goes from tier to tier as users' engines do, but soon, at once and the same way each time.

    A program is interpreted until it has jumped a few times, and goes on in quick machine code. Where it goes on to
    jump, or runs for the third time, it is compiled in full. As pauses are ways out of machine code, that is put aside
    after some of them, and comes back after some more. Nothing is done in the background, and the time that something
    takes is not looked at, so that a case runs the same way again.
    """

    def __init__(self) -> None:
        super().__init__(TIERED)
        tiers.PATIENCE = TIERED_RUNS  # type: ignore[misc]
        tiers.WORKER.submit = self._at_once  # type: ignore[method-assign]
        tiers.Installation = Restless  # type: ignore[misc]
        leaving.OFTEN, leaving.RESTED = 1, RESTED  # type: ignore[misc]
        leaving.Sample.speed_to = lambda *_: None  # type: ignore[method-assign]

    @staticmethod
    def _at_once(job: Callable[[], None]) -> bool:
        job()
        return True

    def forget(self) -> None:
        """Be as before the first run. States that were used before have to forget their sessions."""
        self.tiers = tiers.Tiers(TIERED.jit)
        self.tiers.cache.clear()
        self._spare = local()

    def pause_soon(self, state: StateAccess, step: Step) -> None:
        """Have the next run on `state` pause after a few jumps; how many, `step` says."""
        native = state if isinstance(state, NativeState) else getattr(self._spare, "state", None)
        if native is not None:
            limit = sum(tx.gas_limit for tx in step.transactions) if step.context is None else step.context.gas_limit
            native.memory.set("countdown", 1 + crc32(step.code, limit & 0xFFFFFFFF) % JUMPS)


def compiler_failures(engine: Engine) -> Counter[str]:
    """At what compiling has failed so far by mistake: limits have names in small letters, errors those of classes."""
    tiers = getattr(engine, "tiers", None)
    failures = {} if tiers is None else tiers.statistics().failures
    return Counter({reason: count for reason, count in failures.items() if not reason.islower()})


ENGINES: Final[dict[str, Callable[[], Engine]]] = {
    "reference": lambda: REFERENCE,
    "native": NativeEngine,
    "jit": lambda: NativeEngine(FORCED),
    "tiered": TieredEngine,
}
"""How each is made. `jit` compiles every contract in full before it first runs, `tiered` while it runs."""
COMPILING: Final = frozenset({"jit", "tiered"})


@cache
def engine_named(name: str) -> Engine:
    """The engine, the same each time: it keeps what it has compiled."""
    return ENGINES[name]()


@contextmanager
def little_room() -> Iterator[None]:
    """Let native states that are made meanwhile have tables and arenas that must grow at once."""
    rooms = {table.name: table.room for table in native_memory.TABLES}
    sizes = native_memory.FIRST_MEMORY, native_memory.CODE_CHUNK
    for table in native_memory.TABLES:
        table.room = FEW if table.row_size > 1 else LITTLE
    native_memory.FIRST_MEMORY = native_memory.CODE_CHUNK = LITTLE  # type: ignore[misc]
    try:
        yield
    finally:
        for table in native_memory.TABLES:
            table.room = rooms[table.name]
        native_memory.FIRST_MEMORY, native_memory.CODE_CHUNK = sizes  # type: ignore[misc]


class States:
    """Native states of which some are used again: to make one takes a part of the time of a case."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], tuple[NativeState, int]] = {}

    def get(self, engine: str, kind: str, source: StateAccess | None) -> NativeState:
        """An empty one of this kind for an engine, before `source`."""
        found, uses = self.kept.get((engine, kind), (None, 0))
        if found is None or uses >= USES or kind != "native" or found.in_use.locked():
            found, uses = self._make(kind), 0
        else:
            found.clear()
        self.kept[engine, kind] = found, uses + 1
        found.rebind(source)
        return found

    @staticmethod
    def _make(kind: str) -> NativeState:
        if kind == "native":
            return NativeState()
        with little_room():
            return NativeState(guarded=kind == "guarded")


STATES: Final = States()


def filled(state: StateAccess, case: Case) -> StateAccess:
    """`state` with the case's accounts and storage."""
    for address, account in case.accounts.items():
        state.set_account(address, account)
    for address, words in case.storage.items():
        for slot, word in words.items():
            state.set_storage(address, slot, word)
    state.commit()
    state.begin_transaction()
    return state


def contents(state: StateAccess, known: list[StateAccess]) -> dict[bytes, tuple[Account | None, dict[int, int]]]:
    """All accounts of `state` with their words that are not zero; `known` are the states that can list some."""
    found: dict[bytes, tuple[Account | None, dict[int, int]]] = {}
    addresses = {address for one in known for address, _ in one.accounts()}  # type: ignore[attr-defined]
    for address in sorted(addresses):
        account = state.get_account(address)
        if account is not None:
            slots = {slot for one in known for slot in one.storage_of(address)}  # type: ignore[attr-defined]
            words = {slot: state.get_storage(address, slot) for slot in sorted(slots)}
            found[address] = account, {slot: word for slot, word in words.items() if word}
    return found


class Side:
    """An engine and its state."""

    def __init__(self, name: str, case: Case) -> None:
        self.name = name
        self.engine = engine_named(name)
        if isinstance(self.engine, TieredEngine):
            self.engine.forget()
        kind = "memory" if name == "reference" else case.state
        self.failures = compiler_failures(self.engine)
        self.specification = specification_of(case.fork)
        self.block = case.block
        memory = MemoryState(block_hashes=case.block_hashes)
        self.state: StateAccess = memory
        self.known: list[StateAccess] = [memory]
        if kind == "memory":
            filled(memory, case)
        elif kind.endswith("sourced"):
            filled(memory, case)
            native = STATES.get(name, "native" if kind == "sourced" else "cramped", memory)
            native.block_hashes = {}
            self.state, self.known = native, [native, memory]
        else:
            native = STATES.get(name, kind, None)
            native.block_hashes = dict(case.block_hashes)
            self.state, self.known = filled(native, case), [native]
        if isinstance(self.engine, TieredEngine) and isinstance(self.state, NativeState):
            self.state.session = None

    def contents(self) -> dict[bytes, tuple[Account | None, dict[int, int]]]:
        """Everything in the state."""
        return contents(self.state, self.known)

    def prepare(self, step: Step) -> None:
        """Put the code of the step where it belongs."""
        if step.target is not None:
            self.state.set_code(step.target, step.code)

    def run(self, step: Step) -> tuple[Any, Any]:
        """What came of the run, and the trace."""
        trace: Any = None
        tracers: list[Tracer] = []
        if step.tracer == "eip3155":
            sink = io.StringIO()
            rows = self.specification.rows
            tracers = [Eip3155Tracer(sink, rows, memory=True, return_data=True, call_frames=True)]
        elif step.tracer:
            structlog = StructLogTracer(memory=True, return_data=True)
            tracers = [structlog]
        if isinstance(self.engine, TieredEngine):
            self.engine.pause_soon(self.state, step)
        try:
            outcome = self._run(step, tracers)
        except TransactionRefused as refused:
            outcome = (refused.refusal, str(refused))
        except Exception as error:
            outcome = (type(error), str(error))
        if step.tracer == "eip3155":
            trace = sink.getvalue()
        elif step.tracer:
            trace = structlog.logs
        return outcome, trace

    def _run(self, step: Step, tracers: list[Tracer]) -> Any:
        engine, specification, state, block = self.engine, self.specification, self.state, self.block
        if step.context is not None:
            return engine.execute(specification, state, step.code, step.context, tracers=tracers)
        if step.kind == "transact":
            return engine.transact(
                specification,
                state,
                block,
                step.transactions[0],
                step.senders[0],
                gas_available=step.gas_available,
                blob_gas_available=step.blob_gas_available,
                checks=step.checks,
                tracers=tracers,
            )
        if step.kind == "transact_all":
            outcomes = engine.transact_all(
                specification,
                state,
                block,
                step.transactions,
                step.senders,
                gas_available=step.gas_available,
                blob_gas_available=step.blob_gas_available,
                checks=step.checks,
            )
            return [(one.refusal, str(one)) if isinstance(one, TransactionRefused) else one for one in outcomes]
        return engine.send(
            specification,
            state,
            block,
            step.transactions[0],
            step.senders[0],
            is_system_call=step.kind == "system",
            tracers=tracers,
        )


class Sides:
    """Some engines, at the same case. The first one sets the standard."""

    def __init__(self, case: Case, engines: Sequence[str] = USUAL) -> None:
        self.sides = [Side(name, case) for name in engines]
        self.outcome: Any = None
        """What came of the last step by the first engine."""

    @property
    def state(self) -> StateAccess:
        """That of the first engine."""
        return self.sides[0].state

    def take(self, step: Step) -> str:
        """Take a step; returns how the engines differ, empty if they do not."""
        before = [side.state.snapshot() for side in self.sides]
        for side in self.sides:
            side.prepare(step)
        outcomes, traces = zip(*(side.run(step) for side in self.sides), strict=True)
        self.outcome = outcomes[0]
        found = self._difference("outcome", outcomes) or self._difference("trace", traces)
        if not found:
            found = self._difference("events", [list(side.state.events) for side in self.sides])
        if not found and step.thorough:
            found = self._difference_of_states("state")
        if step.after == "revert":
            for side, checkpoint in zip(self.sides, before, strict=True):
                side.state.revert(checkpoint)
            what = "state after undoing"
        elif step.after == "commit":
            for side in self.sides:
                side.state.commit()
            what = "state after a commit"
        else:
            return found
        if not found and step.thorough:
            found = self._difference_of_states(what)
        return found

    def finish(self) -> str:
        """How the states differ in the end, or at what a compiler has failed."""
        for side in self.sides:
            failures = compiler_failures(side.engine) - side.failures
            if failures:
                return f"compiler of {side.name}:\n  failed with {', '.join(failures)}"
        return self._difference_of_states("state at the end")

    def _difference_of_states(self, what: str) -> str:
        return self._difference(what, [side.contents() for side in self.sides])

    def _difference(self, what: str, found: Sequence[Any]) -> str:
        """How the first side that differs from the first one does so."""
        standard = found[0]
        for side, other in zip(self.sides[1:], found[1:], strict=True):
            if standard == other:
                continue
            one, another = _in_order(standard), _in_order(other)
            if one != another:
                names = [f"{it.name:9}" for it in (self.sides[0], side)]
                return f"{what}:\n  {names[0]} {_shown(one, another)}\n  {names[1]} {_shown(another, one)}"
        return ""


def _in_order(outcome: Any) -> Any:
    """`outcome` with its changes in an order: engines tell the words of a storage that was cleared in their own."""
    if isinstance(outcome, list):
        return [_in_order(one) for one in outcome]
    changes = getattr(outcome, "state_changes", None)
    if changes is None:
        return outcome
    return replace(outcome, state_changes=tuple(sorted(changes, key=lambda it: (it.address, it.field, it.key or 0))))


def _shown(one: Any, other: Any) -> str:
    """The first part in which `one` differs from `other`."""
    if isinstance(one, str) and isinstance(other, str) and "\n" in one and "\n" in other:
        one, other = one.split("\n"), other.split("\n")
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        for number, (mine, theirs) in enumerate(zip(one, other, strict=False)):
            if mine != theirs:
                return f"[{number}] {_shown(mine, theirs)}"
        longer = one[len(other) :]
        return f"{len(one)} items" + (f", the first too many: {longer[0]!r}"[:SHOWN] if longer else "")
    if isinstance(one, dict) and isinstance(other, dict):
        parts = [f"{_hex(key)}: {_shown(value, other.get(key))}" for key, value in one.items()]
        parts = [part for part, key in zip(parts, one, strict=True) if other.get(key) != one[key]]
        return ", ".join(parts)[:SHOWN] or f"without {[_hex(key) for key in other if key not in one]}"[:SHOWN]
    fields = getattr(type(one), "__dataclass_fields__", {})
    if fields and all(hasattr(other, name) for name in fields):
        pairs = {name: (getattr(one, name), getattr(other, name)) for name in fields}
        return ", ".join(f"{name}={_shown(*both)}" for name, both in pairs.items() if both[0] != both[1])
    return repr(one)[:SHOWN]


def _hex(key: Any) -> str:
    return key.hex() if isinstance(key, bytes) else str(key)


def used(outcome: Any) -> int:
    """Gas that the run used, before refunds; 0 where it was refused."""
    return int(getattr(outcome, "max_gas_used", getattr(outcome, "gas_used", 0)))


def runs(outcome: Any) -> int:
    """How many programs the step has run: refused transactions ran none."""
    results = outcome if isinstance(outcome, list) else [outcome]
    return sum(not isinstance(one, tuple) for one in results)


class Difference(Exception):
    """The engines differ: after the last of `steps`, or in the end."""

    def __init__(self, case: Case, steps: list[Step], text: str, engines: Sequence[str]) -> None:
        super().__init__(text)
        self.case = case
        self.steps = steps
        self.text = text
        self.engines = engines


def compare(seed: int, number: int, fork: str | None = None, engines: Sequence[str] = USUAL) -> int:
    """Run a case on `engines`; returns how many programs ran. Raises `Difference`."""
    compiles = not COMPILING.isdisjoint(engines)
    author = Author(seed, number, fork, MANY_MAZES if compiles else FEW_MAZES)
    sides = Sides(author.case, engines)
    steps: list[Step] = []
    count = 0

    def take(step: Step) -> None:
        steps.append(step)
        found = sides.take(step)
        if found:
            raise Difference(author.case, steps, found, engines)

    for _ in range(STEPS):
        step: Step | None = author.step(sides.state)
        if compiles and author.rng.random() < UNTRACED:
            step = replace(step, tracer="")
        while step is not None:
            take(step)
            used_gas = used(sides.outcome)
            count += runs(sides.outcome)
            for _ in range(SWEPT if compiles and step.after == "revert" else 0):
                swept = author.follow_up(step, used_gas)
                if swept is not None:
                    take(swept)
                    count += runs(sides.outcome)
            may_follow = step.after == "revert" and author.rng.random() < 0.6
            step = author.follow_up(step, used_gas) if may_follow else None
            if step is not None and author.rng.random() < 0.3:
                step = replace(step, after="keep")
    found = sides.finish()
    if found:
        raise Difference(author.case, steps, found, engines)
    return count
