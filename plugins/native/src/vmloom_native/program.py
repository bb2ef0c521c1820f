"""A program: kernel functions and handwritten IR that become one LLVM module.

Functions are translated once each, in the order in which they are first needed, so the text never varies.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping, Set
from types import FunctionType
from typing import Any

from vmloom.kernel import wrapping_pow
from vmloom.kernel.subset import KernelError, check, definition_of

from .annotations import resolve, resolve_result
from .frontend import Frontend
from .kinds import NOTHING, Integer, Kind, Reference, View, kind_of, memory_size
from .lower import lower, signature
from .operators import Refused
from .tree import Body


class FunctionRef:
    """A kernel function in a program. Handwritten IR needs its `symbol`, `parameters`, `returns` and `may_halt`."""

    def __init__(self, program: Program, function: FunctionType, owner: Any, symbol: str) -> None:
        self.program, self.owner, self.symbol = program, owner, symbol
        self.function, self.name, self.names = function, function.__name__, function.__globals__
        self.file, self.line = function.__code__.co_filename, function.__code__.co_firstlineno
        self.definition = definition_of(function)
        self.documented = ast.get_docstring(self.definition, clean=False) is not None
        self.local_names = frozenset(function.__code__.co_varnames)
        self.inline: bool | None = function in program.inlined or getattr(function, "__kernel_inline__", None)
        self.replaced: str | None = None
        """IR that stands for the body."""
        self.body: Body | None = None
        self.halts = False
        self.arguments: tuple[tuple[str, Kind], ...] = tuple(self._parameters())
        self.result: Kind = self._kind(self.definition, resolve_result, self.definition.returns)

    def _parameters(self) -> Iterable[tuple[str, Kind]]:
        for index, it in enumerate((*self.definition.args.posonlyargs, *self.definition.args.args)):
            if index == 0 and it.annotation is None and self.owner is not None:
                yield it.arg, Reference(self.owner)
            else:
                yield it.arg, self._kind(it, resolve, it.annotation)

    def _kind(self, node: ast.AST, resolver: Callable[..., Kind], annotation: ast.expr | None) -> Kind:
        try:
            return resolver(annotation, self.names, self.program.bindings)
        except Refused as refusal:
            raise KernelError(self.file, getattr(node, "lineno", self.line), str(refusal)) from None

    @property
    def parameters(self) -> tuple[Kind, ...]:
        """The kinds of its parameters."""
        return tuple(kind for _, kind in self.arguments)

    @property
    def returns(self) -> Kind | None:
        """The kind of its result; None if it has none."""
        return None if self.result == NOTHING else self.result

    @property
    def may_halt(self) -> bool:
        """Whether it, or what it calls, can `raise Halt(...)`: then it returns a status, before any result."""
        self.program.translate()
        return self.halts

    def body_calls(self) -> Iterable[FunctionRef]:
        """What it calls itself, once translated."""
        return self.body.calls if self.body else ()

    def __repr__(self) -> str:
        return f"<kernel function {self.symbol}>"


class Program:
    """Collects what a module is to contain.

    `bindings` gives each protocol the struct that implements it; `constants` names attributes of such machines that
    are known now, as `m.rules`; `replacements` gives functions that are called a kernel that is translated instead,
    and the builtins `load` and `store` one for each type: `(load, u256)` is replaced by a kernel that takes a pointer;
    `cpu_features` are what the processor has, in LLVM's words, for functions with an `intrinsic` body; `inlined` are
    functions that are part of whoever calls them, whatever they say of themselves.
    """

    def __init__(
        self,
        *,
        bindings: Mapping[Any, Any] | None = None,
        constants: Mapping[str, Any] | None = None,
        replacements: Mapping[Any, Any] | None = None,
        cpu_features: frozenset[str] = frozenset(),
        inlined: Set[Callable[..., Any]] = frozenset(),
    ) -> None:
        self.bindings, self.constants = dict(bindings or {}), dict(constants or {})
        self.replacements, self.cpu_features, self.inlined = dict(replacements or {}), cpu_features, inlined
        self._machines = {Reference(it) for it in self.bindings.values()}
        self._functions: dict[tuple[FunctionType, Any], FunctionRef] = {}
        self._queue: list[FunctionRef] = []
        self._symbols: dict[str, int] = {}
        self._tables: dict[tuple[Any, ...], str] = {}
        self._fields: dict[tuple[Any, str], tuple[int, Kind, bool] | None] = {}
        self._exports: dict[str, FunctionRef] = {}
        self._texts: list[str] = []
        self.declarations: dict[str, None] = {}
        self.packed = {
            (key[0].__name__, key[1].bits): self.function(function).symbol
            for key, function in self.replacements.items()
            if isinstance(key, tuple)
        }
        """By the names of `load` and `store` and a width in bits: the symbols of what replaces them."""

    # What it contains

    def function(self, function: Callable[..., Any], owner: Any = None) -> FunctionRef:
        """The kernel function in this program. `owner` is the struct whose method it is, if its name does not say so.

        Raises `KernelError` if its signature is not one of the kernel language.
        """
        function = self._replacement(function)
        if not isinstance(function, FunctionType):
            raise KernelError("<unknown>", 0, f"{function!r} is not a function defined with `def`")
        owner = owner or _owner(function)
        known = self._functions.get((function, owner))
        if known is None:
            known = FunctionRef(self, function, owner, self._symbol(function, owner))
            self._functions[function, owner] = known
            self._queue.append(known)
            for features, text in getattr(function, "__kernel_intrinsics__", ()):
                if known.replaced is None and features <= self.cpu_features:
                    self.intrinsic(function, text)
        return known

    def export(self, name: str, function: Callable[..., Any]) -> FunctionRef:
        """Let the module have a C function `name` that calls the kernel function.

        One that returns None gives an i64: 0, or why it halted. Parameters are pointers, booleans and integers of at
        most 64 bits, and so is the result of one that cannot halt. Raises `KernelError` otherwise.
        """
        exported = self.function(function)
        for what, kind in (*exported.arguments, ("the result", exported.result)):
            if isinstance(kind, View) or (isinstance(kind, Integer) and kind.bits > 64):
                raise KernelError(exported.file, exported.line, f"`{what}` is `{kind}`, which C functions do not pass")
        self._exports[name] = exported
        return exported

    def define(self, text: str) -> None:
        """Add IR as it is: functions that may call the symbols of kernel functions."""
        self._texts.append(text)

    def declare(self, text: str) -> None:
        """Add a declaration, once however often it is asked for."""
        self.declarations[text] = None

    def intrinsic(self, function: Callable[..., Any], text: str) -> FunctionRef:
        """Let `text` be the body of a kernel function. Its parameters have their names: `%state`. It cannot halt."""
        replaced = self.function(function)
        replaced.replaced, replaced.body = text, Body()
        return replaced

    # What the front end asks

    def is_machine(self, kind: Kind | None) -> bool:
        """Whether the kind is a reference to what a protocol is bound to."""
        return kind in self._machines

    def field(self, struct: Any, name: str) -> tuple[int, Kind, bool] | None:
        """A field's offset and kind, and whether it is an embedded array; None if there is none of that name."""
        key = (struct, name)
        if key not in self._fields:
            found = struct.fields.get(name)
            kind = None if found is None else kind_of(found.kind)
            self._fields[key] = None if kind is None else (found.offset, kind, found.count > 0)
        return self._fields[key]

    def table(self, values: Iterable[int], kind: Integer) -> str:
        """The symbol of a constant table."""
        key = (kind, tuple(values))
        return self._tables.setdefault(key, f"table.{len(self._tables)}")

    def _replacement(self, function: Any) -> Any:
        replacement = self.replacements.get(function, function)
        if replacement is wrapping_pow:
            from .wide.power import wrapping_pow_u256

            return wrapping_pow_u256
        return replacement

    def _symbol(self, function: FunctionType, owner: Any) -> str:
        name = function.__name__ if owner is None else f"{owner.__name__}.{function.__name__}"
        symbol = re.sub(r"[^A-Za-z0-9._]", "$", f"{function.__module__}.{name}")
        self._symbols[symbol] = count = self._symbols.get(symbol, 0) + 1
        return symbol if count == 1 else f"{symbol}.{count}"

    # Translation

    def translate(self) -> None:
        """Give every function asked for so far its typed body. Raises `KernelError`."""
        fresh = bool(self._queue)
        while self._queue:
            function = self._queue.pop(0)
            if function.body is None:
                check(function.function)
                function.body = Frontend(self, function).translate()
                function.halts = function.body.raises
        if fresh:
            self._spread_halts()

    def reaches(self, function: Callable[..., Any], functions: Set[Callable[..., Any]]) -> bool:
        """Whether the kernel function calls any of `functions`, itself or through others, in branches that live."""
        first = self.function(function)
        self.translate()
        seen, open_ = {first}, [first]
        while open_:
            for called in open_.pop().body_calls():
                if called.function in functions:
                    return True
                if called not in seen:
                    seen.add(called)
                    open_.append(called)
        return False

    def _spread_halts(self) -> None:
        """Who calls a function that may halt may halt, too."""
        callers: dict[FunctionRef, list[FunctionRef]] = {}
        for function in self._functions.values():
            for called, passes_on in function.body.calls.items() if function.body else ():
                if passes_on:
                    callers.setdefault(called, []).append(function)
        spreading = [it for it in self._functions.values() if it.halts]
        while spreading:
            for caller in callers.get(spreading.pop(), ()):
                if not caller.halts:
                    caller.halts = True
                    spreading.append(caller)

    def _refuse_recursion(self) -> None:
        """Recursion would need a stack of unknown depth; `check` sees only that of a function that calls itself."""
        finished: set[FunctionRef] = set()
        for first in self._functions.values():
            path, open_ = {first: None}, [(first, iter(first.body_calls()))]
            while open_:
                function, calls = open_[-1]
                called = next(calls, None)
                if called is None:
                    finished.add(function)
                    path.pop(function)
                    open_.pop()
                elif called in path:
                    rule = f"recursion is not in the kernel language: `{called.name}` comes back to itself"
                    raise KernelError(function.file, function.line, rule)
                elif called not in finished:
                    path[called] = None
                    open_.append((called, iter(called.body_calls())))

    def ir(self, header: str | None = None) -> str:
        """The module's text. `header` says for which kind of computer, in LLVM's words: this one unless it is given.

        Raises `KernelError`.
        """
        if header is None:
            from .codegen import host_header

            header = host_header()
        self.translate()
        self._refuse_recursion()
        for name, function in self._exports.items():
            if function.halts and function.result != NOTHING:
                raise KernelError(function.file, function.line, f"`{name}` may halt, so it cannot return a value")
        functions = [lower(it, self) for it in self._functions.values()]
        wrappers = [_wrapper(name, function) for name, function in self._exports.items()]
        tables = [_table(symbol, *key) for key, symbol in self._tables.items()]
        parts = (header, *sorted(self.declarations), *tables, *self._texts, *wrappers, *functions)
        return "\n".join(parts) + "\n"


