"""geth's tracers by name: what debug_trace* puts on a run, and the JSON that comes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from vmloom.errors import InputError
from vmloom.suggest import nearest
from vmloom_evm.trace.calltree import CallTreeTracer
from vmloom_evm.trace.hooks import Tracer
from vmloom_evm.trace.prestate import PrestateTracer
from vmloom_evm.trace.steps import FrameEntry, FrameExit, Step
from vmloom_evm.trace.structlog import StructLogTracer
from vmloom_evm.transaction.outcome import TransactionResult

from ..chain.calls import TracedTransaction, output_of
from .arguments import TraceOptions
from .limits import Abort, DeadlineTracer
from .parameters import read_object
from .protocol import Code, RpcError

Finish: TypeAlias = Callable[[TransactionResult], Any]
"""What comes of a trace once the transaction has run."""
Begun: TypeAlias = tuple[Sequence[Tracer], Finish]

_BYTES_OF_STEP: Final = 400
_BYTES_OF_WORD: Final = 100
_BYTES_OF_CALL: Final = 1_000
"""About what Python takes for each while a trace is gathered."""


class Budget:
    """Bytes that traces may still take. A contract can have a trace grow far faster than it pays for gas."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, size: int) -> None:
        """Raises `Abort` if there is no room for `size` bytes more."""
        self._left -= size
        if self._left < 0:
            raise Abort(RpcError(Code.LIMIT_EXCEEDED, "the trace is too large: ask for less of it, or give a `limit`"))


Begin: TypeAlias = Callable[[TracedTransaction, Budget], Begun]
"""Makes the tracers for a transaction that is about to run."""


class BoundedStructLog(StructLogTracer):
    """A struct logger that keeps the first `limit` instructions, or all for 0, as far as there is room for them."""

    def __init__(
        self, budget: Budget, limit: int, *, memory: bool, stack: bool, storage: bool, return_data: bool
    ) -> None:
        super().__init__(memory=memory, stack=stack, storage=storage, return_data=return_data)
        self._budget = budget
        self._limit = limit

    def on_step(self, step: Step) -> None:
        """Keep the instruction. Raises `Abort`."""
        if self._limit and len(self.logs) >= self._limit:
            return
        words = (
            len(step.stack) + len(step.memory or b"") // 32 + len(step.return_data or b"") // 32 + 2 * len(self._met)
        )
        self._budget.take(_BYTES_OF_STEP + _BYTES_OF_WORD * words)
        super().on_step(step)


class BoundedCallTree(CallTreeTracer):
    """A call tracer that keeps calls as far as there is room for their input and output."""

    def __init__(self, budget: Budget, *, with_log: bool = False, only_top_call: bool = False) -> None:
        super().__init__(with_log=with_log, only_top_call=only_top_call)
        self._budget = budget

    def on_enter(self, entry: FrameEntry) -> None:
        """Keep the call. Raises `Abort`."""
        self._budget.take(_BYTES_OF_CALL + 2 * len(entry.input))
        super().on_enter(entry)

    def on_exit(self, leaving: FrameExit) -> None:
        """Keep its output. Raises `Abort`."""
        self._budget.take(2 * len(leaving.output))
        super().on_exit(leaving)


def _struct_log(options: TraceOptions, _: TracedTransaction, budget: Budget) -> Begun:
    tracer = BoundedStructLog(
        budget,
        options.limit,
        memory=options.memory,
        stack=options.stack,
        storage=options.storage,
        return_data=options.return_data,
    )
    return [tracer], lambda result: tracer.result(result.gas_used)


def _call_tree(options: TraceOptions, about: TracedTransaction, budget: Budget) -> Begun:
    tracer = BoundedCallTree(budget, with_log=options.flag("withLog"), only_top_call=options.flag("onlyTopCall"))

    def finish(result: TransactionResult) -> dict[str, Any]:
        name_creation(tracer, about, result)
        return tracer.result(gas_limit=about.tx.gas_limit, gas_used=result.gas_used)

    return [tracer], finish


