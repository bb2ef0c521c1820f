"""A run made of the records of its trace: frames, gas, storage, and steps as what each of them changed.

A trace tells what stands before each instruction; what an instruction did is told by the next one of its frame. Frames
come from lines of their own where a trace has them, else from the instructions that open them and from depths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Final

from ..vm import Instruction
from .reading import Entry, Exit, Place, Record, Step, TraceError, word
from .steps import Steps
from .storage import Change, Storage

MAX_STEPS: Final = 200_000
"""Steps that a page lists, unless told otherwise."""
MAX_FRAMES: Final = 100_000
"""Frames that a page can show; a trace with more is refused."""
REVERTED: Final = "execution reverted"
UNTOLD_FAILURE: Final = "execution failed"
"""The error of a frame where a trace only says that it failed."""

_CREATES: Final = frozenset({"CREATE", "CREATE2"})
_OPENERS: Final = frozenset({"CALL", "CALLCODE", "DELEGATECALL", "STATICCALL", "SELFDESTRUCT"}) | _CREATES
_WITH_VALUE: Final = frozenset({"CALL", "CALLCODE"})
_BORROWERS: Final = frozenset({"CALLCODE", "DELEGATECALL"})
"""Those that run code of another account on the storage of their own."""
_ROOT: Final = "RUN"
"""The kind of the first frame where a trace does not say it."""


@dataclass(frozen=True, slots=True)
class Code:
    """Code that steps are shown in: what it is called, its bytes, and its instructions in order."""

    label: str
    code: bytes
    instructions: Sequence[Instruction]


@dataclass(slots=True)
class Frame:
    """One call or creation. `parent` is -1 for the first frame, `gas_used` None where a trace does not tell it.

    `account` is an index of `Run.accounts`: whose storage the frame uses. `first_step` and `steps` count all
    instructions of the trace; `first_step` is -1 for a frame without any.
    """

    index: int
    parent: int
    depth: int
    kind: str
    sender: str
    to: str
    account: int
    gas: int
    value: str
    input: bytes | None = None
    gas_used: int | None = None
    output: bytes = b""
    error: str = ""
    first_step: int = -1
    steps: int = 0
    code: int = -1
    """Index of the code that it runs, among those handed in; -1 if none fits."""

    @property
    def reverted(self) -> bool:
        """Whether it ended on purpose, with its unused gas."""
        return self.error == REVERTED


@dataclass(slots=True)
class Run:
    """All that a page shows. `accounts` are addresses, empty where a trace does not tell them.

    `opcodes` has for each instruction how often it ran and the gas that it used itself, without that of the frames
    it opened. `is_complete`: whether the trace says how the run ended.
    """

    frames: list[Frame] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    opcodes: dict[str, tuple[int, int]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    storage_events: list[tuple[int, int, str, str | None]] = field(default_factory=list)
    """From which step on which slot of which account is known to hold a word; None: no longer known."""
    steps: Steps = field(default_factory=Steps)
    step_count: int = 0
    codes: Sequence[Code] = ()
    notices: list[str] = field(default_factory=list)
    is_complete: bool = False


def build(
    records: Iterable[Record], *, codes: Sequence[Code] = (), first_step: int = 0, max_steps: int = MAX_STEPS
) -> Run:
    """The run that `records` tell of. Its list of steps has `max_steps` from `first_step` on; all else counts all.

    Raises `TraceError` for records that cannot be those of one run.
    """
    builder = _Builder(codes, Steps(first_step, max_steps))
    ahead: Iterator[Record | None] = chain(records, (None,))
    for record, following in pairwise(ahead):
        assert record is not None
        builder.add(record, is_last=following is None)
    return builder.finished()


@dataclass(slots=True)
class _Open:
    """A frame that has not ended: its last instruction, and what its children have used since that."""

    frame: Frame
    last: Step | None = None
    last_child: Frame | None = None
    children_gas: int = 0
    seen: set[tuple[int, int | None, str]] = field(default_factory=set)
    """Instructions that it ran, where codes are to be found."""


class _Builder:
    """Takes records one after the other."""

    def __init__(self, codes: Sequence[Code], steps: Steps) -> None:
        self._run = Run(steps=steps, codes=codes)
        self._names: list[dict[int, Instruction]] = [{one.offset: one for one in code.instructions} for code in codes]
        self._open: list[_Open] = []
        self._storage = Storage()
        self._counts: dict[str, list[int]] = {}
        self._account_of: dict[str, int] = {}
        self._base: int | None = None
        """The depth that the trace gives to its first frame."""
        self._awaited = False
        """Whether the last instruction opens a frame that has not shown up."""
        self._has_entries = False
        self._has_exits = False
        self._no_stack = False

    def add(self, record: Record, *, is_last: bool) -> None:
        """Take the next record."""
        if isinstance(record, Step):
            self._add_step(record)
        elif isinstance(record, Entry):
            self._has_entries = True
            self._enter(self._frame_of_entry(record), record.place)
        else:
            self._add_exit(record, is_last)

    def finished(self) -> Run:
        """The run, with what never ended closed."""
        run = self._run
        if not run.frames:
            raise TraceError("the trace is empty")
        while self._open:
            self._leave(None)
        run.opcodes = {name: (count, gas) for name, (count, gas) in self._counts.items()}
        run.changes = self._storage.changes()
        run.storage_events = self._storage.events
        run.notices += self._notices()
        return run

    def _notices(self) -> Iterator[str]:
        run = self._run
        listed, first = len(run.steps.pc), run.steps.first
        if listed < run.step_count:
            yield (
                f"The list has {listed:,} of {run.step_count:,} steps, from step {first:,} on; all else counts every "
                "step. --first-step and --max-steps choose others."
            )
        if not run.is_complete:
            yield "The trace does not say how the run ended: it may have been cut off."
        if self._no_stack:
            yield "The trace has no stacks, so that calls and storage are told as far as lines of frames tell them."
        if run.steps.clipped_at is not None:
            yield "The trace has more memory and data than a page can hold: what came later is left out."
        for index, code in enumerate(run.codes):
            if all(frame.code != index for frame in run.frames):
                yield f"No frame runs the code {code.label}."

    # Frames

    def _enter(self, frame: Frame, place: Place) -> None:
        run = self._run
        if not self._open and run.frames:
            raise place.error("a second run begins here; a page shows one: split the trace")
        if len(run.frames) >= MAX_FRAMES:
            raise place.error(f"more than {MAX_FRAMES:,} calls: too many for a page")
        run.frames.append(frame)
        self._open.append(_Open(frame))
        self._storage.enter()
        self._awaited = False

    def _frame_of_entry(self, entry: Entry) -> Frame:
        borrows = entry.kind in _BORROWERS and self._open
        account = self._open[-1].frame.account if borrows else self._account(entry.to)
        return self._new(entry.kind, entry.sender, entry.to, account, entry.gas, entry.value, entry.input)

    def _frame_of_step(self, gas: int) -> Frame:
        """The frame that the last instruction opened, as far as its operands tell."""
        parent = self._open[-1] if self._open else None
        opener = parent.last if parent is not None and self._awaited else None
        if parent is None or opener is None:
            return self._new(_ROOT if parent is None else "?", "", "", self._account(""), gas, "", None)
        kind, operands = opener.name, _top(opener, 3)
        sender = self._run.accounts[parent.frame.account]
        value = ""
        if kind in _CREATES:
            to, value = "", operands[0] if operands else ""
        elif kind == "SELFDESTRUCT":
            to = _address(operands, 0)
        else:
            to = _address(operands, 1)
            if kind in _WITH_VALUE and len(operands) == 3:
                value = operands[2]
        account = parent.frame.account if kind in _BORROWERS else self._account(to)
        return self._new(kind, sender, to, account, gas, "0x" + value if value else "", None)

    def _new(self, kind: str, sender: str, to: str, account: int, gas: int, value: str, input: bytes | None) -> Frame:
        parent = self._open[-1].frame.index if self._open else -1
        return Frame(len(self._run.frames), parent, len(self._open), kind, sender, to, account, gas, value, input)

    def _account(self, address: str) -> int:
        """The index of an account; a new one where the address is not known."""
        found = self._account_of.get(address) if address else None
        if found is None:
            found = len(self._run.accounts)
            self._run.accounts.append(address)
            if address:
                self._account_of[address] = found
        return found

    def _name_account(self, index: int, address: str) -> None:
        if not self._run.accounts[index]:
            self._run.accounts[index] = address
            self._account_of.setdefault(address, index)

    def _leave(self, leaving: Exit | None) -> None:
        """End the innermost frame; without a record of that, as its last instruction tells."""
        current = self._open.pop()
        frame, last = current.frame, current.last
        if last is not None:
            self._settle(current, None)
        if leaving is not None:
            frame.output, frame.gas_used, frame.error = leaving.output, leaving.gas_used, leaving.error
        if last is not None and (leaving is None or frame.error == UNTOLD_FAILURE):
            frame.error = last.error or (REVERTED if last.name == "REVERT" else frame.error)
        if frame.gas_used is None and last is not None:
            left = max(0, last.gas - last.cost) if frame.reverted or not frame.error else 0
            frame.gas_used = max(0, frame.gas - left)
        self._storage.leave(failed=bool(frame.error), at=self._run.step_count)
        if self._names and current.seen:
            frame.code = self._find_code(current.seen)
        if self._open:
            parent = self._open[-1]
            parent.children_gas += frame.gas_used or 0
            parent.last_child = frame
        elif leaving is not None:
            self._run.is_complete = True
        self._awaited = False

    def _add_exit(self, leaving: Exit, is_last: bool) -> None:
        if not self._run.frames:
            self._enter(self._frame_of_step(0), leaving.place)
        if not self._open:
            return  # a summary after the end of the first frame
        if is_last and not self._has_exits and not self._has_entries:  # the only one is that of the first frame
            while len(self._open) > 1:
                self._leave(None)
        elif self._awaited and not self._has_entries:
            self._enter(self._frame_of_step(0), leaving.place)
        self._has_exits = True
        self._leave(leaving)

    def _find_code(self, seen: set[tuple[int, int | None, str]]) -> int:
        """The code that has each instruction where the frame ran it."""
        for index, (code, names) in enumerate(zip(self._run.codes, self._names, strict=True)):
            if all(_fits(code.code, names, *one) for one in seen):
                return index
        return -1

    # Steps

    def _add_step(self, step: Step) -> None:
        if self._is_repeated(step):
            return
        self._go_to_depth(step)
        current = self._open[-1]
        if current.last is not None:
            self._settle(current, step)
        elif current.frame.first_step < 0:
            current.frame.first_step = self._run.step_count
            current.frame.gas = current.frame.gas or step.gas
        current.last = step
        current.frame.steps += 1
        if self._names:
            current.seen.add((step.pc, step.op, step.name))
        self._no_stack |= step.stack is None
        self._run.steps.add(self._run.step_count, current.frame.index, step)
        self._run.step_count += 1
        self._awaited = step.name in _OPENERS and not step.error

    def _is_repeated(self, step: Step) -> bool:
        """Whether the last instruction stands there again with the reason why it failed; the reason is kept."""
        last = self._open[-1].last if self._open else None
        if last is None or not step.error or last.error:
            return False
        if (last.pc, last.name, last.gas, last.depth) != (step.pc, step.name, step.gas, step.depth):
            return False
        last.error = step.error
        self._awaited = False
        self._run.steps.note_error(self._run.step_count - 1, step.error)
        return True

    def _go_to_depth(self, step: Step) -> None:
        """Open or close frames so that the step is in the innermost."""
        if self._base is None:
            base = step.depth - max(0, len(self._open) - 1)  # frames may have begun that ran nothing yet
            if base not in (0, 1):
                raise step.place.error(f"the trace begins at depth {step.depth}: what comes before is missing")
            self._base = base
        wanted = step.depth - self._base + 1
        if wanted < 1:
            raise step.place.error(f"depth {step.depth} is above that of the first frame")
        if wanted > len(self._open) + 1:
            raise step.place.error(f"depth {step.depth} follows depth {self._base + len(self._open) - 1}")
        if wanted > len(self._open):
            self._enter(self._frame_of_step(step.gas), step.place)
            return
        while len(self._open) > wanted:
            self._leave(None)
        if self._awaited and not self._has_entries:  # it ran no code and has no line: an account without code
            self._enter(self._frame_of_step(0), step.place)
            self._leave(None)

    def _settle(self, current: _Open, following: Step | None) -> None:
        """Count the last instruction of a frame, now that `following`, the next one there, or the end has come."""
        last = current.last
        assert last is not None
        if last.error and last.error != REVERTED:
            used = 0  # all gas of the frame is gone, which is no instruction's price
        elif following is None:
            used = min(last.cost, last.gas)
        else:
            used = max(0, last.gas - following.gas - current.children_gas)
        totals = self._counts.setdefault(last.name, [0, 0])
        totals[0] += 1
        totals[1] += used
        if following is not None and not last.error:
            self._take_effect(current, last, following)
        current.children_gas, current.last_child = 0, None

    def _take_effect(self, current: _Open, last: Step, following: Step) -> None:
        """What the instruction tells of storage and accounts, with its result on the stack of the next one."""
        name, frame = last.name, current.frame
        if name not in ("SLOAD", "SSTORE", "ADDRESS") and name not in _OPENERS:
            return
        operands, results = _top(last, 2), _top(following, 1)
        at = self._run.step_count
        if name == "SSTORE" and len(operands) == 2:
            self._storage.write(frame.account, operands[0], operands[1], at)
        elif not results:
            return
        elif name == "SLOAD" and operands:
            self._storage.read(frame.account, operands[0], results[0], at)
        elif name == "ADDRESS":
            self._name_account(frame.account, _address(results, 0))
        elif current.last_child is not None and name != "SELFDESTRUCT":
            self._learn_of_child(current.last_child, name, results[0])

    def _learn_of_child(self, child: Frame, name: str, result: str) -> None:
        if result == "0":
            if not child.error and not self._has_entries and child.steps == 0 and child.gas_used is None:
                child.error = UNTOLD_FAILURE
        elif name in _CREATES and not child.to:
            child.to = "0x" + result[-40:].rjust(40, "0")
            self._name_account(child.account, child.to)


def _fits(code: bytes, names: Mapping[int, Instruction], pc: int, op: int | None, name: str) -> bool:
    """Whether `code` has the instruction at `pc`. Beyond its end there is STOP."""
    if pc >= len(code):
        return name == "STOP"
    return code[pc] == op if op is not None else pc in names and names[pc].name == name


def _top(step: Step, count: int) -> list[str]:
    """Up to `count` words of the stack, the top first."""
    stack = step.stack
    return [] if not stack else [word(one, step.place) for one in stack[: -count - 1 : -1]]


def _address(operands: Sequence[str], index: int) -> str:
    return "0x" + operands[index][-40:].rjust(40, "0") if index < len(operands) else ""