def _owner(function: FunctionType) -> Any:
    """The struct in whose class body a function stands."""
    parts = function.__qualname__.split(".")
    if len(parts) < 2 or parts[-2] == "<locals>":
        return None
    owner = function.__globals__.get(parts[-2])
    return owner if getattr(owner, "__kernel_struct__", False) else None


def _table(symbol: str, kind: Integer, values: tuple[int, ...]) -> str:
    width, words = min(memory_size(kind) * 8, 64), max(memory_size(kind) // 8, 1)
    elements = [it >> 64 * word & ((1 << width) - 1) for it in values for word in range(words)]
    body = ", ".join(f"i{width} {it}" for it in elements)
    return f"@{symbol} = private unnamed_addr constant [{len(elements)} x i{width}] [{body}], align 8"


def _wrapper(name: str, function: FunctionRef) -> str:
    """The C function that calls a kernel function."""
    c = [f"{_c_type(kind)} %{index}" for index, (_, kind) in enumerate(function.arguments)]
    given = ", ".join(f"{kind.llvm} %{index}" for index, (_, kind) in enumerate(function.arguments))
    called = f"call {signature(function)} @{function.symbol}({given})"
    if function.result != NOTHING:
        head, body = f"{_c_result(function.result)}", f"  %r = {called}\n  ret {function.result.llvm} %r\n"
    else:
        head = "i64"
        body = f"  %r = {called}\n  ret i64 %r\n" if function.halts else f"  {called}\n  ret i64 0\n"
    return f"define {head} @{name}({', '.join(c)}) nounwind {{\n{body}}}"


def _c_type(kind: Kind) -> str:
    if isinstance(kind, Integer) and kind.bits < 64:
        return f"{kind.llvm} zeroext"
    return kind.llvm


def _c_result(kind: Kind) -> str:
    return f"zeroext {kind.llvm}" if isinstance(kind, Integer) and kind.bits < 64 else kind.llvm