def name_creation(tree: CallTreeTracer, about: TracedTransaction, result: TransactionResult) -> None:
    """Have a creation of another machine's contract be one in the tree: to the EVM it was a call of `DEPLOYER`."""
    root = tree.root
    if root is not None and about.tx.to is None and root.kind == "CALL":
        root.kind, root.to, root.address = "CREATE", result.created, result.created or b""
        root.output = output_of(result)


def _prestate(options: TraceOptions, about: TracedTransaction, _: Budget) -> Begun:
    tracer = PrestateTracer(
        about.state,
        about.tx,
        about.sender,
        about.block,
        about.specification.rules,
        disable_code=options.flag("disableCode"),
        disable_storage=options.flag("disableStorage"),
        include_empty=options.flag("includeEmpty"),
    )
    is_diff = options.flag("diffMode")
    return [tracer], lambda _: tracer.diff() if is_diff else tracer.prestate()


def _selectors(_options: TraceOptions, _about: TracedTransaction, budget: Budget) -> Begun:
    tracer = BoundedCallTree(budget)

    def count(_: TransactionResult) -> dict[str, int]:
        frames = tracer.root.walk() if tracer.root is not None else ()
        called = (frame for frame in frames if frame.kind not in ("CREATE", "CREATE2") and len(frame.input) >= 4)
        return dict(Counter(f"0x{frame.input[:4].hex()}-{len(frame.input) - 4}" for frame in called))

    return [tracer], count


def _nothing(_options: TraceOptions, _about: TracedTransaction, _budget: Budget) -> Begun:
    return [], lambda _: {}


def _several(options: TraceOptions, about: TracedTransaction, budget: Budget) -> Begun:
    tracers: list[Tracer] = []
    finishes: dict[str, Finish] = {}
    for name, config in options.config.items():
        part = TraceOptions(tracer=name, config=read_object(config or {}, f"tracerConfig.{name[:40]}"))
        if name == "muxTracer":
            raise InputError("tracerConfig.muxTracer: it cannot be part of itself")
        added, finishes[name] = begin_named(name)(part, about, budget)
        tracers += added
    return tracers, lambda result: {name: finish(result) for name, finish in finishes.items()}


BeginNamed: TypeAlias = Callable[[TraceOptions, TracedTransaction, Budget], Begun]

TRACERS: Final[Mapping[str, BeginNamed]] = {
    "": _struct_log,
    "callTracer": _call_tree,
    "prestateTracer": _prestate,
    "4byteTracer": _selectors,
    "noopTracer": _nothing,
    "muxTracer": _several,
}
"""By geth's names; the empty one is the struct logger."""


def begin_named(name: str) -> BeginNamed:
    """The tracer of this name. Raises `InputError`."""
    begin = TRACERS.get(name)
    if begin is None:
        close = nearest(name[:40], TRACERS)
        hint = f" (did you mean {close}?)" if close else ""
        known = ", ".join(one for one in TRACERS if one)
        raise InputError(f"tracer: {name[:40]!r} is unknown{hint}; known: {known}; tracers in JavaScript are not run")
    return begin


def gethlike(options: TraceOptions) -> Begin:
    """What geth's tracer that `options` name makes of transactions. Raises `InputError` if there is none."""
    return partial(begin_named(options.tracer), options)


class Recorder:
    """Makes a tracer for each transaction that runs, and keeps what comes of it in `results`, in order.

    `begin` makes them; all together may take about `limit` bytes.
    """

    def __init__(self, begin: Begin, limit: int) -> None:
        self._budget = Budget(limit)
        self._begin = begin
        self.results: list[Any] = []

    def __call__(self, about: TracedTransaction) -> Sequence[Tracer]:
        """The tracers of a transaction that is about to run."""
        tracers, finish = self._begin(about, self._budget)
        about.at_end.append(lambda result: self.results.append(finish(result)))
        return [*tracers, DeadlineTracer()]
