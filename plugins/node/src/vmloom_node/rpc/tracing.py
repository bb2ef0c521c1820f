"""geth's tracers by name: what debug_trace* puts on a run, and the JSON that comes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from vmloom.errors import InputError
from vmloom.suggest import nearest
from vmloom_evm.trace.calltree import CallTreeTracer
from vmloom_evm.trace.hooks import Tracer
from vmloom_evm.trace.prestate import PrestateTracer
from vmloom_evm.trace.steps import Step
from vmloom_evm.trace.structlog import StructLogTracer
from vmloom_evm.transaction.outcome import TransactionResult

from ..chain.calls import TracedTransaction
from .arguments import TraceOptions
from .limits import MAX_TRACE_STEPS, DeadlineTracer
from .parameters import read_object
from .protocol import Code, RpcError

Finish: TypeAlias = Callable[[TransactionResult], Any]
"""What comes of a trace once the transaction has run."""
Begin: TypeAlias = Callable[[TraceOptions, TracedTransaction], tuple[Sequence[Tracer], Finish]]


class BoundedStructLog(StructLogTracer):
    """A struct logger that keeps the first `limit` instructions; without a limit, too many of them are an error."""

    def __init__(self, limit: int, *, memory: bool, stack: bool, storage: bool, return_data: bool) -> None:
        super().__init__(memory=memory, stack=stack, storage=storage, return_data=return_data)
        self._limit = limit

    def on_step(self, step: Step) -> None:
        """Keep the instruction. Raises `RpcError`."""
        if self._limit and len(self.logs) >= self._limit:
            return
        if len(self.logs) >= MAX_TRACE_STEPS:
            raise RpcError(
                Code.LIMIT_EXCEEDED,
                f"the trace has more than {MAX_TRACE_STEPS} instructions: give a `limit`, or take callTracer",
            )
        super().on_step(step)


def _struct_log(options: TraceOptions, _: TracedTransaction) -> tuple[Sequence[Tracer], Finish]:
    tracer = BoundedStructLog(
        options.limit,
        memory=options.memory,
        stack=options.stack,
        storage=options.storage,
        return_data=options.return_data,
    )
    return [tracer], lambda result: tracer.result(result.gas_used)


def _call_tree(options: TraceOptions, about: TracedTransaction) -> tuple[Sequence[Tracer], Finish]:
    tracer = CallTreeTracer(with_log=options.flag("withLog"), only_top_call=options.flag("onlyTopCall"))
    gas_limit = about.tx.gas_limit
    return [tracer], lambda result: tracer.result(gas_limit=gas_limit, gas_used=result.gas_used)


def _prestate(options: TraceOptions, about: TracedTransaction) -> tuple[Sequence[Tracer], Finish]:
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


def _selectors(_options: TraceOptions, _about: TracedTransaction) -> tuple[Sequence[Tracer], Finish]:
    tracer = CallTreeTracer()

    def count(_: TransactionResult) -> dict[str, int]:
        frames = tracer.root.walk() if tracer.root is not None else ()
        called = (frame for frame in frames if frame.kind not in ("CREATE", "CREATE2") and len(frame.input) >= 4)
        return dict(Counter(f"0x{frame.input[:4].hex()}-{len(frame.input) - 4}" for frame in called))

    return [tracer], count


def _nothing(_options: TraceOptions, _about: TracedTransaction) -> tuple[Sequence[Tracer], Finish]:
    return [], lambda _: {}


def _several(options: TraceOptions, about: TracedTransaction) -> tuple[Sequence[Tracer], Finish]:
    tracers: list[Tracer] = []
    finishes: dict[str, Finish] = {}
    for name, config in options.config.items():
        part = TraceOptions(tracer=name, config=read_object(config or {}, f"tracerConfig.{name[:40]}"))
        if name == "muxTracer":
            raise InputError("tracerConfig.muxTracer: it cannot be part of itself")
        added, finishes[name] = begin_named(name)(part, about)
        tracers += added
    return tracers, lambda result: {name: finish(result) for name, finish in finishes.items()}


TRACERS: Final[Mapping[str, Begin]] = {
    "": _struct_log,
    "callTracer": _call_tree,
    "prestateTracer": _prestate,
    "4byteTracer": _selectors,
    "noopTracer": _nothing,
    "muxTracer": _several,
}
"""By geth's names; the empty one is the struct logger."""


def begin_named(name: str) -> Begin:
    """The tracer of this name. Raises `InputError`."""
    begin = TRACERS.get(name)
    if begin is None:
        close = nearest(name[:40], TRACERS)
        hint = f" (did you mean {close}?)" if close else ""
        known = ", ".join(one for one in TRACERS if one)
        raise InputError(f"tracer: {name[:40]!r} is unknown{hint}; known: {known}; tracers in JavaScript are not run")
    return begin


class Recorder:
    """Makes a tracer for each transaction that runs, and keeps what comes of it in `results`, in order."""

    def __init__(self, options: TraceOptions) -> None:
        self._options = options
        self._begin = begin_named(options.tracer)
        self.results: list[Any] = []

    def __call__(self, about: TracedTransaction) -> Sequence[Tracer]:
        """The tracers of a transaction that is about to run."""
        tracers, finish = self._begin(self._options, about)
        about.at_end.append(lambda result: self.results.append(finish(result)))
        return [*tracers, DeadlineTracer()]
