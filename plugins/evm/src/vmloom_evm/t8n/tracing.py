"""Watching the transactions of a transition: a trace file for each, and counts of instructions over all.

Files are named as tools look for them: `trace-<position among the receipts>-<transaction hash>`, and then `.jsonl` for
lines by instruction, `.json` for what a tracer gathers.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from vmloom import BlockContext, StateAccess
from vmloom.errors import InputError
from vmloom.suggest import nearest

from ..block.process import BlockObserver
from ..specification import Specification
from ..table import OpRow
from ..trace.calltree import CallTreeTracer
from ..trace.eip3155 import Eip3155Tracer
from ..trace.hooks import TracedFrame, Tracer
from ..trace.prestate import PrestateTracer
from ..trace.steps import opcode_name
from ..transaction.codec import transaction_hash
from ..transaction.outcome import TransactionResult
from ..transaction.types import Transaction, TransactionRefused
from .failure import ExitCode, TransitionError
from .fields import Fields, parse_json
from .output import describe

Finish = Callable[[TransactionResult], None]
"""Writes what is still to be written of a transaction."""


class OpcodeCounter(Tracer):
    """Counts instructions by opcode."""

    opcodes = None

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def before(self, frame: TracedFrame, opcode: int) -> None:
        """Count, also what fails then; but an account without code runs nothing."""
        if frame.code:
            self.counts[opcode] += 1

    def named(self, rows: Mapping[int, OpRow]) -> dict[str, int]:
        """JSON-ready, by instruction name."""
        return {
            rows[opcode].name if opcode in rows else opcode_name(opcode): count
            for opcode, count in sorted(self.counts.items())
        }


class Recorder(ABC):
    """A kind of trace file."""

    suffix = "json"

    @abstractmethod
    def start(self, tx: Transaction, sender: bytes, sink: TextIO) -> tuple[Tracer, Finish]:
        """A tracer for `tx`, and what to call when it has run."""


@dataclass(frozen=True, slots=True)
class StepRecorder(Recorder):
    """EIP-3155: a line for each instruction."""

    rows: Mapping[int, OpRow]
    memory: bool = False
    stack: bool = True
    return_data: bool = False
    call_frames: bool = False
    suffix = "jsonl"

    def start(self, tx: Transaction, sender: bytes, sink: TextIO) -> tuple[Tracer, Finish]:
        """A tracer that writes as it goes."""
        tracer = Eip3155Tracer(
            sink,
            self.rows,
            memory=self.memory,
            stack=self.stack,
            return_data=self.return_data,
            call_frames=self.call_frames,
        )
        return tracer, lambda result: tracer.finish(result.return_data, result.gas_used, result.error)


@dataclass(frozen=True, slots=True)
class CallRecorder(Recorder):
    """`callTracer`: the tree of calls."""

    only_top_call: bool = False
    with_log: bool = False

    def start(self, tx: Transaction, sender: bytes, sink: TextIO) -> tuple[Tracer, Finish]:
        """A tracer that gathers the tree."""
        tracer = CallTreeTracer(with_log=self.with_log, only_top_call=self.only_top_call)
        return tracer, lambda result: _write(sink, tracer.result(gas_limit=tx.gas_limit, gas_used=result.gas_used))


@dataclass(frozen=True, slots=True)
class PrestateRecorder(Recorder):
    """`prestateTracer`: the accounts that the transaction met, and with `diff` what became of them."""

    state: StateAccess
    block: BlockContext
    specification: Specification
    diff: bool = False
    disable_code: bool = False
    disable_storage: bool = False
    include_empty: bool = False

    def start(self, tx: Transaction, sender: bytes, sink: TextIO) -> tuple[Tracer, Finish]:
        """A tracer that gathers the accounts."""
        tracer = PrestateTracer(
            self.state,
            tx,
            sender,
            self.block,
            self.specification.rules,
            disable_code=self.disable_code,
            disable_storage=self.disable_storage,
            include_empty=self.include_empty,
        )
        return tracer, lambda _: _write(sink, tracer.diff() if self.diff else tracer.prestate())


def recorder_named(
    name: str, config: str, state: StateAccess, block: BlockContext, specification: Specification
) -> Recorder:
    """The recorder that geth calls `name`, with its JSON `config`. Raises `TransitionError`."""
    try:
        options = Fields(parse_json(config or "{}", "--trace.jsonconfig"), "--trace.jsonconfig")
        if name == "callTracer":
            return CallRecorder(
                only_top_call=options.flag("onlyTopCall", default=False),
                with_log=options.flag("withLog", default=False),
            )
        if name == "prestateTracer":
            return PrestateRecorder(
                state,
                block,
                specification,
                diff=options.flag("diffMode", default=False),
                disable_code=options.flag("disableCode", default=False),
                disable_storage=options.flag("disableStorage", default=False),
                include_empty=options.flag("includeEmpty", default=False),
            )
    except InputError as error:
        raise TransitionError(ExitCode.CONFIG, str(error)) from None
    known = ("callTracer", "prestateTracer")
    close = nearest(name, known)
    hint = f" (did you mean {close}?)" if close else ""
    shown = name if len(name) <= 40 else name[:40] + "..."
    raise TransitionError(ExitCode.CONFIG, f"--trace.tracer: {shown!r} is unknown{hint}; known: {', '.join(known)}")


class Watch(BlockObserver):
    """Records into files of `folder` if there is a `recorder`, and counts if there is a `counter`."""

    def __init__(self, folder: Path, recorder: Recorder | None, counter: OpcodeCounter | None) -> None:
        self.folder = folder
        self.recorder = recorder
        self.counter = counter
        self.sink: TextIO | None = None
        self.finish: Finish | None = None

    @property
    def watches(self) -> bool:
        """Whether there is anything to do."""
        return self.recorder is not None or self.counter is not None

    def begin(self, index: int, tx: Transaction, sender: bytes) -> Sequence[Tracer]:
        """Open the transaction's file. Raises `TransitionError`."""
        tracers: list[Tracer] = [] if self.counter is None else [self.counter]
        if self.recorder is not None:
            self.sink = _open(self._path(self.recorder, index, tx))
            tracer, self.finish = self.recorder.start(tx, sender, self.sink)
            tracers.append(tracer)
        return tracers

    def included(self, index: int, tx: Transaction, result: TransactionResult) -> None:
        """Finish the file."""
        if self.finish is not None:
            self.finish(result)
        self.close()

    def refused(self, index: int, tx: Transaction, cause: TransactionRefused) -> None:
        """Remove the file: nothing ran."""
        self.close()
        if self.recorder is not None:
            self._path(self.recorder, index, tx).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file that is open, if one is."""
        if self.sink is not None:
            self.sink.close()
        self.sink = self.finish = None

    def _path(self, recorder: Recorder, index: int, tx: Transaction) -> Path:
        return self.folder / f"trace-{index}-0x{transaction_hash(tx).hex()}.{recorder.suffix}"


def _open(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise TransitionError(ExitCode.IO, f"{path}: cannot be written: {describe(error)}") from None


def _write(sink: TextIO, value: Any) -> None:
    sink.write(json.dumps(value, separators=(",", ":")) + "\n")
