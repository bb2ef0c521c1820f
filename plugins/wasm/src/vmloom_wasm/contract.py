"""A module that is ready to run as a contract: compiled, linked, and how it takes input and gives output."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cached_property
from typing import Final

from .abi import MODULE
from .binary.module import Module, Section, decode, section_heads
from .binary.names import function_names
from .engine.compiled import Compiled
from .engine.host import HostFunctions
from .engine.instance import Linked
from .engine.signature import Signature, signature
from .metering.costs import WasmGasCosts
from .metering.instrument import START_EXPORT

ALLOCATORS: Final = ("allocate", "alloc")
"""Exports that hand out memory: (size i32) -> i32. The first of them that a module has is used."""
INITIALIZERS: Final = ("_initialize", "_start")
"""Exports without parameters that a toolchain wants to have called first; the first that a module has is."""
CONSTRUCTOR: Final = "construct"
"""An export of the type of `main` that runs once, when the contract is created."""
_MEETING: Final = frozenset(
    ("balance", "code_size", "code_hash", "code_copy", "call", "call_static", "call_delegate", "create", "create2")
)
_COPIED: Final = (Section.DATA, Section.ELEMENT)
_GROW: Final = 0x40


class InputPlace(Enum):
    """Where a contract finds its input."""

    MEMORY = "memory"
    """Where `input_ptr` points."""
    ASKED_FOR = "asked for"
    """It imports `input_copy`."""


class OutputPlace(Enum):
    """Where a contract leaves its output, if it does not call `set_output`."""

    VALUES = "values"
    """Its globals `output_ptr` and `output_len` are mutable and are address and size."""
    ADDRESSES = "addresses"
    """They are immutable and point at variables with address and size: what C and Rust make of exported variables."""
    AREA = "area"
    """It writes address and size to where `output_ptr`, the parameter, points."""
    CALLS = "calls"
    """It imports `set_output`, `finish` or `revert` and has no such globals."""


class Contract:
    """A module with all that running it needs to know. Shared by threads."""

    def __init__(self, code: bytes, compiled: Compiled, functions: HostFunctions, costs: WasmGasCosts) -> None:
        self.code = code
        self.linked = Linked(compiled, functions)
        self._costs = costs
        heads = section_heads(code)
        self.segments = sum(heads[section].things for section in _COPIED if section in heads)
        """Segments of data and elements, which are copied into each instance."""
        self.segment_bytes = sum(heads[section].size for section in _COPIED if section in heads)
        exported, imported = compiled.functions, {name for module, name in compiled.imports if module == MODULE}
        self.has_memory = "memory" in compiled.memories
        self.initializers = tuple(name for name in (START_EXPORT,) if name in exported)
        self.initializers += tuple(name for name in INITIALIZERS if _is(exported, name, ":"))[:1]
        self.allocator = next((name for name in ALLOCATORS if _is(exported, name, "i:i")), "")
        self.meets_others = not imported.isdisjoint(_MEETING)
        """Whether it can look at other accounts."""
        self.has_constructor = _is(exported, CONSTRUCTOR, "iii:i")
        self.input = InputPlace.ASKED_FOR if "input_copy" in imported else InputPlace.MEMORY
        self.output = _output_place(compiled, imported)

    def price_of_pages(self, pages: int) -> int:
        """Units that `memory.grow` by so many pages would cost."""
        size = self._costs.sizes.get(_GROW)
        return self._costs.of(_GROW) + (size.of(pages) if size else 0)

    @cached_property
    def module(self) -> Module:
        """The module as it was deployed."""
        return decode(self.code)

    @cached_property
    def names(self) -> dict[int, str]:
        """Names of functions by index. See `binary.names`."""
        return function_names(self.module)


def _is(exported: Mapping[str, Signature], name: str, types: str) -> bool:
    """Whether there is an exported function of this name and these types."""
    return exported.get(name) == signature(types)


def _output_place(compiled: Compiled, imported: set[str]) -> OutputPlace:
    found = [compiled.globals.get(name) for name in ("output_ptr", "output_len")]
    if found == [("i", True)] * 2:
        return OutputPlace.VALUES
    if found == [("i", False)] * 2 and "memory" in compiled.memories:
        return OutputPlace.ADDRESSES
    return OutputPlace.CALLS if imported & {"set_output", "finish", "revert"} else OutputPlace.AREA
