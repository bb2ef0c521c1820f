"""Runs kernels: threads one after the other, on the memory of an emulated device."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from . import arithmetic
from .errors import EmulatorFault, PtxError, StepLimit
from .memory import SHIFT, WIDTHS, DeviceMemory, views_of
from .syntax import Function, Symbol, Variable, parse
from .translate import Source, translate

DEFAULT_STEP_LIMIT: Final = 1 << 26
"""Instructions that a thread may run: some seconds."""
MOST_THREADS: Final = 1024
"""Of a block."""
MOST_CALLS: Final = 200
"""Calls within calls."""
_FUNCTIONS: Final = 0xF000_0000_0000_0000
"""Where the addresses of functions begin, which are no memory."""
_LOCAL: Final = 1 << 60
"""Where the generic addresses of local memory begin; each emulator has its own, for memory may be shared."""
_NUMBERS: Final = itertools.count()
_ONES: Final = 0x0101010101010101
_ACCESS: Final = re.compile(r"\b_[av]\b")
"""What an access to memory has, once it is Python."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What a launch took: threads, and the instructions that they ran together."""

    threads: int
    instructions: int


class Misaligned(Exception):
    """An access to an address that is no multiple of its size. Raised by translated code."""


class Trapped(Exception):
    """The instruction `trap`."""


class Exited(Exception):
    """The instruction `exit` in a function: the thread ends."""


class Endless(Exception):
    """The thread has run as many instructions as it may."""


class _BadCall(Exception):
    """A call of what is no function, or too deep."""


class _Thread:
    """The thread that runs: its place in the grid, and what its calls have in local memory."""

    def __init__(
        self, unset: int, generic: Sequence[dict[int, Any]], functions: dict[int, tuple[Function, Any]]
    ) -> None:
        self.unset = unset * _ONES
        self.count, self.limit = 0, 0
        self.tid_x = self.tid_y = self.tid_z = self.ctaid_x = self.ctaid_y = self.ctaid_z = 0
        self.ntid_x = self.ntid_y = self.ntid_z = self.nctaid_x = self.nctaid_y = self.nctaid_z = 1
        self.local: tuple[dict[int, Any], ...] = ({}, {}, {}, {})
        self.base = _LOCAL + (next(_NUMBERS) * (MOST_CALLS + 1) << SHIFT)
        self._fill, self._generic, self._functions = unset, generic, functions
        self._level = 0
        self._frames: dict[tuple[int, int], tuple[bytearray, tuple[Any, ...]]] = {}

    def begin(self, block: int, thread: int, limit: int) -> None:
        """Begin a thread."""
        self.ctaid_x, self.tid_x, self.count, self.limit = block, thread, 0, limit
        while self._level:
            self.leave()

    def enter(self, size: int) -> int:
        """Local memory for a call: its address in the local state space. Nobody has written to it yet."""
        self._level += 1
        level = self._level
        if level > MOST_CALLS:
            raise _BadCall(f"calls within calls are deeper than {MOST_CALLS}")
        found = self._frames.get((level, size))
        if found is None:
            memory = bytearray(size)
            found = self._frames[level, size] = (memory, views_of(memory))
        memory, views = found
        memory[:] = bytes((self._fill,)) * size
        for width, view in enumerate(views):
            self.local[width][level] = self._generic[width][(self.base >> SHIFT) + level] = view
        return level << SHIFT

    def leave(self) -> None:
        """The call's local memory is gone."""
        for width in range(len(WIDTHS)):
            del self.local[width][self._level]
            del self._generic[width][(self.base >> SHIFT) + self._level]
        self._level -= 1

    def pointed(self, address: int, parameters: int, results: int) -> Any:
        """The function at an address."""
        found = self._functions.get(address)
        if found is None or (len(found[0].parameters), len(found[0].results)) != (parameters, results):
            raise _BadCall(f"{address:#x} is not the address of a function with {parameters} parameters")
        return found[1]


