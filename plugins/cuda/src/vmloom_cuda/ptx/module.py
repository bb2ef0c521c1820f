"""Modules of kernels: row bodies of the kernel language as PTX, and the same IR compiled for this processor."""

from __future__ import annotations

import ctypes
import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

from vmloom.kernel.subset import KernelError
from vmloom.object_cache import ObjectCache
from vmloom_native.build import compiled
from vmloom_native.codegen import host_header
from vmloom_native.kinds import NOTHING, U64, Integer, Pointer, Reference
from vmloom_native.library import Library
from vmloom_native.program import FunctionRef, Program

from .assembler import DEFAULT_ARCHITECTURE, Resources, resources_of
from .emission import DEFAULT_TARGET, DEFAULT_TIMEOUT, Target, emit
from .entries import Row, device_entries, host_entries

Body = Callable[..., None]


class HostModule:
    """The kernels for this processor: what a GPU would compute, without one."""

    def __init__(self, library: Library, rows: Mapping[str, Row]) -> None:
        self.library, self._rows = library, rows

    @functools.cache  # noqa: B019 - a module has few kernels, and keeps its functions as long as it lives
    def function(self, name: str) -> Any:
        """The C function `name(first, end, count, arguments...)`, which runs a part of the rows and lets go of the GIL.

        Arguments are addresses and integers. Raises `KeyError` for no kernel of that name.
        """
        parameters = self._rows[name].parameters
        return self.library.function(name, None, *[ctypes.c_uint64] * (3 + len(parameters)))

    def run(self, name: str, count: int, *arguments: int) -> None:
        """Run all rows."""
        self.function(name)(0, count, count, *arguments)


class PtxModule:
    """Kernels `name(count, arguments...)`, made when first asked for."""

    def __init__(
        self,
        make_program: Callable[[], tuple[Program, dict[str, Row]]],
        *,
        target: Target,
        timeout: float,
        cache: ObjectCache | None,
    ) -> None:
        self._make_program = make_program
        self._target, self._timeout, self._cache = target, timeout, cache

    @functools.cached_property
    def _made(self) -> tuple[str, dict[str, Row]]:
        program, rows = self._make_program()
        return program.ir(header=""), rows

    @property
    def rows(self) -> dict[str, Row]:
        """The bodies by the names of their kernels."""
        return self._made[1]

    @property
    def kernels(self) -> tuple[str, ...]:
        """The names of the kernels."""
        return tuple(self.rows)

    @functools.cached_property
    def ptx(self) -> bytes:
        """The text for a driver. Raises `KernelError`, `EmissionError`."""
        text, rows = self._made
        return emit(
            f"{text}{device_entries(rows)}",
            kernels=", ".join(rows),
            target=self._target,
            timeout=self._timeout,
            cache=self._cache,
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the PTX, in hexadecimal digits."""
        return hashlib.sha256(self.ptx).hexdigest()

    def resources(self, architecture: str = DEFAULT_ARCHITECTURE) -> dict[str, Resources]:
        """What each kernel needs on GPUs of an architecture, as `ptxas` tells. Raises `AssemblerError`."""
        return resources_of(self.ptx, architecture)

    def host(self, *, level: int = 2) -> HostModule:
        """The same IR, compiled for this processor. Raises `KernelError`."""
        text, rows = self._made

        def make_ir() -> str:
            return f"{host_header()}\n{text}{host_entries(rows)}"

        subject = f"kernels {', '.join(rows)} for the host"
        return HostModule(compiled(None, make_ir, subject=subject, level=level, cache=self._cache), rows)


def module(
    exports: Mapping[str, Body | Row],
    *,
    replacements: Mapping[Any, Any] | None = None,
    bindings: Mapping[Any, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
    inlined: Set[Callable[..., Any]] = frozenset(),
    texts: Iterable[str] = (),
    program: Program | None = None,
    target: Target = DEFAULT_TARGET,
    timeout: float = DEFAULT_TIMEOUT,
    cache: ObjectCache | None = None,
) -> PtxModule:
    """Row bodies as kernels: `body(row: u64, count: u64, ...pointers and integers...) -> None` runs once for each row.

    `replacements`, `bindings`, `constants` and `inlined` are those of `Program`, `texts` is IR to be added as it is,
    whose bodies are exported as `Row`. A `program` that has functions already is taken instead of a new one. LLVM may
    take `timeout` seconds for the module. Raises `KernelError` for what is no row body.
    """
    if program is not None and (replacements or bindings or constants or inlined):
        raise ValueError("replacements, bindings, constants and inlined functions belong to the program that is given")

    def make_program() -> tuple[Program, dict[str, Row]]:
        made = program or Program(replacements=replacements, bindings=bindings, constants=constants, inlined=inlined)
        for text in texts:
            made.define(text)
        return made, {name: _row(made, name, body) for name, body in exports.items()}

    return PtxModule(make_program, target=target, timeout=timeout, cache=cache)


def _row(program: Program, name: str, body: Body | Row) -> Row:
    if isinstance(body, Row):
        return body
    function = program.function(body)
    _check(name, function)
    return Row(function.symbol, tuple(kind.llvm for kind in function.parameters[2:]))


def _check(name: str, function: FunctionRef) -> None:
    """Raises `KernelError` unless the function is a row body."""

    def refuse(what: str) -> KernelError:
        return KernelError(function.file, function.line, f"kernel `{name}`: {what}")

    if function.parameters[:2] != (U64, U64):
        raise refuse("a row body begins with `row: u64, count: u64`")
    for argument, kind in function.arguments[2:]:
        if not (isinstance(kind, (Pointer, Reference)) or (isinstance(kind, Integer) and 8 <= kind.bits <= 64)):
            raise refuse(f"`{argument}` is `{kind}`: kernels take pointers and integers of 8 to 64 bits")
    if function.result != NOTHING:
        raise refuse(f"it returns `{function.result}`: a row body returns nothing, results go to memory")
    if function.may_halt:
        raise refuse("it may halt, and a kernel has nobody to tell: write a status to memory")
