"""A program in machine code, and its runs: into native code, out of it into the interpreter, and back at loops."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from vmloom.object_cache import ObjectCache
from vmloom.object_keys import key_of

from ...runtime.interpreter import Frame, Machine, Step, transfer
from ...values import Value
from ..codegen import Uncompilable as NoPython
from ..compiled import Compiled
from . import kernels, state
from . import layout as at
from .emit import Module, Uncompilable
from .facts import Facts
from .hashing import address as sha256_address
from .layout import CELL
from .memory import Memory

MAX_TEXT: Final = 1_500_000
"""Characters of LLVM's text of a program that is compiled."""
MOST_GAS: Final = 1 << 62
"""What native code is given at once."""
MAX_FRAMES: Final = 256
"""Calls within each other on the native stack."""
MAX_STACK: Final = 1 << 18
"""Bytes of the native stack, which threads may have no more than half a megabyte of."""
MAX_SPILL: Final = 1 << 17
"""words"""
MAX_MEMORIES: Final = 2
"""Memories that are kept for the next run."""
TRIALS: Final = 8
"""Entries into native code after which it must show that it pays."""
MAX_FAILURES: Final = 3
"""Runs one after the other that gave native code up, after which others are not tried with it."""
REFUSALS: Final = 8
"""Times that a frame has other values than native code expects, after which the run stays with the interpreter."""
LEAST_TURNS: Final = 16
"""Loop turns and calls for each entry, or the run stays with the interpreter."""
OBJECT_KIND: Final = "prozvm"
"""The kind of `ObjectCache` for machine code of programs."""
CACHE_LIMIT: Final = 64 << 20
"""Bytes of machine code of programs that are kept on disk."""