class Emulator:
    """A module, ready to be launched. Raises `PtxError` for text that cannot be run.

    Launches of one emulator run one after the other.

    Attributes:
        memory: That of the device.
        kernels: The names of kernels.
        sources: The Python that the functions became, for people.
    """

    def __init__(
        self,
        ptx: bytes | str,
        memory: DeviceMemory | None = None,
        *,
        step_limit: int = DEFAULT_STEP_LIMIT,
        backwards: bool = False,
    ) -> None:
        """`memory` may be that of other emulators, too. A thread may run `step_limit` instructions.

        The last thread of the last block is the first one if `backwards`: results that differ then are those of
        threads that read what others write, which on a GPU they do in any order.
        """
        text = ptx if isinstance(ptx, str) else ptx.rstrip(b"\0").decode(errors="replace")
        self._tree = parse(text)
        self.memory = memory if memory is not None else DeviceMemory()
        self._step_limit, self._backwards = step_limit, backwards
        self._lock = threading.Lock()
        functions = self._tree.functions
        self._names = {name: f"f{number}" for number, name in enumerate(functions)}
        self._symbols = {name: _FUNCTIONS + 16 * number for number, name in enumerate(functions)}
        self._place_variables()
        self._by_address: dict[int, tuple[Function, Any]] = {}
        self._thread = _Thread(self.memory.fill, self.memory.generic, self._by_address)
        self.sources = {
            name: translate(function, self._names[name], self._symbols, functions, self._names)
            for name, function in functions.items()
        }
        self._code = self._compiled()
        for name, function in functions.items():
            self._by_address[self._symbols[name]] = (function, self._code[self._names[name]])
        self.kernels = tuple(name for name, function in functions.items() if function.entry)

    def _place_variables(self) -> None:
        """Give the module's variables memory, and then what they begin with, which may be each other's addresses."""
        constants = {name: it for name, it in self._tree.variables.items() if it.space == "const"}
        others = {name: it for name, it in self._tree.variables.items() if it.space != "const"}
        try:
            for name, variable in others.items():
                self._symbols[name] = self.memory.allocate(variable.size)
            for name, variable in others.items():
                self.memory.write(self._symbols[name], self._initial(variable))
            for name, variable in constants.items():
                self._symbols[name] = self.memory.constant(self._initial(variable))
        except MemoryError as cause:
            raise PtxError(variable.line, f"{name!r} does not fit into memory: {cause}") from None

    def _initial(self, variable: Variable) -> bytes:
        """The bytes that a variable begins with; what has no value is 0."""
        size, data = variable.width // 8, bytearray(variable.size)
        for number, value in enumerate(variable.values):
            if isinstance(value, Symbol):
                if value.name not in self._symbols:
                    raise PtxError(variable.line, f"{value.name!r} is not defined")
                value = self._symbols[value.name]
            data[number * size : (number + 1) * size] = (value & ((1 << variable.width) - 1)).to_bytes(size, "little")
        return bytes(data)

    def _compiled(self) -> dict[str, Any]:
        """The functions of Python, by their names."""
        names: dict[str, Any] = dict(vars(arithmetic))
        names |= {it.__name__: it for it in (Misaligned, Trapped, Exited, Endless)}
        names["LOCAL"] = self._thread.base
        spaces = {"G": self.memory.views, "C": self.memory.constants, "A": self.memory.generic, "L": self._thread.local}
        for letter, views in spaces.items():
            names |= {f"{letter}{width}": view for width, view in zip(WIDTHS, views, strict=True)}
        for source in self.sources.values():
            exec(compile(source.text, _file_of(source), "exec"), names)
        return names

    def close(self) -> None:
        """Give the memory of the module's variables back."""
        for name in self._tree.variables:
            self.memory.free(self._symbols.pop(name))
        self._tree.variables.clear()

    # Launches

    def parameters(self, kernel: str) -> tuple[int, ...]:
        """The sizes of a kernel's parameters, in bytes. Raises `KeyError` for no kernel of that name."""
        return tuple(one.size for one in self._kernel(kernel).parameters)

    def _kernel(self, name: str) -> Function:
        function = self._tree.functions.get(name)
        if function is None or not function.entry:
            raise KeyError(f"{name!r} is no kernel here: there are {', '.join(self.kernels) or 'none'}")
        return function

    def launch(self, kernel: str, count: int, arguments: Iterable[int] = (), block: int = 128) -> Execution:
        """Run `kernel(count, arguments...)` in as many blocks of `block` threads as there are rows, the last one whole.

        Raises `EmulatorFault`, `KeyError` for no kernel of that name, and `ValueError` for what it does not take.
        """
        return self.run(kernel, (count, *arguments), grid=-(-count // block) if block > 0 else 0, block=block)

    def run(self, kernel: str, arguments: Sequence[int], *, grid: int = 1, block: int = 1) -> Execution:
        """Run `grid` blocks of `block` threads. Raises as `launch`."""
        function = self._kernel(kernel)
        most = min(function.most_threads or MOST_THREADS, MOST_THREADS)
        if not 0 < block <= most or grid < 0:
            raise ValueError(f"{kernel} runs in blocks of 1 to {most} threads, not {block}, and {grid} of them")
        given = _encoded(kernel, function.parameters, arguments)
        with self._lock:
            return self._run(kernel, self._code[self._names[kernel]], given, grid, block)

    def _run(self, kernel: str, code: Any, given: list[int], grid: int, block: int) -> Execution:
        thread, total = self._thread, 0
        thread.ntid_x, thread.nctaid_x = block, grid
        step = -1 if self._backwards else 1
        for block_number in range(grid)[::step]:
            for number in range(block)[::step]:
                thread.begin(block_number, number, self._step_limit)
                try:
                    code(thread, *given)
                except Exited:
                    pass
                except Exception as cause:
                    raise self._fault(kernel, (block_number, number), cause) from cause
                total += thread.count
        return Execution(grid * block, total)

    def _fault(self, kernel: str, place: tuple[int, int], cause: Exception) -> Exception:
        """What an exception of translated code means; the exception itself, if it means nothing."""
        line, text, address = self._where(cause)
        if isinstance(cause, Endless):
            reason = f"the thread ran {self._step_limit} instructions and did not end"
            return StepLimit(kernel, line, place, None, reason)
        reason = _reason(cause, text)
        return EmulatorFault(kernel, line, place, address, reason) if reason else cause

    def _where(self, cause: Exception) -> tuple[int, str, int | None]:
        """The line of PTX that failed, its Python, and the address that it accessed."""
        found: tuple[int, str, int | None] = (0, "", None)
        sources = {_file_of(source): source for source in self.sources.values()}
        trace = cause.__traceback__
        while trace is not None:
            source = sources.get(trace.tb_frame.f_code.co_filename)
            if source is not None:
                text = source.lines[trace.tb_lineno - 1].strip()
                address = trace.tb_frame.f_locals.get("_a") if _ACCESS.search(text) else None
                found = (source.places[trace.tb_lineno - 1], text, address)
            trace = trace.tb_next
        return found


def _reason(cause: Exception, text: str) -> str:
    """In words, why a line of Python that an instruction became has failed; empty if no thread may be blamed."""
    match cause:
        case Misaligned():
            return f"an access to {cause} bytes that are not aligned to as many"
        case KeyError() | IndexError() if _ACCESS.search(text):
            return "an access to memory that is not allocated"
        case TypeError() if _ACCESS.search(text):
            return "constant memory was written to"
        case IndexError() if text.startswith("pc = "):
            return "a branch by an index that has no target"
        case ZeroDivisionError():
            return "a division by zero, which gives anything on a GPU"
        case Trapped():
            return "it ran a trap"
        case RecursionError():
            return "calls within calls are too deep"
        case _BadCall():
            return str(cause)
    return ""


def _file_of(source: Source) -> str:
    return f"<PTX {source.name}>"


def _encoded(kernel: str, parameters: Sequence[Variable], arguments: Sequence[int]) -> list[int]:
    """Arguments as the patterns that a kernel finds. Raises `ValueError`."""
    if len(arguments) != len(parameters):
        raise ValueError(f"{kernel} takes {len(parameters)} arguments, not {len(arguments)}")
    found = []
    for number, (value, parameter) in enumerate(zip(arguments, parameters, strict=True)):
        bits = 8 * parameter.size
        if not -(1 << (bits - 1)) <= value < 1 << bits:
            raise ValueError(f"argument {number} of {kernel} is {value}, which {bits} bits do not hold")
        found.append(value & ((1 << bits) - 1))
    return found
