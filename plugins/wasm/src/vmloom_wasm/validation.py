"""Decides whether a module may run, before anything else is done with it.

Used for code that is about to be deployed and by `validate_code`. It looks at the module as it was submitted:
instrumentation adds globals and exports, and must not make valid what was not. Nothing here runs or compiles code.
The order of the checks is from cheap to dear, so that a hostile module costs no more than its size warrants.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from functools import cache, cached_property

from vmloom.errors import (
    CodeError,
    CodeTooLarge,
    InvalidCode,
    MemoryTooLarge,
    MissingRequiredExport,
    ProhibitedImport,
    ProhibitedOpcode,
)

from .binary.code import Instruction, instructions
from .binary.module import (
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    MAGIC,
    V128,
    VALUE_TYPES,
    VERSION,
    FunctionType,
    Kind,
    Module,
    Section,
    TableType,
    decode,
    section_heads,
)
from .binary.names import function_names
from .binary.opcodes import OPCODES, Group
from .binary.reader import MalformedModule
from .config import ModuleLimits, ValidationConfig
from .engine.config import Engine
from .engine.verdict import invalidity
from .metering.instrument import RESERVED_PREFIX

ENTRY_POINT = "main"
ENTRY_TYPE = FunctionType(bytes((I32, I32, I32)), bytes((I32,)))
"""Signature of `main(input_len, input_ptr, output_ptr)`."""

BANNED_GROUPS = frozenset(
    {Group.SIMD, Group.RELAXED_SIMD, Group.THREADS, Group.TAIL_CALL, Group.EXCEPTIONS, Group.REFERENCE_TYPES}
)
"""Instructions that differ between machines, that would run unmetered, or that no contract needs."""

_TYPED_SELECT = 0x1C  # of the reference types proposal, but with numbers it is `select`
_BR_TABLE = 0x0E
_BLOCKS = frozenset((0x02, 0x03, 0x04))
_END = 0x0B
_NO_RESULT = -64
_FLOATS = frozenset((F32, F64))
_REFUSED_TYPES = frozenset(VALUE_TYPES) - {I32, I64, F32, F64}
_BANNED = {code: opcode for code, opcode in OPCODES.items() if opcode.group in BANNED_GROUPS and code != _TYPED_SELECT}
_FLOAT_OPCODES = {code: opcode for code, opcode in OPCODES.items() if opcode.is_float}
_LONGEST_NAME = 100


class ModuleLimitExceeded(CodeError):
    """A module with more of something than the limits allow."""


def validate(code: bytes, config: ValidationConfig | None = None) -> Module:
    """Return what `code` decodes to if it may run.

    Raises:
        CodeTooLarge: longer than `limits.code_size`.
        InvalidCode: not a valid WebAssembly module; `MalformedModule` if not even its structure can be read.
        ModuleLimitExceeded: too many functions, locals, ...
        MemoryTooLarge: a memory that begins larger than the limit.
        ProhibitedImport: an import that is not a function on the list.
        ProhibitedOpcode: an instruction, or a type, that deterministic contracts must not have.
        MissingRequiredExport: no `main`, or one of another signature.
        CodeError: a start function, or an export with a reserved name.
    """
    config = config or ValidationConfig()
    if len(code) > config.limits.code_size:
        raise CodeTooLarge(f"module has {len(code)} bytes, the limit is {config.limits.code_size}")
    _check_counts(code, config.limits)
    module = decode(code)
    check = _Check(module, config)
    check.sizes()
    # wasmtime refuses SIMD and threads, too, but in fewer words. So its verdict is only used after the scan,
    # which relies on no more than the structure.
    verdict = check.verdict(code)
    check.imports()
    check.types()
    check.bodies()
    if verdict is not None:
        raise verdict
    check.exports()
    return module


def _check_counts(code: bytes, limits: ModuleLimits) -> None:
    """Compare what sections announce with the limits, before any of it is read. Header and order are not checked."""
    if code[:8] != MAGIC + VERSION:
        return
    known = {
        Section.TYPE: ("function types", limits.types),
        Section.IMPORT: ("imports", limits.imports),
        Section.FUNCTION: ("functions", limits.functions),
        Section.TABLE: ("tables", limits.tables),
        Section.GLOBAL: ("globals", limits.globals),
        Section.EXPORT: ("exports", limits.exports),
        Section.ELEMENT: ("element segments", limits.element_segments),
        Section.CODE: ("functions", limits.functions),
        Section.DATA: ("data segments", limits.data_segments),
    }
    for section, (count, offset, _) in section_heads(code).items():
        what, limit = known.get(section, ("", count))
        if count > limit:
            message = f"{section.title} section: {count} {what}, the limit is {limit}"
            raise ModuleLimitExceeded(message, offset=offset)


class _Check:
    """The checks of one module."""

    def __init__(self, module: Module, config: ValidationConfig) -> None:
        self._module = module
        self._config = config
        self._limits: ModuleLimits = config.limits
        self._imported = module.imported(Kind.FUNCTION)

    def verdict(self, code: bytes) -> InvalidCode | None:
        """Let wasmtime check the types. Core specification 2.0, chapter 3."""
        found = invalidity(_engine(), code)
        if found is None:
            return None
        if found.offset is None:
            return InvalidCode(found.message)
        return InvalidCode(self._where(found.offset) + found.message, offset=found.offset)

    def sizes(self) -> None:
        """Compare the numbers of things with the limits."""
        module, limits = self._module, self._limits
        tables = [entry.description for entry in module.imported(Kind.TABLE)] + list(module.tables)
        self._at_most(Section.TABLE, "tables", len(tables), limits.tables)
        for index, kind in enumerate(module.types):
            self._at_most(Section.TYPE, f"parameters in type {index}", len(kind.params), limits.params)
            self._at_most(Section.TYPE, f"results in type {index}", len(kind.results), limits.results)
        for table in tables:
            if isinstance(table, TableType):
                self._at_most(Section.TABLE, "elements in a table", table.limits.minimum, limits.table_size)
        for memory in module.memories:
            if memory.minimum > limits.memory_pages:
                message = f"memory of {memory.minimum} pages, the limit is {limits.memory_pages}"
                raise MemoryTooLarge(self._named(Section.MEMORY, message), offset=self._offset(Section.MEMORY))
        self._function_sizes()

    def imports(self) -> None:
        """Refuse imports that are not on the list, and those of one name with two types."""
        wanted: dict[tuple[str, str], FunctionType | None] = {}
        for entry in self._module.imports:
            name = _shown(f"{entry.module}.{entry.name}")
            allowed = ", ".join(sorted(self._config.allowed_imports))
            fix = f"import one of {allowed}" if allowed else "import nothing"
            if entry.kind is not Kind.FUNCTION:
                message = f"import {name} is a {entry.kind.name.lower()}; only functions can be imported"
            elif entry.name and "." not in entry.module and self._is_allowed(f"{entry.module}.{entry.name}"):
                kind = self._type(entry.description)
                former = wanted.setdefault((entry.module, entry.name), kind)
                if former == kind:
                    continue
                message = f"import {name} is wanted with two signatures, {former} and {kind}"
                fix = "import it once"
            else:
                message = f"import {name} is not on the list of allowed imports"
            error = ProhibitedImport(self._named(Section.IMPORT, message), offset=self._offset(Section.IMPORT))
            raise error.with_fix(fix)

    def types(self) -> None:
        """Refuse vectors, references and, if so configured, floats outside of code."""
        for index, kind in enumerate(self._module.types):
            self._value_types(Section.TYPE, f"type {index}", kind.params + kind.results)
        for index, entry in enumerate(self._module.globals, len(self._module.imported(Kind.GLOBAL))):
            self._value_types(Section.GLOBAL, f"global {index}", bytes((entry.type.value,)))
        for section, place, references in (
            (Section.TABLE, "table", [table.element for table in self._module.tables]),
            (Section.ELEMENT, "segment", [segment.reference for segment in self._module.elements]),
        ):
            for index, reference in enumerate(references):
                if reference != FUNCREF:
                    message = self._named(section, f"{place} {index} is of {VALUE_TYPES[reference]}, not of funcref")
                    raise ProhibitedOpcode(message, offset=self._offset(section))

    def bodies(self) -> None:
        """Refuse instructions that are not allowed, and code that is nested too deeply."""
        banned = {**_FLOAT_OPCODES, **_BANNED} if not self._config.allow_floats else _BANNED
        for index, body in enumerate(self._module.bodies, len(self._imported)):
            for _, value in body.locals:
                self._value_types(Section.CODE, f"a local of {self._function(index)}", bytes((value,)))
            depth, most = 1, self._limits.nesting
            values = self._values(index - len(self._imported))
            try:
                for instruction in instructions(body.code, body.offset):
                    code = instruction.code
                    if code in banned:
                        raise self._prohibited(index, instruction)
                    if code in _BLOCKS:
                        self._block_type(index, instruction)
                        depth += 1
                        if depth > most:
                            self._exceeded(index, instruction, "open blocks", depth, most)
                        if depth * values > self._limits.nesting_locals:
                            self._exceeded(
                                index,
                                instruction,
                                "open blocks times locals",
                                depth * values,
                                self._limits.nesting_locals,
                            )
                    elif code == _END:
                        depth -= 1
                    elif code == _BR_TABLE:
                        labels = len(instruction.immediates[0]) - 1
                        if labels > self._limits.br_table:
                            self._exceeded(index, instruction, "labels in a br_table", labels, self._limits.br_table)
                    elif code == _TYPED_SELECT:
                        place = f"a select in {self._function(index)}"
                        self._value_types(Section.CODE, place, instruction.immediates[0])
            except MalformedModule as error:
                raise self._in_function(error, index) from None

    def exports(self) -> None:
        """Require `main`, refuse reserved names and the start function."""
        module = self._module
        for export in module.exports:
            if export.name.startswith(RESERVED_PREFIX):
                message = f"export {_shown(export.name)}: names that begin with {RESERVED_PREFIX} are reserved"
                raise CodeError(self._named(Section.EXPORT, message), offset=self._offset(Section.EXPORT))
        if module.start is not None and not self._config.allow_start:
            message = f"{self._function(module.start)} would run at the start; start functions are not allowed"
            error = CodeError(self._named(Section.START, message), offset=self._offset(Section.START))
            raise error.with_fix("do the work in `main`; with AssemblyScript, compile with --exportStart")
        self._entry_point()

    def _entry_point(self) -> None:
        module = self._module
        offset = self._offset(Section.EXPORT)
        entry = next((export for export in module.exports if export.name == ENTRY_POINT), None)
        if entry is None:
            raise MissingRequiredExport(f"no export {ENTRY_POINT}", offset=offset)
        if entry.kind is not Kind.FUNCTION:
            message = f"export {ENTRY_POINT} is a {entry.kind.name.lower()}, not a function"
            raise MissingRequiredExport(self._named(Section.EXPORT, message), offset=offset)
        own = entry.index - len(self._imported)
        if own < 0:
            message = f"export {ENTRY_POINT} is an imported function, {self._function(entry.index)}"
            raise MissingRequiredExport(self._named(Section.EXPORT, message), offset=offset)
        kind = module.types[module.functions[own]]
        if kind != ENTRY_TYPE:
            message = f"export {ENTRY_POINT} has the signature {kind}, not {ENTRY_TYPE}"
            raise MissingRequiredExport(self._named(Section.EXPORT, message), offset=offset)

    def _type(self, index: object) -> FunctionType | None:
        """The type with this index; None if there is none, and the module is invalid anyway."""
        types = self._module.types
        return types[index] if isinstance(index, int) and index < len(types) else None

    def _values(self, own: int) -> int:
        """Parameters and locals of the module's own function with this number."""
        types, kind = self._module.types, self._module.functions[own]
        params = len(types[kind].params) if kind < len(types) else 0  # else it is invalid anyway
        return params + sum(run for run, _ in self._module.bodies[own].locals)

    def _function_sizes(self) -> None:
        limits, module = self._limits, self._module
        total = 0
        for own, body in enumerate(module.bodies):
            index, count = own + len(self._imported), self._values(own)
            total += count
            for what, number, limit in (
                ("locals", count, limits.locals),
                ("locals up to here", total, limits.total_locals),
                ("bytes of code", len(body.code), limits.function_size),
            ):
                if number > limit:
                    message = f"{self._function(index)} has {number} {what}, the limit is {limit}"
                    raise ModuleLimitExceeded(self._named(Section.CODE, message), offset=body.offset)

    def _at_most(self, section: Section, what: str, number: int, limit: int) -> None:
        if number > limit:
            message = self._named(section, f"{number} {what}, the limit is {limit}")
            raise ModuleLimitExceeded(message, offset=self._offset(section))

    def _exceeded(self, index: int, instruction: Instruction, what: str, number: int, limit: int) -> None:
        message = f"{self._function(index)} has {number} {what}, the limit is {limit}"
        raise ModuleLimitExceeded(self._named(Section.CODE, message), offset=instruction.at)

    def _prohibited(self, index: int, instruction: Instruction) -> ProhibitedOpcode:
        opcode = OPCODES[instruction.code]
        group = "float" if instruction.code not in _BANNED else opcode.group.value
        message = f"{self._function(index)}: {group} instruction {opcode.name} is not allowed"
        return ProhibitedOpcode(self._named(Section.CODE, message), offset=instruction.at)

    def _value_types(self, section: Section, place: str, types: bytes) -> None:
        refused = _REFUSED_TYPES if self._config.allow_floats else _REFUSED_TYPES | _FLOATS
        for code in types:
            if code in refused:
                group = "SIMD" if code == V128 else "float" if code in _FLOATS else "reference"
                message = f"{place} is or has {VALUE_TYPES[code]}: {group} types are not allowed"
                raise ProhibitedOpcode(self._named(section, message), offset=self._offset(section))

    def _block_type(self, index: int, instruction: Instruction) -> None:
        kind = instruction.immediates[0]
        if kind < 0 and kind != _NO_RESULT:
            self._value_types(Section.CODE, f"a block in {self._function(index)}", bytes((kind & 0x7F,)))

    def _in_function(self, error: MalformedModule, index: int) -> MalformedModule:
        """Return `error`, which is about code, with the function's name."""
        message = str(error).partition(f"{Section.CODE.title} section: ")[2]
        return MalformedModule(f"{self._function(index)}: {message}", offset=error.offset, section=Section.CODE.title)

    def _where(self, offset: int) -> str:
        """Return the section, and the function, to which `offset` belongs, for the beginning of a message."""
        begins = sorted((begin, section) for section, begin in self._module.section_offsets.items())
        position = bisect_right(begins, (offset, max(Section))) - 1
        if position < 0:
            return ""
        section = begins[position][1]
        if section is not Section.CODE:
            return f"{section.title} section: "
        bodies = [body.offset for body in self._module.bodies]
        index = max(0, bisect_right(bodies, offset) - 1) + len(self._imported)
        return f"{section.title} section: {self._function(index)}: " if bodies else f"{section.title} section: "

    def _offset(self, section: Section) -> int | None:
        return self._module.section_offsets.get(section)

    def _named(self, section: Section, message: str) -> str:
        return f"{section.title} section: {message}"

    def _function(self, index: int) -> str:
        name = self._names.get(index)
        return f"function {index}" + (f" ({_shown(name)})" if name else "")

    def _is_allowed(self, name: str) -> bool:
        return name in self._config.allowed_imports

    @cached_property
    def _names(self) -> Mapping[int, str]:
        """Names of functions; read only for an error."""
        return function_names(self._module)


def _shown(name: str) -> str:
    """Return a name that a stranger chose so that it can stand in a message: on one line, short, in backquotes."""
    plain = "".join(_escaped(char) for char in name[:_LONGEST_NAME])
    return f"`{plain}...`" if len(name) > _LONGEST_NAME else f"`{plain}`"


def _escaped(char: str) -> str:
    return char if char.isprintable() and char != "`" else f"\\u{{{ord(char):x}}}"


@cache
def _engine() -> Engine:
    """Return an engine to validate with; its settings do not matter, as it compiles nothing."""
    return Engine()