class Program:
    """A loaded program in machine code, for one gas schedule or none. Any number of runs may share it."""

    def __init__(self, facts: Facts, *, disk_cache: bool = False) -> None:
        """With `disk_cache` machine code is kept in the user's cache.

        Raises `Uncompilable`, and what compiling raises.
        """
        loaded = self.loaded = facts.loaded
        self._facts: Final = facts
        self._failures = 0
        self._python: Callable[[Machine], Value] | None = None
        module = Module(facts)
        if len(module.text) > MAX_TEXT:
            raise Uncompilable("too much code")
        self.entries: Final = module.entries
        self.shared: Final = sorted(facts.shared)
        self.keys: Final = list(facts.slots)
        self.functions: Final = [it.function for it in facts.functions]
        self._by_identity: Final = {id(function): number for number, function in enumerate(self.functions)}
        self._places: Final = {(entry.function, entry.at): number for number, entry in enumerate(self.entries)}
        self._headers: Final[dict[int, list[int]]] = {}
        for entry in self.entries:
            self._headers.setdefault(entry.function, []).append(entry.at)
        self.entered: Final = [number for number in self._headers if number]
        """Functions, without the main program, that Python can enter."""
        self.used: Final = [it.used for it in facts.functions]
        """Registers that native code has, by function."""
        self._objects: Final = facts.objects
        largest = at.FRAME_HEAD + CELL * module.spilled
        self.frames: Final = min(MAX_FRAMES, loaded.limits.frames, MAX_SPILL // largest, MAX_STACK // module.frame_size)
        if self.frames < 1:
            raise Uncompilable("frames that are too large")
        self._sizes: Final = {
            "registers": len(loaded.main.registers),
            "incoming": max(len(entry.state.registers) + len(entry.state.stack) for entry in self.entries),
            "slots": len(self.keys),
            "spill": (self.frames + 1) * largest,
        }
        self._library: Final = _linked(
            module.text, module.level, ObjectCache(limit_bytes=CACHE_LIMIT, kind=OBJECT_KIND) if disk_cache else None
        )
        import ctypes

        self.enter: Final = self._library.function("enter", ctypes.c_int64, ctypes.c_void_p)
        self._sha256: Final = sha256_address() if module.wide else 0
        self._memories: list[Memory] = []

    def run(self, machine: Machine) -> Value:
        """What `machine.run(loaded)` does. The machine must have the program's limits and gas schedule."""
        if self._failures >= MAX_FAILURES:
            return self._run_in_python(machine)
        run = NativeRun(self)
        try:
            return machine.run(self.loaded, run.begin)
        finally:
            self._failures = self._failures + 1 if run.gave_up else 0

    def _run_in_python(self, machine: Machine) -> Value:
        """Runs have other values than native code takes, such as integers beyond 64 bits: generated Python does."""
        if self._python is None:
            facts = self._facts
            try:
                self._python = Compiled(self.loaded, schedule=facts.schedule, metered=facts.metered).run
            except NoPython:
                self._python = partial(Machine.run, loaded=self.loaded)
        return self._python(machine)

    def number(self, frame: Frame) -> int | None:
        """The number of a frame's function; None for one from outside."""
        return self._by_identity.get(id(frame.function))

    def entry(self, function: int, place: int) -> int | None:
        """The number of the entry at an instruction, if there is one."""
        return self._places.get((function, place))

    def headers(self, function: int) -> list[int]:
        """Where a function can be entered."""
        return self._headers.get(function, [])

    def take_memory(self) -> Memory:
        """Memory for a run."""
        try:
            memory = self._memories.pop()
        except IndexError:
            memory = Memory(self._objects, **self._sizes, sha256=self._sha256)
        memory.reset()
        return memory

    def give_back(self, memory: Memory) -> None:
        """Keep the memory for the next run."""
        memory.forget()
        if len(self._memories) < MAX_MEMORIES:
            self._memories.append(memory)


def _linked(text: str, level: int, cache: ObjectCache | None) -> Any:
    """The library of a module's text, with the kernels that it calls; from the cache if it is there."""
    from vmloom_native.build import host
    from vmloom_native.library import Library

    key = key_of("vmloom-prozvm", host(), level, kernels.digest(), text)
    content = None if cache is None else cache.get(key)
    if content is None:
        from vmloom_native.codegen import emit_object

        content = emit_object(f"{kernels.text()}\n{text}\n", level=level)
        if cache is not None:
            cache.put(key, content, "a ProzVM program")
    return Library(content)


class NativeRun:
    """One run of a program: where native code and the interpreter take turns."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.memory = program.take_memory()
        self.entered = 0
        self.turns = 0
        self.refused = 0
        self.gave_up = False
        """Whether native code was left for good because it did not pay."""
        self._codes: dict[tuple[int, int], list[Step]] = {}

    def begin(self, machine: Machine, frame: Frame) -> None:
        """The engine of `Machine.run`."""
        self.machine = machine
        self.memory.answer = self.answer
        try:
            following: Frame | None = frame
            if self._can_enter(frame, 0):
                following = self._enter(frame, 0)
            else:
                frame.code = self._code(0, frame)
            if following is not None:
                for number in self.program.entered:
                    machine.steps[self.program.functions[number]] = self._steps(number)
                machine.loop(following)
        finally:
            machine.steps.clear()
            self.program.give_back(self.memory)

    def answer(self, what: int, which: int) -> bool:
        """What native code needs."""
        transactions = self.machine.transactions
        if what == at.READ:
            return state.load(self.memory, transactions, self.program.keys, which)
        if what == at.WRITE:
            return state.may_write(self.memory, transactions, which)
        if what == at.APPEND:
            return state.may_append(self.memory, transactions, which)
        self.turns += at.TURNS
        self.memory.words[at.FUEL] = at.TURNS  # and Python has looked for signals
        return True

    # Into native code

    def _can_enter(self, frame: Frame, number: int) -> bool:
        """Put the frame into memory; whether it is what the entry relies on."""
        memory, entry = self.memory, self.program.entries[number]
        del memory.objects[memory.constants :]
        place = memory.begin[at.INCOMING]
        main = entry.function == 0
        kinds = entry.state.registers
        for register in self.program.used[entry.function]:
            memory.put(place + CELL * register, frame.registers[register])
            if not memory.fits(place + CELL * register, kinds[register]):
                return False
        place += CELL * len(kinds)
        for value, kind in zip(frame.stack, entry.state.stack, strict=True):
            memory.put(place, value)
            if not memory.fits(place, kind):
                return False
            place += CELL
        variables = frame.registers if main else self.machine.globals
        first = memory.begin[at.GLOBALS]
        for register in self.program.shared:
            memory.put(first + CELL * register, variables[register])
        return True

    def _enter(self, frame: Frame, number: int) -> Frame | None:
        """Run native code from the frame, which is in memory; the frame that runs next, None if the run has ended."""
        machine, memory = self.machine, self.memory
        words = memory.words
        state.prepare(memory, machine.transactions, strict=machine.strict)
        words[at.ENTRY] = number
        words[at.GAS] = given = min(machine.gas, MOST_GAS)
        words[at.DEPTH] = min(machine.limits.frames - len(machine.frames), self.program.frames - 1)
        words[at.SPILL] = memory.address + 8 * memory.begin[at.SPILL]
        words[at.FUEL] = at.TURNS
        self.entered += 1
        left = self.program.enter(memory.address)
        self.turns += at.TURNS - words[at.FUEL]
        machine.gas -= given - words[at.GAS]
        state.write_through(memory, machine.transactions, self.program.keys)
        if not left:
            self._store_globals()
            if self.program.entries[number].function == 0:
                self._fill_registers(frame, 0, memory.begin[at.SPILL] + at.FRAME_HEAD)
            return machine.leave(self._result())
        following = self._restore(frame)
        if memory.raised is not None:
            raise memory.raised
        return following

    def _result(self) -> Value:
        memory = self.memory
        words = memory.words
        if words[at.RESULT] == at.DIGEST:
            words[at.DIGEST_WORDS] = words[at.RESULT + 1]
            for number in range(4):
                words[at.RESULT + 1 + number] = words[at.DIGEST_WORDS + number]
        result: Value = memory.get(at.RESULT)
        return result

    # Out of it

    def _restore(self, frame: Frame) -> Frame:
        """Make the frames that native code has left; the innermost one, which runs next."""
        machine, words = self.machine, self.memory.words
        place, end = self.memory.begin[at.SPILL], (words[at.SPILL] - self.memory.address) // 8
        spilled = []
        while place < end:
            spilled.append(place)
            place += words[place + at.FRAME_HEAD - 1]
        self._store_globals()
        self._fill(frame, spilled[-1])
        for place in reversed(spilled[:-1]):
            function = self.program.functions[words[place]]
            self._fill(machine.enter(function, []), place)
        return machine.frames[-1]

    def _fill(self, frame: Frame, place: int) -> None:
        memory = self.memory
        number, frame.next, count, _ = memory.words[place : place + at.FRAME_HEAD]
        place += at.FRAME_HEAD
        self._fill_registers(frame, number, place)
        registers = len(frame.function.registers)
        frame.stack[:] = memory.get_stack(place + CELL * registers, count)
        frame.code = self._code(number, frame)

    def _fill_registers(self, frame: Frame, number: int, place: int) -> None:
        for register in self.program.used[number]:
            if number or register not in self.program.shared:
                frame.registers[register] = self.memory.get(place + CELL * register)

    def _store_globals(self) -> None:
        first = self.memory.begin[at.GLOBALS]
        for register in self.program.shared:
            self.machine.globals[register] = self.memory.get(first + CELL * register)

    # And back

    def _code(self, number: int, frame: Frame) -> list[Step]:
        """What the interpreter runs of a function that native code has left."""
        if not self._pays():
            return self.machine.prepared(frame.function)
        return self._steps(number, frame.next)  # from where it left it would leave again at once

    def _pays(self) -> bool:
        """Whether to come back into native code; if not, then never again in this run."""
        if self.refused < REFUSALS and (self.entered < TRIALS or self.turns >= self.entered * LEAST_TURNS):
            return True
        self.machine.steps.clear()
        self.gave_up = True
        return False

    def _steps(self, number: int, but: int = -1) -> list[Step]:
        """What the interpreter runs of a function: at all entries but one it tries to come back."""
        if self.program.entry(number, but) is None:
            but = -1
        steps = self._codes.get((number, but))
        if steps is None:
            steps = list(self.machine.prepared(self.program.functions[number]))
            for place in self.program.headers(number):
                if place != but:
                    steps[place] = transfer(self._come_back, place)
            self._codes[number, but] = steps
        return steps

    def _come_back(self, machine: Machine, frame: Frame, place: int) -> Frame | None:
        """A step of the interpreter: go on in native code, or go on without it."""
        frame.next = place
        number = self.program.number(frame)
        entry = None if number is None else self.program.entry(number, place)
        if number is None or entry is None or not self._pays():
            frame.code = machine.prepared(frame.function)
        elif self._can_enter(frame, entry):
            return self._enter(frame, entry)
        else:
            self.refused += 1
            frame.code = self._steps(number, place)
        return frame
